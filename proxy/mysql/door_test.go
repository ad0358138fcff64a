package mysql

import (
	"crypto/tls"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

const localPassword = "only for this machine"

var localVerifier = NewVerifier(tokens.NewSecret(localPassword))

// withTLS gives a route TLS on the client's side.
func withTLS(s *proxy.Server) { s.Door.TLS = serverTLS }

// tlsOnly turns away clients without it.
func tlsOnly(s *proxy.Server) { s.Door.TLS, s.Door.TLSRequired = serverTLS, true }

// encrypt asks for TLS with caps and makes the rest of the conversation encrypted.
func (p *peer) encrypt(caps uint32) bool {
	p.say(1, sslRequest(caps))
	conn := tls.Client(p.Conn, clientTLS)
	if err := conn.Handshake(); err != nil {
		return false
	}
	p.Conn = conn
	return true
}

func sslRequest(caps uint32) string {
	return asClient(caps|mysql.CLIENT_SSL, "", "", "")[:sslRequestLength]
}

// Clients that we did not write, with the local password and without, encrypted and not.
func TestClientsThatAreNotOursShowTheLocalPassword(t *testing.T) {
	server := startGoServer(t, mysql.AUTH_NATIVE_PASSWORD, "app", secret)
	for _, user := range []string{"", "app"} {
		r := serve(t, &Engine{User: user, Password: localVerifier, PasswordHint: "it is in a file"}, server, &source{passwords: []string{secret}}, withTLS)
		for _, mode := range []string{"false", "skip-verify"} {
			for password, want := range map[string]string{
				localPassword: "", "": "(using password: NO); hint: it is in a file", "wrong": "(using password: YES); hint: it is in a file",
			} {
				t.Run(user+" "+mode+" "+password, func(t *testing.T) {
					db, err := sql.Open("mysql", fmt.Sprintf("app:%s@tcp(%s)/?tls=%s", password, r.addr, mode))
					if err != nil {
						t.Fatal(err)
					}
					defer db.Close()
					var got string
					err = db.QueryRow("SELECT 1").Scan(&got)
					if want == "" {
						if err != nil || got != "forty-two" {
							t.Errorf("got %q, %v", got, err)
						}
						return
					}
					if err == nil || !strings.Contains(err.Error(), "1045 (28000)") || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %q in it", err, want)
					}
				})
			}
		}
	}
}

