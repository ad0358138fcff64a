package tokens

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A script is a Source that a test writes: it is told which call of it this is, from 1.
type script struct {
	play  func(ctx context.Context, call int, user string) (Credential, error)
	mu    sync.Mutex
	calls int
}

func (s *script) Credential(ctx context.Context, user string) (Credential, error) {
	s.mu.Lock()
	s.calls++
	call := s.calls
	s.mu.Unlock()
	return s.play(ctx, call, user)
}

// count returns how often the source was asked.
func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *script) called(t *testing.T, want int) {
	t.Helper()
	if got := s.count(); got != want {
		t.Errorf("the source was asked %d times, want %d", got, want)
	}
}

// numbered gives the passwords pw1, pw2, … after a delay, as tokens if life is not 0.
func numbered(delay, life time.Duration) *script {
	return &script{play: func(_ context.Context, call int, _ string) (Credential, error) {
		time.Sleep(delay)
		cred := Credential{Password: NewSecret(fmt.Sprint("pw", call)), ID: fmt.Sprint("v", call)}
		if life != 0 {
			cred.Issued, cred.Expires = time.Now(), time.Now().Add(life)
		}
		return cred, nil
	}}
}

var errDown = errors.New("store is down")

// failing plays good for the first n calls and fails with err afterwards.
func failing(good *script, n int, err error) *script {
	return &script{play: func(ctx context.Context, call int, user string) (Credential, error) {
		if call > n {
			return Credential{}, err
		}
		return good.Credential(ctx, user)
	}}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// get asks c for a credential of user app.
func get(t *testing.T, c *Cache) Credential {
	t.Helper()
	cred, err := c.Credential(t.Context(), "app")
	if err != nil {
		t.Fatalf("credential: %v", err)
	}
	return cred
}

func wantPassword(t *testing.T, cred Credential, want string) {
	t.Helper()
	if got := cred.Password.Reveal(); got != want {
		t.Errorf("password is %q, want %q", got, want)
	}
}

func TestThousandFirstCallersMakeOneRequest(t *testing.T) {
	for _, ttl := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			source := numbered(time.Second, 0)
			c := &Cache{Source: source, TTL: ttl}
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					cred, err := c.Credential(t.Context(), "app")
					if err != nil || cred.Password.Reveal() != "pw1" {
						t.Errorf("got %v, %v, want pw1", cred, err)
					}
				})
			}
			all.Wait()
			source.called(t, 1)
		})
	}
}

func TestEachUserHasACredential(t *testing.T) {
	source := &script{play: func(_ context.Context, _ int, user string) (Credential, error) {
		return Credential{Password: NewSecret("of " + user)}, nil
	}}
	c := &Cache{Source: source, TTL: time.Hour}
	for range 2 {
		for _, user := range []string{"app", "report", ""} {
			cred, err := c.Credential(t.Context(), user)
			if err != nil {
				t.Fatal(err)
			}
			wantPassword(t, cred, "of "+user)
		}
	}
	source.called(t, 3)
}

func TestRequestOutlivesTheCallerThatBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &script{play: func(ctx context.Context, _ int, _ string) (Credential, error) {
			select {
			case <-ctx.Done():
				return Credential{}, ctx.Err()
			case <-time.After(3 * time.Second):
				return Credential{Password: NewSecret("pw")}, nil
			}
		}}
		c := &Cache{Source: source}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := c.Credential(impatient, "app"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the first caller got %v, want its own deadline", err)
			}
		})
		synctest.Wait()
		wantPassword(t, get(t, c), "pw")
		all.Wait()
		source.called(t, 1)
	})
}

func TestRequestEndsWithItsLastCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan time.Time, 1)
		source := &script{play: func(ctx context.Context, call int, _ string) (Credential, error) {
			switch call {
			case 1:
				return Credential{Password: NewSecret("first")}, nil
			case 3:
				return Credential{Password: NewSecret("third")}, nil
			}
			<-ctx.Done()
			ended <- time.Now()
			time.Sleep(time.Minute) // slow to notice; whoever comes next must not wait for it
			return Credential{Password: NewSecret("too late")}, nil
		}}
		c := &Cache{Source: source, TTL: time.Hour}
		wantPassword(t, get(t, c), "first")
		time.Sleep(time.Hour)
		begin := time.Now()
		var all sync.WaitGroup
		for _, wait := range []time.Duration{500 * time.Millisecond, time.Second} {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				if _, err := c.Credential(ctx, "app"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the deadline", err)
				}
			})
		}
		all.Wait()
		if got := (<-ended).Sub(begin); got != time.Second {
			t.Errorf("the request ended after %v, want 1s, with the last caller", got)
		}
		wantPassword(t, get(t, c), "third")
		time.Sleep(2 * time.Minute)
		wantPassword(t, get(t, c), "third")
		source.called(t, 3)
	})
}

