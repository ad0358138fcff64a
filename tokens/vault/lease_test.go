package vault

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/integration/vaultfake"
	"dbvalet/tokens"
)

const creds = "hashivault://database/creds/app"

// users is a database: who may log in.
type users struct {
	mu  sync.Mutex
	now map[string]string // passwords by user
}

func (u *users) role(r vaultfake.Role) vaultfake.Role {
	u.now = make(map[string]string)
	r.CreateUser = func(user, password string, _ time.Duration) error {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.now[user] = password
		return nil
	}
	r.DropUser = func(user string) error {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.now, user)
		return nil
	}
	return r
}

// takes reports whether the database would let a credential in.
func (u *users) takes(cred tokens.Credential) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	password, ok := u.now[cred.User]
	return ok && password == cred.Password.Reveal()
}

// wantUsers checks who may log in, once the source has done what it began.
func (b *bench) wantUsers(s *Source, u *users, taken map[*tokens.Credential]bool) {
	b.t.Helper()
	s.revocations.Wait()
	for cred, want := range taken {
		if got := u.takes(*cred); got != want {
			b.t.Errorf("user %s may log in: %v, want %v", cred.User, got, want)
		}
	}
}

func near(got, want time.Time) bool { return got.Sub(want).Abs() < time.Minute }

func TestDynamicRoleMakesAUserPerCredential(t *testing.T) {
	b := newBench(t)
	var db users
	b.AddRole("database", "app", db.role(vaultfake.Role{TTL: time.Hour}))
	s := b.source(creds)
	one, two := b.credential(s), b.credential(s)
	if one.User == two.User || one.Password.Equal(two.Password) || one.Lease == two.Lease || one.ID == two.ID {
		t.Errorf("got %v and %v, want two users with a lease each", one, two)
	}
	for _, cred := range []tokens.Credential{one, two} {
		if !near(cred.Issued, b.Now()) || !near(cred.Expires, b.Now().Add(time.Hour)) || cred.ID == "" || strings.Contains(cred.ID, "/") {
			t.Errorf("got %v, want it from now for an hour", cred)
		}
		for _, at := range []time.Time{cred.Issued, cred.Expires} {
			if strings.Contains(at.String(), "m=") {
				t.Errorf("%v has a monotonic reading", at)
			}
		}
	}
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&one: true, &two: true})
}

func TestLeaseIsRevokedAfterItsLastHolder(t *testing.T) {
	b := newBench(t)
	var db users
	b.AddRole("database", "app", db.role(vaultfake.Role{}))
	s := b.source(creds)
	one, two := b.credential(s), b.credential(s)

	one.Lease.Hold() // a session that logged in with it
	one.Lease.Release()
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&one: true, &two: true})
	one.Lease.Release()
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&one: false, &two: true})
	if n := b.Requests("sys/leases/revoke"); n != 1 {
		t.Errorf("%d revocations, want 1", n)
	}
	_, err := s.Renew(t.Context(), one)
	wantError(t, err, true, "no lease of this source", "new credential")
}

func TestRenewedLeaseLivesLonger(t *testing.T) {
	b := newBench(t)
	var db users
	b.AddRole("database", "app", db.role(vaultfake.Role{TTL: time.Hour, MaxTTL: 24 * time.Hour}))
	s := b.source(creds)
	cred := b.credential(s)
	for range 5 {
		b.Advance(40 * time.Minute)
		renewed, err := s.Renew(t.Context(), cred)
		if err != nil {
			t.Fatal(err)
		}
		if renewed.User != cred.User || renewed.Lease != cred.Lease || !near(renewed.Expires, b.Now().Add(time.Hour)) {
			t.Errorf("got %v, want %v an hour from now", renewed, cred)
		}
		cred = renewed
	}
	if n := b.Requests("database/creds/*"); n != 1 {
		t.Errorf("%d users made, want 1", n)
	}
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&cred: true})
}

