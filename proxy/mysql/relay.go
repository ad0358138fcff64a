package mysql

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// A session is a connection to the database that is logged in, as the relay sees it: what is written
// is what the client says, and what is read is for the client. It looks at the header of each packet
// from the client, and passes all of them on but COM_CHANGE_USER, which it conducts itself; see
// changeuser.go.
//
// One goroutine writes and another reads. The protocol is half duplex: while the one waits for the
// end of a COM_CHANGE_USER, it is that command's replies that the other reads.
type session struct {
	net.Conn
	engine      *Engine
	up          *proxy.Upstream
	credentials *tokens.Cache // of the host that the session is with
	door        *proxy.Door
	to          proxy.Endpoint // where the database is
	database    string         // for clients that name none
	greeted     uint32         // the database's capabilities
	reply       *response      // with which the client logged in
	ctx         context.Context
	cancel      context.CancelFunc

	// Of the writer.
	commands commands
	held     []byte // the first bytes of a packet, until it is clear whether it is passed on
	gathered packet // COM_CHANGE_USER, as far as it has arrived; nil: there is none
	missing  int    // bytes of gathered that are still to come
	refused  bool   // the session is about to end, and nothing is passed on any more

	// Of the writer, and for who would end the session.
	unanswered atomic.Int64 // bytes of commands that get no answer
	streams    atomic.Bool  // the client has asked for the binary log, which never ends

	// logins is the Attempt of the last COM_CHANGE_USER, which holds what its credential was borrowed
	// on; nil: there was none.
	logins *tokens.Attempt

	// change is the COM_CHANGE_USER that the database was asked for, nil if there is none. It is set
	// before the database is asked, so that a reply to it finds it there.
	change atomic.Pointer[change]

	// Of the reader.
	guarded bool         // the client offered no files, and is not to be asked for any
	files   fileRequests // while it is guarded
	unsure  []byte       // the first bytes of a packet, until it is clear whether it asks for a file
	pending []byte       // for the client, before anything else
	over    bool         // there is nothing after pending

	deadline   sync.Mutex
	concluding bool // a COM_CHANGE_USER
}

// watch makes a session of h's connection to the database. The session lives longer than ctx.
func watch(ctx context.Context, conn net.Conn, h *handshake) *session {
	s := &session{
		Conn: conn, engine: h.engine, up: h.up, credentials: h.opening.Credentials(), door: h.client.Door, to: h.opening.Endpoint(), database: h.database(),
		greeted: h.greeted.capabilities, reply: h.reply,
		guarded: !h.reply.has(mysql.CLIENT_LOCAL_FILES), files: fileRequests{seq: h.seq},
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// Write passes on what the client says.
func (s *session) Write(b []byte) (int, error) {
	written := len(b)
	if len(s.held) > 0 {
		b = slices.Concat(s.held, b)
		s.held = nil
	}
	for len(b) > 0 && !s.refused {
		if s.gathered != nil {
			n := min(len(b), s.missing)
			s.gathered, b = append(s.gathered, b[:n]...), b[n:]
			if s.missing -= n; s.missing == 0 {
				p := s.gathered
				s.gathered = nil
				if err := s.changeUser(p); err != nil {
					return 0, err
				}
			}
			continue
		}
		pass, found := s.commands.scan(b)
		s.note()
		if pass > 0 {
			if _, err := s.Conn.Write(b[:pass]); err != nil {
				return 0, err
			}
			b = b[pass:]
		}
		if !found {
			s.held = bytes.Clone(b)
			return written, nil
		}
		length := payloadLength(b)
		if length > maxChangeUser {
			return written, s.refuse(clientError(checkClient, "COM_CHANGE_USER of %d bytes", length))
		}
		s.commands.pass(b)
		s.commands.left = 0 // nothing of it is to be passed on
		s.gathered, s.missing = packet{}, packetHeader+length
	}
	return written, nil
}

// note publishes what the commands mean for who would end the session, where they mean anything.
func (s *session) note() {
	if n := s.commands.unanswered; n > 0 {
		s.commands.unanswered = 0
		s.unanswered.Add(n)
	}
	if s.commands.streams && !s.streams.Load() {
		s.streams.Store(true)
	}
}

// Read returns what is for the client. b has room for more than a packet's header.
func (s *session) Read(b []byte) (int, error) {
	for {
		switch {
		case len(s.pending) > 0:
			n := copy(b, s.pending)
			s.pending = s.pending[n:]
			return n, nil
		case s.over:
			return 0, io.EOF
		}
		begun := copy(b, s.unsure)
		n, err := s.Conn.Read(b[begun:])
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err // of who would end the session; what is unsure is still to come
		}
		n += begun
		s.unsure = nil
		c := s.change.Load()
		if c == nil {
			pass := s.admit(b[:n])
			switch {
			case err != nil && !s.over:
				return n, err // what was unsure too
			case pass > 0:
				return pass, nil
			}
			continue
		}
		s.change.Store(nil)
		if n == begun && err != nil && c.refusal == nil {
			close(c.done)
			return 0, err
		}
		s.undisturbed(true)
		told, over := s.conclude(c, bytes.Clone(b[:n]))
		s.undisturbed(false)
		s.over = over
		pass := s.admit(told)
		s.pending = append(told[:pass:pass], s.pending...)
		close(c.done)
	}
}

// CloseWrite ends what is written.
func (s *session) CloseWrite() error {
	if len(s.held) > 0 {
		if _, err := s.Conn.Write(s.held); err != nil {
			return err
		}
	}
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// NetConn returns the connection below TLS, whose end is passed on too.
func (s *session) NetConn() net.Conn {
	if c, ok := s.Conn.(interface{ NetConn() net.Conn }); ok {
		return c.NetConn()
	}
	return nil
}

// SetWriteDeadline limits the writer's wait for a COM_CHANGE_USER too.
func (s *session) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), s.cancel)
	}
	return s.Conn.SetWriteDeadline(t)
}

