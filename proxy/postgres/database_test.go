package postgres

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// A database is the other end of an engine: it plays a script on each connection, and remembers all
// that it was sent.
type database struct {
	addr string

	mu    sync.Mutex
	conns []*dbConn
}

// A script is what a database does with a connection, which is closed behind it. A step that fails
// ends the script.
type script func(c *dbConn)

// startDatabase plays scripts, one for each connection and the last one for all that follow, until
// the test ends.
func startDatabase(t testing.TB, scripts ...script) *database {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	db := &database{addr: ln.Addr().String()}
	var playing sync.WaitGroup
	playing.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(patience))
			c := &dbConn{bare: conn}
			c.Conn = &recorder{conn, &c.mu, &c.outside}
			db.mu.Lock()
			play := scripts[min(len(db.conns), len(scripts)-1)]
			db.conns = append(db.conns, c)
			db.mu.Unlock()
			playing.Go(func() {
				defer conn.Close()
				play(c)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		for _, c := range db.all() {
			c.bare.Close()
		}
		playing.Wait()
	})
	return db
}

func (db *database) all() []*dbConn {
	db.mu.Lock()
	defer db.mu.Unlock()
	return append([]*dbConn(nil), db.conns...)
}

// received returns what connection i was sent inside TLS up to now.
func (db *database) received(i int) []byte {
	c := db.all()[i]
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.inside)
}

// saw reports whether any connection was sent text, inside TLS or outside.
func (db *database) saw(text string) bool {
	for _, c := range db.all() {
		c.mu.Lock()
		seen := bytes.Contains(c.inside, []byte(text)) || bytes.Contains(c.outside, []byte(text))
		c.mu.Unlock()
		if seen {
			return true
		}
	}
	return false
}

// A dbConn is a connection to a database, with the steps that scripts consist of.
type dbConn struct {
	net.Conn // bare, and after startTLS encrypted
	bare     net.Conn
	state    tls.ConnectionState
	start    []byte // the StartupMessage

	mu              sync.Mutex
	inside, outside []byte // what was received, inside TLS and on the bare connection
}

// A recorder notes what is read from a connection.
type recorder struct {
	net.Conn
	mu *sync.Mutex
	to *[]byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.to = append(*r.to, p[:n]...)
	return n, err
}

// must ends the script if a step failed.
func (c *dbConn) must(err error) {
	if err != nil {
		runtime.Goexit()
	}
}

// read reads exactly n bytes.
func (c *dbConn) read(n int) []byte {
	buf := make([]byte, n)
	_, err := io.ReadFull(c, buf)
	c.must(err)
	return buf
}

func (c *dbConn) write(b ...byte) {
	_, err := c.Write(b)
	c.must(err)
}

func (c *dbConn) send(messages ...pgproto3.BackendMessage) {
	var encoded []byte
	for _, m := range messages {
		var err error
		encoded, err = m.Encode(encoded)
		c.must(err)
	}
	c.write(encoded...)
}

// sslRequest reads an SSLRequest.
func (c *dbConn) sslRequest() {
	if !bytes.Equal(c.read(8), []byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}) {
		runtime.Goexit()
	}
}

// startTLS makes TLS on the bare connection.
func (c *dbConn) startTLS(config *tls.Config) {
	secure := tls.Server(c.Conn, config)
	c.must(secure.Handshake())
	c.Conn, c.state = &recorder{secure, &c.mu, &c.inside}, secure.ConnectionState()
}

// startup reads the StartupMessage.
func (c *dbConn) startup() {
	header := c.read(4)
	c.start = append(header, c.read(int(binary.BigEndian.Uint32(header))-4)...)
}

// open takes the client as far as its StartupMessage.
func (c *dbConn) open() {
	c.sslRequest()
	c.write('S')
	c.startTLS(goodTLS())
	c.startup()
}

// answer reads a message of the client's, of the kind that answers authentication requests.
func (c *dbConn) answer() []byte {
	header := c.read(5)
	body := c.read(int(binary.BigEndian.Uint32(header[1:])) - 4)
	if header[0] != 'p' {
		runtime.Goexit()
	}
	return body
}

// password asks for the password in clear and returns it.
func (c *dbConn) password() string {
	c.send(&pgproto3.AuthenticationCleartextPassword{})
	return string(bytes.TrimSuffix(c.answer(), []byte{0}))
}

// wait reads until the other side ends the connection.
func (c *dbConn) wait() { _, _ = io.Copy(io.Discard, c) }

var (
	authOk = &pgproto3.AuthenticationOk{}
	ready  = &pgproto3.ReadyForQuery{TxStatus: 'I'}
)

// refusal is an ErrorResponse as a server makes it.
func refusal(code, text string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: text,
		File: "auth.c", Line: 321, Routine: "auth_failed"}
}

// takes is a database that logs in whoever gives password, and waits for the client to leave.
func takes(password string) script {
	return func(c *dbConn) {
		c.open()
		if c.password() != password {
			c.send(refusal(invalidPassword, "password authentication failed"))
			return
		}
		c.send(authOk, ready)
		c.wait()
	}
}

// reset ends a connection with a reset instead of an end.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}
