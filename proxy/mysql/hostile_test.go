package mysql

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

// A server that isn't what it should be gets no credential, and the client hears what was wrong.
func TestHostileServerGetsNoCredential(t *testing.T) {
	greet := func(payload string) func(*peer) {
		return func(p *peer) {
			p.say(0, payload)
			_, _ = io.Copy(io.Discard, p)
		}
	}
	after := func(script func(p *peer)) func(*peer) {
		return func(p *peer) {
			if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
				return
			}
			script(p)
			_, _ = io.Copy(io.Discard, p)
		}
	}
	shows := func(config *tls.Config) func(*peer) {
		return func(p *peer) {
			p.say(0, hello(mysql.AUTH_CLEAR_PASSWORD))
			p.packet()
			if p.tlsWith(config) {
				p.packet()
				p.say(3, okPacket)
			}
		}
	}
	hang := func(p *peer) { _, _ = io.Copy(io.Discard, p) }
	const overdue = "the time for the connection's set-up is over"
	rows := []struct {
		name    string
		methods string
		script  func(*peer)
		want    string // in the client's error
	}{
		{"says nothing", "", hang, overdue},
		{"half a greeting and nothing more", "", func(p *peer) {
			p.raw("\x40\x00\x00\x00\x0a8.0")
			hang(p)
		}, overdue},
		{"a greeting that drips for ever", "", func(p *peer) {
			p.raw("\x00\x10\x00\x00\x0a")
			ticker := time.NewTicker(20 * time.Millisecond)
			defer ticker.Stop()
			for range ticker.C {
				if _, err := p.Write([]byte("8")); err != nil {
					return
				}
			}
		}, overdue},
		{"no word in place of TLS", "", func(p *peer) {
			p.say(0, hello(""))
			hang(p)
		}, "TLS"},
		{"no word in the login", "", after(func(*peer) {}), "timeout"},
		{"no word after its question", "", after(func(p *peer) { p.say(3, "\xfemysql_native_password\x00"+serverScramble+"\x00") }), "timeout"},
		{"half an answer", "", after(func(p *peer) { p.raw("\x07\x00\x00\x03\x00") }), "timeout"},
		{"a certificate of nobody's", "", shows(strangersTLS), "not signed by a CA"},
		{"an expired certificate", "", shows(issue(host, time.Now().Add(-time.Hour))), "expired"},
		{"a certificate for another name", "", shows(issue("db.example.org", time.Now().Add(time.Hour))), "db.example.org"},
		{"TLS 1.0", "", shows(&tls.Config{Certificates: serverTLS.Certificates, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}), "TLS"},
		{"closes after TLS", "", func(p *peer) {
			p.say(0, hello(""))
			p.packet()
			p.tls()
		}, "the database's answer"},
		{"nothing, and closes", "", func(*peer) {}, "greeting"},
		{"half a header", "", func(p *peer) { p.raw("\x10\x00") }, "greeting"},
		{"half a greeting", "", func(p *peer) { p.raw("\x40\x00\x00\x00\x0a8.0") }, "greeting"},
		{"16 MiB", "", func(p *peer) { p.raw("\xff\xff\xff\x00") }, "too long"},
		{"an empty packet", "", greet(""), "no greeting"},
		{"PostgreSQL", "", func(p *peer) { p.raw("E\x00\x00\x00\x10SFATAL") }, "greeting"},
		{"SSH", "", func(p *peer) { p.raw("SSH-2.0-OpenSSH_9.2\r\n") }, "no MySQL"},
		{"number 1", "", func(p *peer) { p.say(1, hello("")) }, "number 1"},
		{"protocol 9", "", greet("\x093.23\x00\x01\x00\x00\x00abcdefgh\x00"), "protocol 9"},
		{"protocol 11", "", greet("\x0b" + hello("")[1:]), "no greeting"},
		{"a version without an end", "", greet("\x0a8.0.36"), "ends too early"},
		{"nothing behind the version", "", greet("\x0a8.0.36\x00"), "ends too early"},
		{"no upper half of capabilities", "", greet(hello("")[:34]), "ends too early"},
		{"no second part of the scramble", "", greet(hello("")[:45]), "within its scramble"},
		{"a scramble of 255 bytes that are not there", "", greet(strings.Replace(hello(""), "\x15\x00\x00\x00\x00\x00\x00\x11", "\xff\x00\x00\x00\x00\x00\x00\x11", 1)), "within its scramble"},
		{"no TLS", "", greet(helloWith(serverCapabilities&^mysql.CLIENT_SSL, mysql.AUTH_CLEAR_PASSWORD)), "has no TLS"},
		{"no plugins", "", greet(helloWith(serverCapabilities&^mysql.CLIENT_PLUGIN_AUTH, "")), "lacks capabilities"},
		{"no protocol 4.1", "", greet(helloWith(serverCapabilities&^mysql.CLIENT_PROTOCOL_41, "")), "lacks capabilities"},
		{"an OK behind the greeting, before TLS", "", func(p *peer) {
			p.raw(string(newPacket(0, []byte(hello("")))) + string(newPacket(2, []byte(okPacket))))
			_, _ = io.Copy(io.Discard, p)
		}, "TLS"},
		{"a request for the password behind the greeting", "", func(p *peer) {
			p.raw(string(newPacket(0, []byte(hello("")))) + string(newPacket(2, []byte("\xfemysql_clear_password\x00"))))
			_, _ = io.Copy(io.Discard, p)
		}, "TLS"},
		{"a request for the password in place of TLS", "", func(p *peer) {
			p.say(0, hello(""))
			p.packet()
			p.say(2, "\xfemysql_clear_password\x00")
			_, _ = io.Copy(io.Discard, p)
		}, "TLS"},
		{"OK in place of TLS", "", func(p *peer) {
			p.say(0, hello(""))
			p.packet()
			p.say(2, okPacket)
			_, _ = io.Copy(io.Discard, p)
		}, "TLS"},
		{"an error in place of TLS", "", func(p *peer) {
			p.say(0, hello(""))
			p.packet()
			p.say(2, "\xff\x15\x04#28000Access denied")
		}, "TLS"},
		{"closes in place of TLS", "", func(p *peer) {
			p.say(0, hello(""))
			p.packet()
		}, "TLS"},
		{"asks for cleartext, which isn't allowed", "caching_sha2_password", after(func(p *peer) { p.say(3, "\xfemysql_clear_password\x00") }), `method "password"`},
		{"asks for sha256, which isn't allowed", "caching_sha2_password", after(func(p *peer) { p.say(3, "\xfesha256_password\x00"+serverScramble+"\x00") }), `method "sha256_password"`},
		{"asks for native, which isn't allowed", "caching_sha2_password", after(func(p *peer) { p.say(3, "\xfemysql_native_password\x00"+serverScramble+"\x00") }), `method "mysql_native_password"`},
		{"asks with the dialog, which isn't allowed", "!dialog", after(func(p *peer) { p.say(3, "\xfedialog\x00\x04Password:") }), `method "dialog"`},
		{"asks by the old password's request", "", after(func(p *peer) { p.say(3, "\xfe") }), "mysql_old_password"},
		{"asks for mysql_old_password by name", "", after(func(p *peer) { p.say(3, "\xfemysql_old_password\x00abcdefgh\x00") }), "mysql_old_password"},
		{"asks for a plugin that nobody knows", "", after(func(p *peer) { p.say(3, "\xfeauthentication_kerberos_client\x00realm") }), "authentication_kerberos_client"},
		{"asks for a plugin with a name that plays tricks", "", after(func(p *peer) { p.say(3, "\xfe\x1b[2Jx\x00") }), "[2Jx"},
		{"asks for a second factor that takes no password", "", after(func(p *peer) { p.say(3, "\x02authentication_webauthn_client\x00") }), "authentication_webauthn_client"},
		{"asks without an end", "", after(func(p *peer) { p.say(3, "\xfemysql_clear_password") }), "ends within its name"},
		{"asks for ed25519 with too little", "", after(func(p *peer) { p.say(3, "\xfeclient_ed25519\x00"+serverScramble) }), "20 bytes only"},
		{"asks for native with nothing", "", after(func(p *peer) { p.say(3, "\xfemysql_native_password\x00") }), "0 bytes only"},
		{"asks parsec for a day's work", "", after(func(p *peer) {
			p.say(3, "\xfeparsec\x00"+serverScramble+serverScramble)
			p.packet()
			p.say(5, "P\x14"+serverScramble[:18])
		}), "too many iterations"},
		{"asks parsec for 2^30 times the work", "", after(func(p *peer) {
			p.say(3, "\xfeparsec\x00"+serverScramble+serverScramble)
			p.packet()
			p.say(5, "P\x1e"+serverScramble[:18])
		}), "too many iterations"},
		{"asks parsec with half a salt", "", after(func(p *peer) {
			p.say(3, "\xfeparsec\x00"+serverScramble+serverScramble)
			p.packet()
			p.say(5, "P\x00"+serverScramble[:9])
		}), "malformed"},
		{"asks for sha2 with too little", "", after(func(p *peer) { p.say(3, "\xfecaching_sha2_password\x00"+serverScramble[:19]) }), "19 bytes only"},
		{"asks for the whole password twice", "!password,!sha256_password", after(func(p *peer) {
			p.say(3, "\x01\x04")
			p.packet()
			p.say(5, "\x01\x04")
		}), "not expected"},
		{"asks for a second factor for ever", "!password,!sha256_password", after(func(p *peer) {
			for seq := byte(3); ; seq += 2 {
				p.say(seq, "\x02mysql_native_password\x00"+serverScramble+"\x00")
				if p.packet() == nil {
					return
				}
			}
		}), "more than 16 packets"},
		{"asks a question that isn't for a password", "", after(func(p *peer) { p.say(3, "\xfedialog\x00\x02One-time code:") }), "One-time code:"},
		{"asks for the whole password without sha2", "", after(func(p *peer) { p.say(3, "\x01\x04") }), "not expected"},
		{"asks for other plugins for ever", "", after(func(p *peer) {
			for seq := byte(3); ; seq += 2 {
				p.say(seq, "\xfemysql_native_password\x00"+serverScramble+"\x00")
				if p.packet() == nil {
					return
				}
			}
		}), "more than 16 packets"},
		{"asks for a file", "", after(func(p *peer) { p.say(3, "\xfb/etc/passwd") }), "asks for a file"},
		{"OK without asking, where a method is demanded", "client_ed25519", after(func(p *peer) { p.say(3, okPacket) }), "asks for no credential"},
		{"OK out of order", "", after(func(p *peer) { p.say(7, okPacket) }), "number 7 instead of 3"},
		{"an empty packet in the login", "", after(func(p *peer) { p.say(3, "") }), "unexpected packet"},
		{"16 MiB in the login", "", after(func(p *peer) { p.raw("\xff\xff\xff\x03") }), "too long"},
		{"closes in the login", "", func(p *peer) { p.open(mysql.AUTH_NATIVE_PASSWORD) }, "the database's answer"},
	}
	// The first client of the process has it open its line to the kernel, and keep it.
	first, _ := dial(t, serve(t, &Engine{User: "app"}, newGoodDatabase(t).addr, &source{passwords: []string{secret}}).addr)
	first.Close()
	before := measure(nil)
	t.Run("rows", func(t *testing.T) {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				meetHostile(t, row.methods, row.script, row.want)
			})
		}
	})
	before.wait(t, nil)
}

