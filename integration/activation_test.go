package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// activated runs dbvalet with a listening socket that it is passed under the name "orders", as systemd
// passes it.
func activated(t *testing.T, socket *os.File, env []string, args ...string) *valet {
	t.Helper()
	cmd := command(t, program, append(env, "LISTEN_FDS=1", "LISTEN_FDNAMES=orders"), args...)
	// LISTEN_PID is the program's own, which is known only when there is a process.
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
	cmd.ExtraFiles = []*os.File{socket}
	return startCommand(t, cmd, 1)
}

// A new program takes over from the old: both are passed the same socket, the new one is waited for,
// and the old one is told to end. Nobody is refused, and no query fails that was under way.
func TestUpgradeBySocketActivationLosesNobody(t *testing.T) {
	p := pg18(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	socket, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	route := strings.Replace(iamRoute(p), "listen=127.0.0.1:0", "listen=systemd:orders", 1)
	first := activated(t, socket, p.AWSEnvironment(), "--drain-timeout=30s", route)
	if got := first.addrs[0]; got != ln.Addr().String() {
		t.Fatalf("it listens on %s, want %s", got, ln.Addr())
	}

	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var served, failed atomic.Int64
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if err := connectAndQuery(t.Context(), ln.Addr().String()); err != nil {
					failed.Add(1)
					t.Errorf("a client: %v", err)
					return
				}
				served.Add(1)
			}
		})
	}
	// served counts on until so many more were.
	more := func(n int64) {
		goal := served.Load() + n
		waitUntil(t, fmt.Sprintf("%d more clients", n), func() bool { return served.Load() >= goal || failed.Load() > 0 })
	}
	more(20)
	second := activated(t, socket, p.AWSEnvironment(), route)
	more(20) // by either
	first.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-first.done; err != nil {
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 143 { //nolint:errorlint // Wait's own
			t.Errorf("the first: %v; it said:\n%s", err, first.output())
		}
	}
	first.done <- nil // for stop
	more(20)          // by the second alone
	cancel()
	clients.Wait()
	if second.count("session started") == 0 {
		t.Errorf("the second has served nobody; it said:\n%s", second.output())
	}
	t.Logf("%d served, %d by the first and %d by the second", served.Load(), first.count("session started"), second.count("session started"))
}

// connectAndQuery is a client from its first byte to its last.
func connectAndQuery(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, "postgres://whoever@"+addr+"/orders?sslmode=disable")
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	var slept int
	if err := conn.QueryRow(ctx, "SELECT 1 FROM pg_sleep(0.01)").Scan(&slept); err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return conn.Close(ctx)
}
