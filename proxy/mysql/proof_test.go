package mysql

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	dbtls "dbvalet/tls"
)

// unverified makes a route that knows no CA.
func unverified(t *testing.T) func(*proxy.Server) {
	t.Helper()
	client, err := dbtls.New(dbtls.Options{Mode: dbtls.ZeroConfig, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	return func(s *proxy.Server) { s.Upstream.Endpoint.TLS = client }
}

// okWith is the payload of an OK packet with an info of less than 251 bytes.
func okWith(info string) string { return okPacket + string([]byte{byte(len(info))}) + info }

// proofOf is the info with which a server proves itself.
func proofOf(kept []byte, scramble string, certificate []byte) string {
	fingerprint := sha256.Sum256(certificate)
	sum := sha256.Sum256([]byte(string(kept) + scramble + string(fingerprint[:])))
	return "\x01" + hex.EncodeToString(sum[:])
}

// proving is a server that asks for mysql_native_password and proves itself, and then hears what the
// client says.
func proving(info string) func(*peer) {
	return func(p *peer) {
		if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
			return
		}
		p.say(3, okWith(info))
		for q := p.packet(); q != nil; q = p.packet() {
			p.say(1, okPacket)
		}
	}
}

func TestServerProvesItsCertificateWithThePassword(t *testing.T) {
	info := proofOf(keptNative(secret), serverScramble, serverTLS.Certificates[0].Certificate[0])
	db := newDatabase(t, proving(info))
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, unverified(t))
	client, _ := dial(t, r.addr)
	if got := client.logIn("app"); string(got.payload()) != okWith(info) {
		t.Fatalf("got %q", got)
	}
	client.say(0, "\x03SELECT 1")
	if got := client.packet(); got == nil || got.kind() != okHeader {
		t.Errorf("got %q", got)
	}
}

func TestServerWithoutProofGetsNothing(t *testing.T) {
	certificate := serverTLS.Certificates[0].Certificate[0]
	good := proofOf(keptNative(secret), serverScramble, certificate)
	asks := func(request string) func(*peer) {
		return func(p *peer) {
			if p.open(mysql.AUTH_CACHING_SHA2_PASSWORD) == nil {
				return
			}
			p.say(3, request)
			answer := p.packet()
			if answer == nil || len(answer.payload()) > 0 {
				p.t.Errorf("the server asked with %q and got %q", request, answer)
			}
			p.say(5, okWith(good))
			p.packet()
		}
	}
	const (
		noProof = "has not proved"
		between = "somebody is in between"
		refused = "not verified (tls=zero-config)"
	)
	rows := []struct {
		name, password string
		script         func(*peer)
		want           string
	}{
		{"another certificate", secret, proving(proofOf(keptNative(secret), serverScramble, []byte("another"))), between},
		{"another scramble", secret, proving(proofOf(keptNative(secret), serverScramble[1:]+"x", certificate)), between},
		{"another password", secret, proving(proofOf(keptNative("guess"), serverScramble, certificate)), between},
		{"no password's hash", secret, proving(proofOf(nil, serverScramble, certificate)), between},
		{"half a proof", secret, proving(good[:33]), between},
		{"no proof", secret, proving(""), noProof},
		{"a mark only", secret, proving("\x01"), noProof},
		{"without the mark", secret, proving(good[1:]), noProof},
		{"another mark", secret, proving("\x02" + good[1:]), noProof},
		{"no digits", secret, proving("\x01" + strings.Repeat("x", 64)), noProof},
		{"a proof longer than its packet", secret, func(p *peer) {
			if p.open(mysql.AUTH_NATIVE_PASSWORD) != nil {
				p.say(3, okPacket+"\x41"+good[:40])
				p.packet()
			}
		}, noProof},
		{"OK without a question", secret, func(p *peer) {
			if p.open(mysql.AUTH_CACHING_SHA2_PASSWORD) != nil {
				p.say(3, okWith(good))
				p.packet()
			}
		}, "without a password"},
		{"an empty password, which everybody knows", "", proving(proofOf(keptNative(""), serverScramble, certificate)), "without a password"},
		{"asks for cleartext", secret, asks("\xfemysql_clear_password\x00"), refused},
		{"asks with the dialog", secret, asks("\xfedialog\x00\x05Password: "), refused},
		{"asks for sha2", secret, asks("\xfecaching_sha2_password\x00" + serverScramble + "\x00"), refused},
		{"asks for sha256", secret, asks("\xfesha256_password\x00" + serverScramble + "\x00"), refused},
		{"asks for cleartext as a second factor", secret, asks("\x02mysql_clear_password\x00"), refused},
		{"asks for the whole password at once", secret, asks("\x01\x04"), "not expected"},
		{"asks for cleartext after a good answer", secret, func(p *peer) {
			if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
				return
			}
			p.say(3, "\xfemysql_clear_password\x00")
			p.packet()
			p.say(5, okWith(good))
			p.packet()
		}, refused},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			db := newDatabase(t, row.script)
			r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{row.password}}, unverified(t))
			client, _ := dial(t, r.addr)
			got := client.logIn("app")
			if got == nil || got.kind() != errHeader {
				t.Fatalf("the client got %q, want an error", got)
			}
			client.say(0, "\x03SELECT 'from the client'")
			if e := decodeDatabaseError(got.payload(), false); !strings.Contains(e.message, row.want) || !strings.Contains(e.message, "hint: ") || len(e.message) > maxErrorText {
				t.Errorf("the client got %d, %q, want %q and a hint in it", e.number, e.message, row.want)
			}
			if !client.isClosed() {
				t.Error("the session goes on")
			}
			if seen := db.seen.String(); strings.Contains(seen, secret) || strings.Contains(seen, "from the client") {
				t.Errorf("the server has seen %q", seen)
			}
		})
	}
}

