package tokens

import "sync/atomic"

// A Lease is what a credential is borrowed on, such as a lease of HashiCorp Vault. It is given back
// when nobody holds it any more: not the Cache that hands the credential out, and no session that
// logged in with it. A nil Lease is held and released without effect.
type Lease struct {
	holders atomic.Int64
	end     func()
}

// NewLease returns a Lease with one holder, who gets it together with the credential. end is called
// once, by whoever releases last; it must not block.
func NewLease(end func()) *Lease {
	l := &Lease{end: end}
	l.holders.Store(1)
	return l
}

// Hold adds a holder. Only who holds the Lease may call it, or it may have ended.
func (l *Lease) Hold() {
	if l != nil {
		l.holders.Add(1)
	}
}

// Release takes a holder away.
func (l *Lease) Release() {
	if l != nil && l.holders.Add(-1) == 0 {
		l.end()
	}
}

// shared reports whether anybody but the caller holds the Lease.
func (l *Lease) shared() bool { return l != nil && l.holders.Load() > 1 }
