package vault

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"time"

	"dbvalet/tokens"
)

const (
	// answerLimit is how long Vault's answer is waited for when nobody else waits for it any more.
	answerLimit = 5 * time.Second

	// revokeLimit is how long Vault is asked to revoke one lease, and so how long Close takes at most.
	revokeLimit = 5 * time.Second

	// revokePause is how long a Vault that did not answer is left alone before the second try. It is
	// doubled for each further one.
	revokePause = 250 * time.Millisecond
)

// A lease is a database user that Vault made for us, and drops when the lease ends.
type lease struct {
	id        string
	duration  time.Duration // as it was granted at first, which is what is asked for again
	life      time.Duration // the same, but no longer than that of the token
	renewable bool
	session   *session // whose token made it, and takes it along when it ends
}

// Errors of a renewal.
var (
	errNotRenewable = errors.New("the lease can't be renewed")
	errMaxTTL       = errors.New("the lease is near its maximum TTL, or that of the token which made it")
	errUnknownLease = errors.New("the credential has no lease of this source")
)

// lingering returns a context that ends some time after ctx does.
func lingering(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(after, end) })
	return longer, func() {
		stop()
		end()
	}
}

// borrow makes a credential of a new lease.
func (s *Source) borrow(ctx context.Context, a answer) (tokens.Credential, error) {
	l := &lease{
		id:        a.secret.LeaseID,
		duration:  time.Duration(a.secret.LeaseDuration) * time.Second,
		renewable: a.secret.Renewable,
		session:   a.session,
	}
	cred, err := s.decode(tokens.Decoder{Path: s.decoder.Path}, a.secret.Data, true)
	if err != nil {
		s.giveBack(l) // or each try would leave a user behind
		return tokens.Credential{}, err
	}
	l.session.lookUp(ctx, a.asked, s.log)
	cred.ID = l.short()
	cred.Issued = a.asked
	cred.Expires = l.until(a.asked, l.duration)
	l.life = cred.Expires.Sub(cred.Issued)
	cred.Lease = s.keep(l)
	s.log.Debug("Vault made a database user", "path", a.path, "credential", cred)
	return cred, nil
}

// Renew asks for the lease's first duration again, and for the token's where that would end before.
func (s *Source) Renew(ctx context.Context, cred tokens.Credential) (tokens.Credential, error) {
	s.mu.Lock()
	l := s.leases[cred.Lease]
	s.mu.Unlock()
	switch {
	case l == nil:
		return cred, s.denied(errUnknownLease, "ask for a new credential")
	case !l.renewable:
		return cred, s.denied(errNotRenewable, "nothing needs to be done: another is made")
	}
	asked := s.now().Round(0)
	l.session.extend(ctx, asked, l.duration, s.log)
	secret, err := l.session.client.Sys().RenewWithContext(ctx, l.id, int(l.duration.Seconds()))
	if err != nil {
		return cred, s.describeRenewal(l.session, err)
	}
	granted := time.Duration(0)
	if secret != nil {
		granted = time.Duration(secret.LeaseDuration) * time.Second
	}
	expires := l.until(asked, granted)
	// Near the maximum, renewals gain less and less: it is time for another lease.
	if expires.Sub(cred.Expires) < l.life/10 || expires.Sub(asked) <= l.life/3 {
		return cred, s.denied(errMaxTTL, "nothing needs to be done: another is made")
	}
	cred.Expires = expires
	s.log.Debug("Vault renewed a lease", "credential", cred)
	return cred, nil
}

// until returns when a lease ends that was granted for a duration at a time.
func (l *lease) until(asked time.Time, granted time.Duration) time.Time {
	end := asked.Add(granted)
	if token := l.session.end(); !token.IsZero() && token.Before(end) {
		return token
	}
	return end
}

// short returns the part of the lease's id that differs from lease to lease.
func (l *lease) short() string { return path.Base(l.id) }

// keep returns a handle, with which the lease is found until its last holder has gone.
func (s *Source) keep(l *lease) *tokens.Lease {
	var handle *tokens.Lease
	handle = tokens.NewLease(func() {
		s.mu.Lock()
		delete(s.leases, handle)
		s.mu.Unlock()
		s.giveBack(l)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases[handle] = l
	return handle
}

// giveBack revokes the lease without letting the caller wait.
func (s *Source) giveBack(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.revocations.Go(func() { s.revoke(l) })
	}
}

// revoke lets Vault drop the user of the lease now. If it can't be reached, it does so at the end of
// the lease.
func (s *Source) revoke(l *lease) {
	if end := l.session.end(); l.session.logsIn && !end.IsZero() && !s.now().Before(end) {
		return // the token has taken it along
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.revokeLimit)
	defer cancel()
	for pause := revokePause; ; pause *= 2 {
		err := l.session.client.Sys().RevokeWithContext(ctx, l.id)
		if err == nil {
			s.log.Debug("Vault revoked a lease", "id", l.short())
			return
		}
		e := s.describeRevocation(l.session, err)
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			e.Denied = true
		}
		wait.Stop()
		if e.Denied {
			s.log.Warn("a lease was not revoked; Vault drops its database user when it ends",
				slog.String("id", l.short()), slog.Any("err", e), slog.String("hint", e.Hint()))
			return
		}
	}
}

// Close waits for the revocations that are under way, for 5 seconds at most, and begins no more. It
// returns nil.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.revocations.Wait()
	return nil
}
