package postgres

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

var (
	v30, end = version(3, 0), []byte{0}
	anyStart = packet(v30, fields("user", "whoever", "database", "orders"), end)
)

// foreignProtocols are programs that take the port for another one.
var foreignProtocols = []badStart{
	{"HTTP GET", "", protocolViolation, "HTTP", sendsText("GET / HTTP/1.1\r\nHost: localhost:5432\r\n\r\n")},
	{"HTTP POST with a StartupMessage in it", "", protocolViolation, "HTTP", sends([]byte("POST /x HTTP/1.1\r\nHost: localhost:5432\r\nContent-Length: 99\r\n\r\n"), anyStart)},
	{"HTTP PUT", "", protocolViolation, "HTTP", sendsText("PUT /x HTTP/1.1\r\n\r\n")},
	{"HTTP HEAD", "", protocolViolation, "HTTP", sendsText("HEAD / HTTP/1.0\r\n\r\n")},
	{"HTTP OPTIONS", "", protocolViolation, "HTTP", sendsText("OPTIONS * HTTP/1.1\r\nOrigin: https://evil.example\r\n\r\n")},
	{"HTTP CONNECT", "", protocolViolation, "HTTP", sendsText("CONNECT db:5432 HTTP/1.1\r\n\r\n")},
	{"HTTP DELETE", "", protocolViolation, "invalid length", sendsText("DELETE / HTTP/1.1\r\n\r\n")},
	{"HTTP/2", "", protocolViolation, "HTTP", sendsText("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	{"an HTTP answer", "", protocolViolation, "invalid length", sendsText("HTTP/1.1 200 OK\r\n\r\n")},
	{"TLS hello", "\x15\x03\x01\x00\x02\x02\x28", closed, "", sends([]byte{0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0})},
	{"TLS hello behind an SSLRequest", "N\x15\x03\x01\x00\x02\x02\x28", closed, "", sends(sslRequest, []byte{0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0})},
	{"SSLv2 hello", "", protocolViolation, "invalid length", sends([]byte{0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10}, make([]byte, 40))},
	{"MySQL's answer to a greeting", "", protocolViolation, "invalid length", sends([]byte{0x20, 0, 0, 1, 0x85, 0xa6, 0xff, 1}, make([]byte, 28))},
	{"MySQL's COM_QUIT", "", protocolViolation, "invalid length", sends([]byte{1, 0, 0, 0, 1})},
	{"Redis", "", protocolViolation, "invalid length", sendsText("*1\r\n$4\r\nPING\r\n")},
	{"Redis inline", "", protocolViolation, "invalid length", sendsText("PING\r\n")},
	{"SSH", "", protocolViolation, "invalid length", sendsText("SSH-2.0-OpenSSH_9.6\r\n")},
	{"SMTP", "", protocolViolation, "invalid length", sendsText("EHLO localhost\r\n")},
	{"memcached", "", protocolViolation, "invalid length", sendsText("stats\r\n")},
	{"AMQP", "", protocolViolation, "invalid length", sendsText("AMQP\x00\x00\x09\x01")},
	{"SOCKS4", "", protocolViolation, "invalid length", sends([]byte{4, 1, 0, 80, 127, 0, 0, 1, 0})},
	{"SOCKS5", "", protocolViolation, "invalid length", sends([]byte{5, 2, 0, 2})},
	{"RDP", "", protocolViolation, "invalid length", sends([]byte{3, 0, 0, 0x13, 0x0e, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0})},
	{"LDAP", "", protocolViolation, "invalid length", sends([]byte{0x30, 0x0c, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0})},
	{"MongoDB", "", protocolViolation, "invalid length", sends([]byte{0x3a, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xd4, 7, 0, 0}, make([]byte, 42))},
	{"Kafka", "", featureNotSupported, "protocol 18.0", sends([]byte{0, 0, 0, 0x14, 0, 0x12, 0, 0}, make([]byte, 16))},
	{"SMB", "", featureNotSupported, "protocol 65363.", sends([]byte{0, 0, 0, 0x40, 0xff, 'S', 'M', 'B'}, make([]byte, 60))},
	{"ZooKeeper", "", featureNotSupported, "protocol 0.0", sends([]byte{0, 0, 0, 0x2d}, make([]byte, 45))},
	{"zeros", "", protocolViolation, "invalid length", sends(make([]byte, 100))},
	{"ones", "", protocolViolation, "invalid length", sends(bytes.Repeat([]byte{0xff}, 100))},
	{"zeros without end", "", maybe, "", floods([]byte{0})},
	{"text without end", "", maybe, "", floods([]byte("yes\n"))},
}

// badLengths are lengths of a startup packet that no server takes.
var badLengths = func() (starts []badStart) {
	for _, length := range []uint32{0, 1, 2, 3, 4, 5, 6, 7, 10_005, 100_000, 1<<31 - 1, 1 << 31, 1<<32 - 4, 1<<32 - 1} {
		header := []byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}
		starts = append(starts, badStart{fmt.Sprintf("length %d", int32(length)), "", protocolViolation, "invalid length", sends(header, v30)})
	}
	return starts
}()

// badVersions are of other protocols than the third; of that, all are good.
var badVersions = func() (starts []badStart) {
	for _, v := range [][2]uint16{{0, 0}, {0, 3}, {1, 0}, {2, 0}, {2, 65535}, {4, 0}, {768, 0}, {1234, 0}, {1234, 5677}, {1234, 5681}, {65535, 65535}} {
		name := fmt.Sprintf("%d.%d", v[0], v[1])
		starts = append(starts, badStart{"version " + name, "", featureNotSupported, "protocol " + name,
			sends(packet(version(v[0], v[1]), fields("user", "x"), end))})
	}
	return starts
}()

var encryptionRequests = []badStart{
	{"SSL twice", "N", featureNotSupported, "protocol 1234.5679", sends(sslRequest, sslRequest)},
	{"GSS twice", "N", featureNotSupported, "protocol 1234.5680", sends(gssRequest, gssRequest)},
	{"SSL, GSS, SSL", "NN", featureNotSupported, "protocol 1234.5679", sends(sslRequest, gssRequest, sslRequest)},
	{"SSL, GSS, GSS", "NN", featureNotSupported, "protocol 1234.5680", sends(sslRequest, gssRequest, gssRequest)},
	{"GSS, SSL, GSS", "NN", featureNotSupported, "protocol 1234.5680", sends(gssRequest, sslRequest, gssRequest)},
	{"GSS, SSL, SSL", "NN", featureNotSupported, "protocol 1234.5679", sends(gssRequest, sslRequest, sslRequest)},
	{"SSL without end", "N", maybe, "", floods(sslRequest)},
	{"GSS without end", "N", maybe, "", floods(gssRequest)},
	{"SSL and GSS without end", "NN", maybe, "", floods(slices.Concat(sslRequest, gssRequest))},
	{"SSL with a tail", "", featureNotSupported, "protocol 1234.5679", sends(packet(version(1234, 5679), end))},
	{"GSS with a tail", "", featureNotSupported, "protocol 1234.5680", sends(packet(version(1234, 5680), end))},
	{"GET behind an SSLRequest", "N", protocolViolation, "HTTP", sends(sslRequest, []byte("GET / HTTP/1.1\r\n\r\n"))},
	{"bad length behind an SSLRequest", "N", protocolViolation, "invalid length", sends(sslRequest, make([]byte, 4))},
	{"leaves for want of TLS", "N", closed, "", ends(sslRequest)},
	{"leaves for want of GSS", "N", closed, "", ends(gssRequest)},
}

// badLayouts are StartupMessages that are none, or name nobody.
var badLayouts = []badStart{
	{"nothing behind the version", "", protocolViolation, "terminator", sends(packet(v30))},
	{"no terminator", "", protocolViolation, "terminator", sends(packet(v30, fields("user", "x")))},
	{"value without end", "", protocolViolation, "no end", sends(packet(v30, []byte("user\x00x")))},
	{"name without end", "", protocolViolation, "no end", sends(packet(v30, []byte("user")))},
	{"name without value", "", protocolViolation, "no end", sends(packet(v30, []byte("user\x00")))},
	{"bytes behind the terminator", "", protocolViolation, "terminator", sends(packet(v30, fields("user", "x"), end, end))},
	{"a second message behind the terminator", "", protocolViolation, "terminator", sends(packet(v30, fields("user", "x"), end, anyStart))},
	{"an empty name", "", protocolViolation, "terminator", sends(packet(v30, fields("", "x", "user", "x"), end))},
	{"no user", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(v30, fields("database", "x"), end))},
	{"no parameters", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(v30, end))},
	{"empty user", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(v30, fields("user", ""), end))},
	{"empty user at last", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(v30, fields("user", "x", "user", ""), end))},
	{"user in capitals", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(v30, fields("USER", "x"), end))},
	{"user behind a newline", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(v30, fields("application_name", "x\nuser", "\nuser", "x"), end))},
	{"a minor version to come, and no user", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(version(3, 9999), end))},
	{"3,000 parameters and no user", "", invalidAuthorization, "no PostgreSQL user name", sends(packet(v30, bytes.Repeat(fields("a", ""), 3000), end))},
	{"5,000 parameters", "", protocolViolation, "invalid length", sends(packet(v30, bytes.Repeat(fields("a", ""), 5000), end))},
	{"parameters without end", "", maybe, "", floods(fields("user", "x"))},
	{"one parameter of all that may be", "", protocolViolation, "no end", sends(packet(v30, bytes.Repeat([]byte("x"), maxStartupPacket-8)))},
}