func TestRequestHasATimeLimit(t *testing.T) {
	for limit, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 5 * time.Second: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			source := &script{play: func(ctx context.Context, _ int, _ string) (Credential, error) {
				<-ctx.Done()
				return Credential{}, ctx.Err()
			}}
			begin := time.Now()
			_, err := (&Cache{Source: source, Timeout: limit}).Credential(t.Context(), "app")
			if got := time.Since(begin); got != want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v after %v, want the time limit after %v", err, got, want)
			}
		})
	}
}

func TestTokenIsReplacedShortlyBeforeItExpires(t *testing.T) {
	for _, tt := range []struct{ life, reused time.Duration }{
		{time.Hour, 58 * time.Minute},
		{15 * time.Minute, 13 * time.Minute},
		{4 * time.Minute, 3 * time.Minute},
		{40 * time.Second, 30 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &Cache{Source: numbered(0, tt.life)}
			get(t, c)
			time.Sleep(tt.reused - time.Second)
			wantPassword(t, get(t, c), "pw1")
			time.Sleep(time.Second)
			wantPassword(t, get(t, c), "pw2")
		})
	}
}

func TestTokenDoesNotSurviveTheSleepOfALaptop(t *testing.T) {
	for _, tt := range []struct {
		name string
		jump time.Duration
	}{
		{"slept", 20 * time.Minute},
		{"clock set back", -time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var jump time.Duration
			c := &Cache{Source: numbered(0, 24*time.Hour), now: func() time.Time { return time.Now().Add(jump) }}
			source := c.Source
			c.Source = &script{play: func(ctx context.Context, _ int, user string) (Credential, error) {
				cred, err := source.Credential(ctx, user)
				cred.Expires = c.now().Add(15 * time.Minute)
				return cred, err
			}}
			wantPassword(t, get(t, c), "pw1")
			wantPassword(t, get(t, c), "pw1")
			jump = tt.jump
			wantPassword(t, get(t, c), "pw2")
		})
	}
}

func TestTimesHaveNoMonotonicReading(t *testing.T) {
	c := &Cache{Source: numbered(0, time.Hour)}
	cred := get(t, c)
	for name, at := range map[string]time.Time{
		"now": c.wallClock(), "expires": cred.Expires, "issued": cred.Issued, "fetched": c.entries["app"].fetched,
	} {
		if strings.Contains(at.String(), "m=") {
			t.Errorf("%s is %v, which stands still while a laptop sleeps", name, at)
		}
	}
}

func TestPasswordIsReusedForTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Cache{Source: numbered(0, 0), TTL: time.Minute}
		get(t, c)
		time.Sleep(59 * time.Second)
		wantPassword(t, get(t, c), "pw1")
		time.Sleep(time.Second)
		wantPassword(t, get(t, c), "pw2")
	})
}

func TestPasswordWithoutTTLIsNotKept(t *testing.T) {
	c := &Cache{Source: numbered(0, 0)}
	wantPassword(t, get(t, c), "pw1")
	wantPassword(t, get(t, c), "pw2")
	if len(c.entries) != 0 {
		t.Errorf("%d entries are kept, want none", len(c.entries))
	}
}

func TestFailingSourceIsAWarningWhileTheTokenIsGood(t *testing.T) {
	for name, failure := range map[string]error{"down": errDown, "denied": &Error{Source: "s", Err: errDown, Denied: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				source := failing(&script{play: func(context.Context, int, string) (Credential, error) {
					return Credential{Password: NewSecret(secretText), ID: "v1", Expires: time.Now().Add(15 * time.Minute)}, nil
				}}, 1, failure)
				c := &Cache{Source: source, Log: slog.New(slog.NewTextHandler(&log, nil))}
				get(t, c)
				time.Sleep(14 * time.Minute)
				wantPassword(t, get(t, c), secretText)
				if got := log.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "store is down") || leaks(got) {
					t.Errorf("log is %q, want a warning with the reason and without the password", got)
				}
				source.called(t, 2)
				time.Sleep(time.Minute)
				if cred, err := c.Credential(t.Context(), "app"); !errors.Is(err, errDown) {
					t.Errorf("after its end: got %v, %v, want %v", cred, err, errDown)
				}
			})
		})
	}
}

func TestFailingSourceIsLeftAloneForLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := failing(numbered(0, 0), 1, errDown)
		c := &Cache{Source: source, TTL: time.Minute, Log: quiet()}
		get(t, c)
		time.Sleep(time.Minute)
		calls := 1
		for _, pause := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			calls++
			get(t, c)
			source.called(t, calls)
			time.Sleep(pause*time.Second - time.Millisecond)
			get(t, c)
			source.called(t, calls)
			time.Sleep(time.Millisecond)
		}
	})
}

