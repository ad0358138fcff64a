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

// A lender is a Renewer: it lends users v1, v2, … and notes which were given back.
type lender struct {
	mu       sync.Mutex
	life     time.Duration
	maxLife  time.Duration
	lent     map[string]time.Time // when, of those that were not given back
	made     int
	renewals int
	down     bool
}

func (l *lender) Credential(context.Context, string) (Credential, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return Credential{}, errDown
	}
	l.made++
	id := fmt.Sprint("v", l.made)
	if l.lent == nil {
		l.lent = make(map[string]time.Time)
	}
	now := time.Now()
	l.lent[id] = now
	return Credential{
		User: id, Password: NewSecret(id), ID: id, Issued: now, Expires: now.Add(l.life),
		Lease: NewLease(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(l.lent, id)
		}),
	}, nil
}

func (l *lender) Renew(_ context.Context, cred Credential) (Credential, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return Credential{}, errDown
	}
	began, ok := l.lent[cred.ID]
	end := time.Now().Add(l.life)
	if last := began.Add(l.maxLife); last.Before(end) {
		end = last
	}
	if !ok || !end.After(cred.Expires) {
		return Credential{}, errors.New("max TTL")
	}
	l.renewals++
	cred.Expires = end
	return cred, nil
}

var _ Renewer = (*lender)(nil)

// lends wants exactly these to be out.
func (l *lender) lends(t *testing.T, want ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var got []string
	for id := range l.lent {
		got = append(got, id)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("lent are %v, want %v", got, want)
	}
}

// session logs in and keeps the Attempt open.
func session(t *testing.T, c *Cache, want string) *Attempt {
	t.Helper()
	a := c.Begin("app")
	cred, err := a.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantPassword(t, cred, want)
	a.Accepted()
	return a
}

func TestLeaseIsRenewedWhileASessionUsesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lender{life: time.Hour, maxLife: 24 * time.Hour}
		c := &Cache{Source: l}
		s := session(t, c, "v1")
		time.Sleep(10 * time.Hour) // nobody else comes
		l.lends(t, "v1")
		if l.renewals < 9 {
			t.Errorf("%d renewals in ten hours, want one every forty minutes", l.renewals)
		}
		session(t, c, "v1").Close()
		s.Close()
		c.Close()
		l.lends(t)
		if l.made != 1 {
			t.Errorf("%d leases were made, want 1", l.made)
		}
	})
}

func TestLeaseNobodyUsesIsLeftToExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lender{life: time.Hour, maxLife: 24 * time.Hour}
		c := &Cache{Source: l}
		session(t, c, "v1").Close()
		time.Sleep(2 * time.Hour)
		if l.renewals != 0 {
			t.Errorf("%d renewals for nobody", l.renewals)
		}
		session(t, c, "v2").Close()
		l.lends(t, "v2")
		c.Close()
		l.lends(t)
	})
}

func TestLeaseEndsAfterItsLastSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lender{life: time.Hour, maxLife: 90 * time.Minute}
		c := &Cache{Source: l}
		old := []*Attempt{session(t, c, "v1"), session(t, c, "v1")}
		time.Sleep(89 * time.Minute) // the next lease is there before the end of the first
		young := session(t, c, "v2")
		l.lends(t, "v1", "v2")
		old[0].Close()
		l.lends(t, "v1", "v2")
		old[1].Close()
		l.lends(t, "v2")
		c.Close()
		l.lends(t, "v2") // on exit sessions are ended first, but if one is not, it keeps its user
		young.Close()
		l.lends(t)
	})
}

func TestRefusedLeaseIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lender{life: time.Hour, maxLife: time.Hour}
		c, d := &Cache{Source: l}, &database{accepts: []string{"v1"}}
		connects(t, c, d, "v1")
		time.Sleep(time.Minute)
		d.set("v2") // somebody has dropped the user
		connects(t, c, d, "v2")
		l.lends(t, "v2")
		c.Close()
		l.lends(t)
	})
}