// meetHostile logs in through a route to a hostile server, and wants this text in the client's error.
func meetHostile(t *testing.T, allowed string, script func(*peer), want string) {
	t.Helper()
	methods, err := ParseMethods(allowed)
	if err != nil {
		t.Fatal(err)
	}
	db := newDatabase(t, script)
	r := serve(t, &Engine{User: "app", RequireAuth: methods}, db.addr, &source{passwords: []string{secret}}, func(s *proxy.Server) {
		s.HandshakeTimeout = 2 * time.Second
	})
	client, got := dial(t, r.addr)
	if got == nil || got.kind() != errHeader {
		got = client.logIn("x")
	}
	if got == nil || got.kind() != errHeader {
		t.Fatalf("the client got %q, want an error", got)
	}
	e := decodeDatabaseError(got.payload(), false)
	if !strings.Contains(e.message, want) || !strings.Contains(e.message, "hint: ") || !strings.HasPrefix(e.message, "dbvalet: ") {
		t.Errorf("the client got %q, want %q and a hint in it", e.message, want)
	}
	if len(e.message) > maxErrorText || strings.ContainsAny(e.message, "\x1b\n") {
		t.Errorf("bad text of %d bytes: %q", len(e.message), e.message)
	}
	if strings.Contains(db.seen.String(), secret) {
		t.Errorf("the server has the secret")
	}
	if strings.Contains(e.message, secret) {
		t.Errorf("the secret is in the error %q", e.message)
	}
	if !client.isClosed() {
		t.Error("the client's connection goes on")
	}
	client.Close()
	load{goroutines: 1 << 20, descriptors: 1 << 20}.wait(t, db) // the server's connection is closed too
}

