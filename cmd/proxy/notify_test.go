package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// manager listens where the program tells how it is, as systemd does.
func manager(t *testing.T, name string) (said func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func() string {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 4096)
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dbvalet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestManagerIsToldHowItIs(t *testing.T) {
	said := manager(t, filepath.Join(shortDir(t), "notify"))
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	n, err := newNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if _, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is left for children", name)
		}
	}
	n.ready("2 routes")
	if got := said(); got != "READY=1\nSTATUS=2 routes" {
		t.Errorf("got %q", got)
	}
	n.reloading()
	got := said()
	usec, ok := strings.CutPrefix(got, "RELOADING=1\nMONOTONIC_USEC=")
	if _, err := strconv.ParseUint(strings.TrimSuffix(usec, "\n"), 10, 64); !ok || err != nil {
		t.Errorf("got %q, want the time of day in it", got)
	}
	n.status("draining")
	if got := said(); got != "STATUS=draining" {
		t.Errorf("got %q", got)
	}
	n.stopping("3 sessions")
	if got := said(); got != "STOPPING=1\nSTATUS=3 sessions" {
		t.Errorf("got %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, asked := make(chan struct{}), make(chan struct{})
	beats := 0
	go func() {
		defer close(ended)
		n.watch(ctx, func(context.Context) bool {
			switch beats++; beats {
			case 1, 2:
				return true
			case 4:
				close(asked) // it asks on, though it is told nothing
			}
			return false
		})
	}()
	for range 2 {
		if got := said(); got != "WATCHDOG=1" {
			t.Errorf("got %q", got)
		}
	}
	<-asked
	cancel()
	<-ended
	n.status("end")
	if got := said(); got != "STATUS=end" {
		t.Errorf("got %q, want no sign of life from what is not alive", got)
	}
}

func TestNobodyIsToldWhereThereIsNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	n, err := newNotifier()
	if err != nil || n.conn != nil {
		t.Errorf("got %v, %v", n.conn, err)
	}
	var none *notifier
	for _, n := range []*notifier{n, none} {
		n.ready("x")
		n.reloading()
		n.stopping("x")
		n.watch(t.Context(), func(context.Context) bool { t.Error("asked"); return true })
		n.close()
	}
}

func TestManagerThatIsNotThereIsAnErrorAndNoMore(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(shortDir(t), "nobody"))
	n, err := newNotifier()
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want the reason", err)
	}
	n.ready("x")
}
