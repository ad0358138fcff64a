package mysql

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// The routes that bad clients come to.
const (
	open     = "open"     // asks for nothing
	shut     = "shut"     // asks for the local password, and offers TLS
	listed   = "listed"   // is for user app and database orders
	offering = "offering" // has TLS, and asks for nothing
	early    = "early"    // is not greeted before it has spoken
)

// outcome of a bad start, where it isn't the number of an error.
const (
	closed uint16 = iota // without a word
	served
	either // an error or none: it may be lost, or the client has left
)

// A badClient is what somebody sends in place of a login.
type badClient struct {
	name string
	at   string            // the route; empty: open
	sent string            // after the greeting
	then []string          // to each request for another plugin
	tls  func(*peer) bool  // in place of sent: it begins TLS, sends then[0] in it, and the rest as ever
	do   func(*peer) error // last of all; it may close the connection
	want uint16
	text string // in the error
}

func framed(seq byte, payload string) string { return string(newPacket(seq, []byte(payload))) }

// part is the beginning of a reply with caps.
func part(caps uint32) string {
	return string(binary.LittleEndian.AppendUint32(nil, caps)) + "\x00\x00\x00\x01\x2d" + strings.Repeat("\x00", 23)
}

// insideTLS begins TLS as clients do.
func insideTLS(p *peer) bool { return p.encrypt(clientCapabilities) }

func leave(p *peer) error { return p.Close() }

func reset(p *peer) error {
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	return p.Close()
}

func halfClose(p *peer) error { return p.Conn.(*net.TCPConn).CloseWrite() }

// drip sends a byte now and then until nobody takes it any more.
func drip(p *peer) error {
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for range ticker.C {
			if _, err := p.Write([]byte{1}); err != nil {
				return
			}
		}
	}()
	return nil
}

