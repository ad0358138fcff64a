package tokens

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"
)

// A request is one call of the source, for all who want its answer. Its goroutine is waited for by
// the callers, and its context ends with the last of them.
type request struct {
	entry   *entry
	callers int  // guarded by Cache.mu
	kept    bool // a caller left with the old credential and wants the new one for the next; guarded by Cache.mu
	cancel  context.CancelFunc
	old     Credential    // to be renewed, with its lease held; empty if there is nothing to renew
	done    chan struct{} // closed when cred and err are final
	over    bool          // done is closed; guarded by Cache.mu, as are cred and err
	cred    Credential    // its lease is held for each caller
	err     error
}

// ask joins the request for e, or begins one, and waits for its answer. It is called with c.mu held
// and returns with it. The lease of the result is held for the caller.
func (c *Cache) ask(ctx context.Context, e *entry) (Credential, error) {
	r := e.inflight
	if r == nil || c.Once {
		r = c.begin(ctx, e)
	}
	r.callers++
	var impatient <-chan time.Time
	if c.serves(e, c.wallClock(), nil) {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		impatient = timer.C
	}
	for {
		c.mu.Unlock()
		lost := false
		select {
		case <-r.done:
		case <-ctx.Done():
		case <-impatient:
			lost = true
		}
		c.mu.Lock()
		switch {
		case r.over:
			return r.cred, r.err
		case !lost:
			c.leave(r)
			return Credential{}, fmt.Errorf("wait for a credential: %w", ctx.Err())
		}
		if cred, ok := c.makeDo(r); ok {
			return cred, nil
		}
		impatient = nil // the old one expired meanwhile
	}
}

// begin starts a request for e. Where each credential is for one login, nobody else joins it.
func (c *Cache) begin(ctx context.Context, e *entry) *request {
	// The first caller lends its values, but not its end: others may wait for the same answer.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.requestTime())
	r := &request{entry: e, cancel: cancel, done: make(chan struct{})}
	if e.cred.Lease != nil && c.serves(e, c.wallClock(), nil) {
		r.old = e.cred
		r.old.Lease.Hold()
	}
	if !c.Once {
		e.inflight = r
	}
	c.requests.Go(func() { c.serve(ctx, r) })
	return r
}

// requestTime is how long one request to the source may take.
func (c *Cache) requestTime() time.Duration {
	if c.Timeout <= 0 {
		return requestLimit
	}
	return c.Timeout
}

// serve calls the source and hands its answer to all who wait. It does so even if the source
// panics or ends the goroutine: a connection that waits for ever is worse than one that fails.
func (c *Cache) serve(ctx context.Context, r *request) {
	defer r.cancel()
	cred, err := Credential{}, errors.New("credential source ended without an answer")
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
			c.log().Error("credential source panicked", "user", r.entry.user, "err", err, "stack", string(debug.Stack()))
		}
		c.finish(r, cred, err)
	}()
	cred, err = c.fetch(ctx, r)
}

// fetch makes the old credential live longer, where that is possible, and asks for another otherwise.
// What it returns has its lease held for the caller.
func (c *Cache) fetch(ctx context.Context, r *request) (Credential, error) {
	if renewer, ok := c.Source.(Renewer); ok && r.old.Lease != nil {
		cred, err := renewer.Renew(ctx, r.old)
		if err == nil {
			return cred, nil // with the hold that r.old had
		}
		c.log().Info("the lease of a credential can't be renewed, so another is made", "user", r.entry.user, "credential", r.old, "err", err)
	}
	r.old.Lease.Release()
	return c.Source.Credential(ctx, r.entry.user)
}

// panicked describes a panic. Only the runtime's own words are repeated: other values may hold
// anything, a password included.
func panicked(v any) error {
	if err, ok := v.(runtime.Error); ok {
		return fmt.Errorf("credential source panicked: %w", err)
	}
	return fmt.Errorf("credential source panicked with a value of type %T", v)
}

// finish stores the answer of the source and wakes those who wait for it.
func (c *Cache) finish(r *request, cred Credential, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(r.done)
	defer c.trim()

	e, now := r.entry, c.wallClock()
	r.over = true
	current := e.inflight == r // otherwise all callers have gone, and others may have asked anew
	if current {
		e.inflight = nil
	}
	cred.Issued, cred.Expires = cred.Issued.Round(0), cred.Expires.Round(0)
	if err == nil && !cred.Expires.IsZero() && !now.Before(cred.Expires) {
		err = fmt.Errorf("credential %s expired at %s, and it is %s here",
			cred.ID, cred.Expires.Format(time.RFC3339), now.Format(time.RFC3339))
		cred.Lease.Release()
	}
	c.Counts.count(err)
	switch {
	case err == nil:
		r.cred = e.logins.prefer(cred)
		r.hold()
		if current {
			c.keep(e, r.cred, now)
		} else {
			cred.Lease.Release()
		}
	case current && c.serves(e, now, err):
		r.cred = e.cred
		r.hold()
		c.postpone(e, now, err)
	default:
		r.cred, r.err = Credential{}, err
		if current {
			e.forget()
		}
	}
}

// hold holds the lease of the answer for each caller.
func (r *request) hold() {
	for range r.callers {
		r.cred.Lease.Hold()
	}
}

// postpone leaves a failing source alone for a while, and for a shorter one as the end of the
// credential comes near. The pauses need no jitter: the next request begins with the next client, and
// clients come when they like.
func (c *Cache) postpone(e *entry, now time.Time, err error) {
	e.pause = min(max(2*e.pause, minPause), maxPause)
	if !e.cred.Expires.IsZero() {
		e.pause = min(e.pause, e.cred.Expires.Sub(now)/4)
	}
	e.retry = now.Add(e.pause)
	c.log().Warn("credential source fails; the credential at hand is still good",
		"user", e.user, "credential", e.cred, "err", err, "hint", hint(err), "retry", e.pause)
}

// leave is called by a caller that waits no longer. The last one ends the request.
func (c *Cache) leave(r *request) {
	r.callers--
	if r.callers > 0 || r.kept {
		return
	}
	r.cancel()
	if r.entry.inflight == r {
		r.entry.inflight = nil // whoever comes next must not get the answer "canceled"
	}
	c.trim()
}

// makeDo returns the old credential to a caller that lost its patience with the source. The request
// goes on for the sake of the next caller; its time limit ends it.
func (c *Cache) makeDo(r *request) (Credential, bool) {
	if r.entry.inflight != r || !c.serves(r.entry, c.wallClock(), nil) {
		return Credential{}, false
	}
	r.kept = true
	r.callers--
	r.entry.cred.Lease.Hold()
	return r.entry.cred, true
}
