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
	accepted := time.Now()
	id := s.lastConn.Add(1)
	log = log.With("conn", id, "client", clientName(conn))
	defer s.contain(log)
	s.TCP.watch(conn)

	session, err := s.handshake(ctx, conn, client, seat)
	if errors.Is(err, peer.ErrGone) {
		err = nil // nobody is there to be refused anything, as after a probe of the port
	}
	if err != nil {
		s.Counts.count(err)
		if stageOf(err) == StagePeer {
			log = log.With(<-client.identity...)
		}
		s.failures.write(log, err)
		s.linger(ctx, client)
		return
	}
	if session == nil {
		log.Debug("served without a session")
		return
	}
	identity := <-client.identity
	t := newTalk(client.Conn, session)
	t.state = SessionState{
		ID: id, Since: accepted, Client: clientName(conn), Peer: identity, Upstream: session.Upstream.RemoteAddr(),
		User: session.User, Database: session.Database, Application: session.Application,
	}
	ctx, t.cut = context.WithCancelCause(ctx)
	defer t.cut(nil)
	t.watch = s.watchFrom(time.Now())
	s.sessions.add(t)
	s.watchLimits()
	defer s.sessions.remove(t)
	defer session.end()
	s.Counts.Sessions.Add(1)
	s.Counts.Open.Add(1)
	defer s.Counts.Open.Add(-1)

	log = log.With(identity...)
	log = log.With("upstream", session.Upstream.RemoteAddr().String(), "user", session.User, "database", session.Database)
	log.Info("session started", "application", session.Application,
		"credential", session.Upstream.Credential, "setup", time.Since(accepted).Round(time.Microsecond))

	result := relay(ctx, t)
	if result.silent && session.SilentHint != "" {
		log.Info("client left right after the login", "hint", session.SilentHint)
	}
	attrs := []any{"from_client", result.fromClient, "from_upstream", result.fromUpstream, "duration", time.Since(accepted).Round(time.Millisecond)}
	if why := t.dismissed(ctx); why != nil {
		attrs = append(attrs, "because", why.Text)
	}
	log.Info("session ended", append(attrs, errAttrs(result.err)...)...)
}

// handshake is the engine's part, within the time limit.
func (s *Server) handshake(ctx context.Context, conn net.Conn, client *Client, seat *seat) (*Session, error) {
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
	session, err := s.Engine.Handshake(ctx, client, up)
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
func (s *Server) contain(log *slog.Logger) {
	p := recover()
	if p == nil {
		return
	}
	s.Counts.Panics.Add(1)
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
