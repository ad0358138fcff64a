package tokens

import (
	"sync/atomic"
	"time"
)

// Counts is what a Cache has asked for, and what became of that. It is for reading only.
type Counts struct {
	OK       atomic.Int64 // requests that the source answered with a credential
	Failed   atomic.Int64 // requests that it did not
	Rejected atomic.Int64 // credentials that the database refused, and another was tried
}

func (c *Counts) count(err error) {
	if err != nil {
		c.Failed.Add(1)
		return
	}
	c.OK.Add(1)
}

// Expires returns when the first of the credentials at hand expires; zero: none of them does.
func (c *Cache) Expires() (first time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.entries {
		if at := e.cred.Expires; e.known && !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
