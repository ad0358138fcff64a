package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A stream is what SSH has for a connection: it has no deadlines, and its calls end when the other side
// says something or the SSH connection ends.
type stream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// A conn makes a net.Conn of a stream. A goroutine reads and another one writes, so that who waits for
// them can stop waiting. What was read then is there for the next Read. A Write that was given up may
// arrive nonetheless, as with TCP, but it isn't known how much of it: the connection is good for reading
// then, and for being closed.
//
// It reads ahead one chunk. More waits in the SSH connection, up to the window of a channel, 2 MB; from
// there on the bastion stops reading from the database.
type conn struct {
	stream stream
	remote addr
	// why returns the reason for which the connection below the stream has ended; nil: it has not.
	why func() error

	closed    chan struct{}
	closeOnce sync.Once
	release   func() // called at the end, once

	readMu       sync.Mutex
	rest         []byte // of the chunk that arrived last, what nobody has read yet
	readErr      error  // what followed it; nil: more may come
	arrived      chan arrival
	taken        chan struct{}
	readDeadline deadline

	writeMu       sync.Mutex
	given         bool   // the writer has a chunk, and nobody has heard what became of it
	chunk         []byte // the writer's as long as it is given
	outgoing      chan []byte
	sent          chan error
	ended         chan struct{} // closed by CloseWrite
	endOnce       sync.Once
	writeDeadline deadline
}

// An arrival is what one read of the stream brought.
type arrival struct {
	chunk []byte
	err   error
}

// Sizes of chunks, in bytes. Idle sessions are many, and make do with a small one.
const (
	smallChunk = 4 << 10
	largeChunk = 32 << 10 // as much as a packet of SSH has
)

// newConn returns a connection that owns s.
func newConn(s stream, remote addr, why func() error, release func()) *conn {
	c := &conn{
		stream: s, remote: remote, why: why, release: release,
		closed: make(chan struct{}), ended: make(chan struct{}),
		arrived: make(chan arrival), taken: make(chan struct{}, 1),
		outgoing: make(chan []byte), sent: make(chan error, 1),
	}
	go c.receive()
	go c.send()
	return c
}

// receive reads until the stream ends or the connection is closed. The buffer is a Read's from when it
// is handed over until that one says that it is taken.
func (c *conn) receive() {
	size := smallChunk
	var buf []byte
	for {
		if len(buf) != size {
			buf = make([]byte, size)
		}
		n, err := c.stream.Read(buf)
		select {
		case c.arrived <- arrival{buf[:n], err}:
		case <-c.closed:
			return
		}
		if err != nil {
			return
		}
		select {
		case <-c.taken:
		case <-c.closed:
			return
		}
		switch {
		case n == len(buf):
			size = largeChunk
		case n < smallChunk:
			size = smallChunk
		}
	}
}

// send writes until the connection is closed or ended.
func (c *conn) send() {
	for {
		select {
		case chunk := <-c.outgoing:
			_, err := c.stream.Write(chunk)
			c.sent <- err
		case <-c.ended:
			_ = c.stream.CloseWrite()
			return
		case <-c.closed:
			return
		}
	}
}

// Read is net.Conn's.
func (c *conn) Read(b []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	passed := c.readDeadline.wait()
	switch {
	case isClosed(c.closed):
		return 0, c.opError("read", net.ErrClosed)
	case isClosed(passed):
		return 0, c.opError("read", os.ErrDeadlineExceeded)
	case len(b) == 0:
		return 0, nil
	}
	for len(c.rest) == 0 && c.readErr == nil {
		select {
		case a := <-c.arrived:
			c.rest, c.readErr = a.chunk, a.err
			c.take(0) // an empty one is taken as it is
		case <-passed:
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case <-c.closed:
			return 0, c.opError("read", net.ErrClosed)
		}
	}
	if len(c.rest) == 0 {
		return 0, c.readFailure()
	}
	n := copy(b, c.rest)
	c.take(n)
	return n, nil
}

// take notes that n bytes of the chunk have been read, and lets the reader go on when all have.
func (c *conn) take(n int) {
	c.rest = c.rest[n:]
	if len(c.rest) == 0 && c.readErr == nil {
		c.taken <- struct{}{}
	}
}

// readFailure tells the end of a stream, which the other side has decided, from that of all streams of
// the SSH connection. For SSH's package, both are the same.
func (c *conn) readFailure() error {
	if why := c.why(); why != nil {
		return c.opError("read", why)
	}
	if c.readErr == io.EOF {
		return io.EOF
	}
	return c.opError("read", c.readErr)
}

// Write is net.Conn's.
func (c *conn) Write(b []byte) (n int, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	for {
		size := min(len(b)-n, largeChunk)
		if err := c.write(b[n : n+size]); err != nil {
			return n, c.opError("write", err)
		}
		if n += size; n == len(b) {
			return n, nil
		}
	}
}

// write hands a chunk to the writer, and waits for what becomes of it.
func (c *conn) write(b []byte) error {
	passed := c.writeDeadline.wait()
	switch {
	case isClosed(c.closed):
		return net.ErrClosed
	case isClosed(c.ended):
		return syscall.EPIPE
	case isClosed(passed):
		return os.ErrDeadlineExceeded
	}
	if c.given { // by a Write that was given up
		if err := c.outcome(passed); err != nil {
			return err
		}
	}
	c.chunk = append(c.chunk[:0], b...) // b is the caller's again when Write returns
	select {
	case c.outgoing <- c.chunk:
		c.given = true
		return c.outcome(passed)
	case <-c.ended:
		return syscall.EPIPE
	case <-passed:
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
}

// outcome waits for what became of the chunk that the writer has.
func (c *conn) outcome(passed <-chan struct{}) error {
	select {
	case err := <-c.sent:
		c.given = false
		if cap(c.chunk) > smallChunk {
			c.chunk = nil
		}
		return c.writeFailure(err)
	case <-passed:
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
}

// writeFailure makes of EOF, which SSH's package has for a stream that the other side has closed, what
// TCP has.
func (c *conn) writeFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case c.why() != nil:
		return c.why()
	case errors.Is(err, io.EOF):
		return syscall.EPIPE
	}
	return err
}

// CloseWrite ends what is written, behind all that has been. Like TCP's, it neither waits nor minds
// deadlines.
func (c *conn) CloseWrite() error {
	c.endOnce.Do(func() { close(c.ended) })
	return nil
}

// Close closes the connection. It does not wait for the bastion.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		err = nil
		close(c.closed)
		go c.end()
	})
	return err
}

// end closes the stream, which may have to wait for a network that is stuck until the keepalives give
// that up.
func (c *conn) end() {
	_ = c.stream.Close()
	c.release()
}

// LocalAddr is where the connection comes from, which only the bastion knows.
func (c *conn) LocalAddr() net.Addr { return addr{"tcp", "0.0.0.0:0"} }

// RemoteAddr is what was asked for. Where that is a name, the bastion alone knows its address.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is net.Conn's.
func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readDeadline.set(t)
	return nil
}

// SetWriteDeadline is net.Conn's.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeDeadline.set(t)
	return nil
}

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.remote.network, Addr: c.remote, Err: err}
}

// An addr is an address as it was asked for.
type addr struct{ network, text string }

func (a addr) Network() string { return a.network }
func (a addr) String() string  { return a.text }
