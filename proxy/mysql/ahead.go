package mysql

import (
	"context"
	"errors"
	"sync"
)

// A silence is the clients of an Engine that have been greeted and say nothing. Each holds a connection
// to the database, which a flood of them would use up. When there are many, who comes is greeted ahead:
// as the database has greeted others before. It is dialled for those only that reply.
//
// Such a client is not told its session's thread id, but 0, by which KILL finds nobody; see
// greetedAgain. To wait until the silent ones can be told from the others would take longer than
// clients wait.
type silence struct {
	mu    sync.Mutex
	slow  map[*handshake]bool // whose clients have said nothing for a moment, until their end
	last  *acquaintance       // nil: nobody has been greeted yet
	flood context.Context     // that ends when there are many; nil: nobody has asked since the last
	begin context.CancelFunc  // ends flood
}

// manySlow is how many silent clients are a flood. Half of the places are left then.
const manySlow = 32

// An acquaintance is a database that has greeted somebody.
type acquaintance struct {
	greeting greeting
	database string // for clients that name none
}

// remember notes how the database greets. g is not changed any more.
func (s *silence) remember(g *greeting, database string) {
	last := &acquaintance{greeting: *g, database: database}
	last.greeting.threadID = 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = last
}

// count notes that h's client has said nothing for a moment, unless h has ended meanwhile.
func (s *silence) count(h *handshake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.ended {
		return
	}
	if s.slow == nil {
		s.slow = make(map[*handshake]bool)
	}
	s.slow[h] = true
	if len(s.slow) >= manySlow && s.begin != nil {
		s.begin()
		s.flood, s.begin = nil, nil
	}
}

// forget notes that h has ended.
func (s *silence) forget(h *handshake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.ended = true
	delete(s.slow, h)
}

// ahead returns how to greet clients for whom the database is not to be dialled yet; nil: it is.
func (s *silence) ahead() *acquaintance {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.slow) < manySlow {
		return nil
	}
	return s.last
}

// unlessFlooded returns ctx, which ends when a flood begins too.
func (s *silence) unlessFlooded(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flood == nil {
		s.flood, s.begin = context.WithCancel(context.Background())
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.flood, func() { cancel(errFlooded) })
	return ctx, func() { stop(); cancel(nil) }
}

var errFlooded = errors.New("too many clients say nothing")

// begin takes a place for the client, or greets it ahead if too many of the places are held by clients
// that say nothing. It returns false for a client that left.
func (h *handshake) begin(ctx context.Context) (stays bool, err error) {
	for {
		if known := h.engine.silent.ahead(); known != nil && h.client.Refusal() == nil {
			if stays, err := h.greetAhead(ctx, known); err != nil || !stays {
				return false, err
			}
		}
		h.client.Spoke()      // as far as it can; from here on, it is counted with those that are being set up
		if ctx.Err() != nil { // too late: it had to make room
			return false, overtime(ctx)
		}
		if h.ahead != nil {
			h.opening, err = h.up.Begin(ctx)
			return err == nil, err
		}
		waits, cancel := h.engine.silent.unlessFlooded(ctx)
		h.opening, err = h.up.Begin(waits)
		flooded := context.Cause(waits) == errFlooded
		cancel()
		if err == nil || !flooded {
			return err == nil, err
		}
	}
}

// greetAhead greets the client as the database did others, and hears it. Until it replies, it is one of
// those that say nothing, of whom the oldest make room.
func (h *handshake) greetAhead(ctx context.Context, known *acquaintance) (stays bool, err error) {
	h.ahead, h.greeted = known, &known.greeting
	h.client.Turn()
	stays, err = h.greet(ctx, nil)
	h.replied = true // the database will have to greet it again
	return stays, err
}
