package tokens

import (
	"context"
	"errors"
	"time"
)

const (
	// rotationWait is how long a connection waits for a rotation, where Cache.Rotation does not say.
	rotationWait = 10 * time.Second

	// alone is how long the first login with an unproven credential goes before the others.
	alone = time.Second

	// pollEvery is how often the source is asked during a rotation.
	pollEvery = time.Second

	// againAfter is when a refused credential is tried again during a rotation: the database may have
	// got it meanwhile.
	againAfter = 3 * time.Second

	// probeEvery is how often a login is tried where nothing helped, so that the end of the trouble is
	// noticed. In between the database's last word is passed on.
	probeEvery = 350 * time.Millisecond

	// freshHope is when all that there is gets another chance: a rotation may have begun.
	freshHope = 30 * time.Second

	// justIssued is the age up to which a refused token was not refused for its age.
	justIssued = 10 * time.Second

	// maxTries bounds the logins of one connection.
	maxTries = 5
)

// An Attempt is one connection's way to a credential that the database accepts. Its owner asks for a
// Credential and logs in with it, and reports the outcome by Accepted or Refused, which returns
// another to try. It is for one goroutine. Close is called when the session is over, and in any case.
//
// Together the Attempts of a user see to it that one bad credential makes few logins: the first one
// with a password that the database has not accepted yet goes alone, and so do all while it refuses.
type Attempt struct {
	cache *Cache
	entry *entry

	cred   Credential  // handed out last, with its lease held
	at     time.Time   // when
	ahead  *Credential // what Peek returned, if it was not handed out yet, with its lease held
	tries  int
	probed bool
	turn   bool // the others wait for the outcome
}

// Begin begins an Attempt to log in as user.
func (c *Cache) Begin(user string) *Attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(user)
	e.attempts++
	return &Attempt{cache: c, entry: e}
}

// Peek returns the credential that Credential will probably begin with. It is for those who want to
// know that there is one before they do anything else; a login needs Credential. While the store
// rotates, it waits until another Attempt has found the way in.
func (a *Attempt) Peek(ctx context.Context) (Credential, error) {
	c, l := a.cache, &a.entry.logins
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := l.trouble; t != nil && l.trouble == t && l.turn != nil; {
		left := t.since.Add(c.rotation()).Sub(c.wallClock())
		if t.over || left <= 0 || ctx.Err() != nil {
			break
		}
		a.wait(ctx, l.turn, left)
	}
	if t := l.trouble; t != nil && t.over && c.wallClock().Sub(t.at) < probeEvery {
		return Credential{}, t.verdict
	}
	cred, err := c.lookup(ctx, a.entry)
	if err == nil {
		a.drop()
		a.ahead = &cred
	}
	return cred, err
}

// Credential returns the credential to begin with. Where the database keeps refusing the one that
// there is, it may wait for another, as Refused does, or return what the database said.
func (a *Attempt) Credential(ctx context.Context) (Credential, error) {
	a.cache.mu.Lock()
	defer a.cache.mu.Unlock()
	return a.next(ctx)
}

// Accepted reports that the database took the credential.
func (a *Attempt) Accepted() {
	c, e := a.cache, a.entry
	c.mu.Lock()
	defer c.mu.Unlock()
	defer a.passTurn()
	cred := a.cred
	a.cred.Password = Secret{} // the session lasts, and has no use for it
	if e.logins.doubted(cred, a.at) {
		return
	}
	now := c.wallClock()
	e.logins.accept(cred, now)
	// One that was found beside the store's current one is the one to use from now on.
	if e.known && !e.cred.same(cred) && !e.logins.refusedAt(e.cred).IsZero() {
		c.keep(e, cred, now)
	}
}

// Refused reports that the database refused the credential with the words of verdict, and returns
// another one to try on a new connection. It asks the source again; where that has nothing new, it
// tries what a Rotating source has beside the current one, and the password that was accepted
// before. If the database accepted that, a rotation may be under way, and Refused waits for its end.
//
// The error is verdict where there is no point in another login, because nothing can have changed or
// everything has been tried.
func (a *Attempt) Refused(ctx context.Context, verdict error) (Credential, error) {
	c, e := a.cache, a.entry
	c.mu.Lock()
	defer c.mu.Unlock()
	now, l := c.wallClock(), &e.logins
	l.refuse(a.cred, now)
	if e.known && e.cred.same(a.cred) {
		e.forget()
	}
	if l.superseded(a.cred, a.at) {
		a.tries--
	} else {
		l.proven = false
		if l.trouble == nil {
			l.trouble = &trouble{since: now, hopeful: l.accepted != nil && a.cred.lookedUp() && c.Rotation >= 0}
		}
		t := l.trouble
		t.verdict, t.cred, t.at = verdict, a.cred, now
		t.over = t.over || a.cred.justIssued(now)
	}
	a.passTurn()
	a.drop()
	if a.tries >= maxTries {
		return Credential{}, verdict
	}
	cred, err := a.next(ctx)
	if err == nil {
		c.Counts.Rejected.Add(1)
	}
	return cred, err
}

// Explain says what may be the reason of a refusal, if the source can say that. It is called when
// Credential or Refused returned what the database said.
func (a *Attempt) Explain(ctx context.Context) string {
	explainer, ok := a.cache.Source.(Explainer)
	if !ok {
		return ""
	}
	a.cache.mu.Lock()
	t := a.entry.logins.trouble
	a.cache.mu.Unlock()
	if t == nil {
		return "" // somebody has just found the way in
	}
	return explainer.Explain(ctx, a.entry.user, t.cred)
}

// Close gives up what the Attempt holds.
func (a *Attempt) Close() {
	a.cache.mu.Lock()
	defer a.cache.mu.Unlock()
	if a.entry == nil {
		return
	}
	a.passTurn()
	a.drop()
	a.entry.attempts--
	a.entry = nil
	a.cache.trim()
}

