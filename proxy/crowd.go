package proxy

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// A crowd is the clients of a Server that have not said yet who they are. One that never does costs
// little, but many cost descriptors and memory, so that there is an end to their number.
type crowd struct {
	mu    sync.Mutex
	seats list.List // of *seat, oldest first
}

// Bounds of a crowd. A client on this machine says who it is at once; on a busy one, after a moment.
const (
	maxCrowd  = 2048
	crowdTime = 250 * time.Millisecond // before which nobody is turned away
)

// errCrowded is the end of a client that says nothing, while others come.
var errCrowded = &SetupError{
	Stage:  StageLimit,
	Err:    errSilent,
	Advice: "too many connections say nothing; find out who opens them",
}

// A seat is one client's place in a crowd.
type seat struct {
	crowd   *crowd
	element *list.Element // nil: it has been left, or taken away
	since   time.Time
	evict   context.CancelCauseFunc // nil: there is nothing to end yet
	evicted bool
}

// sit takes a seat.
func (c *crowd) sit() *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &seat{crowd: c, since: time.Now()}
	s.element = c.seats.PushBack(s)
	return s
}

// onEviction makes evict end the client with a cause when others need the seat.
func (s *seat) onEviction(evict context.CancelCauseFunc) {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	if s.evict = evict; s.evicted {
		evict(errCrowded)
	}
}

// leave gives the seat back. It may be called more than once.
func (s *seat) leave() {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	s.crowd.remove(s)
}

// renew makes the client one that has come just now, unless the seat is left.
func (s *seat) renew() {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	if s.element != nil {
		s.since = time.Now()
		s.crowd.seats.MoveToBack(s.element)
	}
}

func (c *crowd) remove(s *seat) {
	if s.element != nil {
		c.seats.Remove(s.element)
		s.element = nil
	}
}

// makeRoom returns when there is a seat. It turns away who has one the longest, and waits if even
// they have it only for a moment: the kernel keeps who comes meanwhile.
func (c *crowd) makeRoom(ctx context.Context) {
	for ctx.Err() == nil {
		early := c.evictOldest()
		if early <= 0 {
			return
		}
		wait(ctx, early)
	}
}

// evictOldest makes room if there is none. It returns for how long it is too early for that.
func (c *crowd) evictOldest() (early time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seats.Len() < maxCrowd {
		return 0
	}
	oldest := c.seats.Front().Value.(*seat)
	if early = crowdTime - time.Since(oldest.since); early > 0 {
		return early
	}
	c.remove(oldest)
	if oldest.evicted = true; oldest.evict != nil {
		oldest.evict(errCrowded)
	}
	return 0
}