func TestPasswordOutlivesItsStoreButNotItsWithdrawal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		err    error
		serves bool
	}{
		{"store is down", errDown, true},
		{"store can't be reached", &Error{Source: "s", Err: errDown}, true},
		{"store says no", fmt.Errorf("ask: %w", &Error{Source: "s", Err: errDown, Denied: true}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &Cache{Source: failing(numbered(0, 0), 1, tt.err), TTL: time.Minute, Log: quiet()}
				get(t, c)
				time.Sleep(time.Hour)
				cred, err := c.Credential(t.Context(), "app")
				if tt.serves {
					if err != nil {
						t.Fatalf("got %v, want the old password", err)
					}
					wantPassword(t, cred, "pw1")
					return
				}
				if !errors.Is(err, errDown) || !cred.Password.Empty() {
					t.Errorf("got %v, %v, want %v", cred, err, tt.err)
				}
			})
		})
	}
}

func TestHangingSourceDelaysOnlyOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &script{play: func(ctx context.Context, call int, _ string) (Credential, error) {
			if call == 2 {
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Second):
				}
			}
			return Credential{Password: NewSecret(fmt.Sprint("pw", call)), Expires: time.Now().Add(15 * time.Minute)}, ctx.Err()
		}}
		c := &Cache{Source: source, Log: quiet()}
		get(t, c)
		time.Sleep(14 * time.Minute)
		for _, want := range []time.Duration{2 * time.Second, 0, 0} {
			begin := time.Now()
			wantPassword(t, get(t, c), "pw1")
			if got := time.Since(begin); got != want {
				t.Errorf("took %v, want %v", got, want)
			}
		}
		time.Sleep(19 * time.Second)
		wantPassword(t, get(t, c), "pw2")
		source.called(t, 2)
	})
}

func TestHangingSourceFailsOnceTheTokenHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &script{play: func(ctx context.Context, call int, _ string) (Credential, error) {
			if call > 1 {
				<-ctx.Done()
				return Credential{}, errDown
			}
			return Credential{Password: NewSecret("pw"), Expires: time.Now().Add(time.Minute)}, nil
		}}
		c := &Cache{Source: source, Log: quiet()}
		get(t, c)
		time.Sleep(59 * time.Second) // less than anybody's patience is left
		if cred, err := c.Credential(t.Context(), "app"); !errors.Is(err, errDown) {
			t.Errorf("got %v, %v, want %v", cred, err, errDown)
		}
	})
}

func TestSourceThatPanicsFailsTheLogin(t *testing.T) {
	for name, panics := range map[string]func(){
		"runtime error":    func() { _ = []int{}[len(secretText)] },
		"value":            func() { panic(secretText) },
		"error value":      func() { panic(errors.New(secretText)) },
		"end of goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			source := &script{play: func(_ context.Context, call int, _ string) (Credential, error) {
				if call == 1 {
					panics()
				}
				return Credential{Password: NewSecret("pw")}, nil
			}}
			c := &Cache{Source: source, Log: slog.New(slog.NewTextHandler(&log, nil))}
			_, err := c.Credential(t.Context(), "app")
			if err == nil || leaks(err.Error()) || leaks(log.String()) {
				t.Errorf("got %v and log %q, want an error without the value", err, log.String())
			}
			wantPassword(t, get(t, c), "pw")
		})
	}
}

func TestExpiredCredentialIsNotHandedOut(t *testing.T) {
	source := &script{play: func(context.Context, int, string) (Credential, error) {
		return Credential{Password: NewSecret(secretText), ID: "v1", Expires: time.Now().Add(-time.Second)}, nil
	}}
	cred, err := (&Cache{Source: source}).Credential(t.Context(), "app")
	if err == nil || !strings.Contains(err.Error(), "v1 expired at") || leaks(err.Error()) || !cred.Password.Empty() {
		t.Errorf("got %v, %v, want an error that names v1", cred, err)
	}
}

func TestMemoryIsBoundedHoweverManyUsers(t *testing.T) {
	c := &Cache{Source: numbered(0, 0), TTL: time.Hour}
	get(t, c)
	for i := range 5000 {
		if _, err := c.Credential(t.Context(), fmt.Sprint("user", i)); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			wantPassword(t, get(t, c), "pw1") // in use, so it stays
		}
	}
	if got := len(c.entries); got != 100 {
		t.Errorf("%d users are remembered, want 100", got)
	}
	if _, ok := c.entries["user4999"]; !ok {
		t.Error("the last user is not remembered")
	}
}

func TestFailuresAreNotRemembered(t *testing.T) {
	c := &Cache{Source: failing(numbered(0, 0), 0, errDown), TTL: time.Hour}
	for i := range 500 {
		if _, err := c.Credential(t.Context(), fmt.Sprint("user", i)); !errors.Is(err, errDown) {
			t.Fatalf("got %v, want %v", err, errDown)
		}
	}
	if got := len(c.entries); got != 0 {
		t.Errorf("%d users are remembered, want none", got)
	}
}
