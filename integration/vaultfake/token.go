package vaultfake

import (
	"net/http"
	"slices"
	"time"
)

// Access is what a token may, and for how long.
type Access struct {
	// Paths are those that the token may read and write, without /v1/. A * at the end is any rest.
	// What Vault's default policy allows is allowed to every token.
	Paths []string

	TTL          time.Duration // 0: the token does not end
	MaxTTL       time.Duration // 0: there is none
	NotRenewable bool          // as a batch token is
}

// defaultPolicy is as much of Vault's policy "default" as the fake knows.
var defaultPolicy = []string{"auth/token/lookup-self", "auth/token/renew-self", "sys/leases/renew"}

type token struct {
	id      string
	access  Access
	created time.Time
	expires time.Time // zero: never
}

func (t *token) ended(now time.Time) bool { return !t.expires.IsZero() && !now.Before(t.expires) }

// AddToken lets the server know a token.
func (s *Server) AddToken(id string, a Access) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addToken(id, a)
}

func (s *Server) addToken(id string, a Access) *token {
	now := s.now()
	t := &token{id: id, access: a, created: now}
	if a.TTL > 0 {
		t.expires = now.Add(a.TTL)
	}
	s.tokens[id] = t
	s.schedule()
	return t
}

// RevokeTokens revokes all tokens, and with them the leases that they made.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	clear(s.tokens)
	s.mu.Unlock()
	s.expire()
}

// allowed returns the token with an id, if there is one and it may use a path.
func (s *Server) allowed(id, at string) *token {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[id]
	if t == nil {
		return nil
	}
	for _, pattern := range slices.Concat(t.access.Paths, defaultPolicy) {
		if matches(pattern, at) {
			return t
		}
	}
	return nil
}

// serveToken answers lookup-self and renew-self.
func (s *Server) serveToken(w http.ResponseWriter, at string, t *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	switch {
	case at == "auth/token/lookup-self":
		data := map[string]any{"ttl": 0, "renewable": !t.access.NotRenewable && t.access.TTL > 0, "display_name": "token", "expire_time": nil}
		if !t.expires.IsZero() {
			data["ttl"], data["expire_time"] = seconds(t.expires.Sub(now)), t.expires.Format(time.RFC3339Nano)
		}
		answer(w, http.StatusOK, response{Data: data, Mount: "token"})
	case at != "auth/token/renew-self":
		refuse(w, http.StatusNotFound, "unsupported path")
	case t.access.NotRenewable || t.expires.IsZero():
		refuse(w, http.StatusBadRequest, "lease is not renewable")
	default:
		t.expires = now.Add(t.access.TTL)
		if end := t.created.Add(t.access.MaxTTL); t.access.MaxTTL > 0 && end.Before(t.expires) {
			t.expires = end
		}
		s.schedule()
		answer(w, http.StatusOK, response{Auth: t.auth(now, nil)})
	}
}

// auth is what a login and renew-self say about a token.
func (t *token) auth(now time.Time, metadata map[string]string) map[string]any {
	left := 0
	if !t.expires.IsZero() {
		left = seconds(t.expires.Sub(now))
	}
	return map[string]any{
		"client_token": t.id, "accessor": random(12), "policies": []string{"default"}, "token_policies": []string{"default"},
		"metadata": metadata, "lease_duration": left, "renewable": !t.access.NotRenewable, "entity_id": random(16), "orphan": true,
	}
}

// seconds rounds to whole seconds, as Vault's answers have them.
func seconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }
