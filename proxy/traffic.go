package proxy

import (
	"sync"
	"sync/atomic"
)

// Traffic is how many bytes were relayed in each direction. It grows as long as its session lasts.
type Traffic struct{ FromClient, FromUpstream atomic.Int64 }

// A tally is the traffic of all sessions of a Server. A session counts for itself, so that the relay of
// one shares no memory with another's; they are added up when somebody asks.
type tally struct {
	mu                       sync.Mutex
	open                     map[*Traffic]struct{}
	fromClient, fromUpstream int64 // of sessions that have ended
}

// add begins to count t. The function that it returns ends that, when t does not grow any more.
func (a *tally) add(t *Traffic) (remove func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = make(map[*Traffic]struct{})
	}
	a.open[t] = struct{}{}
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.open, t)
		a.fromClient += t.FromClient.Load()
		a.fromUpstream += t.FromUpstream.Load()
	}
}

// Relayed returns how many bytes were relayed since the Server began to serve, those of the sessions
// that are open included.
func (s *Server) Relayed() (fromClient, fromUpstream int64) {
	a := &s.traffic
	a.mu.Lock()
	defer a.mu.Unlock()
	fromClient, fromUpstream = a.fromClient, a.fromUpstream
	for t := range a.open {
		fromClient += t.FromClient.Load()
		fromUpstream += t.FromUpstream.Load()
	}
	return fromClient, fromUpstream
}
