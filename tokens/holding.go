package tokens

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// A Holding is a credential that a Cache has at hand, without its secret.
type Holding struct {
	User    string // of the database
	ID      string // as Credential.ID
	Fetched time.Time
	Issued  time.Time // as Credential.Issued
	Expires time.Time // zero if it does not expire by itself
}

// Holdings returns what is at hand, by user; what has expired is not. Nothing is fetched, and nothing counts
// as used for it.
func (c *Cache) Holdings() (all []Holding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.wallClock()
	for _, e := range c.entries {
		if c.serves(e, now, nil) {
			all = append(all, Holding{cmp.Or(e.cred.User, e.user), e.cred.ID, e.fetched, e.cred.Issued, e.cred.Expires})
		}
	}
	slices.SortFunc(all, func(a, b Holding) int { return strings.Compare(a.User, b.User) })
	return all
}
