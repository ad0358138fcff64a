package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"syscall"

	"dbvalet/proxy"
)

// Request codes that a client may send in place of a protocol version.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
const (
	cancelRequestCode = 80877102
	sslRequestCode    = 80877103
	gssEncRequestCode = 80877104
)

// maxStartupPacket is the largest startup packet that a server takes, in bytes, its length included
// (MAX_STARTUP_PACKET_LENGTH in src/include/libpq/pqcomm.h, and the length itself).
const maxStartupPacket = 10_000 + 4

// maxCancelKey and minCancelKey are the sizes of the secret part of a cancel key, in bytes.
const (
	minCancelKey = 4
	maxCancelKey = 256
)

// A startupMessage is what a client opens its session with, as it came:
//
//	4  length, which counts itself
//	2  major version
//	2  minor version
//	   name, zero, value, zero; for each parameter
//	1  zero
//
// Any 3.x version is kept, and so are the protocol options (_pq_.*): the database answers for them.
type startupMessage struct {
	packet []byte
	params []param
}

// A param is a parameter of a StartupMessage. The order and duplicates are kept.
type param struct{ name, value []byte }

// A cancelRequest is a client's wish to cancel what another connection does, as it came:
//
//	4  length, which counts itself
//	4  code
//	4  process id
//	n  secret key, 4 to 256 bytes
type cancelRequest []byte

// key is what the database called the session in BackendKeyData: process id and secret key.
func (c cancelRequest) key() string { return string(c[8:]) }

// readStartup reads what client opens the connection with, and answers requests for an encryption: with
// TLS where the client's Door has it, and else by declining. It returns a startupMessage or a
// cancelRequest, or io.EOF for a client that left without a word.
func readStartup(client *proxy.Client) (any, error) {
	var askedSSL, refusedGSS bool
	for {
		header, err := readStartupHeader(client)
		if err != nil {
			return nil, leftEarly(client, err, askedSSL, refusedGSS)
		}
		if header[0] == tlsHandshakeRecord && client.TLS() == nil {
			if err := beginTLS(client, header); err != nil {
				return nil, err
			}
			askedSSL = true
			continue
		}
		packet, err := readStartupPacket(client, header)
		if err != nil {
			return nil, err
		}
		code := binary.BigEndian.Uint32(packet[4:])
		switch {
		case code == sslRequestCode && !askedSSL && len(packet) == 8:
			askedSSL = true
			err = answerSSLRequest(client)
		case code == gssEncRequestCode && !refusedGSS && len(packet) == 8:
			refusedGSS = true
			_, err = client.Write([]byte{'N'})
		case code == cancelRequestCode:
			return parseCancelRequest(packet)
		default:
			return parseStartupMessage(packet)
		}
		if err != nil {
			return nil, err
		}
	}
}

// readStartupHeader reads the first four bytes of a packet of the kind that has no type byte. A
// connection that ends before it is io.EOF, also where it ends with a reset, as load balancers end
// their probes, and under TLS without a word.
func readStartupHeader(client net.Conn) (header [4]byte, err error) {
	n, err := io.ReadFull(client, header[:])
	if n == 0 && (errors.Is(err, syscall.ECONNRESET) || err == io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return header, err
}

// readStartupPacket reads what belongs to header.
func readStartupPacket(client net.Conn, header [4]byte) ([]byte, error) {
	length := int64(binary.BigEndian.Uint32(header[:]))
	if length < 8 || length > maxStartupPacket {
		return nil, notPostgres(header)
	}
	packet := make([]byte, length)
	copy(packet, header[:])
	if _, err := io.ReadFull(client, packet[4:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return packet, nil
}

// notPostgres is the error for a first word that is no length.
func notPostgres(header [4]byte) error {
	switch string(header[:]) {
	case "GET ", "POST", "PUT ", "HEAD", "OPTI", "PRI ", "CONN":
		return clientError(protocolViolation, "point the browser, the health check or whatever it is at another port",
			"an HTTP client connected to a database port")
	}
	return clientError(protocolViolation, checkClient, "invalid length of startup packet")
}

func parseCancelRequest(packet []byte) (cancelRequest, error) {
	if n := len(packet) - 12; n < minCancelKey || n > maxCancelKey {
		return nil, clientError(protocolViolation, checkClient, "invalid length of cancel request")
	}
	return packet, nil
}

func parseStartupMessage(packet []byte) (*startupMessage, error) {
	major, minor := binary.BigEndian.Uint16(packet[4:]), binary.BigEndian.Uint16(packet[6:])
	if major != 3 {
		return nil, clientError(featureNotSupported, checkClient, "unsupported frontend protocol %d.%d: dbvalet passes on 3.x", major, minor)
	}
	s := &startupMessage{packet: packet}
	rest := packet[8:]
	for len(rest) > 0 && rest[0] != 0 {
		var p param
		var ok, valued bool
		p.name, rest, ok = bytes.Cut(rest, []byte{0})
		p.value, rest, valued = bytes.Cut(rest, []byte{0})
		if !ok || !valued {
			return nil, clientError(protocolViolation, checkClient, "invalid startup packet layout: a parameter has no end")
		}
		s.params = append(s.params, p)
	}
	if len(rest) != 1 {
		return nil, clientError(protocolViolation, checkClient, "invalid startup packet layout: expected terminator as last byte")
	}
	return s, nil
}

// get returns the value of the parameter called name, or "". Of several, the last counts, as it does
// for a server.
func (s *startupMessage) get(name string) string {
	for i := len(s.params) - 1; i >= 0; i-- {
		if string(s.params[i].name) == name {
			return string(s.params[i].value)
		}
	}
	return ""
}

// with returns the packet with the parameter called name set to value. Every other byte stays as
// and where it was.
func (s *startupMessage) with(name, value string) *startupMessage {
	set := &startupMessage{}
	found := false
	for _, p := range s.params {
		if string(p.name) == name {
			p.value, found = []byte(value), true
		}
		set.params = append(set.params, p)
	}
	if !found {
		set.params = append(set.params, param{[]byte(name), []byte(value)})
	}
	set.packet = append(set.packet, s.packet[:8]...)
	for _, p := range set.params {
		set.packet = append(set.packet, p.name...)
		set.packet = append(set.packet, 0)
		set.packet = append(set.packet, p.value...)
		set.packet = append(set.packet, 0)
	}
	set.packet = append(set.packet, 0)
	binary.BigEndian.PutUint32(set.packet, uint32(len(set.packet)))
	return set
}
