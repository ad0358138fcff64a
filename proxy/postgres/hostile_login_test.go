package postgres

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"time"
)

// beforeTLS are servers that go wrong before there is TLS.
var beforeTLS = []hostileServer{
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
		c.send(refusal("28000", "evil words"))
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
	{"stuffs a TLS alert behind S", invalidAuthorization, "TLS handshake", func(c *dbConn) {
		c.sslRequest()
		c.write('S', 0x15, 3, 3, 0, 2, 2, 40)
		c.wait()
	}},
	{"answers nothing but bytes of TLS", invalidAuthorization, "no PostgreSQL", func(c *dbConn) {
		c.sslRequest()
		c.write(0x16, 3, 3, 0, 5, 2, 0, 0, 1, 0)
		c.wait()
	}},
	{"answers without end", invalidAuthorization, "no PostgreSQL", func(c *dbConn) { c.sslRequest(); c.endless('x') }},
	{"answers S without end", invalidAuthorization, "not TLS", func(c *dbConn) { c.sslRequest(); c.endless('S') }},
}

// badCertificates are servers that are not the right one, or can't show it.
var badCertificates = []hostileServer{
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
	{"TLS 1.0", invalidAuthorization, "TLS handshake", func(c *dbConn) {
		c.sslRequest()
		c.write('S')
		config := goodTLS().Clone()
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
		c.startTLS(config)
	}},
	{"certificate not yet valid", invalidAuthorization, "not valid yet", shows(func() tls.Certificate {
		return testCA().issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })
	})},
	{"certificate for clients only", invalidAuthorization, "certificate", shows(func() tls.Certificate {
		return testCA().issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	})},
	{"certificate for no name", invalidAuthorization, "another name", shows(func() tls.Certificate {
		return testCA().issue(func(c *x509.Certificate) { c.DNSNames = nil })
	})},
	{"certificate of the CA itself, for another key", invalidAuthorization, "certificate", shows(func() tls.Certificate {
		return otherCA().sign(testCA().cert, newECDSAKey())
	})},
	{"certificate with a name that plays tricks", invalidAuthorization, "another name", shows(func() tls.Certificate {
		return testCA().issue(func(c *x509.Certificate) { c.DNSNames = []string{"evil.example", "*.*"} })
	})},
}

// badLogins are servers that ask for what can't be answered, or say what they may not.
var badLogins = []hostileServer{
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
	{"an error without SQLSTATE", theirs, "no SQLSTATE", opened(raw('E', []byte("SFATAL\x00Mno SQLSTATE\x00\x00")...)...)},
	{"an error without anything", theirs, "", opened(raw('E', 0)...)},
	{"an error of 64 kB", theirs, "xxx", opened(raw('E', []byte("SFATAL\x00C53300\x00M"+strings.Repeat("x", 64<<10-30)+"\x00\x00")...)...)},
	{"an error of more than 64 kB", cannotConnectNow, "announces", opened(raw('E', []byte("SFATAL\x00C57P03\x00M"+strings.Repeat("x", 64<<10)+"\x00\x00")...)...)},
	{"an error that is cut short", connectionFailure, "unexpected EOF", func(c *dbConn) { c.open(); c.write('E', 0, 0, 0, 99, 'S') }},
	{"an empty error", invalidAuthorization, "malformed ErrorResponse", opened(raw('E')...)},
	{"messages without end", invalidAuthorization, "unexpected message 'S'", func(c *dbConn) { c.open(); c.endless(raw('S', fields("a", "b")...)...) }},
	{"NegotiateProtocolVersion without end", invalidAuthorization, "more than 32 messages", func(c *dbConn) { c.open(); c.endless(raw('v', 0, 3, 0, 0, 0, 0, 0, 0)...) }},
	{"an end of TLS", connectionFailure, "unexpected EOF", func(c *dbConn) { c.open(); c.must(c.Conn.(*recorder).Conn.(*tls.Conn).CloseWrite()); c.wait() }},
	{"clear text within TLS", cannotConnectNow, "the database's answer", func(c *dbConn) { c.open(); _, err := c.bare.Write(request(0)); c.must(err); c.wait() }},
}

// afterPassword are servers that are not content with the password.
var afterPassword = func() (servers []hostileServer) {
	hangUp := func(*dbConn) {}
	asks := func(b ...byte) script { return func(c *dbConn) { c.write(b...); c.wait() } }
	for _, s := range []hostileServer{
		{"hangs up", connectionFailure, "unexpected EOF", hangUp},
		{"asks again", invalidAuthorization, "twice", asks(request(3)...)},
		{"asks for md5 then", invalidAuthorization, "twice", asks(request(5, 1, 2, 3, 4)...)},
		{"asks for SCRAM then", invalidAuthorization, "twice", asks(request(10, fields("SCRAM-SHA-256", "")...)...)},
		{"says a notice", invalidAuthorization, "unexpected message 'N'", asks(raw('N', 0)...)},
		{"says NegotiateProtocolVersion for ever", invalidAuthorization, "more than 32 messages",
			asks(bytes.Repeat(raw('v', 0, 3, 0, 0, 0, 0, 0, 0), 40)...)},
		{"asks for ever", invalidAuthorization, "twice", func(c *dbConn) { c.endless(request(3)...) }},
		{"negative length", cannotConnectNow, "announces", asks('R', 0xff, 0xff, 0xff, 0xff)},
		{"asks for GSSAPI then", invalidAuthorization, "GSSAPI", asks(request(7)...)},
		{"says ParameterStatus before AuthenticationOk", invalidAuthorization, "unexpected message 'S'", asks(raw('S', fields("a", "b")...)...)},
		{"resets", connectionFailure, "reset", func(c *dbConn) { reset(c.bare) }},
	} {
		then := s.play
		s.play = func(c *dbConn) {
			c.open()
			c.password()
			then(c)
		}
		servers = append(servers, s)
	}
	return servers
}()
