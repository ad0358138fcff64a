package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"dbvalet/peer"
)

// Server serves the clients of one route. Its fields are set before the first Serve and not changed
// after it.
type Server struct {
	Engine   Engine
	Upstream *Upstream
	// Door says who may come in, and how.
	Door Door
	// Finder finds the clients' programs for the log; nil: nobody looks for them.
	Finder *peer.Finder
	// Rates limit the connections that are taken in a second: those of the route, and those of all
	// routes together.
	Rates []*rate.Limiter
	// QueueTimeout is how long a client waits for its turn under Rates; 0 is not at all.
	QueueTimeout time.Duration
	// HandshakeTimeout bounds everything up to the login, the client's part included; 0 means
	// DefaultHandshakeTimeout. A session that is set up has no time limit.
	HandshakeTimeout time.Duration
	// IdleTimeout is after how long a session is ended in which no byte moves and nobody waits for an
	// answer; 0 is never.
	IdleTimeout time.Duration
	// MaxSessionAge is the age from which on a session is ended as soon as it is idle outside a
	// transaction; 0 is never.
	MaxSessionAge time.Duration
	// TCP is how the connections of clients are watched.
	TCP TCP
	Log *slog.Logger
	// Observer is told of every connection; nil: nobody is.
	Observer Observer
	// Counts is for reading only.
	Counts Counts

	lastConn  atomic.Uint64
	sessions  sessions
	crowd     crowd
	lingering atomic.Int64
	failures  failureLog
	traffic   tally
}

// DefaultHandshakeTimeout leaves time for a role to be assumed and a slow network to be crossed, and
// is shorter than the 60 seconds that PostgreSQL itself gives to a login.
const DefaultHandshakeTimeout = 30 * time.Second

// Serve accepts clients from ln until ln is closed or ctx ends, and returns when every session is closed.
// When ln is closed, sessions go on until they end by themselves or are dismissed, and so do clients that
// are being set up. When ctx ends, it closes ln and ends all of them. It may be called once for each of
// several listeners at the same time.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { ln.Close() })()

	log := s.Log.With("listener", ln.Addr().String())
	var delay time.Duration
	for {
		s.crowd.makeRoom(ctx)
		conn, err := ln.Accept()
		switch {
		case err == nil:
			delay = 0
			s.Counts.Accepted.Add(1)
			seat := s.crowd.sit()
			conns.Go(func() { s.serveConn(ctx, conn, seat, log) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			conns.Wait()
			return nil
		default:
			// Out of descriptors, most likely. The connections that are open give some back.
			delay = min(max(2*delay, 5*time.Millisecond), time.Second)
			log.Warn("accept failed, waiting", "err", err, "wait", delay)
			wait(ctx, delay)
		}
	}
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
