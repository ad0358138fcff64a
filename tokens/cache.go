package tokens

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// maxUsers bounds the memory of a Cache: the names of the users come from clients.
	maxUsers = 100

	// requestLimit is how long the source may take, where Cache.Timeout does not say.
	requestLimit = 30 * time.Second

	// maxMargin is how long before its end a credential is no longer handed out, and that is never
	// more than a quarter of its life. It covers the login that is still to come.
	maxMargin = 2 * time.Minute

	// patience is how long somebody waits for a new credential who could have the old one.
	patience = 2 * time.Second

	// A failing source is left alone for minPause, then for twice as long each time up to maxPause,
	// as long as the old credential is good. Where there is none, every connection asks.
	minPause = time.Second
	maxPause = 30 * time.Second
)

// Cache keeps the credentials of a Source for as long as they are good, and asks the source once
// where many connections want the same. It renews those that are in use before they are due, and
// finds another where the database refuses one. Set Source and use it; the fields must not change
// after the first call. Calls may be concurrent. Do not copy a Cache that was used.
type Cache struct {
	Source Source

	// TTL is how long a credential without an Expires is reused. With 0 it is not kept, and the
	// source is asked for every connection, but for those that come while it is being asked.
	TTL time.Duration

	// Once says that each credential is for one login only: every connection asks for its own.
	Once bool

	// Shared says that the source gives every user the same credential, with a user of its own, so
	// that one is enough for all.
	Shared bool

	// Rotation is how long a connection waits, after the database refused a password that it used to
	// accept, for the store to have another; 0: 10 seconds. Negative: it doesn't, because the source
	// never has another.
	Rotation time.Duration

	Timeout time.Duration // how long one request to the source may take; 0: 30 seconds
	Log     *slog.Logger  // nil: slog.Default()

	Counts Counts // for reading only

	now func() time.Time // nil: time.Now; for tests that let a laptop sleep

	mu       sync.Mutex
	entries  map[string]*entry // by user
	clock    uint64            // counts uses, to find the entry that was used least recently
	closed   bool
	requests sync.WaitGroup
}

// An entry is what a Cache knows about one user. Cache.mu guards it.
type entry struct {
	user     string
	cred     Credential // meaningful if known, with its lease held
	known    bool
	fetched  time.Time     // when the source gave cred
	due      time.Time     // when cred is renewed in the background, if it is in use
	timer    *time.Timer   // that does it; nil if known is false
	reused   bool          // cred was handed out again since it was fetched
	retry    time.Time     // the failing source is left alone until then; zero if it does not fail
	pause    time.Duration // how long it was left alone the last time
	used     uint64        // Cache.clock of the last use
	inflight *request      // nil if the source is not being asked
	attempts int           // under way
	logins   logins        // what the database said
}

var _ Source = (*Cache)(nil)

// Credential returns a credential for user, from memory where it is good for a while and from the
// source otherwise. Concurrent callers for one user share one request to the source. It outlives
// the caller that began it, and ends with its last caller or after the time limit. Who wants to log
// in with it uses an Attempt: a credential with a Lease may have ended when Credential returns.
//
// Where the source fails, an old credential serves as long as the database would take it, and the
// failure is a warning in the log. A token serves until it expires. A password that was looked up
// does not expire by itself, so it serves beyond TTL while its store is down, but not if the store
// answers and says no: then it may have been withdrawn.
func (c *Cache) Credential(ctx context.Context, user string) (Credential, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cred, err := c.lookup(ctx, c.entry(user))
	cred.Lease.Release()
	return cred, err
}

// Close stops what goes on in the background, gives back what was borrowed and closes the source, if
// it has a Close. Sessions that go on keep their leases. There must be no calls after it.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for _, e := range c.entries {
		e.forget()
		if e.inflight != nil {
			e.inflight.cancel()
		}
	}
	c.mu.Unlock()
	c.requests.Wait()
	if closer, ok := c.Source.(io.Closer); ok {
		if err := closer.Close(); err != nil {
			c.log().Warn("close the credential source", "err", err)
		}
	}
}

// lookup is called with c.mu held and returns with it. The lease of the result is held for the caller.
func (c *Cache) lookup(ctx context.Context, e *entry) (Credential, error) {
	now := c.wallClock()
	slow := e.inflight != nil && e.inflight.kept // somebody has lost patience already
	switch fresh := c.fresh(e, now); {
	case c.Once:
	case fresh, (slow || now.Before(e.retry)) && c.serves(e, now, nil):
		e.reused = true
		if fresh && !now.Before(e.due) {
			c.renew(e, now)
		}
		e.cred.Lease.Hold()
		return e.cred, nil
	}
	return c.ask(ctx, e)
}

