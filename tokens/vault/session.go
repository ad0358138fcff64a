package vault

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"dbvalet/tokens"
)

// A session is a Vault token, and what is known about its life. A lease keeps the session that made
// it when that is replaced.
type session struct {
	client *api.Client // sends the token
	token  tokens.Secret
	who    string // for people: token of VAULT_TOKEN, kubernetes login as role app
	logsIn bool   // the token comes from a login, so that there can be another

	mu        sync.Mutex
	known     bool          // the fields below are
	ends      time.Time     // zero: it does not end
	life      time.Duration // the longest that was granted; 0: it does not end
	renewable bool
	dropped   bool // Vault does not take the token any more
}

func newSession(client *api.Client, token, who string) *session {
	return &session{
		client: client.WithRequestCallbacks(func(r *api.Request) { r.ClientToken = token }),
		token:  tokens.NewSecret(token),
		who:    who,
	}
}

// session returns the session to ask with, and whether it has been used before: one may have been
// revoked since.
func (s *Source) session(ctx context.Context) (ses *session, kept bool, err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, false, s.outage(ctx.Err())
	}
	defer func() { <-s.turn }()

	if s.client == nil {
		client, err := s.server.connect()
		if err != nil {
			return nil, false, s.denied(err, "check ca= and the VAULT_ variables of the environment")
		}
		s.client = client
	}
	if s.login.payload == nil {
		token, who, err := s.token()
		if err != nil {
			return nil, false, err
		}
		if s.current != nil && s.current.token.Equal(tokens.NewSecret(token)) {
			return s.current, true, nil
		}
		s.current = newSession(s.client, token, who)
		return s.current, false, nil
	}
	if s.current != nil && !s.current.due(s.now()) {
		return s.current, true, nil
	}
	// The old one is not revoked: it lives on for the leases that it has made.
	if ses, err = s.logIn(ctx); err != nil {
		return nil, false, err
	}
	s.current = ses
	return ses, false, nil
}

// grant notes what Vault said at a time about the life of the token.
func (ses *session) grant(asked time.Time, life time.Duration, renewable bool) {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.life = max(ses.life, life)
	ses.known, ses.renewable, ses.ends = true, renewable, time.Time{}
	if life > 0 {
		ses.ends = asked.Add(life)
	}
}

// end returns when the token ends, and its leases with it; zero where that is never, or not known.
func (ses *session) end() time.Time {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	return ses.ends
}

// due reports whether there should be another login: when half of the token's life is over, because
// what is leased with it lives no longer, and is replaced at two thirds.
func (ses *session) due(now time.Time) bool {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	return ses.dropped || !ses.ends.IsZero() && ses.ends.Sub(now) < ses.life/2
}

// drop lets the next request log in anew.
func (ses *session) drop() {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	ses.dropped = true
}

// lookUp asks how long a token lives that did not come from a login, and asks again when little is
// left of that, because somebody else may renew it, such as a Vault Agent. Vault's default policy
// allows the question; without it, the leases are believed.
func (ses *session) lookUp(ctx context.Context, now time.Time, log *slog.Logger) {
	ses.mu.Lock()
	known := ses.known
	ses.mu.Unlock()
	if ses.logsIn || known && !ses.due(now) {
		return
	}
	secret, err := ses.client.Auth().Token().LookupSelfWithContext(ctx)
	if err == nil {
		life, errLife := secret.TokenTTL()
		renewable, _ := secret.TokenIsRenewable()
		if err = errLife; err == nil {
			ses.grant(now, life, renewable)
			return
		}
	}
	log.Debug("the life of the Vault token is not known", "session", ses.who, "status", status(err))
}

// extend renews the token where it ends before a lease would that is granted for a duration now.
// Where that is not possible, the lease ends with it: see [lease.until].
func (ses *session) extend(ctx context.Context, now time.Time, duration time.Duration, log *slog.Logger) {
	ses.mu.Lock()
	enough := !ses.renewable || ses.ends.IsZero() || !ses.ends.Before(now.Add(duration))
	ses.mu.Unlock()
	if enough {
		return
	}
	secret, err := ses.client.Auth().Token().RenewSelfWithContext(ctx, 0) // 0: for its own TTL
	if err != nil || secret == nil || secret.Auth == nil {
		log.Debug("the Vault token was not renewed", "session", ses.who, "status", status(err))
		return
	}
	ses.grant(now, time.Duration(secret.Auth.LeaseDuration)*time.Second, secret.Auth.Renewable)
}
