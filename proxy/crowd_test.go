package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A sitter is a client in a crowd.
type sitter struct {
	*seat
	ctx   context.Context
	evict context.CancelCauseFunc
}

// sitters seats n clients.
func sitters(c *crowd, n int) (all []sitter) {
	for range n {
		ctx, evict := context.WithCancelCause(context.Background())
		all = append(all, sitter{c.sit(), ctx, evict})
	}
	return all
}

// silentOnes seats n clients whose turn it is.
func silentOnes(c *crowd, n int) []sitter {
	all := sitters(c, n)
	for _, s := range all {
		s.turn(s.evict)
	}
	return all
}

func TestOldestSilentClientMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		waiting := sitters(&c, 1)[0] // it can't speak yet
		all := silentOnes(&c, maxCrowd-1)
		all[0].leave() // it has said who it is
		all[0].leave()
		all[0].turn(all[0].evict)
		c.makeRoom(t.Context())
		silentOnes(&c, 1)
		if all[1].ctx.Err() != nil {
			t.Fatal("a client was turned away although there was room")
		}
		began := time.Now()
		c.makeRoom(t.Context())
		if got := time.Since(began); got != crowdTime {
			t.Errorf("room was made after %v, want %v: nobody has been silent for longer", got, crowdTime)
		}
		if !errors.Is(context.Cause(all[1].ctx), errSilent) || all[2].ctx.Err() != nil || all[0].ctx.Err() != nil {
			t.Errorf("got %v, %v, %v, want the oldest of those who are silent turned away, and nobody else", all[0].ctx.Err(), context.Cause(all[1].ctx), all[2].ctx.Err())
		}
		waiting.turn(waiting.evict)
		began = time.Now()
		for range maxCrowd - 3 { // all but the one whose turn has come just now
			silentOnes(&c, 1)
			c.makeRoom(t.Context())
		}
		if got := time.Since(began); got != 0 || waiting.ctx.Err() != nil || all[len(all)-1].ctx.Err() == nil || c.seats != maxCrowd-1 {
			t.Errorf("it took %v, until %d were left; the one whose turn came last got %v, and the one before it %v", got, c.seats, waiting.ctx.Err(), all[len(all)-1].ctx.Err())
		}
	})
}

// Who can't speak yet is not turned away for that, and who comes waits.
func TestClientsWhoseTurnItIsNotKeepTheirSeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		all := sitters(&c, maxCrowd)
		began := time.Now()
		time.AfterFunc(time.Second, all[7].leave)
		c.makeRoom(t.Context())
		if got := time.Since(began); got < time.Second || got > time.Second+2*crowdPoll {
			t.Errorf("room was made after %v, want it when somebody leaves", got)
		}
		for i, s := range all {
			if s.ctx.Err() != nil {
				t.Fatalf("number %d was turned away", i)
			}
		}
	})
}

func TestMakingRoomEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		silentOnes(&c, maxCrowd)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		c.makeRoom(ctx)
		if time.Since(began) != 0 || c.seats != maxCrowd {
			t.Errorf("it took %v, and %d are left", time.Since(began), c.seats)
		}
	})
}
