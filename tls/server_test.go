package dbtls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// A database is the other end of a handshake: it takes one credential on each connection and says
// "ok" to it.
type database struct {
	addr string

	mu       sync.Mutex
	received []byte                // what came through TLS, on all connections
	states   []tls.ConnectionState // of the handshakes that were completed
	sni      []string              // of all handshakes
}

// start serves config until the test ends. before, if not nil, has the bare connection first.
func start(t testing.TB, config *tls.Config, before func(net.Conn)) *database {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	db := &database{addr: listener.Addr().String()}
	getConfig := config.GetConfigForClient
	config = config.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		db.mu.Lock()
		db.sni = append(db.sni, hello.ServerName)
		db.mu.Unlock()
		if getConfig != nil {
			return getConfig(hello)
		}
		return nil, nil
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { db.serve(conn, config, before) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		serving.Wait()
	})
	return db
}

func (db *database) serve(conn net.Conn, config *tls.Config, before func(net.Conn)) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if before != nil {
		before(conn)
	}
	secure := tls.Server(conn, config)
	if secure.Handshake() != nil {
		return
	}
	db.mu.Lock()
	db.states = append(db.states, secure.ConnectionState())
	db.mu.Unlock()
	buf := make([]byte, len(credential))
	n, err := io.ReadFull(secure, buf)
	db.mu.Lock()
	db.received = append(db.received, buf[:n]...)
	db.mu.Unlock()
	if err == nil {
		_, _ = secure.Write([]byte("ok"))
	}
	_, _ = io.Copy(io.Discard, secure) // until the client closes
}

const credential = "the secret token"

// login does what an engine does: TLS, and then, if that went well, the credential. Reading the
// answer takes in the session tickets as well.
func (db *database) login(t testing.TB, c *Client) (tls.ConnectionState, error) {
	t.Helper()
	conn, err := net.Dial("tcp", db.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	secure, err := c.Handshake(ctx, conn)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	if _, err := secure.Write([]byte(credential)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(secure, make([]byte, len("ok"))); err != nil {
		t.Fatal(err)
	}
	return secure.ConnectionState(), nil
}

// credentials returns what the server has seen of credentials.
func (db *database) credentials() string {
	db.mu.Lock()
	defer db.mu.Unlock()
	return string(db.received)
}

func (db *database) lastSNI() string {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.sni[len(db.sni)-1]
}

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func serverConfig(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// asError returns err as what this package promises, or ends the test.
func asError(t testing.TB, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got error %v (%T), want an *Error", err, err)
	}
	return e
}
