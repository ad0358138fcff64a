package proxy

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"dbvalet/peer"
)

// pipes is a listener without a network, for the bubbles of testing/synctest: there, time passes only when
// everybody waits, however busy the machine is.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.closed) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// dial returns the near end of a pipe, of which somebody accepts the far one.
func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// onPipes has s reach its database by pipes, and take clients that nobody can tell who they are.
func (s *Server) onPipes(t *testing.T) (clients, database *pipes) {
	t.Helper()
	anybody, err := peer.ParsePolicy("any")
	if err != nil {
		t.Fatal(err)
	}
	clients, database = newPipes(), newPipes()
	s.Door.Allow, s.Upstream.Endpoint.Dialer = anybody, database.dial
	return clients, database
}

// enter is a client that comes by p, until the test ends.
func (p *pipes) enter(t *testing.T) net.Conn {
	t.Helper()
	conn, err := p.dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}