// next is called with the cache's mu held and returns with it, as do the functions below.
func (a *Attempt) next(ctx context.Context) (Credential, error) {
	l := &a.entry.logins
	for waited := false; l.trouble == nil; {
		cred, err := a.first(ctx)
		if err != nil {
			return Credential{}, err
		}
		switch {
		case l.trouble != nil:
		case l.turn == nil && !l.proves(cred):
			a.takeTurn()
			fallthrough
		case waited, l.proves(cred):
			return a.handOut(cred), nil
		default:
			waited = true
			a.wait(ctx, l.turn, alone)
			if a.cache.Once { // then cred was made for this login, and another would be no better
				a.ahead = &cred
				continue
			}
		}
		cred.Lease.Release()
	}
	return a.search(ctx)
}

// first returns what was peeked at, once, and what the Cache has otherwise.
func (a *Attempt) first(ctx context.Context) (Credential, error) {
	if a.ahead == nil {
		return a.cache.lookup(ctx, a.entry)
	}
	cred := *a.ahead
	a.ahead = nil
	return cred, nil
}

// search finds a credential to try while the database refuses the one that there should be.
func (a *Attempt) search(ctx context.Context) (Credential, error) {
	c, l := a.cache, &a.entry.logins
	for {
		t, now := l.trouble, c.wallClock()
		if t == nil {
			return a.next(ctx) // somebody has found one
		}
		if t.over && now.Sub(t.since) >= freshHope && !a.probed {
			*t = trouble{since: now, verdict: t.verdict, cred: t.cred, at: t.at}
		}
		left := t.since.Add(c.rotation()).Sub(now)
		switch {
		case ctx.Err() != nil:
			return Credential{}, t.verdict
		case l.turn != nil && left <= 0 && !t.over, l.turn == nil && t.over && (a.probed || now.Sub(t.at) < probeEvery):
			return Credential{}, t.verdict
		case l.turn != nil:
			a.wait(ctx, l.turn, max(left, probeEvery))
			if t.over && l.trouble == t {
				return Credential{}, t.verdict
			}
			continue
		}
		a.takeTurn()
		cred, err := a.candidate(ctx, t)
		switch {
		case err == nil:
			return a.handOut(cred), nil
		case !errors.Is(err, errNone):
			a.passTurn()
			return Credential{}, err
		case t.hopeful && left > 0:
			a.wait(ctx, nil, min(left, pollEvery))
		default:
			t.over, a.probed = true, true
			l.accepted = nil // it opens nothing any more
		}
		a.passTurn()
	}
}

// errNone says that there is nothing to try just now.
var errNone = errors.New("no other credential")

// candidate returns the credential that is most likely to be accepted, of those worth a login. Where
// the trouble is over, that is what the store has, once.
func (a *Attempt) candidate(ctx context.Context, t *trouble) (Credential, error) {
	c, e := a.cache, a.entry
	cred, err := c.ask(ctx, e)
	if t.over {
		a.probed = true
		return cred, err
	}
	if err == nil && a.worth(cred, t) {
		return cred, nil
	}
	cred.Lease.Release()
	if err != nil {
		c.log().Warn("no other credential", "user", e.user, "err", err, "hint", hint(err))
	}
	for _, other := range a.others(ctx) {
		if a.worth(other, t) {
			return other, nil
		}
	}
	if old := e.logins.accepted; old != nil && a.worth(*old, t) {
		return *old, nil
	}
	return Credential{}, errNone
}

// others asks a Rotating source for what it has beside the current credential.
func (a *Attempt) others(ctx context.Context) []Credential {
	rotating, ok := a.cache.Source.(Rotating)
	if !ok {
		return nil
	}
	a.cache.mu.Unlock()
	defer a.cache.mu.Lock()
	ctx, cancel := context.WithTimeout(ctx, a.cache.requestTime())
	defer cancel()
	others, err := rotating.Others(ctx, a.entry.user)
	if err != nil {
		a.cache.log().Warn("no other versions of a credential", "user", a.entry.user, "err", err, "hint", hint(err))
	}
	return others
}

// worth reports whether a login with cred may end differently from those that were made.
func (a *Attempt) worth(cred Credential, t *trouble) bool {
	if !cred.lookedUp() {
		return !cred.same(t.cred)
	}
	at := a.entry.logins.refusedAt(cred)
	return at.Before(t.since) || a.cache.wallClock().Sub(at) >= againAfter && t.hopeful
}

// handOut returns cred, whose lease is held, and remembers it.
func (a *Attempt) handOut(cred Credential) Credential {
	a.cred, a.at = cred, a.cache.wallClock()
	a.tries++
	return cred
}

// drop releases what was handed out and what was peeked at.
func (a *Attempt) drop() {
	a.cred.Lease.Release()
	a.cred.Lease = nil
	if a.ahead != nil {
		a.ahead.Lease.Release()
		a.ahead = nil
	}
}

func (a *Attempt) takeTurn() {
	a.turn = true
	a.entry.logins.turn = make(chan struct{})
}

func (a *Attempt) passTurn() {
	if a.turn {
		a.turn = false
		close(a.entry.logins.turn)
		a.entry.logins.turn = nil
	}
}

// wait lets the others go on until done is closed, but not for longer than limit or ctx.
func (a *Attempt) wait(ctx context.Context, done <-chan struct{}, limit time.Duration) {
	a.cache.mu.Unlock()
	defer a.cache.mu.Lock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// rotation is how long a connection waits for a rotation.
func (c *Cache) rotation() time.Duration {
	if c.Rotation == 0 {
		return rotationWait
	}
	return max(c.Rotation, 0)
}
