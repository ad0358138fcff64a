package mysql

import (
	"encoding/binary"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
)

const (
	// maxResponse is the longest reply to a greeting that is read, in bytes. The attributes have up
	// to 64 KiB, and servers take little more.
	maxResponse = 80 << 10
	// sslRequestLength is the length of the part that comes before TLS, in bytes.
	sslRequestLength = 32
)

// A response is a client's reply to a greeting, HandshakeResponse41:
//
//	4   capabilities
//	4   longest packet
//	1   character set
//	23  zero; for a MariaDB, the last 4 are extended capabilities
//	n   user, zero
//	n   the plugin's reply: after its length, of one byte or, with PLUGIN_AUTH_LENENC_CLIENT_DATA,
//	    length-encoded; without SECURE_CONNECTION it ends with a zero
//	n   database, zero; with CONNECT_WITH_DB
//	n   name of the plugin, zero; with PLUGIN_AUTH
//	n   attributes, after the length of all; with CONNECT_ATTRS
//	1   level of compression; with ZSTD_COMPRESSION_ALGORITHM
//
// The first 32 bytes alone are an SSLRequest. What is behind the attributes is of compression, which
// neither leg has.
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html
type response struct {
	capabilities uint32
	maxPacket    uint32
	charset      byte
	filler       [23]byte
	user         string
	auth         []byte
	database     string
	plugin       string // as the client named it; empty: it named none
	attributes   []byte
}

func decodeResponse(payload []byte) (*response, error) {
	f := fields{rest: payload}
	r := &response{
		capabilities: f.uint32(),
		maxPacket:    f.uint32(),
		charset:      f.uint8(),
	}
	copy(r.filler[:], f.bytes(len(r.filler)))
	switch {
	case len(payload) >= 4 && !r.has(mysql.CLIENT_PROTOCOL_41):
		return nil, clientError("use a client of MySQL 4.1 or later", "the client speaks the protocol of before MySQL 4.1")
	case f.short:
		return nil, clientError(checkClient, "the reply to the greeting has %d bytes, and no room for its fields", len(payload))
	case isSSLRequest(payload):
		return nil, clientError(noTLSHere, "the client asks for TLS, and there is none on this side")
	}
	r.user = f.text()
	switch {
	case r.has(mysql.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA):
		r.auth = f.lenenc()
	case r.has(mysql.CLIENT_SECURE_CONNECTION):
		r.auth = f.bytes(int(f.uint8()))
	default:
		r.auth = []byte(f.text())
	}
	if f.short {
		return nil, clientError(checkClient, "the reply to the greeting ends within the user or the password")
	}
	if r.has(mysql.CLIENT_CONNECT_WITH_DB) {
		r.database = f.lastText()
	}
	if r.has(mysql.CLIENT_PLUGIN_AUTH) {
		r.plugin = f.lastText()
	}
	if r.has(mysql.CLIENT_CONNECT_ATTRS) && len(f.rest) > 0 {
		r.attributes = f.lenenc()
	}
	if f.short {
		return nil, clientError(checkClient, "the reply to the greeting ends within the attributes")
	}
	return r, nil
}

// isSSLRequest reports whether payload is the part of a reply after which the client wants to go on in
// TLS.
func isSSLRequest(payload []byte) bool {
	const flags = mysql.CLIENT_PROTOCOL_41 | mysql.CLIENT_SSL
	return len(payload) == sslRequestLength && binary.LittleEndian.Uint32(payload)&flags == flags
}

func (r *response) has(flag uint32) bool { return r.capabilities&flag != 0 }

// withDatabase returns r for a route that has a database of its own, which is for clients that name
// none.
func (r *response) withDatabase(database string) *response {
	if r.database != "" || database == "" {
		return r
	}
	with := *r
	with.database = database
	with.capabilities |= mysql.CLIENT_CONNECT_WITH_DB
	return &with
}

// fixed is the part of the reply that a server gets twice, in an SSLRequest and in the reply itself.
func (r *response) fixed(server uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, choose(r.capabilities, server))
	b = binary.LittleEndian.AppendUint32(b, r.maxPacket)
	b = append(b, r.charset)
	return append(b, r.filler[:]...)
}

// forServer is the payload of the reply with which user logs in to a server of these capabilities. For
// a server without PLUGIN_AUTH_LENENC_CLIENT_DATA, the answer has at most 255 bytes.
func (r *response) forServer(server uint32, user, plugin string, answer []byte) []byte {
	b := r.fixed(server)
	b = appendText(b, user)
	if server&mysql.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA != 0 {
		b = appendLenenc(b, answer)
	} else {
		b = append(append(b, byte(len(answer))), answer...)
	}
	if r.has(mysql.CLIENT_CONNECT_WITH_DB) {
		b = appendText(b, r.database)
	}
	b = appendText(b, plugin)
	if r.has(mysql.CLIENT_CONNECT_ATTRS) {
		b = appendLenenc(b, r.attributes)
	}
	return b
}

// attribute returns the value of a connection attribute, or "". They are names and values in turn,
// each with its length before it.
func (r *response) attribute(name string) string {
	f := fields{rest: r.attributes}
	for len(f.rest) > 0 {
		key, value := f.lenenc(), f.lenenc()
		if !f.short && string(key) == name {
			return proxy.Printable(string(value))
		}
	}
	return ""
}

// application is what the client calls itself.
func (r *response) application() string {
	if name := r.attribute("program_name"); name != "" {
		return name
	}
	return r.attribute("_client_name")
}
