package postgres

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

// raw is a message of any kind, as long as its body.
func raw(kind byte, body ...byte) []byte {
	return append([]byte{kind}, packet(body)...)
}

// request is an authentication request of a kind that pgproto3 may not know.
func request(kind byte, body ...byte) []byte {
	return raw('R', append([]byte{0, 0, 0, kind}, body...)...)
}

// opened is a database that takes the StartupMessage, says this, and waits.
func opened(bytes ...byte) script {
	return func(c *dbConn) {
		c.open()
		c.write(bytes...)
		c.wait()
	}
}

// shows is a database with this certificate.
func shows(cert func() tls.Certificate) script {
	return func(c *dbConn) {
		c.sslRequest()
		c.write('S')
		c.startTLS(serverTLS(cert()))
		c.startup()
		c.password()
	}
}

func TestCleartextPasswordIsAnswered(t *testing.T) {
	long := strings.Repeat("token", 400)
	for name, password := range map[string]string{"short": secret, "token": long} {
		t.Run(name, func(t *testing.T) {
			db := startDatabase(t, takes(password))
			v := newValet(t, db.addr)
			v.source.passwords = []string{password}
			v.serve(t).dial(t).login()
		})
	}
}

// The expected answer is what the manual says, put together here.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
func TestMD5PasswordIsAnswered(t *testing.T) {
	sum := func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }
	for name, row := range map[string]struct {
		ofSource []string
		user     string
	}{
		"the route's user":  {nil, "app"},
		"the source's user": {[]string{"app_clone"}, "app_clone"},
	} {
		t.Run(name, func(t *testing.T) {
			salt := [4]byte{0, 0xff, 'a', '\n'}
			answers := make(chan string, 1)
			db := startDatabase(t, func(c *dbConn) {
				c.open()
				c.send(&pgproto3.AuthenticationMD5Password{Salt: salt})
				answers <- string(c.answer())
				c.send(authOk, ready)
				c.wait()
			})
			v := newValet(t, db.addr)
			v.source.users = row.ofSource
			v.serve(t).dial(t).login()
			if got, want := next(t, answers), "md5"+sum(sum(secret+row.user)+string(salt[:]))+"\x00"; got != want {
				t.Errorf("the database got %q, want %q", got, want)
			}
			if got, want := db.all()[0].start, fields("user", row.user); !bytes.Contains(got, want) {
				t.Errorf("the database got %q, want user %q in it", got, row.user)
			}
		})
	}
}

func TestDatabaseThatAsksForNothingIsLoggedInTo(t *testing.T) {
	db := startDatabase(t, func(c *dbConn) {
		c.open()
		c.send(authOk, ready)
		c.wait()
	})
	serve(t, db.addr).dial(t).login()
	if db.saw(secret) {
		t.Error("the database got the password")
	}
}
