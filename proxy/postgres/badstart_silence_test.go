package postgres

import "strings"

// silences are clients that say no more, on a route with a short time limit.
var silences = []badStart{
	{"nothing", "", closed, "", sends()},
	{"a byte", "", closed, "", sends(anyStart[:1])},
	{"a length", "", closed, "", sends(anyStart[:4])},
	{"half of a packet", "", closed, "", sends(anyStart[:12])},
	{"all but the last byte", "", closed, "", sends(anyStart[:len(anyStart)-1])},
	{"an SSLRequest", "N", closed, "", sends(sslRequest)},
	{"a GSSENCRequest", "N", closed, "", sends(gssRequest)},
	{"an SSLRequest and half of a packet", "N", closed, "", sends(sslRequest, anyStart[:12])},
	{"SOCKS5", "", closed, "", sends([]byte{5, 1, 0})},
	{"half of a cancel request", "", closed, "", sends(cancelPacket(4711, []byte("key!"))[:10])},
	{"a StartupMessage in drops", "", gone, "", drips(startupOf(9000))},
}

// deepSilences are the same within TLS and when asked for a password.
var deepSilences = []badStart{
	{"an SSLRequest", "S", closed, "", sends(sslRequest)},
	{"half of a hello", "S", closed, "", sends(sslRequest, someHello()[:100])},
	{"half of a hello, direct", "", closed, "", sends(someHello()[:100])},
	{"a hello in drops", "", gone, "", drips(someHello())},
	{"TLS", "", closed, "", inTLS()},
	{"a byte within TLS", "", closed, "", inTLS(anyStart[:1])},
	{"half of a packet within TLS", "", closed, "", inTLS(anyStart[:12])},
	{"no answer", "", cannotConnectNow, "answer to SASL", asked()},
	{"half of an answer", "", cannotConnectNow, "answer to SASL", asked(saslInitial(mechanismSCRAM, clientFirst)[:20])},
	{"no proof", "", cannotConnectNow, "answer to SASL", challenged()},
	{"no answer within TLS", "", cannotConnectNow, "answer to SASL", offered()},
}

// startupOf is a StartupMessage with about so many bytes.
func startupOf(bytes int) []byte {
	return packet(v30, fields("user", "whoever", "options", strings.Repeat("x", bytes)), end)
}