// badCancels are cancel requests that are none, or are about nobody's session. A server says nothing
// to those.
var badCancels = func() (starts []badStart) {
	cancel := version(1234, 5678)
	for _, size := range []int{0, 3, 4, 7, 4 + 257, 9000} {
		starts = append(starts, badStart{fmt.Sprintf("cancel request with %d bytes", size), "", protocolViolation, "cancel request",
			sends(packet(cancel, make([]byte, size)))})
	}
	for _, size := range []int{4, 32, 256} {
		starts = append(starts, badStart{fmt.Sprintf("cancel request with an unknown key of %d bytes", size), "", closed, "",
			sends(cancelPacket(4711, bytes.Repeat([]byte("k"), size)))})
	}
	return append(starts,
		badStart{"cancel request cut short", "", closed, "", ends(cancelPacket(4711, []byte("key!"))[:14])},
		badStart{"cancel request behind an SSLRequest", "N", closed, "", sends(sslRequest, cancelPacket(4711, []byte("key!")))},
		badStart{"cancel requests without end", "", maybe, "", floods(cancelPacket(4711, []byte("key!")))},
		badStart{"many cancel requests", "", closed, "", func(c *client) {
			for range 200 {
				other := c.again()
				other.write(cancelPacket(4711, []byte("key!")))
				other.Close()
			}
			sends(cancelPacket(4711, []byte("key!")))(c)
		}},
	)
}()

