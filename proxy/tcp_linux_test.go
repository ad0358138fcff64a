package proxy

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dbvalet/tokens"
)

func TestConnectionsAreWatched(t *testing.T) {
	for _, row := range []struct {
		name                           string
		set                            TCP
		idle, interval, count, unacked int // seconds, and milliseconds
	}{
		{"by default", TCP{}, 30, 10, 3, 60_000},
		{"as set", TCP{Keepalive: 9 * time.Second, UserTimeout: 1500 * time.Millisecond}, 9, 3, 3, 1500},
	} {
		t.Run(row.name, func(t *testing.T) {
			var conn net.Conn
			u := newUpstream(echo(t).String(), numbered{new(counter)})
			u.TCP = row.set
			up, err := u.Connect(t.Context(), "app", func(_ context.Context, bare net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
				conn = bare
				return bare, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer up.Close()
			_, accepted := tcpPair(t)
			row.set.watch(accepted)
			_, encrypted := tcpPair(t)
			row.set.watch(tls.Client(tls.Client(encrypted, &tls.Config{}), &tls.Config{}))
			for side, conn := range map[string]*net.TCPConn{
				"upstream": conn.(*rawConn).Conn.(*net.TCPConn), "client": accepted, "proxies behind https://": encrypted,
			} {
				for _, option := range []struct{ name, want int }{
					{unix.TCP_KEEPIDLE, row.idle}, {unix.TCP_KEEPINTVL, row.interval}, {unix.TCP_KEEPCNT, row.count}, {unix.TCP_USER_TIMEOUT, row.unacked},
				} {
					if got := socketOption(t, conn, option.name); got != option.want {
						t.Errorf("%s, option %d: got %d, want %d", side, option.name, got, option.want)
					}
				}
			}
		})
	}
}

func socketOption(t *testing.T, conn *net.TCPConn, name int) (value int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, name) }); err != nil {
		t.Fatal(err)
	}
	return value
}
