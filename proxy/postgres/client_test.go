package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A client is the application's end of a connection to a valet.
type client struct {
	net.Conn
	t testing.TB
}

func (v *valet) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &client{conn, t}
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// read reads exactly n bytes.
func (c *client) read(n int) []byte {
	c.t.Helper()
	buf := make([]byte, n)
	if got, err := io.ReadFull(c, buf); err != nil {
		c.t.Fatalf("client read %q and then: %v", buf[:got], err)
	}
	return buf
}

// message reads one message and returns it as it came.
func (c *client) message() []byte {
	c.t.Helper()
	header := c.read(5)
	return append(header, c.read(int(binary.BigEndian.Uint32(header[1:]))-4)...)
}

// rest reads until the connection ends.
func (c *client) rest() []byte {
	c.t.Helper()
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("client read %q and then: %v", got, err)
	}
	return got
}

// refused reads an ErrorResponse and the connection's end, and checks what all of dbvalet's own
// errors have in common.
func (c *client) refused() *pgproto3.ErrorResponse {
	c.t.Helper()
	raw := c.rest()
	if len(raw) < 5 || raw[0] != 'E' || int(binary.BigEndian.Uint32(raw[1:]))+1 != len(raw) {
		c.t.Fatalf("client got %q, want one ErrorResponse", raw)
	}
	var response pgproto3.ErrorResponse
	if err := response.Decode(raw[5:]); err != nil {
		c.t.Fatalf("client got an ErrorResponse that can't be decoded: %v", err)
	}
	if response.Severity != "FATAL" || response.SeverityUnlocalized != "FATAL" {
		c.t.Errorf("got severities %q and %q, want FATAL", response.Severity, response.SeverityUnlocalized)
	}
	if response.Detail == "" || response.Hint == "" {
		c.t.Errorf("got detail %q and hint %q, want both", response.Detail, response.Hint)
	}
	for _, text := range []string{response.Message, response.Detail, response.Hint} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			c.t.Errorf("got a control character in %q", text)
		}
		if strings.Contains(text, secret) {
			c.t.Errorf("got the password in %q", text)
		}
	}
	if len(raw) > 30_000 {
		c.t.Errorf("got an ErrorResponse of %d bytes; libpq reads at most 30000", len(raw))
	}
	return &response
}

// startupPacket is a StartupMessage of version 3.0, as a client makes it that was not written here.
func startupPacket(t testing.TB, parameters map[string]string) []byte {
	t.Helper()
	m := pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: parameters}
	encoded, err := m.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// startup sends an ordinary StartupMessage.
func (c *client) startup() {
	c.t.Helper()
	c.write(startupPacket(c.t, map[string]string{"user": "whoever", "database": "orders", "application_name": "test"}))
}

// login opens a session and reads what comes before the first command.
func (c *client) login() {
	c.t.Helper()
	c.startup()
	c.untilReady()
}

// untilReady returns all messages up to ReadyForQuery, as they came.
func (c *client) untilReady() []byte {
	c.t.Helper()
	var all []byte
	for {
		m := c.message()
		all = append(all, m...)
		if m[0] == 'Z' {
			return all
		}
	}
}

// packet is a startup packet with content, and with the length of all of it in front.
func packet(content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	return append(binary.BigEndian.AppendUint32(nil, uint32(4+len(body))), body...)
}

// version is the protocol version or the request code of a startup packet.
func version(major, minor uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, major), minor)
}

// fields are names and values, as in a StartupMessage.
func fields(s ...string) []byte { return []byte(strings.Join(s, "\x00") + "\x00") }
