package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of the relay's buffers, in bytes. Each direction of a session has a small one, which is
// enough for most of what is said. As long as more comes, it borrows a large one: idle sessions are
// many, and busy ones are few.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// lingerTime is how long a client may take to read what was said last and to close its side.
const lingerTime = 5 * time.Second

// relayed is what became of a session.
type relayed struct {
	fromClient   int64 // bytes
	fromUpstream int64 // bytes
	silent       bool  // the client ended it, and had not sent a byte
	err          error // nil if it ended as sessions do
}

// relay copies both ways until both directions have ended, or ctx does. The end of one direction is
// passed on as the end of what is written there (half-close), so that what the other side still has
// to say arrives.
func relay(ctx context.Context, client net.Conn, s *Session) relayed {
	stop := context.AfterFunc(ctx, func() {
		client.Close()
		s.Upstream.Conn.Close()
	})
	defer stop()

	var clientEnded atomic.Bool
	up := make(chan copied, 1)
	go clientToUpstream(s.Upstream.Conn, client, &clientEnded, up)
	down := upstreamToClient(client, s)
	clientWasFirst := clientEnded.Load()
	endWrites(client)
	s.Upstream.SetWriteDeadline(time.Now().Add(lingerTime)) // nobody is there to read it
	sent := <-up
	if sent.panicked != nil {
		panic(sent.panicked)
	}

	r := relayed{
		fromClient:   sent.bytes,
		fromUpstream: down.bytes,
		silent:       clientWasFirst && sent.bytes == 0,
	}
	if ctx.Err() == nil {
		r.err = errors.Join(sent.failure("client to upstream"), down.failure("upstream to client"))
	}
	return r
}

// copied is what became of one direction.
type copied struct {
	bytes    int64
	err      error
	panicked *panicked // nil: it has not
}

// failure returns the direction's error, or nil if it ended as directions do.
func (c copied) failure(direction string) error {
	// The only deadlines in a relay are those of its end.
	if normalEnd(c.err) || timedOut(c.err) {
		return nil
	}
	return fmt.Errorf("%s: %w", direction, c.err)
}

// clientToUpstream copies what the client sends until it has ended its side. It notes that in ended
// before it passes it on, because the database may answer at once. A client that is gone altogether,
// with a reset, has nobody left to read what the database still has to say.
func clientToUpstream(upstream, client net.Conn, ended *atomic.Bool, done chan<- copied) {
	defer func() {
		if p := recover(); p != nil {
			upstream.Close()
			done <- copied{panicked: &panicked{p, debug.Stack()}}
		}
	}()
	n, err := pump(upstream, client)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF // of a client that leaves without TLS's own farewell, as many do
	}
	ended.Store(!ofWrite(err))
	if err == io.EOF || ofWrite(err) {
		closeWrite(upstream)
	} else {
		upstream.Close()
	}
	done <- copied{bytes: n, err: err}
}

// ofWrite reports whether err is of the writing end of a pump.
func ofWrite(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "write"
}

// upstreamToClient copies what the database sends until it has ended its side.
func upstreamToClient(client net.Conn, s *Session) copied {
	var first int64
	if s.Prologue != nil {
		n, err := s.Prologue()
		if err != nil {
			return copied{bytes: n, err: err}
		}
		first = n
	}
	rest, err := pump(client, s.Upstream.Conn)
	return copied{bytes: first + rest, err: err}
}

// pump copies from src to dst until one of them ends; the end of src is io.EOF.
func pump(dst io.Writer, src io.Reader) (n int64, err error) {
	small := make([]byte, smallBuffer)
	var large *[largeBuffer]byte // while it is borrowed
	defer func() {
		if large != nil {
			largeBuffers.Put(large)
		}
	}()
	for {
		buf := small
		if large != nil {
			buf = large[:]
		}
		r, readErr := src.Read(buf)
		if r > 0 {
			w, err := dst.Write(buf[:r])
			n += int64(w)
			if err != nil {
				return n, err
			}
		}
		if readErr != nil {
			return n, readErr
		}
		switch {
		case r == smallBuffer && large == nil:
			large = largeBuffers.Get().(*[largeBuffer]byte)
		case r < smallBuffer && large != nil:
			largeBuffers.Put(large)
			large = nil
		}
	}
}

// maxLingering is how many refused clients of a Server are waited for at the same time.
const maxLingering = 256

// linger lets a refused client read why before its connection is closed: closing while something
// that it sent lies unread makes the kernel reset the connection, and the client loses the reason.
func (s *Server) linger(ctx context.Context, client *Client) {
	defer s.lingering.Add(-1)
	if s.lingering.Add(1) > maxLingering {
		return
	}
	defer context.AfterFunc(ctx, func() { client.Close() })()
	endWrites(client.Conn)
	_, _ = io.CopyN(io.Discard, client.Conn, largeBuffer)
}

// endWrites tells client that nothing more will come, and gives it a moment to close its side.
func endWrites(client net.Conn) {
	closeWrite(client)
	client.SetReadDeadline(time.Now().Add(lingerTime))
}

// closeWrite passes an end on, where the kind of connection can. Under TLS that is two ends: the
// stream's, and that of the connection below, by which a server notices in mid-query that its client
// is gone (PostgreSQL's client_connection_check_interval).
func closeWrite(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		closeWrite(c.NetConn())
	}
}