func TestServersErrorBeforeItsGreetingIsForwardedVerbatim(t *testing.T) {
	const refusal = "\xff\x69\x04Host '10.0.0.7' is blocked because of many connection errors"
	db := newDatabase(t, func(p *peer) { p.say(0, refusal) })
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
	if _, got := dial(t, r.addr); string(got) != string(newPacket(0, []byte(refusal))) {
		t.Errorf("got %q, want %q", got, refusal)
	}
}

func TestErrorBeforeTheGreetingHasNoSQLStateAndNoClientCode(t *testing.T) {
	db := newDatabase(t, func(*peer) {})
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
	_, got := dial(t, r.addr)
	e := decodeDatabaseError(got.payload(), false)
	if got.seq() != 0 || e.sqlstate != "" || e.number != 1105 {
		t.Errorf("got number %d, error %d, SQLSTATE %q", got.seq(), e.number, e.sqlstate)
	}
}

// What the server said is what the client is told, but for the capabilities and the login.
func TestGreetingIsTheServersOwn(t *testing.T) {
	db := newDatabase(t, func(p *peer) {
		p.say(0, hello("caching_sha2_password"))
		p.packet()
	})
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}})
	var scrambles []string
	for range 2 {
		_, got := dial(t, r.addr)
		g, err := decodeGreeting(got.payload())
		if err != nil {
			t.Fatal(err)
		}
		if g.version != "8.4.0-test" || g.threadID != 0x12A || g.charset != 0xFF || g.status != 2 ||
			binary.BigEndian.Uint32(g.reserved[6:]) != 0x11223344 || g.plugin != mysql.AUTH_NATIVE_PASSWORD {
			t.Errorf("got %+v", g)
		}
		hidden := uint32(mysql.CLIENT_SSL | mysql.CLIENT_COMPRESS | mysql.CLIENT_ZSTD_COMPRESSION_ALGORITHM | clientMultiFactor)
		if want := serverCapabilities &^ hidden; g.capabilities != want {
			t.Errorf("capabilities %#x, want %#x", g.capabilities, want)
		}
		if slices.Contains(g.scramble, 0) || slices.Contains(g.scramble, '$') || len(g.scramble) != scrambleLength {
			t.Errorf("scramble %q", g.scramble)
		}
		scrambles = append(scrambles, string(g.scramble))
	}
	if scrambles[0] == scrambles[1] || scrambles[0] == serverScramble {
		t.Error("the scramble is not fresh")
	}
}
