package mysql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// pings has an engine for user log in to the database at addr.
func pings(t *testing.T, user, addr string, s *source) error {
	t.Helper()
	var up *proxy.Upstream
	e := &Engine{User: user}
	serve(t, e, addr, s, func(server *proxy.Server) { up = server.Upstream })
	return e.Ping(t.Context(), up)
}

// The server is not ours.
func TestPingLogsIn(t *testing.T) {
	addr := startGoServer(t, mysql.AUTH_NATIVE_PASSWORD, "app", secret)
	if err := pings(t, "app", addr, &source{passwords: []string{secret}}); err != nil {
		t.Error(err)
	}
	if err := pings(t, "app", addr, &source{passwords: []string{"wrong"}}); err == nil {
		t.Error("a wrong password is good enough")
	}
}

func TestPingTriesAnotherCredentialAndLeaves(t *testing.T) {
	left := make(chan packet, 1)
	attempts := 0
	db := newDatabase(t, func(p *peer) {
		r := p.open(mysql.AUTH_CLEAR_PASSWORD)
		if r == nil {
			return
		}
		if attempts++; attempts == 1 {
			p.say(3, "\xfe"+mysql.AUTH_CLEAR_PASSWORD+"\x00")
			p.packet()
			p.say(5, "\xff\x15\x04#28000Access denied")
			return
		}
		p.say(3, "\xfe"+mysql.AUTH_CLEAR_PASSWORD+"\x00")
		p.packet()
		p.say(5, okPacket)
		left <- p.packet()
	})
	if err := pings(t, "app", db.addr, &source{passwords: []string{"old", secret}}); err != nil {
		t.Fatal(err)
	}
	if got := <-left; len(got) != packetHeader+1 || got.payload()[0] != mysql.COM_QUIT {
		t.Errorf("got %q, want to be told the end", got)
	}
	if db.count() != 2 {
		t.Errorf("got %d connections, want 2", db.count())
	}
}

func TestPingSaysWhatIsWrong(t *testing.T) {
	db := newDatabase(t, func(p *peer) { p.say(0, "\xff\x10\x04Too many connections") })
	if err := pings(t, "app", db.addr, &source{passwords: []string{secret}}); err == nil || !strings.Contains(err.Error(), "Too many connections") {
		t.Errorf("got %v, want the database's words", err)
	}
	if err := pings(t, "", db.addr, &source{passwords: []string{secret}}); err == nil {
		t.Error("nobody has logged in")
	}
}

// A server that target_session_attrs= rules out is none that clients would be served by.
func TestPingIsOfTheServerThatTheTargetAsksFor(t *testing.T) {
	const eof = "\xfe\x00\x00\x02\x00"
	for readOnly, good := range map[string]bool{"0": true, "1": false} {
		db := newDatabase(t, func(p *peer) {
			if p.open(mysql.AUTH_CLEAR_PASSWORD) == nil {
				return
			}
			p.say(3, "\xfe"+mysql.AUTH_CLEAR_PASSWORD+"\x00")
			p.packet()
			p.say(5, okPacket)
			p.packet()
			for i, payload := range []string{"\x02", string(column), string(column), eof, "\x01" + readOnly + "\x010", eof} {
				p.say(byte(i+1), payload)
			}
			p.packet()
		})
		var up *proxy.Upstream
		e := &Engine{User: "app"}
		serve(t, e, db.addr, &source{passwords: []string{secret}}, func(server *proxy.Server) { up = server.Upstream })
		up.Target = proxy.ReadWrite
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // another may take over
		defer cancel()
		if err := e.Ping(ctx, up); (err == nil) != good || err != nil && !errors.Is(err, proxy.ErrUnfit) {
			t.Errorf("read_only=%s: got %v, want it good: %v", readOnly, err, good)
		}
	}
}
