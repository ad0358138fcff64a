package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Limit is a number of places for connections. Where all are taken, who comes waits for one. Its
// exported fields are not changed after the first use.
type Limit struct {
	Max  int           // places; 0: no limit
	Wait time.Duration // how long to wait for a place; 0: not at all
	Name string        // of what sets it, for errors: max_connections
	// NewestFirst gives a place to who came last. Under a flood the oldest have been forgotten by
	// their callers, or never meant anything; without one, nobody waits for long.
	NewestFirst bool

	mu       sync.Mutex
	taken    int
	waiting  []chan error // oldest first; told nil with a place
	yielding int          // places that are about to be given back
}

// maxWaiting is how many wait for a place of one Limit at most; then the oldest is turned away.
const maxWaiting = 4096

// enter takes a place, which leave gives back. The error is a *SetupError.
func (l *Limit) enter(ctx context.Context) (leave func(), err error) {
	turn := l.queue()
	switch {
	case turn == nil:
		return l.leave, nil
	case l.Wait == 0:
		if err := l.giveUp(turn, ""); err != nil {
			return nil, err
		}
		return l.leave, nil
	}
	timer := time.NewTimer(l.Wait)
	defer timer.Stop()
	select {
	case err = <-turn:
	case <-timer.C:
		err = l.giveUp(turn, fmt.Sprintf(", and no place came free within %v", l.Wait))
	case <-ctx.Done():
		err = l.giveUp(turn, ", and the time for the connection's set-up is over")
	}
	if err != nil {
		return nil, err
	}
	return l.leave, nil
}

// queue takes a place and returns nil, or returns what to wait on.
func (l *Limit) queue() (turn chan error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Max == 0 || l.taken < l.Max {
		l.taken++
		return nil
	}
	turn = make(chan error, 1)
	if l.waiting = append(l.waiting, turn); len(l.waiting) > maxWaiting {
		l.waiting[0] <- l.full(", and too many wait for one")
		l.waiting = slices.Delete(l.waiting, 0, 1)
	}
	return turn
}

// giveUp ends the wait, unless turn has come.
func (l *Limit) giveUp(turn chan error, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, turn); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return l.full(reason)
	}
	return <-turn
}

func (l *Limit) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.taken--
		return
	}
	next := 0
	if l.NewestFirst {
		next = len(l.waiting) - 1
	}
	l.waiting[next] <- nil
	l.waiting = slices.Delete(l.waiting, next, next+1)
}

// yield reports whether whoever has a place should give it back, as somebody waits for whom nobody else
// does so yet. Who has been told so says when it is done, by yielded.
func (l *Limit) yield() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) <= l.yielding {
		return false
	}
	l.yielding++
	return true
}

func (l *Limit) yielded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.yielding--
}

func (l *Limit) full(reason string) error {
	return &SetupError{
		Stage:  StageLimit,
		Err:    fmt.Errorf("too many connections: %s is %d%s", l.Name, l.Max, reason),
		Advice: "close connections that are not needed, or raise " + l.Name,
	}
}

// enterAll takes a place of each of limits.
func enterAll(ctx context.Context, limits []*Limit) (leave func(), err error) {
	var taken []func()
	leave = func() {
		for _, leave := range taken {
			leave()
		}
	}
	for _, l := range limits {
		one, err := l.enter(ctx)
		if err != nil {
			leave()
			return nil, err
		}
		taken = append(taken, one)
	}
	return leave, nil
}
