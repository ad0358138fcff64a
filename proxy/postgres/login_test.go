package postgres

import (
	"bytes"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

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

func TestOddDatabaseIsRefusedBeforeThePassword(t *testing.T) {
	for _, row := range []struct {
		name, code, message string
		play                script
	}{
		// Before TLS.
		{"hangs up at once", cannotConnectNow, "ask for TLS", func(*dbConn) {}},
		{"hangs up after SSLRequest", cannotConnectNow, "ask for TLS", func(c *dbConn) { c.sslRequest() }},
		{"answers N", invalidAuthorization, "no TLS", func(c *dbConn) { c.sslRequest(); c.write('N'); c.wait() }},
		{"answers N and asks for the password", invalidAuthorization, "no TLS", func(c *dbConn) {
			c.sslRequest()
			c.write('N')
			c.password()
		}},
		{"answers E and a text", cannotConnectNow, "with an error", func(c *dbConn) {
			c.sslRequest()
			c.send(refusal("28000", "send your password to evil.example"))
			c.wait()
		}},
		{"answers garbage", invalidAuthorization, "no PostgreSQL", func(c *dbConn) { c.sslRequest(); c.write(0x1b); c.wait() }},
		{"is an HTTP server", invalidAuthorization, "no PostgreSQL", func(c *dbConn) {
			c.sslRequest()
			c.write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...)
			c.wait()
		}},
		{"hangs up after S", cannotConnectNow, "TLS handshake", func(c *dbConn) { c.sslRequest(); c.write('S') }},
		{"goes on in clear after S", invalidAuthorization, "not TLS", func(c *dbConn) {
			c.sslRequest()
			c.write('S')
			c.password()
		}},
		{"stuffs AuthenticationOk behind S", invalidAuthorization, "not TLS", func(c *dbConn) {
			c.sslRequest()
			c.write(append([]byte{'S'}, request(0)...)...)
			c.startTLS(goodTLS())
			c.startup()
			c.password()
		}},
		{"stuffs a password request behind S", invalidAuthorization, "not TLS", func(c *dbConn) {
			c.sslRequest()
			c.write(append([]byte{'S'}, request(3)...)...)
			c.startTLS(goodTLS())
			c.startup()
			c.password()
		}},
		// TLS.
		{"certificate for another name", invalidAuthorization, "another name", shows(func() tls.Certificate {
			return testCA().issue(func(c *x509.Certificate) { c.DNSNames = []string{"other.test"} })
		})},
		{"certificate from another CA", invalidAuthorization, "not signed by", shows(func() tls.Certificate {
			return otherCA().issue(nil)
		})},
		{"certificate expired", invalidAuthorization, "expired", shows(func() tls.Certificate {
			return testCA().issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
		})},
		{"TLS 1.1", invalidAuthorization, "TLS handshake", func(c *dbConn) {
			c.sslRequest()
			c.write('S')
			config := goodTLS().Clone()
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			c.startTLS(config)
		}},
		// The login.
		{"hangs up after TLS", connectionFailure, "unexpected EOF", func(c *dbConn) {
			c.sslRequest()
			c.write('S')
			c.startTLS(goodTLS())
			c.read(1)
		}},
		{"hangs up after the StartupMessage", connectionFailure, "unexpected EOF", func(c *dbConn) { c.open() }},
		{"hangs up in a message", connectionFailure, "unexpected EOF", func(c *dbConn) { c.open(); c.write('R', 0, 0) }},
		{"hangs up in a body", connectionFailure, "unexpected EOF", func(c *dbConn) { c.open(); c.write('R', 0, 0, 0, 8, 0) }},
		{"resets the connection", connectionFailure, "reset", func(c *dbConn) {
			c.open()
			reset(c.bare)
		}},
		{"asks for Kerberos V5", invalidAuthorization, "Kerberos", opened(request(2)...)},
		{"asks for crypt", invalidAuthorization, "unknown kind 4", opened(request(4, 1, 2)...)},
		{"asks for SCM credentials", invalidAuthorization, "unknown kind 6", opened(request(6)...)},
		{"asks for GSSAPI", invalidAuthorization, "GSSAPI", opened(request(7)...)},
		{"goes on with GSSAPI", invalidAuthorization, "GSSAPI", opened(request(8, 1, 2)...)},
		{"asks for SSPI", invalidAuthorization, "SSPI", opened(request(9)...)},
		{"goes on with SASL", invalidAuthorization, "did not begin", opened(request(11, []byte("r=a,s=YQ==,i=1")...)...)},
		{"ends SASL", invalidAuthorization, "did not begin", opened(request(12, []byte("v=YQ==")...)...)},
		{"asks for something new", invalidAuthorization, "unknown kind 13", opened(request(13)...)},
		{"asks for something huge", invalidAuthorization, "unknown kind 4294967295", opened(raw('R', 0xff, 0xff, 0xff, 0xff)...)},
		{"asks in 3 bytes", invalidAuthorization, "3 bytes", opened(raw('R', 0, 0, 0)...)},
		{"asks for md5 without a salt", invalidAuthorization, "md5", opened(request(5)...)},
		{"asks for md5 with a long salt", invalidAuthorization, "md5", opened(request(5, 1, 2, 3, 4, 5)...)},
		{"asks for OAUTHBEARER", invalidAuthorization, "OAUTHBEARER", opened(request(10, fields("OAUTHBEARER", "")...)...)},
		{"asks for a mechanism that plays tricks", invalidAuthorization, "[2J", opened(request(10, fields("\x1b[2J\r\n", "")...)...)},
		{"asks for SASL by nothing", invalidAuthorization, "SASL", opened(request(10, 0)...)},
		{"asks for SASL without end", invalidAuthorization, "SASL", opened(request(10, []byte("SCRAM-SHA-256")...)...)},
		{"asks for SASL by very much", invalidAuthorization, "SASL", opened(request(10, fields(strings.Repeat("X", 60_000), "")...)...)},
		{"says NegotiateProtocolVersion for ever", invalidAuthorization, "more than 32 messages",
			opened(bytes.Repeat(raw('v', 0, 3, 0, 0, 0, 0, 0, 0), 40)...)},
		{"says ParameterStatus before the login", invalidAuthorization, "unexpected message 'S'", opened(raw('S', fields("a", "b")...)...)},
		{"says a notice before the login", invalidAuthorization, "unexpected message 'N'", opened(raw('N', 0)...)},
		{"is ready before the login", invalidAuthorization, "unexpected message 'Z'", opened(raw('Z', 'I')...)},
		{"sends data before the login", invalidAuthorization, "unexpected message 'D'", opened(raw('D', 0, 1, 0xff, 0xff, 0xff, 0xfe)...)},
		{"sends a message of no kind", invalidAuthorization, `unexpected message '\x00'`, opened(raw(0)...)},
		{"refuses without end", invalidAuthorization, "malformed ErrorResponse", opened(raw('E', []byte("SFATAL")...)...)},
		{"length 0", cannotConnectNow, "announces -4 bytes", opened('R', 0, 0, 0, 0)},
		{"length 3", cannotConnectNow, "announces -1 bytes", opened('R', 0, 0, 0, 3)},
		{"negative length", cannotConnectNow, "announces 4294967291 bytes", opened('R', 0xff, 0xff, 0xff, 0xff)},
		{"100 kB", cannotConnectNow, "announces 100004 bytes", opened(request(3, make([]byte, 100_000)...)...)},
		{"an error of 2 GB", cannotConnectNow, "announces 2147483643 bytes", opened('E', 0x7f, 0xff, 0xff, 0xff, 'S')},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			db := startDatabase(t, row.play)
			v := serve(t, db.addr)
			c := v.dial(t)
			c.startup()
			response := c.refused()
			if response.Code != row.code || !strings.Contains(response.Message, row.message) {
				t.Errorf("got %s %q, want %s and %q", response.Code, response.Message, row.code, row.message)
			}
			if strings.Contains(fmt.Sprint(response), "evil.example") {
				t.Errorf("got %v, which repeats what came before TLS", response)
			}
			if db.saw(secret) {
				t.Error("the database got the password")
			}
			if n := len(db.all()); n != 1 {
				t.Errorf("the database saw %d connections, want 1", n)
			}
		})
	}
}

