package proxy

import (
	"context"
	"slices"
	"sync"
	"time"

	"dbvalet/tokens"
)

// A Place is a further host where the database may be.
type Place struct {
	// Endpoint and Locate say where that is, as those of an Upstream do.
	Endpoint Endpoint
	Locate   func(tokens.Credential) (Endpoint, error)
	// Credentials are those that are good there. Places may share them, but for tokens that are signed for a
	// host.
	Credentials *tokens.Cache
}

// place returns the host at position i, where 0 is the Upstream's own.
func (u *Upstream) place(i int) Place {
	if i > 0 {
		return u.Others[i-1]
	}
	return Place{u.Endpoint, u.Locate, u.Credentials}
}

// Places are all hosts, in their order.
func (u *Upstream) Places() (places []Place) {
	for i := range 1 + len(u.Others) {
		places = append(places, u.place(i))
	}
	return places
}

// Caches returns the Cache of every host, each once.
func (u *Upstream) Caches() (caches []*tokens.Cache) {
	for _, place := range u.Places() {
		if cache := place.Credentials; cache != nil && !slices.Contains(caches, cache) {
			caches = append(caches, cache)
		}
	}
	return caches
}

// Close closes what Upstream holds: the Cache of every host, and the Tunnel with what was dialled by
// way of it. There must be no calls after it.
func (u *Upstream) Close() {
	for _, cache := range u.Caches() {
		cache.Close()
	}
	if u.Tunnel != nil {
		_ = u.Tunnel.Close()
	}
}

// favourTime is how long the host that was found is tried before those that are named before it. The
// list says which one is preferred, so that it is asked again; and often enough that a host that comes
// back is found, but not by every connection.
const favourTime = time.Minute

// pauseInOutage is after how long without a failure the next one is another outage's.
const pauseInOutage = 10 * time.Second

// An experience is what an Upstream has learned about its hosts. Its zero value is ready for use.
type experience struct {
	mu       sync.Mutex
	favoured int       // the host that did last
	until    time.Time // it is tried first until then
	reached  map[string]bool
	began    time.Time // of the outage; zero: there is none
	failed   time.Time // when somebody last found nothing
}

// order returns the positions of n hosts in the order in which they are tried. When the favoured one's
// time is over, it is one connection that asks those before it, not all.
func (e *experience) order(n int, now time.Time) []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	order := make([]int, 0, n)
	if e.favoured > 0 && now.Before(e.until) {
		order = append(order, e.favoured)
	} else {
		e.until = now.Add(favourTime)
	}
	for i := range n {
		if len(order) == 0 || order[0] != i {
			order = append(order, i)
		}
	}
	return order
}

// found notes that host i did. One that is favoured already is not for longer.
func (e *experience) found(i int, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.began = time.Time{}
	if e.favoured != i {
		e.favoured, e.until = i, now.Add(favourTime)
	}
}

// down notes that nothing was found, and returns since when that is so.
func (e *experience) down(now time.Time) (since time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.began.IsZero() || now.Sub(e.failed) > pauseInOutage {
		e.began = now
	}
	e.failed = now
	return e.began
}

// reach notes that addr was connected to, and so that its name exists.
func (e *experience) reach(addr string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.reached == nil {
		e.reached = make(map[string]bool)
	}
	if len(e.reached) < maxReached {
		e.reached[addr] = true
	}
}

// maxReached bounds what is remembered where a secret names ever other hosts.
const maxReached = 100

func (e *experience) wasReached(addr string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.reached[addr]
}

// share returns a part of ctx's time for one of the hosts that are left to try, so that one that says
// nothing leaves time for the others.
func share(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || left < 2 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
}
