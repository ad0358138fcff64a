package postgres

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A message is one of the protocol's, as it came:
//
//	1  type
//	4  length, which counts itself but not the type
//	n  body
type message []byte

const messageHeader = 5 // bytes

func (m message) kind() byte   { return m[0] }
func (m message) body() []byte { return m[messageHeader:] }

// readMessage reads exactly one message from r, with a body of at most maxBody bytes: a longer one is
// refused before there is a buffer for it. A connection that ends between messages is io.EOF.
func readMessage(r io.Reader, maxBody int) (message, error) {
	var header [messageHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(header[1:])) - 4
	if length < 0 || length > int64(maxBody) {
		return nil, &lengthError{header[0], length, maxBody}
	}
	m := make(message, messageHeader+int(length))
	copy(m, header[:])
	if _, err := io.ReadFull(r, m[messageHeader:]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return m, nil
}

// A lengthError is a message that is longer than may be, or shorter than can be.
type lengthError struct {
	kind    byte
	length  int64 // of the body
	maxBody int
}

func (e *lengthError) Error() string {
	return fmt.Sprintf("message %q announces %d bytes; at most %d are accepted here", e.kind, e.length, e.maxBody)
}
