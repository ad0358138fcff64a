package mysql

import (
	"io"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// changing is a database that lets users change, by cleartext.
func changing(t *testing.T, outcome string) (*database, chan *changeUser) {
	t.Helper()
	changes := make(chan *changeUser, 10)
	db := newDatabase(t, func(p *peer) {
		reply := p.open(mysql.AUTH_NATIVE_PASSWORD)
		if reply == nil {
			return
		}
		p.say(3, okPacket)
		for {
			q := p.packet()
			switch {
			case q == nil, q.kind() == int(mysql.COM_QUIT):
				return
			case q.kind() == int(mysql.COM_CHANGE_USER):
				c, err := decodeChangeUser(q.payload(), reply)
				if err != nil {
					t.Errorf("the server can't decode COM_CHANGE_USER: %v", err)
					return
				}
				p.say(1, "\xfemysql_clear_password\x00")
				answer := p.packet()
				if answer == nil || string(answer.payload()) != secret+"\x00" {
					t.Errorf("the server got %q", answer)
				}
				changes <- c
				p.say(3, outcome)
				if outcome != okPacket {
					return
				}
			default:
				p.say(1, okPacket)
			}
		}
	})
	return db, changes
}

func changeUserPacket(user, auth, database, plugin string) string {
	return "\x11" + user + "\x00" + string([]byte{byte(len(auth))}) + auth + database + "\x00" + "\x2d\x00" + plugin + "\x00"
}

func TestChangeUserIsAnsweredWithOurCredential(t *testing.T) {
	for _, row := range []struct {
		name, plugin, auth string
		want               []string
	}{
		{"native", mysql.AUTH_NATIVE_PASSWORD, "", []string{okPacket}},
		{"sha2 with a password", mysql.AUTH_CACHING_SHA2_PASSWORD, serverScramble, []string{"\x01\x03", okPacket}},
		{"none", "", "", []string{okPacket}},
	} {
		t.Run(row.name, func(t *testing.T) {
			db, changes := changing(t, okPacket)
			r := serve(t, &Engine{User: "app", Database: "orders"}, db.addr, &source{passwords: []string{secret}})
			client, _ := dial(t, r.addr)
			if got := client.logIn("me"); got.kind() != okHeader {
				t.Fatalf("got %q", got)
			}
			for _, user := range []string{"app", "me", ""} {
				packet := newPacket(0, []byte(changeUserPacket(user, row.auth, "", row.plugin)))
				for i := range packet { // one byte at a time
					client.raw(string(packet[i : i+1]))
				}
				for i, want := range row.want {
					got := client.packet()
					if got == nil || string(got.payload()) != want || got.seq() != byte(i+1) {
						t.Fatalf("got %q, want %q", got, want)
					}
				}
				if c := <-changes; c.user != "app" || c.database != "orders" || c.charset != 45 {
					t.Errorf("the database was asked for %+v", c)
				}
				client.say(0, "\x0e")
				if got := client.packet(); got == nil || got.seq() != 1 || got.kind() != okHeader {
					t.Errorf("COM_PING: got %q", got)
				}
			}
		})
	}
}

func TestChangeUserIsRefused(t *testing.T) {
	rows := []struct {
		name, sent string
		user       string // of the route
		number     uint16
		want       string
	}{
		{"another user", changeUserPacket("admin", "", "", ""), "app", 1045, `wants to change to "admin"`},
		{"no user anywhere", changeUserPacket("", "", "", ""), "", 1043, "names no user"},
		{"malformed", "\x11app", "app", 1043, "within its fields"},
		{"longer than the packet", "\x11app\x00\xffx", "app", 1043, "within its fields"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			db, _ := changing(t, okPacket)
			r := serve(t, &Engine{User: row.user}, db.addr, &source{passwords: []string{secret}})
			client, _ := dial(t, r.addr)
			if got := client.logIn("app"); got.kind() != okHeader {
				t.Fatalf("got %q", got)
			}
			client.say(0, row.sent)
			got := client.packet()
			if got == nil || got.kind() != errHeader || got.seq() != 1 {
				t.Fatalf("got %q", got)
			}
			if e := decodeDatabaseError(got.payload(), false); e.number != row.number || !strings.Contains(e.message, row.want) {
				t.Errorf("got %d %q", e.number, e.message)
			}
			if !client.isClosed() {
				t.Error("the session goes on")
			}
		})
	}
	t.Run("too long", func(t *testing.T) {
		db, _ := changing(t, okPacket)
		r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
		client, _ := dial(t, r.addr)
		client.logIn("app")
		client.raw("\x01\x40\x01\x00\x11")
		if got := client.packet(); got == nil || got.kind() != errHeader {
			t.Errorf("got %q", got)
		}
	})
	t.Run("by the database", func(t *testing.T) {
		const refusal = "\xff\x51\x07#28000Access denied trying to change to user"
		db, _ := changing(t, refusal)
		r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
		client, _ := dial(t, r.addr)
		client.logIn("app")
		client.say(0, changeUserPacket("app", "", "", ""))
		if got := client.packet(); got == nil || string(got) != string(newPacket(1, []byte(refusal))) {
			t.Errorf("got %q", got)
		}
		if !client.isClosed() {
			t.Error("the session goes on")
		}
	})
	t.Run("by the route's methods", func(t *testing.T) {
		methods, err := ParseMethods("mysql_native_password")
		if err != nil {
			t.Fatal(err)
		}
		db := newDatabase(t, func(p *peer) {
			if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
				return
			}
			p.say(3, okPacket)
			p.packet()
			p.say(1, "\xfemysql_clear_password\x00")
			_, _ = io.Copy(io.Discard, p)
		})
		r := serve(t, &Engine{User: "app", RequireAuth: methods}, db.addr, &source{passwords: []string{secret}})
		client, _ := dial(t, r.addr)
		client.logIn("app")
		client.say(0, changeUserPacket("app", "", "", ""))
		if got := client.packet(); got == nil || got.kind() != errHeader || !strings.Contains(string(got), `method "password"`) {
			t.Errorf("got %q", got)
		}
		if strings.Contains(db.seen.String(), secret) {
			t.Error("the server has the secret")
		}
	})
}
