package tokens

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A database accepts some passwords and counts the logins that it refuses.
type database struct {
	mu       sync.Mutex
	accepts  []string
	delay    time.Duration // of a login
	refusals []time.Time
	logins   int
}

func (d *database) set(passwords ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.accepts = passwords
}

var errWrongPassword = errors.New("password authentication failed")

func (d *database) login(cred Credential) error {
	time.Sleep(d.delay)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.logins++
	if slices.Contains(d.accepts, cred.Password.Reveal()) {
		return nil
	}
	d.refusals = append(d.refusals, time.Now())
	return errWrongPassword
}

func (d *database) refused(t *testing.T, want int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.refusals) != want {
		t.Errorf("the database refused %d logins, want %d", len(d.refusals), want)
	}
}

// connect does what a connection does: it logs in until there is nothing to try any more.
func connect(ctx context.Context, c *Cache, d *database) (Credential, error) {
	a := c.Begin("app")
	defer a.Close()
	cred, err := a.Credential(ctx)
	for err == nil {
		refusal := d.login(cred)
		if refusal == nil {
			a.Accepted()
			return cred, nil
		}
		cred, err = a.Refused(ctx, refusal)
	}
	return Credential{}, err
}

// connects logs in and wants it to be with password.
func connects(t *testing.T, c *Cache, d *database, password string) {
	t.Helper()
	cred, err := connect(t.Context(), c, d)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	wantPassword(t, cred, password)
}

// refuses logs in and wants the database's own words, after so long.
func refuses(t *testing.T, c *Cache, d *database, after time.Duration) {
	t.Helper()
	begin := time.Now()
	if cred, err := connect(t.Context(), c, d); err != errWrongPassword {
		t.Errorf("got %v, %v, want the database's refusal", cred, err)
	}
	if got := time.Since(begin); got != after {
		t.Errorf("the refusal came after %v, want %v", got, after)
	}
}

// A store is a Source with stages, as AWS Secrets Manager has them.
type store struct {
	mu      sync.Mutex
	current string
	others  []string
	down    error
	asked   int
}

func (s *store) set(current string, others ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.others = current, others
}

func (s *store) Credential(context.Context, string) (Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return Credential{Password: NewSecret(s.current)}, s.down
}

func (s *store) Others(context.Context, string) (all []Credential, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, password := range s.others {
		all = append(all, Credential{Password: NewSecret(password)})
	}
	return all, s.down
}

var _ Rotating = (*store)(nil)

func TestRefusedPasswordIsFetchedAgain(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			c, d := &Cache{Source: numbered(0, 0), TTL: ttl}, &database{accepts: []string{"pw2"}}
			defer c.Close()
			connects(t, c, d, "pw2")
			d.refused(t, 1)
		})
	}
}

func TestTokenIsReplacedOnceIfItMayBeTheTokensFault(t *testing.T) {
	for _, tt := range []struct {
		age    time.Duration
		logins int
	}{
		{0, 1},
		{9 * time.Second, 1},
		{10 * time.Second, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, d := &Cache{Source: numbered(0, time.Hour)}, &database{}
			defer c.Close()
			get(t, c)
			time.Sleep(tt.age)
			refuses(t, c, d, 0)
			d.refused(t, tt.logins)
			d.set("pw1", "pw2", "pw3")
			time.Sleep(time.Second)
			if _, err := connect(t.Context(), c, d); err != nil {
				t.Errorf("the refused token is in the way of the next: %v", err)
			}
		})
	}
}

func TestNothingNewIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := &Cache{Source: &store{current: "wrong"}, TTL: time.Hour}, &database{}
		defer c.Close()
		refuses(t, c, d, 0)
		d.refused(t, 1)
	})
}

func TestVersionsAreTriedInOrderAndEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{current: "current", others: []string{"pending", "current", "previous"}}
		c, d := &Cache{Source: s, TTL: time.Hour}, &database{accepts: []string{"previous"}}
		defer c.Close()
		connects(t, c, d, "previous")
		d.refused(t, 2)
		connects(t, c, d, "previous")
		d.refused(t, 2)
	})
}

