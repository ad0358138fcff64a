package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"time"

	"dbvalet/peer"
)

// serveConn is the life of one connection, from accept to close.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, seat *seat, log *slog.Logger) {
	defer seat.leave()
	client := &Client{Conn: fast(conn), Door: &s.Door}
	defer func() { client.Close() }() // of what it is by then: encrypted, or not
	record := newRecord(conn)
	log = log.With("conn", s.lastConn.Add(1), "session", record.ID, "client", record.Client)
	defer s.contain(log, record)
	s.TCP.watch(conn)

	session, err := s.handshake(ctx, conn, client, seat, record)
	if errors.Is(err, peer.ErrGone) {
		err = nil // nobody is there to be refused anything, as after a probe of the port
	}
	if err != nil {
		s.Counts.count(err)
		if stageOf(err) == StagePeer || s.Observer != nil {
			record.identify(client.identity)
		}
		if stageOf(err) == StagePeer {
			log = log.With(record.identity()...)
		}
		s.observe(Refused, record)
		s.failures.write(log, err)
		s.linger(ctx, client)
		return
	}
	if session == nil {
		s.Counts.Served.Add(1)
		s.observe(Served, record)
		log.Debug("served without a session")
		return
	}
	record.identify(client.identity)
	ctx, t := s.begin(ctx, client.Conn, record)
	defer t.cut(nil)
	defer s.sessions.remove(t)
	s.Counts.Sessions.Add(1)
	s.Counts.Open.Add(1)
	defer s.Counts.Open.Add(-1)
	defer s.traffic.add(&session.Traffic)()
	defer s.observe(SessionEnd, record) // after a panic too
	defer session.end()

	log = log.With(record.identity()...)
	log = log.With("upstream", record.Upstream, "user", session.User, "database", session.Database)
	log.Info("session started", "application", session.Application,
		"credential", session.Upstream.Credential, "setup", record.SetUp.Round(time.Microsecond))
	s.observe(SessionStart, record)

	result := relay(ctx, t)
	record.ended(result.err)
	if result.silent && session.SilentHint != "" {
		log.Info("client left right after the login", "hint", session.SilentHint)
	}
	attrs := []any{"from_client", result.fromClient, "from_upstream", result.fromUpstream, "duration", record.Duration.Round(time.Millisecond)}
	if why := t.dismissed(ctx); why != nil {
		attrs = append(attrs, "because", why.Text)
	}
	log.Info("session ended", append(attrs, errAttrs(result.err)...)...)
}

// handshake is the engine's part, within the time limit. It is noted in record how it went.
func (s *Server) handshake(ctx context.Context, conn net.Conn, client *Client, seat *seat, record *Record) (session *Session, err error) {
	ctx, steps := withSteps(ctx)
	defer func() { record.setUp(steps, session, err) }()
	timeout := cmp.Or(s.HandshakeTimeout, DefaultHandshakeTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errHandshakeTimeout)
	defer cancel()
	ctx, evict := context.WithCancelCause(ctx)
	defer evict(nil)
	client.seat, client.evict = seat, evict
	// Reads only: when time is up, the engine still writes the client an error. But who reads from a TLS
	// connection may have to write, and the client may not care to read.
	disarm := deadlineFrom(ctx, client.SetReadDeadline)
	_ = client.SetWriteDeadline(time.Now().Add(timeout + lingerTime))

	up := s.Upstream
	if client.refusal = s.admit(ctx, conn, client); client.refusal != nil {
		up = up.refusing(client.refusal)
	}
	session, err = s.Engine.Handshake(ctx, client, up)
	if !disarm() && err == nil && session != nil {
		session.end()
		session, err = nil, context.Cause(ctx)
	}
	if session != nil {
		_ = client.SetWriteDeadline(time.Time{})
	}
	return session, err
}

var (
	errHandshakeTimeout = errors.New("the time for the connection's set-up is over")
	errSilent           = errors.New("the client said nothing, and others came")
)

// contain ends a connection that panicked, and no other one.
func (s *Server) contain(log *slog.Logger, record *Record) {
	p := recover()
	if p == nil {
		return
	}
	s.Counts.Panics.Add(1)
	if record.Session == nil {
		record.Err = errPanicked
		s.observe(Refused, record)
	}
	stack := debug.Stack()
	if other, ok := p.(*panicked); ok {
		p, stack = other.value, other.stack
	}
	text := fmt.Sprintf("%T", p) // its value may be anything, a secret too
	if err, ok := p.(runtime.Error); ok {
		text = err.Error()
	}
	log.Error("panic, and the connection is closed: please report this", "panic", text, "stack", string(stack))
}

// panicked is a panic in one of a connection's other goroutines.
type panicked struct {
	value any
	stack []byte
}

// end closes what the session holds: the upstream first, so that nothing arrives for a session
// that the engine has forgotten.
func (s *Session) end() {
	s.Upstream.Close()
	if s.Ended != nil {
		s.Ended()
	}
}

// clientName is how a client is called in the log; one on a unix socket has no address.
func clientName(client net.Conn) string {
	if name := client.RemoteAddr().String(); name != "" && name != "@" {
		return name
	}
	return "unix"
}
