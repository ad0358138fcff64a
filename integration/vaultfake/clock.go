package vaultfake

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"log"
	"time"
)

var discard = log.New(io.Discard, "", 0)

// Now returns the time by the server's clock.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// Advance sets the clock forward, and returns when what ended by that has been dropped.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	s.offset += d
	s.mu.Unlock()
	s.expire()
}

func (s *Server) now() time.Time { return time.Now().Add(s.offset).Round(0) }

// expire ends the tokens and leases whose time is up, and sees to it that the next are ended.
func (s *Server) expire() {
	s.mu.Lock()
	now := s.now()
	for id, t := range s.tokens {
		if t.ended(now) {
			delete(s.tokens, id)
		}
	}
	var ended []*lease
	for id, l := range s.leases {
		if s.tokens[l.token] == nil || !now.Before(l.expires) {
			delete(s.leases, id)
			ended = append(ended, l)
		}
	}
	s.schedule()
	s.mu.Unlock()
	for _, l := range ended {
		l.drop()
	}
}

// schedule sets the timer for what ends next. It is called with s.mu held.
func (s *Server) schedule() {
	var next time.Time
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, t := range s.tokens {
		sooner(t.expires)
	}
	for _, l := range s.leases {
		sooner(l.expires)
	}
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if !next.IsZero() && !s.closed {
		s.timer = time.AfterFunc(next.Sub(s.now()), s.expire)
	}
}

// random returns 2n random hexadecimal digits.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
