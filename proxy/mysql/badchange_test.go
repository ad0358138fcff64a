package mysql

import (
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// Whatever a client sends as COM_CHANGE_USER, it hears an error or is changed, and the database's
// session is ended with COM_QUIT.
func TestBadChangeOfUserCostsTheDatabaseNothing(t *testing.T) {
	const (
		named  = "\x11app\x00\x00orders\x00\x2d\x00mysql_native_password\x00"
		tricky = "\x1b[2J\napp"
	)
	rows := []struct {
		name string
		sent string // of one write
		want []uint16
		text string
	}{
		{"the command alone", framed(0, "\x11"), []uint16{1043}, "within its fields"},
		{"a user without an end", framed(0, "\x11app"), []uint16{1043}, "within its fields"},
		{"no answer", framed(0, "\x11app\x00"), []uint16{1043}, "within its fields"},
		{"an answer longer than the packet", framed(0, "\x11app\x00\xff"), []uint16{1043}, "within its fields"},
		{"an answer that is a byte short", framed(0, "\x11app\x00\x14"+strings.Repeat("x", 19)), []uint16{1043}, "within its fields"},
		{"no database", framed(0, "\x11app\x00\x00"), []uint16{served}, ""},
		{"a database without an end", framed(0, "\x11app\x00\x00orders"), []uint16{served}, ""},
		{"half a character set", framed(0, "\x11app\x00\x00orders\x00\x2d"), []uint16{served}, ""},
		{"a plugin without an end", framed(0, "\x11app\x00\x00orders\x00\x2d\x00x"), []uint16{served}, ""},
		{"attributes longer than the packet", framed(0, named+"\xfc\xff\xff"), []uint16{1043}, "within its fields"},
		{"attributes of 2^63 bytes", framed(0, named+"\xfe\x00\x00\x00\x00\x00\x00\x00\x80"), []uint16{1043}, "within its fields"},
		{"attributes that are NULL", framed(0, named+"\xfb"), []uint16{1043}, "within its fields"},
		{"attributes with half a length", framed(0, named+"\xfd\x01"), []uint16{1043}, "within its fields"},
		{"attributes that lie within", framed(0, named+"\x03\xfe\xff\xff"), []uint16{served}, ""},
		{"something behind the attributes", framed(0, named+"\x00"+strings.Repeat("x", 1000)), []uint16{served}, ""},
		{"80 KiB and more", "\x01\x40\x01\x00\x11", []uint16{1043}, "bytes"},
		{"16 MiB", "\xff\xff\xff\x00\x11", []uint16{1043}, "bytes"},
		{"no user", framed(0, "\x11\x00\x00orders\x00"), []uint16{served}, ""},
		{"another user", framed(0, "\x11root\x00\x00orders\x00"), []uint16{1045}, "wants to change to"},
		{"another user that plays tricks", framed(0, "\x11"+tricky+"\x00\x00orders\x00"), []uint16{1045}, "wants to change to"},
		{"another user of 10,000 bytes", framed(0, "\x11"+strings.Repeat("a", 10_000)+"\x00\x00orders\x00"), []uint16{1045}, "wants to change to"},
		{"another database", framed(0, "\x11app\x00\x00mysql\x00"), []uint16{1044}, "serves the databases"},
		{"another database that plays tricks", framed(0, "\x11app\x00\x00"+tricky+"\x00"), []uint16{1044}, "serves the databases"},
		{"twice in one piece", framed(0, named) + framed(0, named), []uint16{served, served}, ""},
		{"good, and then bad", framed(0, named) + framed(0, "\x11app"), []uint16{served, 1043}, "within its fields"},
		{"bad, and then a query", framed(0, "\x11app") + framed(0, "\x03SELECT 1"), []uint16{1043}, "within its fields"},
		{"in front of a query", framed(0, named) + framed(0, "\x03SELECT 1"), []uint16{served, served}, ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			db := newGoodDatabase(t)
			r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, func(s *proxy.Server) {
				s.Door.Databases = []string{"orders"}
			})
			client, _ := dial(t, r.addr)
			client.say(1, string(answerTo(clientCapabilities|mysql.CLIENT_CONNECT_ATTRS, "me", "", mysql.AUTH_NATIVE_PASSWORD)))
			if got := client.packet(); got == nil || got.kind() != okHeader {
				t.Fatalf("got %q", got)
			}
			client.raw(row.sent)
			for _, want := range row.want {
				got := client.packet()
				if want == served {
					if got == nil || got.kind() != okHeader || got.seq() != 1 {
						t.Fatalf("got %q, want OK", got)
					}
					continue
				}
				if got == nil || got.kind() != errHeader || got.seq() != 1 {
					t.Fatalf("got %q, want error %d", got, want)
				}
				if e := decodeDatabaseError(got.payload(), false); e.number != want || !strings.Contains(e.message, row.text) ||
					strings.ContainsAny(e.message, "\x1b\n") || len(e.message) > maxErrorText {
					t.Errorf("got %d %q, want %d and %q in it", e.number, e.message, want, row.text)
				}
				if !client.isClosed() {
					t.Error("the session goes on")
				}
			}
			if row.want[len(row.want)-1] == served {
				client.say(0, "\x01")
			}
			<-db.quits
			client.Close()
			r.log.wait(t, 1, "session ended")
		})
	}
	// One that never ends is the end of the session, as any half command is.
	t.Run("half a command", func(t *testing.T) {
		db := newGoodDatabase(t)
		r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
		client, _ := dial(t, r.addr)
		client.logIn("me")
		client.raw("\x40\x00\x00\x00\x11app\x00")
		if err := halfClose(client); err != nil {
			t.Fatal(err)
		}
		if !client.isClosed() {
			t.Error("the session goes on")
		}
		client.Close()
		r.log.wait(t, 1, "session ended")
	})
}