// Whatever plugin a client begins with, it has to show the local password by the one of the greeting.
func TestLocalPasswordIsAskedForWhateverThePlugin(t *testing.T) {
	right := func(scramble []byte) string {
		return string(mysql.CalcCachingSha2Password(scramble, []byte(localPassword)))
	}
	const caps = clientCapabilities
	rows := []struct {
		name, plugin string
		caps         uint32
		auth         func(scramble []byte) string // in the reply, and again where the plugin is switched
		switched     bool
		want         string // in the error; empty: OK
	}{
		{"right at once", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, right, false, ""},
		{"right after nothing", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, nil, true, ""},
		{"right after native", mysql.AUTH_NATIVE_PASSWORD, caps, right, true, ""},
		{"right after no name", "", caps, right, true, ""},
		{"right after a plugin that nobody knows", "x", caps, right, true, ""},
		{"empty", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, func([]byte) string { return "\x00" }, false, "using password: NO"},
		{"empty after native", mysql.AUTH_NATIVE_PASSWORD, caps, func([]byte) string { return "" }, true, "using password: NO"},
		{"another", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, func(s []byte) string { return string(mysql.CalcCachingSha2Password(s, []byte("another"))) }, false, "using password: YES"},
		{"to another scramble", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, func([]byte) string { return right([]byte(serverScramble)) }, false, "using password: YES"},
		{"one byte short", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, func(s []byte) string { return right(s)[:31] }, false, "using password: YES"},
		{"one byte more", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, func(s []byte) string { return right(s) + "\x00" }, false, "using password: YES"},
		{"the password itself", mysql.AUTH_CLEAR_PASSWORD, caps, func([]byte) string { return localPassword + "\x00" }, true, "using password: YES"},
		{"what is kept of it", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, func([]byte) string { return localVerifier.kept.Reveal() }, false, "using password: YES"},
		{"zeros", mysql.AUTH_CACHING_SHA2_PASSWORD, caps, func([]byte) string { return strings.Repeat("\x00", 32) }, false, "using password: YES"},
		{"no plugins", "", caps &^ mysql.CLIENT_PLUGIN_AUTH, right, false, "knows no plugins"},
	}
	for _, encrypted := range []bool{false, true} {
		for _, row := range rows {
			t.Run(fmt.Sprint(row.name, " ", encrypted), func(t *testing.T) {
				t.Parallel()
				db := newGoodDatabase(t)
				r := serve(t, &Engine{User: "app", Password: localVerifier}, db.addr, &source{passwords: []string{secret}}, withTLS)
				client, first := dial(t, r.addr)
				g, err := decodeGreeting(first.payload())
				if err != nil || g.plugin != mysql.AUTH_CACHING_SHA2_PASSWORD {
					t.Fatalf("greeted with %+v, %v", g, err)
				}
				seq, caps := byte(1), row.caps
				if encrypted {
					if !client.encrypt(caps) {
						t.Fatal("no TLS")
					}
					seq, caps = 2, caps|mysql.CLIENT_SSL
				}
				auth := ""
				if row.auth != nil {
					auth = row.auth(g.scramble)
				} else {
					row.auth = right
				}
				client.say(seq, asClient(caps, "me", auth, row.plugin))
				got := client.packet()
				seq++
				if row.switched {
					if got.kind() != authSwitchHeader || got.seq() != seq {
						t.Fatalf("got %q, want a switch", got)
					}
					f := fields{rest: got.payload()[1:]}
					if f.text() != mysql.AUTH_CACHING_SHA2_PASSWORD {
						t.Errorf("switched to %q", got)
					}
					if f.rest[scrambleLength] != 0 || string(f.rest[:scrambleLength]) == string(g.scramble) {
						t.Errorf("the scramble is %q again", f.rest)
					}
					client.say(seq+1, row.auth(f.rest[:scrambleLength]))
					got = client.packet()
					seq += 2
				}
				if row.want == "" {
					if string(got.payload()) != "\x01\x03" || got.seq() != seq {
						t.Fatalf("got %q, want the plugin's word", got)
					}
					if got = client.packet(); got.kind() != okHeader || got.seq() != seq+1 {
						t.Fatalf("got %q, want OK", got)
					}
					client.say(0, "\x0e")
					if got := client.packet(); got == nil || got.kind() != okHeader {
						t.Errorf("COM_PING: got %q", got)
					}
					return
				}
				if e := decodeDatabaseError(got.payload(), false); got.kind() != errHeader || got.seq() != seq || e.number != 1045 || !strings.Contains(e.message, row.want) {
					t.Errorf("got %q, want 1045 and %q", got, row.want)
				}
				<-db.quits
				r.log.wait(t, 1, "set-up failed")
				if n := db.broken.Load(); n != 0 || r.server.Counts.Sessions.Load() != 0 || r.server.Counts.RefusedPeers.Load() != 1 {
					t.Errorf("%d broken off, %d sessions, %d refused", n, r.server.Counts.Sessions.Load(), r.server.Counts.RefusedPeers.Load())
				}
			})
		}
	}
}

func TestEncryptedClientIsServed(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, tlsOnly)
	client, first := dial(t, r.addr)
	if g, err := decodeGreeting(first.payload()); err != nil || g.capabilities&mysql.CLIENT_SSL == 0 {
		t.Fatalf("greeted with %+v, %v", g, err)
	}
	// What is said in clear does not count: the reply has other capabilities.
	if !client.encrypt(clientCapabilities | mysql.CLIENT_FOUND_ROWS) {
		t.Fatal("no TLS")
	}
	client.say(2, asClient(clientCapabilities|mysql.CLIENT_SSL, "me", "", mysql.AUTH_NATIVE_PASSWORD))
	if got := client.packet(); got.kind() != okHeader || got.seq() != 3 {
		t.Fatalf("got %q", got)
	}
	if reply := <-db.replies; reply.has(mysql.CLIENT_FOUND_ROWS) {
		t.Error("what was said in clear is believed")
	}
	client.say(0, "\x0e")
	if got := client.packet(); got == nil || got.seq() != 1 {
		t.Errorf("COM_PING: got %q", got)
	}
}

func TestClientThatMustEncryptIsTold(t *testing.T) {
	db := newGoodDatabase(t)
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, tlsOnly)
	client, _ := dial(t, r.addr)
	got := client.logIn("me")
	if e := decodeDatabaseError(got.payload(), false); e.number != 3159 || e.sqlstate != "HY000" || !strings.Contains(e.message, "ssl-mode=REQUIRED") {
		t.Errorf("got %q", got)
	}
	<-db.quits
}