// entry finds or makes the entry of user, and marks it as used.
func (c *Cache) entry(user string) *entry {
	if c.Shared {
		user = ""
	}
	e := c.entries[user]
	if e == nil {
		e = &entry{user: user}
		if c.entries == nil {
			c.entries = make(map[string]*entry)
		}
		c.entries[user] = e
	}
	c.clock++
	e.used = c.clock
	return e
}

// trim removes the entries that hold nothing, and those used least recently beyond maxUsers. An
// entry that somebody waits for stays: there are not more of them than connections.
func (c *Cache) trim() {
	for user, e := range c.entries {
		if !e.known && !e.busy() && e.logins.empty() {
			delete(c.entries, user)
		}
	}
	for len(c.entries) > maxUsers {
		var oldest *entry
		for _, e := range c.entries {
			if !e.busy() && (oldest == nil || e.used < oldest.used) {
				oldest = e
			}
		}
		if oldest == nil {
			return
		}
		oldest.forget()
		delete(c.entries, oldest.user)
	}
}

func (e *entry) busy() bool { return e.inflight != nil || e.attempts > 0 }

// fresh reports whether the credential of e can be handed out without asking the source.
func (c *Cache) fresh(e *entry, now time.Time) bool {
	if !e.known || now.Before(e.fetched) {
		return false // or the clock was set back: nothing that was counted from it is worth anything
	}
	if e.cred.Expires.IsZero() {
		return now.Sub(e.fetched) < c.TTL
	}
	margin := min(maxMargin, e.cred.Expires.Sub(e.fetched)/4)
	return now.Before(e.cred.Expires.Add(-margin))
}

// serves reports whether the credential of e, though no longer fresh, is better than the failure
// of the source. A nil failure is a source that did not answer yet.
func (c *Cache) serves(e *entry, now time.Time, failure error) bool {
	if !e.known {
		return false
	}
	if e.cred.Expires.IsZero() {
		return !final(failure)
	}
	return now.Before(e.cred.Expires)
}

// keep remembers a credential that the source gave, if it can be used again, and takes over its lease.
func (c *Cache) keep(e *entry, cred Credential, now time.Time) {
	life := c.TTL
	if !cred.Expires.IsZero() {
		life = cred.Expires.Sub(now)
	}
	e.forget()
	if life <= 0 || c.closed {
		cred.Lease.Release()
		return
	}
	e.cred, e.known, e.fetched = cred, true, now
	// At two thirds of its life, and up to a tenth of it earlier: those who started together, such as
	// the instances of one deployment, are not to ask together for ever.
	wait := life*2/3 - rand.N(life/10+1)
	e.due = now.Add(wait)
	e.timer = time.AfterFunc(wait, func() { c.renewDue(e, cred) })
}

// renewDue is called when cred is due. One that nobody uses is left to expire; who needs one then
// asks for it.
func (c *Cache) renewDue(e *entry, cred Credential) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.known && e.cred.same(cred) && (e.reused || e.cred.Lease.shared()) {
		c.renew(e, c.wallClock())
	}
}

// renew asks the source in the background, unless it is being asked or left alone.
func (c *Cache) renew(e *entry, now time.Time) {
	if e.inflight == nil && !now.Before(e.retry) && !c.closed {
		c.begin(context.Background(), e).kept = true
	}
}

// wallClock returns the time without its monotonic reading. That one stands still while a laptop
// sleeps, so that a token from yesterday evening would look minutes old.
func (c *Cache) wallClock() time.Time {
	if c.now != nil {
		return c.now().Round(0)
	}
	return time.Now().Round(0)
}

func (c *Cache) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.Default()
}

// forget drops the credential, but not the request that may be under way.
func (e *entry) forget() {
	if !e.known {
		return
	}
	e.timer.Stop()
	e.cred.Lease.Release()
	e.cred, e.known, e.reused, e.timer = Credential{}, false, false, nil
	e.fetched, e.due, e.retry, e.pause = time.Time{}, time.Time{}, time.Time{}, 0
}

// final reports whether err says that trying again is useless.
func final(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Final()
}

// hint is what to do about err, as far as the source knows that.
func hint(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Advice
	}
	return ""
}
