package proxy

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// beyond is what a tunnel has to say.
type beyond struct {
	cause error
	final bool
}

func (b beyond) Error() string { return "via a tunnel: " + b.cause.Error() }
func (b beyond) Unwrap() error { return b.cause }
func (b beyond) Hint() string  { return "ask the tunnel" }
func (b beyond) Final() bool   { return b.final }

func TestConnectionsAreMadeByWayOfTheDialer(t *testing.T) {
	real := echo(t).String()
	u := newUpstream("db.nowhere.invalid:5432", numbered{new(counter)})
	var asked []string
	u.Endpoint.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		asked = append(asked, network+" "+addr)
		var d net.Dialer
		return d.DialContext(ctx, "tcp", real)
	}
	if got, err := connects(t, u, patience, host{}.login); got != real {
		t.Fatalf("got %q, %v", got, err)
	}
	err := u.Errand(t.Context(), Endpoint{Addr: "/run/db", Dialer: u.Endpoint.Dialer}, func(net.Conn) error { return nil })
	if want := "tcp db.nowhere.invalid:5432, unix /run/db"; err != nil || strings.Join(asked, ", ") != want {
		t.Errorf("got %q, %v, want %q", asked, err, want)
	}
}

// What the tunnel can't reach is waited for as what can't be reached without one, and no longer.
func TestWhatTheTunnelCanNotReachIsWaitedFor(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   beyond
		tries bool // more than one
	}{
		{"refused", beyond{syscall.ECONNREFUSED, false}, true},
		{"prohibited", beyond{errTest, true}, false},
		{"refused for good", beyond{syscall.ECONNREFUSED, true}, false},
		{"unknown", beyond{errTest, false}, false},
		{"no such name", beyond{&net.DNSError{IsNotFound: true}, false}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			real := echo(t).String()
			u := newUpstream("db:5432", numbered{new(counter)})
			var tries counter
			u.Endpoint.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
				if tries.next() == 1 {
					return nil, row.err
				}
				var d net.Dialer
				return d.DialContext(ctx, "tcp", real)
			}
			got, err := connects(t, u, patience, host{}.login)
			if row.tries {
				if got != real {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if !errors.Is(err, row.err.cause) || stageOf(err) != StageDial || Hint(err) != "ask the tunnel" || !strings.HasPrefix(err.Error(), "dial db:5432: via a tunnel: ") {
				t.Errorf("got %v, hint %q", err, Hint(err))
			}
			if tries.count() != 1 {
				t.Errorf("it was tried %d times", tries.count())
			}
		})
	}
}

func TestTunnelIsClosedWithTheUpstream(t *testing.T) {
	u := newUpstream("db:5432", numbered{new(counter)})
	closed := make(chan struct{})
	u.Tunnel = closer(func() error {
		close(closed)
		return nil
	})
	u.Close()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("it is open")
	}
}

type closer func() error

func (c closer) Close() error { return c() }