func TestEveryLeaseIsGivenBackHoweverItWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lender{life: time.Minute, maxLife: 3 * time.Minute}
		c := &Cache{Source: l, Log: quiet()}
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				time.Sleep(time.Duration(i*i%601) * time.Second)
				a := c.Begin("app")
				defer a.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Second)
				defer cancel()
				if i%3 == 0 {
					_, _ = a.Peek(ctx)
				}
				if _, err := a.Credential(ctx); err != nil {
					return
				}
				switch i % 5 {
				case 0:
					_, _ = a.Refused(ctx, errWrongPassword)
				case 1:
				default:
					a.Accepted()
				}
				time.Sleep(time.Duration(i%100) * time.Second)
			})
		}
		all.Go(func() {
			time.Sleep(200 * time.Second)
			l.mu.Lock()
			l.down = true
			l.mu.Unlock()
			time.Sleep(100 * time.Second)
			l.mu.Lock()
			l.down = false
			l.mu.Unlock()
		})
		all.Wait()
		c.Close()
		l.lends(t)
	})
}

func TestTokenInUseIsRenewedBeforeAnybodyWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := numbered(time.Second, 15*time.Minute)
		c := &Cache{Source: source}
		defer c.Close()
		get(t, c)
		for range 24 * 60 {
			begin := time.Now()
			get(t, c)
			if got := time.Since(begin); got != 0 {
				t.Fatalf("a connection waited %v for the source", got)
			}
			time.Sleep(time.Minute)
		}
		if calls := source.count(); calls > 24*60/8 || calls < 24*60/10 {
			t.Errorf("%d requests in a day, want one every nine to ten minutes", calls)
		}
	})
}

func TestCredentialNobodyUsesIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := numbered(0, 15*time.Minute)
		c := &Cache{Source: source}
		defer c.Close()
		get(t, c)
		time.Sleep(24 * time.Hour)
		source.called(t, 1)
	})
}

func TestInstancesDoNotRenewTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		due := make(map[time.Time]bool)
		for range 20 {
			c := &Cache{Source: numbered(0, time.Hour)}
			defer c.Close()
			get(t, c)
			due[c.entries["app"].due] = true
		}
		if len(due) < 15 {
			t.Errorf("twenty caches renew at %d times", len(due))
		}
	})
}

func TestRenewalThatFailsIsTriedAgainBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := failing(numbered(0, 15*time.Minute), 1, errDown)
		c := &Cache{Source: source, Log: quiet()}
		defer c.Close()
		get(t, c)
		for range 12 * 60 { // up to three minutes before the end
			wantPassword(t, get(t, c), "pw1")
			time.Sleep(time.Second)
		}
		if calls := source.count(); calls < 5 || calls > 15 {
			t.Errorf("the source was asked %d times in two minutes, want every half minute at last", calls)
		}
	})
}

func TestSourceThatComesBackIsAskedBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lender{life: 20 * time.Second, maxLife: time.Hour}
		c := &Cache{Source: l, Log: quiet()}
		defer c.Close()
		session(t, c, "v1").Close()
		began := time.Now()
		for time.Since(began) < time.Minute {
			l.mu.Lock()
			l.down = time.Since(began) > 10*time.Second && time.Since(began) < 19500*time.Millisecond
			l.mu.Unlock()
			session(t, c, "v1").Close()
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func TestCloseEndsWhatGoesOnInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &script{play: func(ctx context.Context, call int, _ string) (Credential, error) {
			if call > 1 {
				<-ctx.Done()
				return Credential{}, ctx.Err()
			}
			return Credential{Password: NewSecret("pw"), Expires: time.Now().Add(15 * time.Minute)}, nil
		}}
		c := &Cache{Source: source, Log: quiet()}
		get(t, c)
		get(t, c)
		time.Sleep(11 * time.Minute)
		source.called(t, 2)
		begin := time.Now()
		c.Close()
		if got := time.Since(begin); got != 0 {
			t.Errorf("closing took %v", got)
		}
	})
}