func TestRenewalAtTheMaximumTTLFails(t *testing.T) {
	b := newBench(t)
	var db users
	b.AddRole("database", "app", db.role(vaultfake.Role{TTL: time.Hour, MaxTTL: 90 * time.Minute}))
	s := b.source(creds)
	old := b.credential(s)
	b.Advance(40 * time.Minute)
	renewed, err := s.Renew(t.Context(), old) // 50 minutes are left
	if err != nil || !near(renewed.Expires, b.Now().Add(50*time.Minute)) {
		t.Fatalf("got %v and %v, want what the maximum leaves", renewed, err)
	}
	b.Advance(33 * time.Minute)
	_, err = s.Renew(t.Context(), renewed)
	wantError(t, err, true, "near its maximum TTL", "another is made")

	next := b.credential(s)
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&old: true, &next: true})
	old.Lease.Release()
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&old: false, &next: true})
}

func TestRenewalThatGainsLittleIsNone(t *testing.T) {
	for _, tt := range []struct {
		name            string
		maximum, waited time.Duration
		renewed         bool
	}{
		{"nothing capped", 24 * time.Hour, 40 * time.Minute, true},
		{"half an hour left, and gained ten minutes", 70 * time.Minute, 40 * time.Minute, true},
		{"gained three minutes", 63 * time.Minute, 36 * time.Minute, false},
		{"gained ten minutes, and a quarter of an hour left", 70 * time.Minute, 55 * time.Minute, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.AddRole("database", "app", vaultfake.Role{TTL: time.Hour, MaxTTL: tt.maximum})
			s := b.source(creds)
			cred := b.credential(s)
			b.Advance(tt.waited)
			if _, err := s.Renew(t.Context(), cred); (err == nil) != tt.renewed {
				t.Errorf("got %v, want renewed: %v", err, tt.renewed)
			}
		})
	}
}

func TestLeasesThatCannotBeRenewed(t *testing.T) {
	for _, tt := range []struct {
		name       string
		role       vaultfake.Role
		change     func(b *bench)
		final      bool
		text, hint string
	}{
		{"not renewable", vaultfake.Role{NotRenewable: true}, func(*bench) {}, true, "can't be renewed", "another is made"},
		{"ended", vaultfake.Role{}, func(b *bench) { b.Advance(2 * time.Hour) }, true, "the lease has ended", "another is made"},
		{"not allowed", vaultfake.Role{}, func(b *bench) { b.FailNext(1, "sys/leases/renew", 403, "permission denied") }, true,
			"permission to renew a lease denied", `path "sys/leases/renew"`},
		{"no longer renewable", vaultfake.Role{}, func(b *bench) { b.FailNext(1, "sys/leases/renew", 400, "lease is not renewable") }, true, "can't be renewed", "another is made"},
		{"sealed", vaultfake.Role{}, func(b *bench) { b.Set(vaultfake.Sealed) }, false, "Vault is sealed", "vault status"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.AddRole("database", "app", tt.role)
			s := b.source(creds)
			cred := b.credential(s)
			tt.change(b)
			_, err := s.Renew(t.Context(), cred)
			wantError(t, err, tt.final, tt.text, tt.hint)
		})
	}
}

