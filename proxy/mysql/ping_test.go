package mysql

import (
	"strings"
	"testing"

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