// A rotation of one user: the database has the new password before the store calls it current.
func TestPendingVersionServesUntilTheStoreMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &store{current: "old"}, &database{accepts: []string{"old"}}
		c := &Cache{Source: s, TTL: time.Minute}
		defer c.Close()
		connects(t, c, d, "old")
		s.set("old", "new")
		d.set("new")
		for range 300 { // several times TTL, so that the store repeats what the database refuses
			connects(t, c, d, "new")
			time.Sleep(time.Second)
		}
		d.refused(t, 1)
		s.set("new", "old")
		time.Sleep(time.Hour)
		connects(t, c, d, "new")
		d.refused(t, 1)
	})
}

// A file that is replaced before the database knows of it.
func TestAcceptedPasswordServesUntilTheDatabaseMoves(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s, d := &store{current: "old"}, &database{accepts: []string{"old"}}
			c := &Cache{Source: s, TTL: ttl}
			defer c.Close()
			connects(t, c, d, "old")
			s.set("new")
			for range 300 {
				connects(t, c, d, "old")
				time.Sleep(time.Second)
			}
			d.refused(t, 1)
			d.set("new")
			connects(t, c, d, "new")
			d.refused(t, 2)
		})
	}
}

func TestConnectionsWaitForTheStoreToMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &store{current: "old"}, &database{accepts: []string{"old"}}
		c := &Cache{Source: s, TTL: time.Hour}
		defer c.Close()
		connects(t, c, d, "old")
		d.set("new")
		time.AfterFunc(7*time.Second, func() { s.set("new") })
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				connects(t, c, d, "new")
			})
		}
		all.Wait()
		if got := len(d.refusals); got > 5 {
			t.Errorf("the database refused %d logins in 7 seconds, want at most 5", got)
		}
	})
}

func TestWaitHasAnEnd(t *testing.T) {
	for rotation, want := range map[time.Duration]time.Duration{0: 10 * time.Second, 3 * time.Second: 3 * time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			c, d := &Cache{Source: &store{current: "old"}, TTL: time.Hour, Rotation: rotation}, &database{accepts: []string{"old"}}
			defer c.Close()
			connects(t, c, d, "old")
			d.set("new")
			refuses(t, c, d, want)
			refuses(t, c, d, 0) // whoever comes next need not wait for what did not come
		})
	}
}

func TestWaitEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := &Cache{Source: &store{current: "old"}, TTL: time.Hour}, &database{accepts: []string{"old"}}
		defer c.Close()
		connects(t, c, d, "old")
		d.set("new")
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		begin := time.Now()
		if _, err := connect(ctx, c, d); err != errWrongPassword {
			t.Errorf("got %v, want the database's refusal", err)
		}
		if got := time.Since(begin); got != 2500*time.Millisecond {
			t.Errorf("waited %v, want 2.5s", got)
		}
	})
}

func TestFirstLoginWithANewPasswordGoesAlone(t *testing.T) {
	for _, tt := range []struct {
		accepts string
		want    error
		logins  int
	}{
		{"pw1", nil, 1000},
		{"other", errWrongPassword, 2}, // with pw1 and, as the store has another by then, pw2
	} {
		synctest.Test(t, func(t *testing.T) {
			c, d := &Cache{Source: numbered(0, 0), TTL: time.Hour}, &database{accepts: []string{tt.accepts}, delay: 100 * time.Millisecond}
			defer c.Close()
			c.Source.(*script).play = func(_ context.Context, call int, _ string) (Credential, error) {
				return Credential{Password: NewSecret(fmt.Sprint("pw", min(call, 2)))}, nil
			}
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					if _, err := connect(t.Context(), c, d); err != tt.want {
						t.Errorf("got %v, want %v", err, tt.want)
					}
				})
			}
			all.Wait()
			if d.logins != tt.logins {
				t.Errorf("%d logins, want %d", d.logins, tt.logins)
			}
		})
	}
}

func TestSlowFirstLoginHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := &Cache{Source: numbered(0, time.Hour)}, &database{accepts: []string{"pw1"}, delay: time.Minute}
		defer c.Close()
		var all sync.WaitGroup
		begin := time.Now()
		for range 10 {
			all.Go(func() { connects(t, c, d, "pw1") })
		}
		all.Wait()
		if got := time.Since(begin); got != time.Minute+alone {
			t.Errorf("took %v, want the login's minute and a second", got)
		}
	})
}

func TestBadCredentialMakesFewLogins(t *testing.T) {
	for name, source := range map[string]Source{
		"password": &store{current: "wrong", others: []string{"wrong too"}},
		"token":    numbered(0, 15*time.Minute),
	} {
		for _, once := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " once ", once), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, d := &Cache{Source: source, TTL: time.Hour, Once: once, Log: quiet()}, &database{delay: 5 * time.Millisecond}
					defer c.Close()
					const seconds = 60
					ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
					defer cancel()
					var all sync.WaitGroup
					for range 50 {
						all.Go(func() {
							for ctx.Err() == nil {
								if _, err := connect(t.Context(), c, d); err != errWrongPassword {
									t.Errorf("got %v, want the database's refusal", err)
								}
								time.Sleep(10 * time.Millisecond)
							}
						})
					}
					all.Wait()
					if len(d.refusals) > 3*seconds+5 || len(d.refusals) < seconds {
						t.Errorf("%d logins in %d seconds, want one to three a second", len(d.refusals), seconds)
					}
				})
			})
		}
	}
}

func TestEndOfTheTroubleIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := &Cache{Source: &store{current: "pw"}, TTL: time.Hour}, &database{}
		defer c.Close()
		refuses(t, c, d, 0)
		d.set("pw")
		time.Sleep(probeEvery)
		connects(t, c, d, "pw")
	})
}

func TestStoreThatIsDownIsNamedAfterARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &store{current: "old"}, &database{accepts: []string{"old"}}
		c := &Cache{Source: s, Log: quiet(), TTL: time.Hour}
		defer c.Close()
		connects(t, c, d, "old")
		d.set("new")
		s.down = errDown
		refuses(t, c, d, rotationWait) // it has just been refused; the log has the store's error
		time.Sleep(time.Second)
		if _, err := connect(t.Context(), c, d); !errors.Is(err, errDown) {
			t.Errorf("got %v, want %v", err, errDown)
		}
		s.down = nil
		s.set("new")
		connects(t, c, d, "new")
	})
}

func TestClientThatLeavesGivesItsTurnAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := &Cache{Source: numbered(0, 0), TTL: time.Hour}, &database{accepts: []string{"pw1"}}
		defer c.Close()
		first := c.Begin("app")
		if _, err := first.Credential(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		time.AfterFunc(300*time.Millisecond, first.Close)
		connects(t, c, d, "pw1")
		if got := time.Since(begin); got != 300*time.Millisecond {
			t.Errorf("the second waited %v, want until the first has left", got)
		}
		first.Close() // again, without effect
	})
}

func TestLateRefusalDoesNotDoubtWhatWasAcceptedSince(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s, d := &store{current: "old"}, &database{accepts: []string{"old"}}
			c := &Cache{Source: s, TTL: ttl}
			defer c.Close()
			connects(t, c, d, "old")
			var late []*Attempt
			for range 50 { // they have the old password, and the database's answer is still on its way
				a := c.Begin("app")
				defer a.Close()
				if _, err := a.Credential(t.Context()); err != nil {
					t.Fatal(err)
				}
				late = append(late, a)
			}
			s.set("new")
			d.set("new")
			connects(t, c, d, "new")
			asked := s.asked
			for _, a := range late {
				cred, err := a.Refused(t.Context(), errWrongPassword)
				if err != nil {
					t.Fatal(err)
				}
				wantPassword(t, cred, "new")
				a.Accepted()
			}
			if ttl != 0 && s.asked != asked {
				t.Errorf("the store was asked %d times more", s.asked-asked)
			}
			connects(t, c, d, "new")
		})
	}
}