func TestOddDatabaseIsRefusedAfterThePassword(t *testing.T) {
	hangUp := func(*dbConn) {}
	asks := func(b ...byte) script { return func(c *dbConn) { c.write(b...); c.wait() } }
	for _, row := range []struct {
		name, code, message string
		then                script
	}{
		{"hangs up", connectionFailure, "unexpected EOF", hangUp},
		{"asks again", invalidAuthorization, "twice", asks(request(3)...)},
		{"asks for md5 then", invalidAuthorization, "twice", asks(request(5, 1, 2, 3, 4)...)},
		{"asks for SCRAM then", invalidAuthorization, "twice", asks(request(10, fields("SCRAM-SHA-256", "")...)...)},
		{"says a notice", invalidAuthorization, "unexpected message 'N'", asks(raw('N', 0)...)},
		{"says NegotiateProtocolVersion for ever", invalidAuthorization, "more than 32 messages",
			asks(bytes.Repeat(raw('v', 0, 3, 0, 0, 0, 0, 0, 0), 40)...)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			db := startDatabase(t, func(c *dbConn) {
				c.open()
				c.password()
				row.then(c)
			})
			c := serve(t, db.addr).dial(t)
			c.startup()
			if response := c.refused(); response.Code != row.code || !strings.Contains(response.Message, row.message) {
				t.Errorf("got %s %q, want %s and %q", response.Code, response.Message, row.code, row.message)
			}
			if n := bytes.Count(db.received(0), []byte(secret)); n != 1 || len(db.all()) != 1 {
				t.Errorf("the database got the password %d times on the first of %d connections, want once on one", n, len(db.all()))
			}
		})
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

// TestSilentDatabaseEndsAtTimeLimit has one row for each step at which a database can fall silent.
func TestSilentDatabaseEndsAtTimeLimit(t *testing.T) {
	for name, play := range map[string]script{
		"at once":          func(c *dbConn) { c.wait() },
		"after SSLRequest": func(c *dbConn) { c.sslRequest(); c.wait() },
		"after S":          func(c *dbConn) { c.sslRequest(); c.write('S'); c.wait() },
		"after TLS":        func(c *dbConn) { c.open(); c.wait() },
		"in a message":     func(c *dbConn) { c.open(); c.write('R', 0); c.wait() },
		"after the answer": func(c *dbConn) { c.open(); c.password(); c.wait() },
		"in SCRAM":         func(c *dbConn) { c.open(); c.write(request(10, fields("SCRAM-SHA-256", "")...)...); c.wait() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newValet(t, startDatabase(t, play).addr)
			v.server.HandshakeTimeout = 300 * time.Millisecond
			c := v.serve(t).dial(t)
			began := time.Now()
			c.startup()
			if response := c.refused(); response.Code != cannotConnectNow {
				t.Errorf("got %s %q, want %s", response.Code, response.Message, cannotConnectNow)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("it took %v, want the time limit of %v and a little", took, v.server.HandshakeTimeout)
			}
		})
	}
}