func TestOnlyUsersAndDatabasesOfTheDoorAreServed(t *testing.T) {
	door := func(s *proxy.Server) {
		s.Door.Users, s.Door.Databases = []string{"app", "report"}, []string{"orders"}
	}
	rows := []struct {
		name             string
		of               Engine
		user, database   string
		number           uint16 // 0: OK
		changeTo, toOpen string // by COM_CHANGE_USER; neither: not tried
		thenNumber       uint16
	}{
		{name: "both listed", user: "app", database: "orders"},
		{name: "no database", user: "report"},
		{name: "another user", user: "root", database: "orders", number: 1045},
		{name: "another database", user: "app", database: "mysql", number: 1044},
		{name: "another case", user: "app", database: "Orders", number: 1044},
		{name: "the route's user", of: Engine{User: "owner"}, user: "root", database: "orders"},
		{name: "the route's database", of: Engine{Database: "orders"}, user: "app"},
		{name: "the route's database is not listed", of: Engine{Database: "mysql"}, user: "app", number: 1044},
		{name: "change to one of them", user: "app", changeTo: "report", toOpen: "orders"},
		{name: "change to another user", user: "app", changeTo: "root", toOpen: "orders", thenNumber: 1045},
		{name: "change to another database", user: "app", changeTo: "report", toOpen: "mysql", thenNumber: 1044},
		{name: "change the database, with the route's user", of: Engine{User: "owner"}, user: "x", changeTo: "x", toOpen: "mysql", thenNumber: 1044},
	}
	for i := range rows {
		row := &rows[i]
		t.Run(row.name, func(t *testing.T) {
			db := newGoodDatabase(t)
			r := serve(t, &row.of, db.addr, &source{passwords: []string{secret}}, door)
			client, _ := dial(t, r.addr)
			reply := &response{capabilities: clientCapabilities, user: row.user, database: row.database, plugin: mysql.AUTH_NATIVE_PASSWORD}
			if row.database != "" {
				reply.capabilities |= mysql.CLIENT_CONNECT_WITH_DB
			}
			client.say(1, string(reply.forServer(serverCapabilities, row.user, reply.plugin, nil)))
			expect(t, client.packet(), row.number)
			if row.number == 0 && row.changeTo != "" {
				client.say(0, changeUserPacket(row.changeTo, "", row.toOpen, ""))
				expect(t, client.packet(), row.thenNumber)
			}
			if row.number+row.thenNumber != 0 && !client.isClosed() {
				t.Error("the connection goes on")
			}
			client.Close()
			r.log.wait(t, 1, "set-up failed", "session ended")
			if db.broken.Load() != 0 {
				t.Error("the login was broken off")
			}
		})
	}
}

// expect checks for an error with number, or for an OK if that is 0.
func expect(t *testing.T, got packet, number uint16) {
	t.Helper()
	if number == 0 {
		if got == nil || got.kind() != okHeader {
			t.Errorf("got %q, want OK", got)
		}
		return
	}
	sqlstate := map[uint16]string{1044: "42000", 1045: "28000"}[number]
	if got == nil || got.kind() != errHeader {
		t.Fatalf("got %q, want error %d", got, number)
	}
	if e := decodeDatabaseError(got.payload(), false); e.number != number || e.sqlstate != sqlstate || !strings.Contains(e.message, "hint: ") {
		t.Errorf("got %d (%s) %q, want %d with a hint", e.number, e.sqlstate, e.message, number)
	}
}

// In place of a greeting, who may not come in is told so by the number that says it.
func TestRefusedClientIsToldBeforeTheGreeting(t *testing.T) {
	for err, number := range map[error]uint16{
		proxy.Refusal("add it to allow=", "uid 1000 may not come in"): 1045,
		&proxy.SetupError{Stage: proxy.StageLimit, Err: errNoReply}:   1040,
		&proxy.SetupError{Stage: proxy.StageDial, Err: errNoReply}:    1105,
	} {
		got := earlyErrorPacket(err)
		if e := decodeDatabaseError(got.payload(), false); got.seq() != 0 || e.number != number || e.sqlstate != "" {
			t.Errorf("%v: got %d (%s) %q, want %d", err, e.number, e.sqlstate, e.message, number)
		}
	}
}
