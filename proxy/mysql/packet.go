package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// A packet is one of the protocol's, as it came:
//
//	3  length of the payload
//	1  sequence number
//	n  payload
//
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html
type packet []byte

const packetHeader = 4 // bytes

func (p packet) seq() byte       { return p[3] }
func (p packet) payload() []byte { return p[packetHeader:] }

// kind is the first byte of the payload, or 0xFF00 for an empty one.
func (p packet) kind() int {
	if len(p.payload()) == 0 {
		return 0xFF00
	}
	return int(p[packetHeader])
}

// newPacket frames payload, which is shorter than the 16 MiB that would need two.
func newPacket(seq byte, payload []byte) packet {
	p := binary.LittleEndian.AppendUint32(make([]byte, 0, packetHeader+len(payload)), uint32(len(payload)))
	p[3] = seq
	return append(p, payload...)
}

// payloadLength is the length that header announces, in bytes.
func payloadLength(header []byte) int {
	return int(header[0]) | int(header[1])<<8 | int(header[2])<<16
}

// errMalformed is a packet whose header is not what is accepted where it was read.
var errMalformed = errors.New("malformed packet")

// readPacket reads exactly one packet from r, which is to have number seq and a payload of at most
// maxPayload bytes: another one is refused before there is a buffer for it. A connection that ends
// between packets is io.EOF.
func readPacket(r io.Reader, seq byte, maxPayload int) (packet, error) {
	var header [packetHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := payloadLength(header[:])
	switch {
	case header[3] != seq:
		return nil, fmt.Errorf("%w: number %d instead of %d", errMalformed, header[3], seq)
	case length > maxPayload:
		return nil, fmt.Errorf("%w: too long, with %d bytes, of which at most %d are accepted here", errMalformed, length, maxPayload)
	}
	p := make(packet, packetHeader+length)
	copy(p, header[:])
	if _, err := io.ReadFull(r, p.payload()); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return p, nil
}

// fields takes the fields of a payload one after the other. After the first that is not there whole,
// short is true and every field is empty, so that a decoder may check once, at its end.
type fields struct {
	rest  []byte
	short bool
}

// bytes takes n bytes.
func (f *fields) bytes(n int) []byte {
	if n < 0 || n > len(f.rest) {
		f.rest, f.short = nil, true
		return nil
	}
	taken := f.rest[:n:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) uint8() byte {
	if b := f.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// text takes a string that ends with a zero byte.
func (f *fields) text() string {
	for i, b := range f.rest {
		if b == 0 {
			s := string(f.rest[:i])
			f.rest = f.rest[i+1:]
			return s
		}
	}
	f.rest, f.short = nil, true
	return ""
}

// lastText takes a string that ends with a zero byte, or with the packet, as servers take it: not
// every client, nor every server, ends its last one.
func (f *fields) lastText() string {
	for _, b := range f.rest {
		if b == 0 {
			return f.text()
		}
	}
	s := string(f.rest)
	f.rest = nil
	return s
}

// lenenc takes a string with its length before it.
// https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_dt_integers.html
func (f *fields) lenenc() []byte {
	var width int
	switch first := f.uint8(); first {
	case 0xFC:
		width = 2
	case 0xFD:
		width = 3
	case 0xFE:
		width = 8
	case 0xFB, 0xFF: // NULL, and what begins an error
		f.rest, f.short = nil, true
		return nil
	default:
		return f.bytes(int(first))
	}
	var length uint64
	for i, b := range f.bytes(width) {
		length |= uint64(b) << (8 * i)
	}
	if length > uint64(len(f.rest)) {
		f.rest, f.short = nil, true
		return nil
	}
	return f.bytes(int(length))
}

// lenencInt takes a length-encoded integer that nobody wants to know.
func (f *fields) lenencInt() {
	switch f.uint8() {
	case 0xFC:
		f.bytes(2)
	case 0xFD:
		f.bytes(3)
	case 0xFE:
		f.bytes(8)
	}
}

// appendLenenc appends s with its length before it.
func appendLenenc(b, s []byte) []byte {
	return append(mysql.AppendLengthEncodedInteger(b, uint64(len(s))), s...)
}

// appendText appends s and a zero byte.
func appendText(b []byte, s string) []byte {
	return append(append(b, s...), 0)
}
