package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A check finds something out when it is asked, once for all who ask at the same time, and remembers it
// for a while. It goes on where who asked has gone: a kubelet waits for a second, and what takes two
// would never be found out.
type check struct {
	ask       func(context.Context) error
	limit     time.Duration // for ask
	good, bad time.Duration // for which a result counts

	mu      sync.Mutex
	err     error         // the last result
	until   time.Time     // when that ends to count; zero: there is none
	running chan struct{} // closed when ask has returned; nil: it does not run
	cancel  context.CancelFunc
	closed  bool
}

var errChecksEnded = errors.New("the route is no longer served")

// result returns what ask says, or has said. The end of ctx ends the wait, and is an error.
func (c *check) result(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return errChecksEnded
	}
	if c.running == nil && time.Now().Before(c.until) {
		defer c.mu.Unlock()
		return c.err
	}
	if c.running == nil {
		c.begin(ctx)
	}
	running := c.running
	c.mu.Unlock()
	select {
	case <-running:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin is called with c.mu held.
func (c *check) begin(ctx context.Context) {
	ctx, c.cancel = context.WithTimeout(context.WithoutCancel(ctx), c.limit)
	c.running = make(chan struct{})
	go c.run(ctx)
}

// run asks, and wakes who waits.
func (c *check) run(ctx context.Context) {
	err := c.contained(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	counts := c.good
	if err != nil {
		counts = c.bad
	}
	c.err, c.until = err, time.Now().Add(counts)
	close(c.running)
	c.running = nil
}

// contained is ask, which reads what a database says: a panic is the end of this attempt only, as it is of
// one connection only where a client has caused it.
func (c *check) contained(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic (%T) in a health check: please report this", p) // its value may be a secret
		}
	}()
	return c.ask(ctx)
}

// close ends ask, and returns when it has returned.
func (c *check) close() {
	c.mu.Lock()
	c.closed = true
	running := c.running
	if running != nil {
		c.cancel()
	}
	c.mu.Unlock()
	if running != nil {
		<-running
	}
}
