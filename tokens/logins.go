package tokens

import "time"

// logins is what the database said to the credentials of one user. Cache.mu guards it.
type logins struct {
	proven   bool       // the last login was accepted
	last     Credential // the one that was accepted last, without a hold on its lease
	lastAt   time.Time
	accepted *Credential   // the last that was, of those that were looked up and don't expire; nil: none
	refused  []refusal     // looked up, and refused since
	trouble  *trouble      // nil: the database accepts logins, as far as is known
	turn     chan struct{} // closed when the Attempt that tries alone has its answer; nil: nobody does
}

// A refusal is a credential that the database refused.
type refusal struct {
	cred Credential
	at   time.Time
}

// trouble begins when the database refuses a credential and nobody has a better one. Then the
// connections of a user try one after the other, so that the account is not locked.
type trouble struct {
	since   time.Time
	verdict error      // of the database, the last time
	cred    Credential // which that was about
	at      time.Time
	hopeful bool // a rotation may be under way: it is worth waiting for another credential
	over    bool // everything has been tried, and the wait is over
}

// maxRefusals is how many refused credentials are remembered: a store has few versions at a time.
const maxRefusals = 8

func (l *logins) empty() bool { return l.accepted == nil && l.trouble == nil && len(l.refused) == 0 }

// accept notes that the database took cred.
func (l *logins) accept(cred Credential, now time.Time) {
	l.proven, l.trouble = true, nil
	l.last, l.lastAt = cred, now
	l.forgive(cred)
	if cred.lookedUp() {
		l.accepted = &cred
	}
}

// refuse notes that the database did not take cred.
func (l *logins) refuse(cred Credential, now time.Time) {
	l.forgive(cred)
	if cred.lookedUp() {
		l.refused = append(l.refused, refusal{cred, now})
		l.refused = l.refused[max(0, len(l.refused)-maxRefusals):]
	}
}

// forgive removes cred from the refused ones.
func (l *logins) forgive(cred Credential) {
	for i, r := range l.refused {
		if r.cred.same(cred) {
			l.refused = append(l.refused[:i:i], l.refused[i+1:]...)
			return
		}
	}
}

// refusedAt returns when the database refused cred; zero if it didn't.
func (l *logins) refusedAt(cred Credential) time.Time {
	for _, r := range l.refused {
		if r.cred.same(cred) {
			return r.at
		}
	}
	return time.Time{}
}

// proves reports whether there is no need to try cred alone at first. A new token is as good as the
// last one; a new password may be one that the database does not know yet.
func (l *logins) proves(cred Credential) bool {
	return l.proven && (!cred.lookedUp() || l.accepted != nil && l.accepted.same(cred))
}

// prefer returns what to use where the store says that cred is current: in the middle of a rotation,
// that may be one that the database refused, while it accepts another.
func (l *logins) prefer(cred Credential) Credential {
	if l.refusedAt(cred).IsZero() {
		l.refused = nil // the rotation is over
		return cred
	}
	if l.proven && l.accepted != nil {
		return *l.accepted
	}
	return cred
}

// superseded reports whether another credential was accepted after cred was handed out, so that its
// refusal is no news.
func (l *logins) superseded(cred Credential, handedOut time.Time) bool {
	return l.trouble == nil && l.proven && !l.lastAt.Before(handedOut) && !l.last.same(cred)
}

// doubted reports whether cred was refused after it was handed out: that it was accepted is then the
// older news, of a login that was slower to tell.
func (l *logins) doubted(cred Credential, handedOut time.Time) bool {
	return l.refusedAt(cred).After(handedOut) ||
		l.trouble != nil && l.trouble.cred.same(cred) && l.trouble.at.After(handedOut)
}