// A route for tokens has no answer for a server that nobody has verified, and does not try one.
func TestTokenIsNotForAnUnverifiedServer(t *testing.T) {
	methods, err := ParseMethods(MethodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if CanProve(methods) || !CanProve(proxy.Methods{}) {
		t.Error("a token can be used without sending it")
	}
	for _, plugin := range []string{mysql.AUTH_CLEAR_PASSWORD, mysql.AUTH_NATIVE_PASSWORD} {
		db := newDatabase(t, func(p *peer) { p.open(plugin) })
		r := serve(t, &Engine{User: "app", RequireAuth: methods}, db.addr, &source{passwords: []string{secret}}, unverified(t))
		client, _ := dial(t, r.addr)
		if got := client.logIn("app"); got == nil || !strings.Contains(string(got), "tls=zero-config") {
			t.Errorf("got %q", got)
		}
		if strings.Contains(db.seen.String(), secret) {
			t.Error("the server has the token")
		}
	}
}

func TestChangedUserIsNotGivenAwayEither(t *testing.T) {
	info := proofOf(keptNative(secret), serverScramble, serverTLS.Certificates[0].Certificate[0])
	db := newDatabase(t, func(p *peer) {
		if p.open(mysql.AUTH_NATIVE_PASSWORD) == nil {
			return
		}
		p.say(3, okWith(info))
		p.packet()
		p.say(1, "\xfemysql_clear_password\x00")
		p.packet()
	})
	r := serve(t, &Engine{User: "app"}, db.addr, &source{passwords: []string{secret}}, unverified(t))
	client, _ := dial(t, r.addr)
	if got := client.logIn("app"); got.kind() != okHeader {
		t.Fatalf("got %q", got)
	}
	client.say(0, changeUserPacket("app", "", "", mysql.AUTH_NATIVE_PASSWORD))
	if got := client.packet(); got == nil || !strings.Contains(string(got), "tls=zero-config") {
		t.Errorf("got %q", got)
	}
	if strings.Contains(db.seen.String(), secret) {
		t.Error("the server has the password")
	}
}

func TestUntrustedMariaDBIsToldApart(t *testing.T) {
	const mariaDB = serverCapabilities &^ clientMySQL
	rows := []struct {
		name    string
		caps    uint32
		options dbtls.Options
		methods string
		want    bool
	}{
		{"MySQL", serverCapabilities, dbtls.Options{Host: host}, "", false},
		{"MariaDB", mariaDB, dbtls.Options{Host: host}, "", true},
		{"MariaDB with a token", mariaDB, dbtls.Options{Host: host}, MethodPassword, false},
		{"MariaDB of RDS", mariaDB, dbtls.Options{Host: "a.b.us-east-1.rds.amazonaws.com"}, "", false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			methods, err := ParseMethods(row.methods)
			if err != nil {
				t.Fatal(err)
			}
			client, err := dbtls.New(row.options)
			if err != nil {
				t.Fatal(err)
			}
			db := newDatabase(t, func(p *peer) {
				p.say(0, helloWith(row.caps, mysql.AUTH_NATIVE_PASSWORD))
				p.packet()
				p.tls()
			})
			r := serve(t, &Engine{User: "app", RequireAuth: methods}, db.addr, &source{passwords: []string{secret}},
				func(s *proxy.Server) { s.Upstream.Endpoint.TLS = client })
			c, _ := dial(t, r.addr)
			got := c.logIn("app")
			if got == nil || !strings.Contains(string(got), "ca=FILE") || strings.Contains(string(got), "tls=zero-config") != row.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

// The key is the one that the signature verifies with, whichever its sign.
func TestPublicKeyOfEd25519Plugin(t *testing.T) {
	for i := range 50 {
		password, message := fmt.Sprint("password", i), []byte(serverScramble+"uvwxyz012345")
		signature, err := mysql.CalcEd25519Password(message, password)
		if err != nil {
			t.Fatal(err)
		}
		if key := keptEd25519(password, message, signature); key == nil || !ed25519.Verify(key, message, signature) {
			t.Errorf("%s: got key %x", password, key)
		}
		if keptEd25519("another", message, signature) != nil {
			t.Error("the key is another password's")
		}
	}
}
