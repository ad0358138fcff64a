package tokens

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// maxUsers bounds the memory of a Cache: the names of the users come from clients.
	maxUsers = 100

	// requestLimit is how long the source may take, where Cache.Timeout does not say.
	requestLimit = 30 * time.Second

	// maxMargin is how long before its end a credential is replaced, and that is never more than a
	// quarter of its life. It covers the login that is still to come.
	maxMargin = 2 * time.Minute

	// patience is how long somebody waits for a new credential who could have the old one.
	patience = 2 * time.Second

	// A failing source is left alone for minPause, then for twice as long each time up to maxPause,
	// as long as the old credential is good. Where there is none, every connection asks.
	minPause = time.Second
	maxPause = 30 * time.Second

	// justIssued is the age up to which a refused token was not refused for its age.
	justIssued = 10 * time.Second
)

// Cache keeps the credentials of a Source for as long as they are good, and asks the source once
// where many connections want the same. Set Source and use it; the fields must not change after the
// first call. Calls may be concurrent. Do not copy a Cache that was used.
type Cache struct {
	Source Source

	// TTL is how long a credential without an Expires is reused. With 0 it is not kept, and the
	// source is asked for every connection, but for those that come while it is being asked.
	TTL time.Duration

	Timeout time.Duration // how long one request to the source may take; 0: 30 seconds
	Log     *slog.Logger  // nil: slog.Default()

	now func() time.Time // nil: time.Now; for tests that let a laptop sleep

	mu      sync.Mutex
	entries map[string]*entry // by user
	clock   uint64            // counts uses, to find the entry that was used least recently
}

// An entry is what a Cache knows about one user. Cache.mu guards it.
type entry struct {
	user     string
	cred     Credential // meaningful if known
	known    bool
	fetched  time.Time     // when the source gave cred
	retry    time.Time     // the failing source is left alone until then; zero if it does not fail
	pause    time.Duration // how long it was left alone the last time
	used     uint64        // Cache.clock of the last use
	inflight *request      // nil if the source is not being asked
}

var _ Source = (*Cache)(nil)

// Credential returns a credential for user, from memory where it is good for a while and from the
// source otherwise. Concurrent callers for one user share one request to the source. It outlives
// the caller that began it, and ends with its last caller or after the time limit.
//
// Where the source fails, an old credential serves as long as the database would take it, and the
// failure is a warning in the log. A token serves until it expires. A password that was looked up
// does not expire by itself, so it serves beyond TTL while its store is down, but not if the store
// answers and says no: then it may have been withdrawn.
func (c *Cache) Credential(ctx context.Context, user string) (Credential, error) {
	c.mu.Lock()
	e := c.entry(user)
	now := c.wallClock()
	slow := e.inflight != nil && e.inflight.kept // somebody has lost patience already
	if e.known && (c.fresh(e, now) || (slow || now.Before(e.retry)) && c.serves(e, now, nil)) {
		defer c.mu.Unlock()
		return e.cred, nil
	}
	return c.ask(ctx, e) // unlocks
}

// Refresh is called after the database refused a credential that Credential or Refresh gave for
// user. It forgets the refused one and asks the source for another. If a different one is already
// at hand, because another connection was refused before, Refresh returns that and asks nobody.
//
// It returns ErrUnchanged where another login would end like the first: the source gave the same
// user and password again, or the refused credential is a token that was made a moment ago.
func (c *Cache) Refresh(ctx context.Context, user string, refused Credential) (Credential, error) {
	c.mu.Lock()
	e := c.entry(user)
	now := c.wallClock()
	if e.known && !e.cred.same(refused) && c.fresh(e, now) {
		defer c.mu.Unlock()
		return e.cred, nil
	}
	if e.known && e.cred.same(refused) {
		e.forget()
	}
	// A token from the future was made by a clock that has been set right since: ask for a new one.
	if age := now.Sub(refused.Issued.Round(0)); !refused.Issued.IsZero() && age >= 0 && age < justIssued {
		defer c.mu.Unlock()
		c.trim()
		return Credential{}, ErrUnchanged
	}
	cred, err := c.ask(ctx, e) // unlocks
	if err == nil && cred.same(refused) {
		return Credential{}, ErrUnchanged
	}
	return cred, err
}

// entry finds or makes the entry of user, and marks it as used.
func (c *Cache) entry(user string) *entry {
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
// entry whose source is being asked stays: a connection waits for it, so there are not too many.
func (c *Cache) trim() {
	for user, e := range c.entries {
		if !e.known && e.inflight == nil {
			delete(c.entries, user)
		}
	}
	for len(c.entries) > maxUsers {
		var oldest *entry
		for _, e := range c.entries {
			if e.inflight == nil && (oldest == nil || e.used < oldest.used) {
				oldest = e
			}
		}
		if oldest == nil {
			return
		}
		delete(c.entries, oldest.user)
	}
}

// fresh reports whether the credential of e can be handed out without asking the source.
func (c *Cache) fresh(e *entry, now time.Time) bool {
	if now.Before(e.fetched) {
		return false // the clock was set back: nothing that was counted from it is worth anything
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
	e.cred, e.known, e.fetched = Credential{}, false, time.Time{}
	e.retry, e.pause = time.Time{}, 0
}
