package proxy

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// serveConn is the life of one connection, from accept to close.
func (s *Server) serveConn(ctx context.Context, client net.Conn, log *slog.Logger) {
	defer client.Close()
	accepted := time.Now()
	log = log.With("conn", s.lastConn.Add(1), "client", clientName(client))
	keepClientAlive(client)
	client = fast(client)

	session, err := s.handshake(ctx, client)
	if err != nil {
		log.Warn("set-up failed", append([]any{"stage", stageOf(err)}, errAttrs(err)...)...)
		defer context.AfterFunc(ctx, func() { client.Close() })()
		linger(client)
		return
	}
	if session == nil {
		log.Debug("served without a session")
		return
	}
	defer session.end()

	log = log.With("upstream", session.Upstream.RemoteAddr().String(), "user", session.User, "database", session.Database)
	log.Info("session started", "application", session.Application,
		"credential", session.Upstream.Credential, "setup", time.Since(accepted).Round(time.Microsecond))

	result := relay(ctx, client, session)
	if result.silent && session.SilentHint != "" {
		log.Info("client left right after the login", "hint", session.SilentHint)
	}
	log.Info("session ended", append([]any{"from_client", result.fromClient, "from_upstream", result.fromUpstream,
		"duration", time.Since(accepted).Round(time.Millisecond)}, errAttrs(result.err)...)...)
}

// handshake is the engine's part, within the time limit.
func (s *Server) handshake(ctx context.Context, client net.Conn) (*Session, error) {
	timeout := cmp.Or(s.HandshakeTimeout, DefaultHandshakeTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errHandshakeTimeout)
	defer cancel()
	// Reads only: when time is up, the engine still writes the client an error.
	disarm := deadlineFrom(ctx, client.SetReadDeadline)

	session, err := s.Engine.Handshake(ctx, client, s.Upstream)
	if !disarm() && err == nil && session != nil {
		session.end()
		session, err = nil, context.Cause(ctx)
	}
	return session, err
}

var errHandshakeTimeout = errors.New("the time for the connection's set-up is over")

// end closes what the session holds: the upstream first, so that nothing arrives for a session
// that the engine has forgotten.
func (s *Session) end() {
	s.Upstream.Close()
	if s.Ended != nil {
		s.Ended()
	}
}

// keepClientAlive makes the kernel notice a client that is gone without a word.
func keepClientAlive(client net.Conn) {
	if tcp, ok := client.(*net.TCPConn); ok {
		tcp.SetKeepAliveConfig(keepAlive)
	}
}

// clientName is how a client is called in the log; one on a unix socket has no address.
func clientName(client net.Conn) string {
	if name := client.RemoteAddr().String(); name != "" && name != "@" {
		return name
	}
	return "unix"
}
