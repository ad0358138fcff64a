package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
)

// badTLS are starts on a route whose clients may encrypt.
var badTLS = []badStart{
	{"StartupMessage behind SSLRequest", "S", closed, "", sends(sslRequest, anyStart)},
	{"StartupMessage behind GSSENCRequest and SSLRequest", "NS", closed, "", sends(gssRequest, sslRequest, anyStart)},
	{"SSLRequest twice", "S", closed, "", sends(sslRequest, sslRequest)},
	{"SSLRequest without end", "S", maybe, "", floods(sslRequest)},
	{"cancel request behind SSLRequest", "S", closed, "", sends(sslRequest, cancelPacket(4711, []byte("key!")))},
	{"GET behind SSLRequest", "S", closed, "", sends(sslRequest, []byte("GET / HTTP/1.1\r\n\r\n"))},
	{"zeros behind SSLRequest", "S", closed, "", sends(sslRequest, make([]byte, 100))},
	{"a byte behind SSLRequest, and then TLS", "S", closed, "", sends(sslRequest, []byte{0}, someHello())},
	{"an alert behind SSLRequest", "S", closed, "", sends(sslRequest, []byte{0x15, 3, 1, 0, 2, 2, 40})},
	{"data behind SSLRequest", "S", closed, "", sends(sslRequest, []byte{0x17, 3, 3, 0, 1, 0})},
	{"leaves behind SSLRequest", "S", closed, "", ends(sslRequest)},
	{"resets behind SSLRequest", "", gone, "", resets(sslRequest)},
	{"leaves in its hello", "S", closed, "", ends(sslRequest, someHello()[:100])},
	{"resets in its hello", "", gone, "", resets(sslRequest, someHello()[:100])},
	{"leaves behind its hello", "", maybe, "", ends(someHello())},
	{"hello of no length", "", closed, "", sends([]byte{0x16, 3, 1, 0, 0, 1, 0, 0, 1, 0})},
	{"hello of much length", "", closed, "", sends([]byte{0x16, 3, 1, 0xff, 0xff}, make([]byte, 100))},
	{"hello of another version", "", closed, "", sends([]byte{0x16, 9, 9, 0, 5, 1, 0, 0, 1, 0})},
	{"hello of nothing", "", closed, "", sends([]byte{0x16, 3, 1, 0, 4, 1, 0, 0, 0})},
	{"hello that is cut in pieces without end", "", maybe, "", floods([]byte{0x16, 3, 1, 0, 1, 1})},
	{"SSLv2 hello", "", protocolViolation, "invalid length", sends([]byte{0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10}, make([]byte, 40))},
	{"GET", "", protocolViolation, "HTTP", sendsText("GET / HTTP/1.1\r\n\r\n")},
	{"a browser", "", closed, "", hello("h2", "http/1.1")},
	{"a browser that asks first", "", closed, "", func(c *client) { c.write(sslRequest); c.read(1); hello("h2")(c) }},
	{"direct TLS without ALPN", "", protocolViolation, "ALPN", func(c *client) { c.encrypt() }},
	{"TLS 1.1", "", closed, "", handshake(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})},
	{"no common cipher", "", closed, "", handshake(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}})},
	{"clear text within TLS", "", maybe, "", func(c *client) { c.requestTLS(); c.below(); c.write(anyStart) }},
	{"SSLRequest within TLS", "", featureNotSupported, "protocol 1234.5679", inTLS(sslRequest)},
	{"SSLRequest within direct TLS", "", featureNotSupported, "protocol 1234.5679", func(c *client) { c.encrypt(alpn); c.write(sslRequest) }},
	{"TLS within TLS", "", protocolViolation, "invalid length", inTLS(someHello())},
	{"GSSENCRequest twice within TLS", "N", featureNotSupported, "protocol 1234.5680", inTLS(gssRequest, gssRequest)},
	{"GET within TLS", "", protocolViolation, "HTTP", inTLS([]byte("GET / HTTP/1.1\r\n\r\n"))},
	{"length 0 within TLS", "", protocolViolation, "invalid length", inTLS(make([]byte, 8))},
	{"version 2.0 within TLS", "", featureNotSupported, "protocol 2.0", inTLS(packet(version(2, 0), end))},
	{"no user within TLS", "", invalidAuthorization, "no PostgreSQL user name", inTLS(packet(v30, end))},
	{"unknown cancel request within TLS", "", closed, "", inTLS(cancelPacket(4711, []byte("key!")))},
	{"leaves within TLS", "", closed, "", func(c *client) { c.requestTLS(); ends()(c) }},
	{"leaves in a packet within TLS", "", closed, "", func(c *client) { c.requestTLS(); ends(anyStart[:9])(c) }},
	{"leaves without a word within TLS", "", maybe, "", func(c *client) { c.requestTLS(); c.below(); ends()(c) }},
	{"resets within TLS", "", gone, "", func(c *client) { c.requestTLS(); c.below(); resets()(c) }},
}

// notEncrypted are starts in clear on a route whose clients have to encrypt.
var notEncrypted = []badStart{
	{"StartupMessage", "", invalidAuthorization, "encrypted connections only", sends(anyStart)},
	{"StartupMessage behind GSSENCRequest", "N", invalidAuthorization, "encrypted connections only", sends(gssRequest, anyStart)},
	{"StartupMessage behind SSLRequest", "S", closed, "", sends(sslRequest, anyStart)},
}

// inTLS is a client that sends this within TLS.
func inTLS(b ...[]byte) func(*client) {
	return func(c *client) { c.requestTLS(); c.write(slices.Concat(b...)) }
}

// hello is a client that begins with TLS, offers these protocols, and does not get it.
func hello(next ...string) func(*client) { return handshake(&tls.Config{NextProtos: next}) }

// handshake is a client that begins with TLS and does not get it.
func handshake(config *tls.Config) func(*client) {
	return func(c *client) {
		config := config.Clone()
		config.ServerName, config.RootCAs = "localhost", x509.NewCertPool()
		config.RootCAs.AddCert(testCA().cert)
		if err := tls.Client(c.Conn, config).Handshake(); err == nil {
			c.t.Error("got TLS, want none")
		}
	}
}

// below makes c speak on the connection below TLS.
func (c *client) below() { c.Conn = c.Conn.(*tls.Conn).NetConn() }

// someHello is a ClientHello.
func someHello() []byte {
	conn := newTape(nil)
	_ = tls.Client(conn, &tls.Config{ServerName: "localhost", NextProtos: ALPN()}).Handshake()
	return conn.out.Bytes()
}
