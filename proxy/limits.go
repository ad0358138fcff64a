package proxy

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// watchedTalk is what a Server's limits know of a session. It belongs to whoever looks at the limits.
type watchedTalk struct {
	bytes int64     // that had moved when it was looked at last
	since time.Time // no byte has moved
	ends  time.Time // its age is the limit; zero: there is none
}

// Bounds of how often limits are looked at. It is a part of the shortest one, so that a session lasts
// little longer than it may.
const (
	limitParts = 8
	minLook    = 10 * time.Millisecond
	maxLook    = 15 * time.Second
)

// lookEvery returns how often the limits are looked at; 0 is never.
func (s *Server) lookEvery() time.Duration {
	shortest := s.IdleTimeout
	if shortest == 0 || s.MaxSessionAge > 0 && s.MaxSessionAge < shortest {
		shortest = s.MaxSessionAge
	}
	if shortest == 0 {
		return 0
	}
	return min(max(shortest/limitParts, minLook), maxLook)
}

// watchFrom returns what is known of a session that begins now.
func (s *Server) watchFrom(now time.Time) watchedTalk {
	w := watchedTalk{since: now}
	if age := s.MaxSessionAge; age > 0 {
		// Sessions that began together don't all come back together.
		w.ends = now.Add(age + rand.N(age/10+1))
	}
	return w
}

// watchLimits sees to it that the limits are looked at. One timer does that for all sessions, as long as
// there are any.
func (s *Server) watchLimits() {
	every := s.lookEvery()
	if every == 0 {
		return
	}
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if s.sessions.limits == nil {
		s.sessions.limits = time.AfterFunc(every, s.lookAtLimits)
	}
}

// lookAtLimits asks the sessions to end that are over a limit, and comes again.
func (s *Server) lookAtLimits() {
	now := time.Now()
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	for t := range s.sessions.talks {
		s.lookAt(t, now)
	}
	if len(s.sessions.talks) == 0 {
		s.sessions.limits = nil
		return
	}
	s.sessions.limits.Reset(s.lookEvery())
}

func (s *Server) lookAt(t *talk, now time.Time) {
	if bytes := t.bytes(); bytes != t.watch.bytes {
		t.watch.bytes, t.watch.since = bytes, now
	}
	switch {
	case s.IdleTimeout > 0 && now.Sub(t.watch.since) >= s.IdleTimeout:
		// A query that takes long is silent too, but not idle; that is asked again next time.
		t.ask(&wish{why: s.silence(), transactions: true, once: true, bytes: t.watch.bytes})
	case !t.watch.ends.IsZero() && now.After(t.watch.ends) && t.wish.Load() == nil:
		t.ask(&wish{why: s.age()})
	}
}

func (s *Server) silence() *Farewell {
	return &Farewell{
		Text:    fmt.Sprintf("the session was idle for %v", s.IdleTimeout),
		Advice:  "open another connection; idle_timeout= on the route says how long a session may be idle",
		Silence: true,
	}
}

func (s *Server) age() *Farewell {
	return &Farewell{
		Text:   fmt.Sprintf("the session is older than %v", s.MaxSessionAge),
		Advice: "open another connection; max_session_age= on the route says how old a session may become",
	}
}