// SetReadDeadline is how the reader is woken, which is not done in the middle of a COM_CHANGE_USER.
func (s *session) SetReadDeadline(t time.Time) error {
	s.deadline.Lock()
	defer s.deadline.Unlock()
	if s.concluding {
		return nil
	}
	return s.Conn.SetReadDeadline(t)
}

// undisturbed begins and ends a time in which the reader is not woken.
func (s *session) undisturbed(concluding bool) {
	s.deadline.Lock()
	defer s.deadline.Unlock()
	s.concluding = concluding
	_ = s.Conn.SetReadDeadline(time.Time{})
}

// Close closes the connection and ends a COM_CHANGE_USER that is under way.
func (s *session) Close() error {
	s.cancel()
	return s.Conn.Close()
}

// ended is called when nobody reads or writes any more.
func (s *session) ended() {
	if s.logins != nil {
		s.logins.Close()
	}
}

// commands finds the commands in what a client sends. A command is a packet with number 0, unless it
// continues: a long sequence of packets, such as the data of LOAD DATA LOCAL, comes from 255 to 0
// again, and ends with an empty packet or a short one.
type commands struct {
	left    int  // bytes of a packet's payload that are still to come
	seq     byte // of the packet before
	carried bool // the packet before had a payload

	unanswered int64 // bytes of commands that get no answer
	streams    bool  // the binary log was asked for
}

// scan returns how many bytes of b are to be passed on. What is left of b then is the beginning of a
// COM_CHANGE_USER, or of a packet of which so little is there that it may become one.
func (c *commands) scan(b []byte) (pass int, found bool) {
	for {
		n := min(c.left, len(b)-pass)
		c.left -= n
		pass += n
		rest := b[pass:]
		if len(rest) < packetHeader {
			return pass, false
		}
		if c.command(rest) {
			if len(rest) == packetHeader {
				return pass, false
			}
			if rest[packetHeader] == mysql.COM_CHANGE_USER {
				return pass, true
			}
			c.note(rest)
		}
		c.pass(rest)
		pass += packetHeader
	}
}

// note notes commands that have another kind of answer than most.
func (c *commands) note(p packet) {
	switch p[packetHeader] {
	case mysql.COM_STMT_CLOSE:
		c.unanswered += int64(packetHeader + payloadLength(p))
	case mysql.COM_BINLOG_DUMP, mysql.COM_BINLOG_DUMP_GTID:
		c.streams = true
	}
}

// command reports whether the packet that begins with header is a command with a payload.
func (c *commands) command(header []byte) bool {
	continues := c.seq == 255 && c.carried
	return header[3] == 0 && payloadLength(header) > 0 && !continues
}

// pass notes the packet that begins with header.
func (c *commands) pass(header []byte) {
	c.left, c.seq = payloadLength(header), header[3]
	c.carried = c.left > 0
}

// A change is a COM_CHANGE_USER under way.
type change struct {
	cred    tokens.Credential
	logins  *tokens.Attempt // that cred is from; nil with a refusal
	answer  packet          // what goes to the client before the database's OK; nil: nothing
	user    string
	refusal packet        // what the client is told instead of anything from the database
	done    chan struct{} // closed when it is concluded
}