func badClients() []badClient {
	const (
		lenenc = uint32(clientCapabilities)
		attrs  = lenenc | mysql.CLIENT_CONNECT_ATTRS
		withDB = lenenc | mysql.CLIENT_CONNECT_WITH_DB
		native = "mysql_native_password\x00"
		sha2   = "caching_sha2_password\x00"
		inTLS  = lenenc | mysql.CLIENT_SSL
	)
	withName := func(caps uint32, user, database string) string {
		b := part(caps) + user + "\x00\x00"
		if caps&mysql.CLIENT_CONNECT_WITH_DB != 0 {
			b += database + "\x00"
		}
		return framed(1, b+native)
	}
	show := func(seq byte, auth string) string {
		b := string(appendLenenc([]byte(part(lenenc)+"app\x00"), []byte(auth)))
		return framed(seq, b+sha2)
	}
	rows := []badClient{
		// before the greeting
		{name: "HTTP first", at: early, sent: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", want: 1105, text: "spoke first"},
		{name: "HTTP/2 first", at: early, sent: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: 1105, text: "spoke first"},
		{name: "TLS first", at: early, sent: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", want: 1105, text: "spoke first"},
		{name: "PostgreSQL first", at: early, sent: "\x00\x00\x00\x08\x04\xd2\x16\x2f", want: 1105, text: "spoke first"},
		{name: "SSH first", at: early, sent: "SSH-2.0-OpenSSH_9.2\r\n", want: 1105, text: "spoke first"},
		{name: "a reply first", at: early, sent: withName(lenenc, "app", ""), want: 1105, text: "spoke first"},
		{name: "a zero first", at: early, sent: "\x00", want: 1105, text: "spoke first"},
		{name: "64 KiB first", at: early, sent: strings.Repeat("\xff", 64<<10), want: either},

		// what is no reply
		{name: "leaves after the greeting", do: leave, want: closed},
		{name: "resets after the greeting", do: reset, want: closed},
		{name: "closes its side after the greeting", do: halfClose, want: closed},
		{name: "half a header", sent: "\x20\x00", do: halfClose, want: 1043, text: "unexpected EOF"},
		{name: "half a reply", sent: "\x40\x00\x00\x01abc", do: halfClose, want: 1043, text: "unexpected EOF"},
		{name: "half a reply and a reset", sent: "\x40\x00\x00\x01abc", do: reset, want: closed},
		{name: "drips", sent: "\x40\x00\x00\x01", do: drip, want: 1043, text: "time"},
		{name: "says nothing", want: 1043, text: "time"},
		{name: "half a header and nothing more", sent: "\x40", want: 1043, text: "time"},
		{name: "HTTP", sent: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", want: 1043, text: "number 32"},
		{name: "TLS", sent: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", want: 1043, text: "number 2"},
		{name: "PostgreSQL", sent: "\x00\x00\x00\x08\x04\xd2\x16\x2f", want: 1043, text: "number 8"},
		{name: "number 0", sent: framed(0, part(lenenc)+"app\x00\x00"), want: 1043, text: "number 0"},
		{name: "number 2", sent: framed(2, part(lenenc)+"app\x00\x00"), want: 1043, text: "number 2"},
		{name: "number 255", sent: framed(255, part(lenenc)+"app\x00\x00"), want: 1043, text: "number 255"},
		{name: "COM_QUIT", sent: framed(0, "\x01"), want: 1043, text: "number 0"},
		{name: "a query", sent: framed(0, "\x03SELECT 1"), want: 1043, text: "number 0"},
		{name: "an OK", sent: framed(1, okPacket), want: 1043, text: "before MySQL 4.1"},
		{name: "an error", sent: framed(1, "\xff\x15\x04#28000no"), want: 1043},
		{name: "80 KiB and more", sent: "\x01\x40\x01\x01", want: 1043, text: "too long"},
		{name: "16 MiB", sent: "\xff\xff\xff\x01", want: 1043, text: "too long"},
		{name: "16 MiB that are there", sent: "\xff\xff\xff\x01" + strings.Repeat("x", 1<<24-1), want: either},

		// replies that are cut, or lie about their lengths
		{name: "empty", sent: framed(1, ""), want: 1043, text: "no room"},
		{name: "one byte", sent: framed(1, "\x85"), want: 1043, text: "no room"},
		{name: "4 bytes", sent: framed(1, part(lenenc)[:4]), want: 1043, text: "no room"},
		{name: "31 bytes", sent: framed(1, part(lenenc)[:31]), want: 1043, text: "no room"},
		{name: "32 bytes", sent: framed(1, part(lenenc)), want: 1043, text: "user or the password"},
		{name: "33 bytes", sent: framed(1, part(lenenc)+"\x00"), want: 1043, text: "user or the password"},
		{name: "a user without an end", sent: framed(1, part(lenenc)+"app"), want: 1043, text: "user or the password"},
		{name: "no password", sent: framed(1, part(lenenc)+"app\x00"), want: 1043, text: "user or the password"},
		{name: "a password longer than the packet", sent: framed(1, part(lenenc)+"app\x00\xc8x"), want: 1043, text: "user or the password"},
		{name: "a password of 2^64 bytes", sent: framed(1, part(lenenc)+"app\x00\xfe\xff\xff\xff\xff\xff\xff\xff\xff"), want: 1043, text: "user or the password"},
		{name: "a password of 2^63 bytes", sent: framed(1, part(lenenc)+"app\x00\xfe\x00\x00\x00\x00\x00\x00\x00\x80"), want: 1043, text: "user or the password"},
		{name: "a password of 2^32 bytes", sent: framed(1, part(lenenc)+"app\x00\xfe\x00\x00\x00\x00\x01\x00\x00\x00"), want: 1043, text: "user or the password"},
		{name: "a password that is NULL", sent: framed(1, part(lenenc)+"app\x00\xfb"), want: 1043, text: "user or the password"},
		{name: "half a length", sent: framed(1, part(lenenc)+"app\x00\xfd\xff"), want: 1043, text: "user or the password"},
		{name: "a short password without lenenc", sent: framed(1, part(needed)+"app\x00\x14x"), want: 1043, text: "user or the password"},
		{name: "a password without an end", sent: framed(1, part(mysql.CLIENT_PROTOCOL_41)+"app\x00secret"), want: 1043, text: "user or the password"},
		{name: "attributes longer than the packet", sent: framed(1, part(attrs)+"app\x00\x00"+native+"\xfc\xff\xff"), want: 1043, text: "attributes"},
		{name: "attributes of 2^63 bytes", sent: framed(1, part(attrs)+"app\x00\x00"+native+"\xfe\x00\x00\x00\x00\x00\x00\x00\x80"), want: 1043, text: "attributes"},
		{name: "attributes that are NULL", sent: framed(1, part(attrs)+"app\x00\x00"+native+"\xfb"), want: 1043, text: "attributes"},
		{name: "attributes that lie within", sent: framed(1, part(attrs)+"app\x00\x00"+native+"\x03\xfe\xff\xff"), want: served},
		{name: "a database without an end", sent: framed(1, part(withDB)+"app\x00\x00orders"), want: served},

		// capabilities
		{name: "no capability at all", sent: framed(1, part(0)+"app\x00\x00"), want: 1043, text: "before MySQL 4.1"},
		{name: "before 4.1", sent: framed(1, "\x05\x00\x00\x00\x01app\x00"), want: 1043, text: "before MySQL 4.1"},
		{name: "all but 4.1", sent: framed(1, part(^uint32(mysql.CLIENT_PROTOCOL_41))+"app\x00\x00"), want: 1043, text: "before MySQL 4.1"},
		{name: "4.1 alone", sent: framed(1, part(mysql.CLIENT_PROTOCOL_41)+"app\x00\x00"), want: served},
		{name: "all of them", sent: framed(1, part(0xFFFFFFFF)+"app\x00\x00orders\x00"+native+"\x00\x00"), want: served},
		{name: "compression that was not offered", sent: framed(1, part(lenenc|mysql.CLIENT_COMPRESS|mysql.CLIENT_ZSTD_COMPRESSION_ALGORITHM)+"app\x00\x00"+native+"\x03"), want: served},
		{name: "TLS that was not offered", sent: framed(1, part(inTLS)), want: 1043, text: "ssl-mode=DISABLED"},
		{name: "TLS that was not offered, twice", sent: framed(1, part(inTLS)) + framed(2, part(inTLS)), want: 1043, text: "ssl-mode=DISABLED"},

		// another plugin
		{name: "nothing after another plugin", sent: framed(1, part(lenenc)+"app\x00\x00client_ed25519\x00"), do: halfClose, want: closed},
		{name: "silence after another plugin", sent: framed(1, part(lenenc)+"app\x00\x00client_ed25519\x00"), want: 1043, text: "time"},
		{name: "out of order after another plugin", sent: framed(1, part(lenenc)+"app\x00\x00client_ed25519\x00") + framed(7, ""), want: 1043, text: "number 7"},
		{name: "80 KiB after another plugin", sent: framed(1, part(lenenc)+"app\x00\x00dialog\x00"), then: []string{"\x01\x40\x01\x03"}, want: 1043, text: "too long"},
		{name: "16 MiB after another plugin", sent: framed(1, part(lenenc)+"app\x00\x00dialog\x00"), then: []string{"\xff\xff\xff\x03"}, want: 1043, text: "too long"},
		{name: "nonsense after another plugin", sent: framed(1, part(lenenc)+"app\x00\x00parsec\x00"), then: []string{framed(3, "\xff\xfe\xfb\x00")}, want: served},
		{name: "a plugin that plays tricks", sent: framed(1, part(lenenc)+"app\x00\x00\x1b[2J\n../x\x00"), then: []string{framed(3, "")}, want: served},

		// names
		{name: "a user with a line end", at: listed, sent: withName(lenenc, "app\nlevel=ERROR", ""), want: 1045, text: "serves the users app"},
		{name: "a user that plays tricks", at: listed, sent: withName(lenenc, "\x1b[2J\x07app", ""), want: 1045, text: "serves the users app"},
		{name: "a user of 10,000 bytes", at: listed, sent: withName(lenenc, strings.Repeat("a", 10_000), ""), want: 1045, text: "serves the users app"},
		{name: "a user that is no text", at: listed, sent: withName(lenenc, "\xff\xfe\xc0", ""), want: 1045, text: "serves the users app"},
		{name: "a user that begins like the right one", at: listed, sent: withName(lenenc, "app ", ""), want: 1045, text: "serves the users app"},
		{name: "a database that plays tricks", at: listed, sent: withName(withDB, "app", "\x1b[2J\n"), want: 1044, text: "serves the databases orders"},
		{name: "a database of 10,000 bytes", at: listed, sent: withName(withDB, "app", strings.Repeat("d", 10_000)), want: 1044, text: "serves the databases orders"},
		{name: "a database behind a quote", at: listed, sent: withName(withDB, "app", "orders`;--"), want: 1044, text: "serves the databases orders"},

		// the local password
		{name: "a password of 64 KiB", at: shut, sent: show(1, strings.Repeat("x", 64<<10)), want: 1045, text: "using password: YES"},
		{name: "the password by a switch that is nonsense", at: shut, sent: framed(1, part(lenenc)+"app\x00\x00"+native), then: []string{framed(3, "\xfe\xff")}, want: 1045, text: "using password: YES"},
		{name: "the password by a switch of 16 MiB", at: shut, sent: framed(1, part(lenenc)+"app\x00\x00"+native), then: []string{"\xff\xff\xff\x03"}, want: 1043, text: "too long"},
		{name: "the password by a switch out of order", at: shut, sent: framed(1, part(lenenc)+"app\x00\x00"+native), then: []string{framed(4, "")}, want: 1043, text: "number 4"},
		{name: "the password by a switch and nothing", at: shut, sent: framed(1, part(lenenc)+"app\x00\x00"+native), want: 1043, text: "time"},
		{name: "the password by a switch and an end", at: shut, sent: framed(1, part(lenenc)+"app\x00\x00"+native), do: halfClose, want: closed},
		{name: "a switch that was not asked for", at: shut, sent: show(1, "\xfemysql_clear_password\x00"), want: 1045, text: "using password: YES"},
		{name: "a user that plays tricks, without the password", at: shut, sent: framed(1, part(lenenc)+"\x1b[2J\n'@\x00\x01\x00"+sha2), want: 1045, text: "using password: NO"},

		// TLS
		{name: "asks for TLS and leaves", at: offering, sent: framed(1, part(inTLS)), do: halfClose, want: closed},
		{name: "asks for TLS and resets", at: offering, sent: framed(1, part(inTLS)), do: reset, want: closed},
		{name: "asks for TLS and says nothing", at: offering, sent: framed(1, part(inTLS)), want: closed},
		{name: "asks for TLS and replies in clear", at: offering, sent: framed(1, part(inTLS)) + framed(2, part(inTLS)+"app\x00\x00"+native), want: closed},
		{name: "asks for TLS twice", at: offering, sent: framed(1, part(inTLS)) + framed(2, part(inTLS)), want: closed},
		{name: "asks for TLS and sends HTTP", at: offering, sent: framed(1, part(inTLS)) + "GET / HTTP/1.1\r\n\r\n", want: closed},
		{name: "asks for TLS and begins a record of 64 KiB", at: offering, sent: framed(1, part(inTLS)) + "\x16\x03\x01\xff\xff", want: either},
		{name: "asks for TLS out of order", at: offering, sent: framed(2, part(inTLS)), want: 1043, text: "number 2"},
		{name: "says that it has TLS, in clear", at: offering, sent: framed(1, part(inTLS)+"app\x00\x00"+native), want: 1043, text: "says one thing about TLS"},
		{name: "all capabilities, in clear", at: offering, sent: framed(1, part(0xFFFFFFFF)+"app\x00\x00orders\x00"+native+"\x00\x00"), want: 1043, text: "says one thing about TLS"},
		{name: "TLS 1.0", at: offering, tls: func(p *peer) bool {
			p.say(1, sslRequest(clientCapabilities))
			_ = tls.Client(p.Conn, &tls.Config{RootCAs: clientTLS.RootCAs, ServerName: host, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}).Handshake()
			return false
		}, want: either},
		{name: "a certificate that the client does not trust", at: offering, tls: func(p *peer) bool {
			p.say(1, sslRequest(clientCapabilities))
			_ = tls.Client(p.Conn, &tls.Config{ServerName: host}).Handshake()
			return false
		}, want: closed},
		{name: "HTTP within TLS", at: offering, tls: insideTLS, then: []string{"GET / HTTP/1.1\r\n\r\n"}, want: 1043, text: "number 32"},
		{name: "TLS within TLS", at: offering, tls: insideTLS, then: []string{framed(2, part(inTLS))}, want: 1043, text: "TLS within TLS"},
		{name: "the number of before, within TLS", at: offering, tls: insideTLS, then: []string{framed(1, part(inTLS)+"app\x00\x00"+native)}, want: 1043, text: "number 1"},
		{name: "forgets TLS within TLS", at: offering, tls: insideTLS, then: []string{framed(2, part(lenenc)+"app\x00\x00"+native)}, want: 1043, text: "says one thing about TLS"},
		{name: "says nothing within TLS", at: offering, tls: insideTLS, want: 1043, text: "time"},
		{name: "half a reply within TLS", at: offering, tls: insideTLS, then: []string{"\x40\x00\x00\x02abc"}, want: 1043, text: "time"},
		{name: "16 MiB within TLS", at: offering, tls: insideTLS, then: []string{"\xff\xff\xff\x02"}, want: 1043, text: "too long"},
	}
	for _, n := range []int{2, 19, 20, 21, 31, 32, 33, 250, 251, 255, 256} {
		rows = append(rows, badClient{
			name: fmt.Sprintf("a password of %d bytes", n), at: shut, sent: show(1, strings.Repeat("x", n)), want: 1045, text: "using password: YES",
		})
	}
	return rows
}

// What an attacker meets: whatever a client does in place of a login, it ends in time, with an error
// where it can read one, the database has a complete login, and nothing is left of it.
func TestBadClientCostsTheDatabaseNothing(t *testing.T) {
	for _, user := range []string{"app", ""} {
		t.Run("user "+user, func(t *testing.T) {
			db := newGoodDatabase(t)
			routes := map[string]*route{}
			limited := func(s *proxy.Server) { s.HandshakeTimeout = 3 * time.Second }
			for at, change := range map[string]func(*proxy.Server){
				open: func(*proxy.Server) {}, shut: withTLS, offering: withTLS,
				listed: func(s *proxy.Server) { s.Door.Users, s.Door.Databases = []string{"app"}, []string{"orders"} },
			} {
				e := &Engine{User: user}
				if at == shut {
					e.Password = localVerifier
				}
				routes[at] = serve(t, e, db.addr, &source{passwords: []string{secret}}, limited, change)
			}
			goodClients(t, routes)
			routes[early] = serve(t, &Engine{User: user}, db.addr, &source{passwords: []string{secret}}, limited, afterWords)
			baseline := measure(db.database)
			t.Run("rows", func(t *testing.T) {
				rows := badClients()
				met := make([]chan meeting, len(rows))
				for i, row := range rows {
					client := connect(t, routes[row.route()].addr)
					met[i] = make(chan meeting, 1)
					go func() { met[i] <- row.meet(client) }()
				}
				for i, row := range rows {
					t.Run(row.name, func(t *testing.T) {
						if user != "" && row.want == 1045 && row.at == listed {
							row.want = served // the route's own user is for all
						}
						row.judge(t, <-met[i])
					})
				}
			})
			baseline.wait(t, db.database)
			if n := db.broken.Load(); n != 0 {
				t.Errorf("%d logins were broken off", n)
			}
			delete(routes, early)
			goodClients(t, routes)
		})
	}
}

func (row badClient) route() string {
	if row.at == "" {
		return open
	}
	return row.at
}

// A meeting is what became of a bad client.
type meeting struct {
	got  packet // the last; nil: none after the greeting
	over bool   // the connection was ended
	err  error
}

// meet plays the bad client.
func (row badClient) meet(client *peer) (m meeting) {
	if row.at != early {
		if got := client.packet(); got == nil || got.kind() != protocolVersion {
			return meeting{err: fmt.Errorf("got %q, want a greeting", got)}
		}
	}
	then := row.then
	client.raw(row.sent)
	if row.tls != nil && row.tls(client) && len(then) > 0 {
		client.raw(then[0])
		then = then[1:]
	}
	if row.do != nil {
		m.err = row.do(client)
	}
	for {
		m.got = client.packet()
		if m.got == nil || m.got.kind() != protocolVersion && m.got.kind() != authSwitchHeader {
			break
		}
		if m.got.kind() == authSwitchHeader && len(then) > 0 {
			client.raw(then[0])
			then = then[1:]
		}
	}
	if row.want == served || m.got != nil && m.got.kind() == okHeader {
		client.Close()
		return m
	}
	m.over = client.isClosed()
	client.Close()
	return m
}

func (row badClient) judge(t *testing.T, m meeting) {
	t.Helper()
	got := m.got
	switch {
	case m.err != nil:
		t.Fatal(m.err)
	case row.want != served && !m.over:
		t.Errorf("the connection goes on after %q", got)
		return
	case row.want == either:
		return
	case got == nil:
		if row.want != closed {
			t.Errorf("closed without a word, want %d", row.want)
		}
		return
	case row.want == served:
		if got.kind() != okHeader && got.kind() != moreDataHeader {
			t.Errorf("got %q, want OK", got)
		}
		return
	case got.kind() != errHeader:
		t.Fatalf("got %q, want an error", got)
	}
	e := decodeDatabaseError(got.payload(), false)
	if e.number != row.want || !strings.Contains(e.message, row.text) {
		t.Errorf("got %d %q, want %d and %q in it", e.number, e.message, row.want, row.text)
	}
	if strings.ContainsAny(e.message, "\x1b\n\x07\x00") || len(e.message) > maxErrorText || strings.Contains(e.message, localPassword) {
		t.Errorf("bad text of %d bytes: %q", len(e.message), e.message)
	}
}

// goodClients sees to it that ordinary clients are served.
func goodClients(t *testing.T, routes map[string]*route) {
	t.Helper()
	for at, r := range routes {
		client, first := dial(t, r.addr)
		g, err := decodeGreeting(first.payload())
		if err != nil {
			t.Fatal(at, err)
		}
		auth, plugin := "", mysql.AUTH_NATIVE_PASSWORD
		if at == shut {
			plugin = mysql.AUTH_CACHING_SHA2_PASSWORD
			auth = string(mysql.CalcCachingSha2Password(g.scramble, []byte(localPassword)))
		}
		client.say(1, asClient(clientCapabilities, "app", auth, plugin))
		got := client.packet()
		if at == shut && got != nil && got.kind() == moreDataHeader {
			got = client.packet()
		}
		if got == nil || got.kind() != okHeader {
			t.Errorf("%s: a good client got %q", at, got)
		}
		client.say(0, "\x01")
		if !client.isClosed() {
			t.Errorf("%s: the session goes on", at)
		}
	}
}

// A load is what connections hold.
type load struct{ goroutines, descriptors, upstream int }

// measure returns what is held now, and of a database's connections if there is one.
func measure(db *database) load {
	l := load{goroutines: runtime.NumGoroutine()}
	if db != nil {
		l.upstream = int(db.active.Load())
	}
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		l.descriptors = len(entries)
	}
	return l
}

// wait waits until nothing more is held than at l's time.
func (l load) wait(t *testing.T, db *database) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(patience)
	for {
		now := measure(db)
		if now.goroutines <= l.goroutines && now.descriptors <= l.descriptors && now.upstream <= l.upstream {
			return
		}
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("%+v are held, and %+v were before", now, l)
		}
	}
}
