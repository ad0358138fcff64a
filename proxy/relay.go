package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
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
func relay(ctx context.Context, t *talk) relayed {
	client, upstream := t.client, t.session.Upstream
	stop := context.AfterFunc(ctx, func() {
		client.Close()
		upstream.Conn.Close()
	})
	defer stop()

	var clientEnded atomic.Bool
	up := make(chan copied, 1)
	go clientToUpstream(t, &clientEnded, up)
	down := upstreamToClient(t)
	clientWasFirst := clientEnded.Load()
	if t.farewell() == nil {
		endWrites(client)
	} else {
		closeWrite(client)
		client.SetReadDeadline(longAgo) // and the other goroutine takes leave of the database
	}
	upstream.SetWriteDeadline(time.Now().Add(lingerTime)) // nobody is there to read it
	sent := <-up
	if sent.panicked != nil {
		panic(sent.panicked)
	}

	r := relayed{
		fromClient:   t.fromClient.Load(),
		fromUpstream: t.fromUpstream.Load(),
		silent:       clientWasFirst && t.fromClient.Load() == 0,
	}
	if ctx.Err() == nil {
		r.err = errors.Join(sent.failure("client to upstream"), down.failure("upstream to client"))
	}
	return r
}

// copied is what became of one direction.
type copied struct {
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
func clientToUpstream(t *talk, ended *atomic.Bool, done chan<- copied) {
	upstream := t.session.Upstream.Conn
	defer func() {
		if p := recover(); p != nil {
			upstream.Close()
			done <- copied{panicked: &panicked{p, debug.Stack()}}
		}
	}()
	side := &fromClientSide{talk: t}
	err := pump(upstream, t.client, side)
	t.knocks()
	if !ofWrite(err) {
		side.takeLeave() // of a client that left as soon as it was told
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF // of a client that leaves without TLS's own farewell, as many do
	}
	ended.Store(!ofWrite(err))
	if err == io.EOF || ofWrite(err) {
		closeWrite(upstream)
	} else {
		upstream.Close()
	}
	done <- copied{err: err}
}

// ofWrite reports whether err is of the writing end of a pump.
func ofWrite(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "write"
}

// upstreamToClient copies what the database sends until it has ended its side, or until the client is
// told farewell.
func upstreamToClient(t *talk) copied {
	if prologue := t.session.Prologue; prologue != nil {
		n, err := prologue()
		t.fromUpstream.Add(n)
		if err != nil {
			return copied{err: err}
		}
	}
	t.begin()
	err := pump(t.client, t.session.Upstream.Conn, fromUpstreamSide{t})
	if err == errFarewell {
		err = t.sayFarewell()
	}
	return copied{err: err}
}

// knockTime is how long the client's next command is waited for, to be answered with the farewell. What
// comes right behind an answer, some drivers take for a part of it, and they don't show what it says.
const knockTime = 100 * time.Millisecond

// sayFarewell tells the client why nothing more comes.
func (t *talk) sayFarewell() error {
	if t.session.Farewell == nil {
		return nil
	}
	timer := time.NewTimer(knockTime)
	defer timer.Stop()
	select {
	case <-t.knock:
	case <-timer.C:
	}
	_ = t.client.SetWriteDeadline(time.Now().Add(lingerTime))
	_, err := t.client.Write(t.session.Farewell(t.farewell()))
	return err
}

// A side is where a pump reads, as whoever counts sees it.
type side interface {
	// read is called with what has been read. It is passed on if pass says so, and nothing is read any
	// more if last does.
	read(chunk []byte) (pass, last bool)
	// passed is called with what has been passed on.
	passed(chunk []byte)
	// woken is called at the reader's deadline, err, with what was read last. What it returns ends the
	// pump; nil: it goes on.
	woken(chunk []byte, err error) error
}

// errFarewell is the end of a pump whose session is ended.
var errFarewell = errors.New("the session is ended")

// pump copies from src to dst until one of them ends; the end of src is io.EOF.
func pump(dst io.Writer, src io.Reader, s side) error {
	small := make([]byte, smallBuffer)
	var large *[largeBuffer]byte // while it is borrowed
	defer func() {
		if large != nil {
			largeBuffers.Put(large)
		}
	}()
	var chunk []byte
	for {
		buf := small
		if large != nil {
			buf = large[:]
		}
		r, readErr := src.Read(buf)
		if r > 0 {
			chunk = buf[:r]
			pass, last := s.read(chunk)
			if pass {
				w, err := dst.Write(chunk)
				s.passed(chunk[:w])
				if err != nil {
					return err
				}
			}
			if last {
				return errFarewell
			}
		}
		if readErr != nil {
			if !errors.Is(readErr, os.ErrDeadlineExceeded) {
				return readErr
			}
			if err := s.woken(chunk, readErr); err != nil {
				return err
			}
			continue
		}
		switch {
		case r == smallBuffer && large == nil:
			large = largeBuffers.Get().(*[largeBuffer]byte)
		case r < smallBuffer && large != nil:
			chunk = small[:copy(small, chunk)] // the large one may be another's
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
