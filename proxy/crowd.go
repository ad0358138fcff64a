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
	mu     sync.Mutex
	seats  int
	silent list.List // of *seat, those whose clients it is to speak, the one that has had to for the longest first
}

// Bounds of a crowd. A client on this machine says who it is at once; on a busy one, after a moment.
const (
	maxCrowd  = 2048
	crowdTime = 250 * time.Millisecond // before which nobody is turned away
	crowdPoll = 10 * time.Millisecond  // while nobody can be
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
	left    bool
	element *list.Element // in silent; nil: it is not the client's turn, or it has had to go
	since   time.Time     // it is the client's turn
	evict   context.CancelCauseFunc
}

// sit takes a seat.
func (c *crowd) sit() *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seats++
	return &seat{crowd: c}
}

// turn makes it the client's turn to speak. From now on evict may end it with a cause, when others need
// the seat.
func (s *seat) turn(evict context.CancelCauseFunc) {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	if s.left || s.element != nil {
		return
	}
	s.since, s.evict = time.Now(), evict
	s.element = s.crowd.silent.PushBack(s)
}

// leave gives the seat back. It may be called more than once.
func (s *seat) leave() {
	s.crowd.mu.Lock()
	defer s.crowd.mu.Unlock()
	s.crowd.remove(s)
}

func (c *crowd) remove(s *seat) {
	if s.element != nil {
		c.silent.Remove(s.element)
		s.element = nil
	}
	if !s.left {
		s.left = true
		c.seats--
	}
}

// makeRoom returns when there is a seat. It turns away who has been silent the longest, and waits if
// even they have been for a moment only: the kernel keeps who comes meanwhile.
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
	if c.seats < maxCrowd {
		return 0
	}
	front := c.silent.Front()
	if front == nil {
		return crowdPoll
	}
	oldest := front.Value.(*seat)
	if early = crowdTime - time.Since(oldest.since); early > 0 {
		return early
	}
	c.remove(oldest)
	oldest.evict(errCrowded)
	return 0
}