// earlyLeaves are clients that leave at each part of a StartupMessage.
var earlyLeaves = func() (starts []badStart) {
	for _, n := range []int{0, 1, 3, 4, 6, 8, 10, 13, 16, len(anyStart) - 1} {
		starts = append(starts,
			badStart{fmt.Sprintf("half-close after %d bytes", n), "", closed, "", ends(anyStart[:n])},
			badStart{fmt.Sprintf("reset after %d bytes", n), "", gone, "", resets(anyStart[:n])})
	}
	return append(starts,
		badStart{"reset behind an SSLRequest", "", gone, "", resets(sslRequest)},
		badStart{"half-close in a packet behind an SSLRequest", "N", closed, "", ends(sslRequest, anyStart[:12])})
}()

// notServed are of a route that serves the user "whoever" and the database "orders".
var notServed = []badStart{
	{"another user", "", invalidAuthorization, `not "postgres"`, sends(packet(v30, fields("user", "postgres", "database", "orders"), end))},
	{"a user with newlines", "", invalidAuthorization, `not "whoever  HINT: x"`, sends(packet(v30, fields("user", "whoever\r\nHINT: x", "database", "orders"), end))},
	{"a user with escape sequences", "", invalidAuthorization, `not " [2J ]0;x "`, sends(packet(v30, fields("user", "\x1b[2J\x1b]0;x\a", "database", "orders"), end))},
	{"a user that is not UTF-8", "", invalidAuthorization, "not ", sends(packet(v30, fields("user", "\xff\xfe\xc0", "database", "orders"), end))},
	{"a very long user", "", invalidAuthorization, "not ", sends(packet(v30, fields("user", strings.Repeat("x", 9000), "database", "orders"), end))},
	{"another database", "", invalidAuthorization, `not "secrets"`, sends(packet(v30, fields("user", "whoever", "database", "secrets"), end))},
	{"another database at last", "", invalidAuthorization, `not "secrets"`, sends(packet(v30, fields("user", "whoever", "database", "orders", "database", "secrets"), end))},
	{"no database", "", invalidAuthorization, `not "whoever"`, sends(packet(v30, fields("user", "whoever"), end))},
	{"a database with a newline", "", invalidAuthorization, `not "orders "`, sends(packet(v30, fields("user", "whoever", "database", "orders\n"), end))},
	{"a list of databases", "", invalidAuthorization, "not ", sends(packet(v30, fields("user", "whoever", "database", "orders, secrets"), end))},
	{"a connection string for a database", "", invalidAuthorization, "not ", sends(packet(v30, fields("user", "whoever", "database", "dbname=orders host=evil.example"), end))},
	{"physical replication", "", invalidAuthorization, "all databases", sends(packet(v30, fields("user", "whoever", "database", "orders", "replication", "On"), end))},
	{"both kinds of replication", "", invalidAuthorization, "all databases", sends(packet(v30, fields("user", "whoever", "database", "orders", "replication", "database", "replication", "1"), end))},
}