// A login that began before a password was changed may be accepted, and tell it after the next was refused.
func TestLateAcceptanceDoesNotVouchForWhatWasRefusedSince(t *testing.T) {
	for name, source := range map[string]func(current string) Source{
		"password": func(current string) Source { return &store{current: current} },
		"token": func(current string) Source {
			return &script{play: func(context.Context, int, string) (Credential, error) {
				return Credential{Password: NewSecret(current), Expires: time.Now().Add(time.Hour)}, nil
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := &Cache{Source: source("old"), TTL: time.Hour}, &database{accepts: []string{"old"}}
				defer c.Close()
				connects(t, c, d, "old")
				slow := c.Begin("app")
				defer slow.Close()
				if _, err := slow.Credential(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				d.set("new")
				var all sync.WaitGroup
				all.Go(func() {
					if _, err := connect(t.Context(), c, d); err != errWrongPassword {
						t.Errorf("got %v, want the refusal", err)
					}
				})
				time.Sleep(100 * time.Millisecond)
				slow.Accepted()
				c.mu.Lock()
				if l := &c.entries["app"].logins; l.trouble == nil || l.proven {
					t.Error("what was refused a moment ago counts as accepted")
				}
				c.mu.Unlock()
				all.Wait()
			})
		})
	}
}

func TestPeekedCredentialIsUsedOnce(t *testing.T) {
	source := numbered(0, 0)
	c := &Cache{Source: source}
	a := c.Begin("app")
	defer a.Close()
	for i, ask := range []func(context.Context) (Credential, error){a.Peek, a.Credential, a.Credential} {
		cred, err := ask(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantPassword(t, cred, []string{"pw1", "pw1", "pw2"}[i])
		if i == 1 {
			a.Accepted()
			c.entries["app"].logins.accept(Credential{Password: NewSecret("pw2")}, time.Now()) // so that it isn't tried alone
		}
	}
	source.called(t, 2)
}

// explained is a Source that explains refusals.
type explained struct{ store }

func (e *explained) Explain(_ context.Context, user string, refused Credential) string {
	return "user " + user + " with " + refused.Password.Reveal()
}

func TestRefusalIsExplainedByTheSource(t *testing.T) {
	c := &Cache{Source: &explained{store{current: "wrong"}}}
	a := c.Begin("app")
	defer a.Close()
	if _, err := a.Credential(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Refused(t.Context(), errWrongPassword); err != errWrongPassword {
		t.Fatalf("got %v, want the refusal", err)
	}
	if got := a.Explain(t.Context()); got != "user app with wrong" {
		t.Errorf("explained as %q", got)
	}
}

func TestCredentialForOneLoginIsNeverShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := numbered(time.Second, time.Hour)
		c, d := &Cache{Source: source, Once: true}, &database{}
		defer c.Close()
		var mu sync.Mutex
		seen := make(map[string]bool)
		var all sync.WaitGroup
		for i := range 10 {
			d.accepts = append(d.accepts, fmt.Sprint("pw", i+1))
		}
		for range 10 {
			all.Go(func() {
				cred, err := connect(t.Context(), c, d)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[cred.Password.Reveal()] = true
			})
		}
		all.Wait()
		if len(seen) != 10 {
			t.Errorf("ten connections used %d credentials", len(seen))
		}
	})
}

func TestSharedCredentialIsFetchedOnceForAllUsers(t *testing.T) {
	source := numbered(0, 0)
	c := &Cache{Source: source, TTL: time.Hour, Shared: true}
	for _, user := range []string{"a", "b", ""} {
		cred, err := c.Credential(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		wantPassword(t, cred, "pw1")
	}
}
