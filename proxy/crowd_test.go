package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// fill seats a crowd, and returns what becomes of each.
func fill(c *crowd, n int) (seats []*seat, ctxs []context.Context) {
	for range n {
		ctx, evict := context.WithCancelCause(context.Background())
		s := c.sit()
		s.onEviction(evict)
		seats, ctxs = append(seats, s), append(ctxs, ctx)
	}
	return seats, ctxs
}

func TestOldestSilentClientMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		seats, ctxs := fill(&c, maxCrowd)
		seats[0].leave() // it has said who it is
		seats[0].leave()
		seats[0].renew()
		seats[3].renew() // it has been greeted
		c.makeRoom(t.Context())
		fill(&c, 1)
		if ctxs[1].Err() != nil {
			t.Fatal("a client was turned away although there was room")
		}
		began := time.Now()
		c.makeRoom(t.Context())
		if got := time.Since(began); got != crowdTime {
			t.Errorf("room was made after %v, want %v: nobody has been silent for longer", got, crowdTime)
		}
		if !errors.Is(context.Cause(ctxs[1]), errSilent) || ctxs[2].Err() != nil || ctxs[0].Err() != nil {
			t.Errorf("got %v, %v, %v, want the oldest of those who are silent turned away, and nobody else", ctxs[0].Err(), context.Cause(ctxs[1]), ctxs[2].Err())
		}
		fill(&c, 1)
		c.makeRoom(t.Context())
		fill(&c, 1)
		c.makeRoom(t.Context())
		if ctxs[2].Err() == nil || ctxs[3].Err() != nil || ctxs[4].Err() == nil {
			t.Errorf("got %v, %v, %v, want the one turned away last that was greeted last", ctxs[2].Err(), ctxs[3].Err(), ctxs[4].Err())
		}
		began = time.Now()
		for range 10 {
			fill(&c, 1)
			c.makeRoom(t.Context())
		}
		if got := time.Since(began); got != 0 || c.seats.Len() != maxCrowd-1 {
			t.Errorf("it took %v until %d were left, want no time", got, c.seats.Len())
		}
	})
}

// A client may be turned away in the moment before it can be told.
func TestEvictionWaitsForItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		early := c.sit()
		fill(&c, maxCrowd-1)
		c.makeRoom(t.Context())
		ctx, evict := context.WithCancelCause(t.Context())
		early.onEviction(evict)
		if !errors.Is(context.Cause(ctx), errSilent) {
			t.Errorf("got %v, want the eviction", context.Cause(ctx))
		}
	})
}

func TestMakingRoomEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		fill(&c, maxCrowd)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		c.makeRoom(ctx)
		if time.Since(began) != 0 || c.seats.Len() != maxCrowd {
			t.Errorf("it took %v, and %d are left", time.Since(began), c.seats.Len())
		}
	})
}
