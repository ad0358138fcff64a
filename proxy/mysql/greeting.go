package mysql

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"

	"dbvalet/proxy"
)

// maxGreeting is the longest first packet of a server that is read, in bytes: a greeting has about a
// hundred, and an error 512 of text.
const maxGreeting = 4 << 10

// protocolVersion is the protocol's, of every server since MySQL 3.21.
const protocolVersion = 10

// scrambleLength is the length of what passwords are mixed with, in bytes.
const scrambleLength = 20

// A greeting is what a server opens the connection with, HandshakeV10:
//
//		1   10, the protocol's version
//		n   the server's version, zero
//		4   thread id
//		8   scramble, first part
//		1   zero
//		2   capabilities, lower half
//		1   character set
//		2   status
//		2   capabilities, upper half
//		1   length of the scramble, its final zero included
//		10  zero; of a MariaDB, the last 4 are its extended capabilities
//		n   scramble, second part: 13 bytes, or as many as the length says
//		n   name of the plugin that the scramble is for, zero
//
//	  - https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html
//	  - https://mariadb.com/docs/server/reference/clientserver-protocol/1-connecting/connection
type greeting struct {
	version      string
	threadID     uint32
	capabilities uint32
	charset      byte
	status       uint16
	reserved     [10]byte
	scramble     []byte // both parts, without the final zero
	plugin       string
}

// readGreeting reads exactly one packet from a server. What comes behind it, before TLS, then ends in
// the TLS handshake and breaks it.
func readGreeting(upstream io.Reader) (*greeting, error) {
	p, err := readPacket(upstream, 0, maxGreeting)
	if errors.Is(err, errMalformed) {
		return nil, notMySQL("the server's first packet is no greeting, so that this is no MySQL: %w", err)
	}
	if err == io.EOF {
		return nil, absent{lost("read the server's greeting", err)}
	}
	if err != nil {
		return nil, lost("read the server's greeting", err)
	}
	switch p.kind() {
	case errHeader:
		return nil, &proxy.SetupError{Stage: proxy.StageAuth, Err: decodeDatabaseError(p.payload(), false)}
	case protocolVersion:
		return decodeGreeting(p.payload())
	case 9:
		return nil, proxy.LoginError("upgrade the server: protocol 9 is of MySQL 3, and has no TLS", "the server speaks protocol 9, and dbvalet speaks 10")
	}
	return nil, notMySQL("the server's first packet is no greeting: this is no MySQL")
}

// notMySQL is the error for a server that is something else.
func notMySQL(format string, args ...any) error { return proxy.LoginError("", format, args...) }

func decodeGreeting(payload []byte) (*greeting, error) {
	f := fields{rest: payload}
	g := &greeting{}
	f.uint8()
	g.version = f.text()
	g.threadID = f.uint32()
	g.scramble = append(g.scramble, f.bytes(8)...)
	f.uint8()
	g.capabilities = uint32(f.uint16())
	g.charset = f.uint8()
	g.status = f.uint16()
	g.capabilities |= uint32(f.uint16()) << 16
	length := int(f.uint8())
	copy(g.reserved[:], f.bytes(len(g.reserved)))
	if f.short {
		return nil, notMySQL("the server's greeting ends too early")
	}
	if missing := needed &^ g.capabilities; missing != 0 {
		return nil, proxy.LoginError("upgrade the server; MySQL 5.6 and MariaDB 10 have what it takes",
			"the server's greeting lacks capabilities %#x, which dbvalet needs", missing)
	}
	second := f.bytes(max(13, length-8))
	if f.short {
		return nil, notMySQL("the server's greeting ends within its scramble")
	}
	g.scramble = append(g.scramble, second[:len(second)-1]...)
	g.plugin = f.lastText()
	return g, nil
}

// forClient is the packet that greets a client in this server's name: its own words, but for what is
// of the client's leg only, its capabilities and its login.
func (g *greeting) forClient(caps uint32, plugin string, scramble []byte) packet {
	b := appendText([]byte{protocolVersion}, g.version)
	b = binary.LittleEndian.AppendUint32(b, g.threadID)
	b = append(b, scramble[:8]...)
	b = append(b, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(caps))
	b = append(b, g.charset)
	b = binary.LittleEndian.AppendUint16(b, g.status)
	b = binary.LittleEndian.AppendUint16(b, uint16(caps>>16))
	b = append(b, scrambleLength+1)
	b = append(b, g.reserved[:]...)
	b = append(b, scramble[8:]...)
	b = append(b, 0)
	b = appendText(b, plugin)
	return newPacket(0, b)
}

// newScramble makes a scramble as servers do: of 7-bit characters, and without the zero that would
// end it and the dollar sign that means something else in a password's hash.
func newScramble() []byte {
	scramble := make([]byte, scrambleLength)
	_, _ = rand.Read(scramble) // it never fails
	for i, b := range scramble {
		b &= 0x7F
		if b == 0 || b == '$' {
			b++
		}
		scramble[i] = b
	}
	return scramble
}
