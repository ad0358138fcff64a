package proxy

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// A Port owns a listener and lends it out, to one holder after the other: a View that is asked for takes
// over from the one before. In between the kernel keeps those who connect, so that nobody is refused and
// nobody is lost.
type Port struct {
	ln deadlineListener

	accepting sync.Mutex // held by the one who waits for a connection

	mu      sync.Mutex // of what follows, and of the listener's deadline
	current *view
}

// A deadlineListener can be made to stop waiting, as those for TCP and unix sockets can.
type deadlineListener interface {
	net.Listener
	SetDeadline(time.Time) error
}

// NewPort returns a Port that owns ln, a listener for TCP or a unix socket.
func NewPort(ln net.Listener) (*Port, error) {
	d, ok := ln.(deadlineListener)
	if !ok {
		return nil, &ListenError{ln.Addr().String(), errors.New("not a listener that can be handed over"), "use one for TCP or a unix socket"}
	}
	return &Port{ln: d}, nil
}

// Addr returns the address of the Port.
func (p *Port) Addr() net.Addr { return p.ln.Addr() }

// View returns a listener that accepts the Port's connections from now on. The Accept of the view before
// has returned net.ErrClosed by then, or the last connection that is its own. Closing a view ends only
// the view.
func (p *Port) View() net.Listener {
	v := &view{port: p}
	p.mu.Lock()
	before := p.current
	p.current = v
	if before != nil {
		before.end()
	}
	p.mu.Unlock()
	p.accepting.Lock() // until that one has returned
	defer p.accepting.Unlock()
	return v
}

// Close closes the listener. Every view's Accept returns net.ErrClosed.
func (p *Port) Close() error { return p.ln.Close() }

// A view is a net.Listener on somebody else's listener.
type view struct {
	port  *Port
	ended bool
}

var _ net.Listener = (*view)(nil)

func (v *view) Addr() net.Addr { return v.port.ln.Addr() }

// Accept waits for the next connection, as long as the view is the Port's last one.
func (v *view) Accept() (net.Conn, error) {
	v.port.accepting.Lock()
	defer v.port.accepting.Unlock()
	for {
		if err := v.arm(); err != nil {
			return nil, err
		}
		conn, err := v.port.ln.Accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return conn, err
		}
		// Somebody woke this view, or one that has returned already.
	}
}

// arm lifts the deadline that ended another view, unless this one has ended as well.
func (v *view) arm() error {
	v.port.mu.Lock()
	defer v.port.mu.Unlock()
	if v.ended {
		return net.ErrClosed
	}
	return v.port.ln.SetDeadline(time.Time{})
}

// Close ends the view. Those who connect wait for the next one.
func (v *view) Close() error {
	v.port.mu.Lock()
	defer v.port.mu.Unlock()
	v.end()
	return nil
}

// end wakes Accept, which finds that the view has ended. The port is locked.
func (v *view) end() {
	if v.ended {
		return
	}
	v.ended = true
	_ = v.port.ln.SetDeadline(time.Unix(1, 0)) // of a closed listener, Accept has returned
}
