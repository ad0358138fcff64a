package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// A notifier tells the service manager that has started the program how it is (Type=notify-reload). One
// that nobody listens to does nothing, and so does nil. Calls may be concurrent.
//
// https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
type notifier struct {
	conn     *net.UnixConn // nil: nobody wants to know
	interval time.Duration // within which it wants a sign of life; 0: it does not
}

// newNotifier connects to the socket that NOTIFY_SOCKET names, and forgets the variables: programs that
// are started have nothing to say there. It is called before Landlock, which lets the process go on with
// a socket that is connected, but not connect to an abstract one.
func newNotifier() (*notifier, error) {
	n := &notifier{}
	path := os.Getenv("NOTIFY_SOCKET")
	interval, err := daemon.SdWatchdogEnabled(true)
	_ = os.Unsetenv("NOTIFY_SOCKET")
	if path == "" {
		return n, nil
	}
	if err != nil {
		return n, fmt.Errorf("read WATCHDOG_USEC and WATCHDOG_PID: %w", err)
	}
	n.interval = interval
	n.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return &notifier{}, fmt.Errorf("connect to NOTIFY_SOCKET: %w", err)
	}
	return n, nil
}

// ready says that clients are served; status is for people.
func (n *notifier) ready(status string) { n.send(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// status says what people are to read in "systemctl status".
func (n *notifier) status(status string) { n.send("STATUS=" + status) }

// reloading says that the configuration is read again. It ends with ready, also where nothing has
// changed.
func (n *notifier) reloading() {
	n.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// stopping says that the program has begun to end.
func (n *notifier) stopping(status string) { n.send(daemon.SdNotifyStopping + "\nSTATUS=" + status) }

// watch gives signs of life until ctx ends, twice as often as they are wanted, as long as alive says
// so.
func (n *notifier) watch(ctx context.Context, alive func(context.Context) bool) {
	if n == nil || n.conn == nil || n.interval <= 0 {
		return
	}
	tick := time.NewTicker(n.interval / 2)
	defer tick.Stop()
	for {
		if alive(ctx) {
			n.send(daemon.SdNotifyWatchdog)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// send fails where the manager is gone, and then nobody wants to know.
func (n *notifier) send(state string) {
	if n != nil && n.conn != nil {
		_, _ = n.conn.Write([]byte(state))
	}
}

func (n *notifier) close() {
	if n != nil && n.conn != nil {
		n.conn.Close()
	}
}