func TestLeaseExpiresWithTheTokenThatMadeIt(t *testing.T) {
	b := newBench(t)
	var db users
	b.AddRole("database", "app", db.role(vaultfake.Role{TTL: 24 * time.Hour, MaxTTL: 240 * time.Hour}))
	b.AddAppRole("approle", "db", "role-id", approleSecret, vaultfake.Access{
		Paths: []string{"database/creds/app", "sys/leases/revoke"}, TTL: time.Hour, MaxTTL: 90 * time.Minute})
	t.Setenv("VAULT_SECRET_ID", approleSecret)
	s := b.source(creds + "?login=approle&role_id=role-id")

	old := b.credential(s)
	if !near(old.Expires, b.Now().Add(time.Hour)) {
		t.Errorf("expires %v, want with the token in an hour", old.Expires)
	}
	b.Advance(40 * time.Minute)
	renewed, err := s.Renew(t.Context(), old)
	if err != nil || !near(renewed.Expires, b.Now().Add(50*time.Minute)) {
		t.Fatalf("got %v and %v, want the token renewed as far as its maximum", renewed, err)
	}
	b.Advance(35 * time.Minute)
	_, err = s.Renew(t.Context(), renewed)
	wantError(t, err, true, "near its maximum TTL, or that of the token", "another is made")

	next := b.credential(s)
	if n := b.Requests("auth/approle/login"); n != 2 || !near(next.Expires, b.Now().Add(time.Hour)) {
		t.Errorf("%d logins, and %v; want 2, and an hour with the new token", n, next)
	}
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&old: true, &next: true}) // the old token was left alone
	b.Advance(20 * time.Minute)
	b.wantUsers(s, &db, map[*tokens.Credential]bool{&old: false, &next: true}) // it has ended, and taken its lease along
	old.Lease.Release()
	s.revocations.Wait()
	if n := b.Requests("sys/leases/revoke"); n != 0 {
		t.Errorf("%d revocations of what had ended with its token", n)
	}
	if strings.Contains(b.log.String(), "level=WARN") {
		t.Errorf("a warning: %s", b.log.String())
	}
}

func TestBatchTokenIsNotRenewed(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{TTL: 24 * time.Hour})
	b.AddAppRole("approle", "db", "role-id", "", vaultfake.Access{Paths: []string{"database/*"}, TTL: time.Hour, NotRenewable: true})
	s := b.source(creds + "?login=approle&role_id=role-id")
	cred := b.credential(s)
	b.Advance(45 * time.Minute)
	_, err := s.Renew(t.Context(), cred)
	wantError(t, err, true, "near its maximum TTL, or that of the token", "another is made")
	if n := b.Requests("auth/token/renew-self"); n != 0 {
		t.Errorf("%d renewals of a token that can't be renewed", n)
	}
}

func TestTokenOfAnotherIsLookedUpForItsLeases(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{TTL: 24 * time.Hour})
	b.AddToken(rootToken, vaultfake.Access{Paths: []string{"*"}, TTL: time.Hour})
	s := b.source(creds)
	cred := b.credential(s)
	if !near(cred.Expires, b.Now().Add(time.Hour)) {
		t.Errorf("expires %v, want with the token in an hour", cred.Expires)
	}
	b.credential(s)
	if n := b.Requests("auth/token/lookup-self"); n != 1 {
		t.Errorf("%d look-ups, want 1", n)
	}
	b.Advance(50 * time.Minute)
	b.AddToken(rootToken, vaultfake.Access{Paths: []string{"*"}, TTL: time.Hour}) // a Vault Agent renews it
	if cred = b.credential(s); !near(cred.Expires, b.Now().Add(time.Hour)) {
		t.Errorf("expires %v, want what is known since the token was renewed", cred.Expires)
	}
	b.Advance(40 * time.Minute)
	if cred, err := s.Renew(t.Context(), cred); err != nil || !near(cred.Expires, b.Now().Add(time.Hour)) {
		t.Errorf("got %v and %v, want the token renewed", cred, err)
	}
}

func TestLeaseIsBelievedWhereTheTokenMayNotLookItselfUp(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{TTL: 2 * time.Hour})
	b.AddToken(rootToken, vaultfake.Access{Paths: []string{"*"}, TTL: time.Hour})
	b.FailNext(1, "auth/token/lookup-self", 403, "permission denied")
	if cred := b.credential(b.source(creds)); !near(cred.Expires, b.Now().Add(2*time.Hour)) {
		t.Errorf("expires %v, want what the lease says", cred.Expires)
	}
}

func TestLeaseThatCannotBeUsedIsGivenBack(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{})
	s := b.source(creds + "?path=private_key")
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, true, `the secret has no "private_key"`, "path=")
	s.revocations.Wait()
	if n := len(b.Leases()); n != 0 {
		t.Errorf("%d leases are left behind", n)
	}
}

