package integration

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// standIn is an address at which a server can be reached as well, as long as the test lasts.
func standIn(t *testing.T, addr, server string) (at string) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			go copyAndClose(upstream, client)
			go copyAndClose(client, upstream)
		}
	}()
	return ln.Addr().String()
}

func copyAndClose(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
}

// The address of the database's name moves, as after a failover in a cloud. dbvalet has an /etc/hosts of
// its own for that.
func TestSessionsFollowTheNameOfTheDatabase(t *testing.T) {
	t.Parallel()
	needsUsers(t)
	p := pgSecrets(t)
	storedRole(t, p, "moved", "first")
	before := standIn(t, "127.0.0.2:0", p.Addr())
	_, port, _ := net.SplitHostPort(before)
	after := standIn(t, "127.0.0.3:"+port, p.Addr())

	hosts := filepath.Join(t.TempDir(), "hosts")
	move := func(to string) {
		t.Helper()
		// In place: what is mounted is this file.
		if err := os.WriteFile(hosts, []byte(to+" "+p.Endpoint+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	move("127.0.0.2")
	url := strings.NewReplacer("dial="+p.Addr()+"&", "", p.Endpoint+":"+p.Addr()[strings.LastIndex(p.Addr(), ":")+1:], p.Endpoint+":"+port).
		Replace(route("moved", p, secretFile(t, "first"), "follow_dns=1"))
	cmd := command(t, program, nil, url)
	inside := exec.Command("unshare", append([]string{
		"--mount", "sh", "-c", `mount --bind "$1" /etc/hosts && shift && exec "$@"`, "sh", hosts,
	}, cmd.Args...)...)
	inside.Env = cmd.Env
	v := startCommand(t, inside, 1)

	idle := connect(t, v)
	works(t, idle, "a session at the old address")
	if r := v.next("session started", 0); r.str("upstream") != before {
		t.Fatalf("got %v, want a session at %s", r, before)
	}
	move("127.0.0.3")
	waitUntil(t, "the session is ended", func() bool { return v.count("session ended") == 1 })
	if e := asError[*pgconn.PgError](idle.Ping(t.Context())); e == nil || e.Code != "57P01" || !strings.Contains(e.Message, "address") {
		t.Errorf("the session ended with %v, want 57P01 that says why", e)
	}
	works(t, connect(t, v), "a session at the new address")
	if r := v.next("session started", 1); r.str("upstream") != after {
		t.Errorf("got %v, want a session at %s", r, after)
	}
}
