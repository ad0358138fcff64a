package proxy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"dbvalet/peer"
)

// A SessionState is what there is to know about a session that is open.
type SessionState struct {
	ID          string // "session" in the log
	Accepted    time.Time
	Client      string // its address, or "unix"
	Peer        peer.Peer
	PID         int    // of the client; 0: not known
	Program     string // of the client; empty: not known
	Upstream    string // the database's address
	User        string // the database user
	Database    string // as the client named it, or the route
	Application string // what the client calls itself
	Credential  string // the ID of the one that was logged in with; it may be empty
	// FromClient and FromUpstream are bytes.
	FromClient, FromUpstream int64
	// Idle says that the database spoke last. As it does while a long answer is under way, this is for
	// people to look at; nothing is decided by it.
	Idle bool
}

// Sessions returns the sessions that are open now, the oldest first.
func (s *Server) Sessions() []SessionState {
	var states []SessionState
	for _, t := range s.sessions.all() {
		r := t.record
		states = append(states, SessionState{
			ID: r.ID, Accepted: r.Accepted, Client: r.Client, Peer: r.Peer, PID: r.PID, Program: r.Program, Upstream: r.Upstream,
			User: t.session.User, Database: t.session.Database, Application: t.session.Application,
			Credential: t.session.Upstream.Credential.ID,
			FromClient: t.fromClient.Load(), FromUpstream: t.fromUpstream.Load(),
			Idle: t.asked() <= t.heard.Load(),
		})
	}
	slices.SortFunc(states, func(a, b SessionState) int { return cmp.Compare(a.ID, b.ID) }) // which begins with the time
	return states
}

// Session returns the session of this ID, or nil if it is not open.
func (s *Server) Session(id string) *Session {
	for _, t := range s.sessions.all() {
		if t.record.ID == id {
			return t.session
		}
	}
	return nil
}

// sessions are those of a Server that are open.
type sessions struct {
	mu         sync.Mutex
	talks      map[*talk]struct{}
	dismissals map[*dismissal]struct{}
	limits     *time.Timer // nil: there is no session that has limits
}

// add notes that t has begun.
func (s *sessions) add(t *talk) {
	s.mu.Lock()
	if s.talks == nil {
		s.talks = make(map[*talk]struct{})
	}
	s.talks[t] = struct{}{}
	var w *wish
	for d := range s.dismissals {
		if d.which(t.session) {
			w = d.wish
		}
	}
	s.mu.Unlock()
	if w != nil {
		t.ask(w)
	}
}

// remove notes that t has ended.
func (s *sessions) remove(t *talk) {
	s.mu.Lock()
	delete(s.talks, t)
	s.mu.Unlock()
	close(t.ended)
}

func (s *sessions) all() []*talk {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*talk, 0, len(s.talks))
	for t := range s.talks {
		all = append(all, t)
	}
	return all
}

// of returns the sessions that d chooses.
func (s *sessions) of(d *dismissal) []*talk {
	return slices.DeleteFunc(s.all(), func(t *talk) bool { return !d.which(t.session) })
}

// wish makes w d's wish for its sessions, and for those that begin.
func (s *sessions) wish(d *dismissal, w *wish) {
	s.mu.Lock()
	if s.dismissals == nil {
		s.dismissals = make(map[*dismissal]struct{})
	}
	s.dismissals[d] = struct{}{}
	d.wish = w
	s.mu.Unlock()
	for _, t := range s.of(d) {
		t.ask(w)
	}
}

// forget ends d for sessions that begin.
func (s *sessions) forget(d *dismissal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dismissals, d)
}

// await waits until d has no sessions any more, and no longer than for limit or until ctx ends.
func (s *sessions) await(ctx context.Context, d *dismissal, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		open := s.of(d)
		if len(open) == 0 {
			return true
		}
		select {
		case <-open[0].ended:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// cut closes those of d's sessions that have not been told why. Their clients may have one or the other
// in the way: one that does not read, or one that waits for an answer.
func (s *sessions) cut(d *dismissal, why *Farewell) {
	for _, t := range s.of(d) {
		if t.farewell() == nil {
			t.cut(why)
		}
	}
}