func TestCloseWaitsForRevocations(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{})
	s := b.source(creds)
	one, two := b.credential(s), b.credential(s)
	b.FailNext(2, "sys/leases/revoke", 500)
	one.Lease.Release()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := len(b.Leases()); n != 1 {
		t.Errorf("%d leases after Close, want 1: the other is revoked in spite of two failures", n)
	}
	two.Lease.Release()
	s.Close()
	if n := len(b.Leases()); n != 1 {
		t.Errorf("%d leases, want that after Close nothing is revoked", n)
	}
}

func TestRevocationThatIsNotAllowedIsLogged(t *testing.T) {
	b := newBench(t)
	b.AddToken(rootToken, vaultfake.Access{Paths: []string{"database/creds/app"}})
	b.AddRole("database", "app", vaultfake.Role{})
	s := b.source(creds)
	b.credential(s).Lease.Release()
	s.Close()
	got := b.log.String()
	if !strings.Contains(got, "level=WARN") || !strings.Contains(got, "permission to revoke a lease denied") ||
		!strings.Contains(got, `sys/leases/revoke`) {
		t.Errorf("got %s", got)
	}
	if n := b.Requests("sys/leases/revoke"); n != 1 {
		t.Errorf("%d revocations, want no second try of what is not allowed", n)
	}
}

func TestRevocationGivesUp(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{})
	s := b.source(creds)
	s.revokeLimit = 50 * time.Millisecond
	cred := b.credential(s)
	b.Set(vaultfake.Hanging)
	cred.Lease.Release()
	s.Close()
	if got := b.log.String(); !strings.Contains(got, "a lease was not revoked") {
		t.Errorf("got %s", got)
	}
}

// TestUserThatNobodyWaitsForIsGivenBack lets the only caller go away while Vault makes a user, whose lease
// is in an answer that is still to come.
func TestUserThatNobodyWaitsForIsGivenBack(t *testing.T) {
	b := newBench(t)
	var db users
	role := db.role(vaultfake.Role{})
	create, begun, goOn := role.CreateUser, make(chan struct{}), make(chan struct{})
	role.CreateUser = func(user, password string, ttl time.Duration) error {
		close(begun)
		<-goOn
		return create(user, password, ttl)
	}
	b.AddRole("database", "app", role)
	cache := &tokens.Cache{Source: b.source(creds)}
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := cache.Credential(ctx, "")
		left <- err
	}()
	<-begun
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the caller is not kept waiting", err)
	}
	close(goOn)
	cache.Close()
	if n := len(b.Leases()); n != 0 || len(db.now) != 0 || b.Requests("sys/leases/revoke") != 1 {
		t.Errorf("%d leases and the users %v are left after %d revocations, want one made and given back",
			n, db.now, b.Requests("sys/leases/revoke"))
	}
}

func TestNoUserIsMadeForNobody(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{})
	s := b.source(creds)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := s.Credential(gone, "app"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if n := b.Requests("*"); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestWaitForNobodyEnds(t *testing.T) {
	b := newBench(t)
	b.AddRole("database", "app", vaultfake.Role{})
	s := b.source(creds)
	s.answerLimit = 50 * time.Millisecond
	b.Set(vaultfake.Hanging)
	ctx, leave := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer leave()
	if _, err := s.Credential(ctx, "app"); err == nil {
		t.Error("there is a credential")
	}
	b.Set(vaultfake.Up)
}

// TestCacheSharesOneLease: a database user is made for the route, and not for each connection.
func TestCacheSharesOneLease(t *testing.T) {
	b := newBench(t)
	var db users
	b.AddRole("database", "app", db.role(vaultfake.Role{TTL: time.Hour}))
	s := b.source(creds)
	cache := &tokens.Cache{Source: s}
	got := make(chan tokens.Credential)
	for range 20 {
		go func() {
			cred, err := cache.Credential(context.WithoutCancel(t.Context()), "")
			if err != nil {
				t.Error(err)
			}
			got <- cred
		}()
	}
	first := <-got
	for range 19 {
		if cred := <-got; cred.User != first.User {
			t.Errorf("got %v and %v, want one user for all", cred, first)
		}
	}
	if n := b.Requests("database/creds/*"); n != 1 {
		t.Errorf("%d users made, want 1", n)
	}
}
