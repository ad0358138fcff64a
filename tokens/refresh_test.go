package tokens

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefreshAsksForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []*Cache{
			{Source: numbered(0, 0)},
			{Source: numbered(0, 0), TTL: time.Hour},
			{Source: numbered(0, time.Hour)},
		} {
			refused := get(t, c)
			time.Sleep(10 * time.Second)
			cred, err := c.Refresh(t.Context(), "app", refused)
			if err != nil {
				t.Fatalf("refresh: %v", err)
			}
			wantPassword(t, cred, "pw2")
			c.Source.(*script).called(t, 2)
		}
	})
}

func TestRefreshedCredentialIsKept(t *testing.T) {
	c := &Cache{Source: numbered(0, 0), TTL: time.Hour}
	if _, err := c.Refresh(t.Context(), "app", get(t, c)); err != nil {
		t.Fatal(err)
	}
	wantPassword(t, get(t, c), "pw2")
}

func TestRefreshReturnsWhatAnotherConnectionGot(t *testing.T) {
	source := numbered(0, 0)
	c := &Cache{Source: source, TTL: time.Hour}
	refused := get(t, c)
	for range 3 {
		cred, err := c.Refresh(t.Context(), "app", refused)
		if err != nil {
			t.Fatal(err)
		}
		wantPassword(t, cred, "pw2")
	}
	source.called(t, 2)
}

func TestThousandRefusedConnectionsMakeOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := numbered(time.Second, 0)
		c := &Cache{Source: source, TTL: time.Hour}
		refused := get(t, c)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				cred, err := c.Refresh(t.Context(), "app", refused)
				if err != nil || cred.Password.Reveal() != "pw2" {
					t.Errorf("got %v, %v, want pw2", cred, err)
				}
			})
		}
		all.Wait()
		source.called(t, 2)
	})
}

func TestRefreshSaysUnchangedForTheSameAnswer(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second Credential
		want          error
	}{
		{"same", Credential{User: "app", Password: NewSecret("pw")}, Credential{User: "app", Password: NewSecret("pw")}, ErrUnchanged},
		{"same with another id", Credential{Password: NewSecret("pw"), ID: "v1"}, Credential{Password: NewSecret("pw"), ID: "v2"}, ErrUnchanged},
		{"other password", Credential{Password: NewSecret("pw")}, Credential{Password: NewSecret("other")}, nil},
		{"other user", Credential{User: "a", Password: NewSecret("pw")}, Credential{User: "b", Password: NewSecret("pw")}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			source := &script{play: func(_ context.Context, call int, _ string) (Credential, error) {
				if call == 1 {
					return tt.first, nil
				}
				return tt.second, nil
			}}
			c := &Cache{Source: source, TTL: time.Hour}
			cred, err := c.Refresh(t.Context(), "app", get(t, c))
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, %v, want error %v", cred, err, tt.want)
			}
			if err != nil && !cred.Password.Empty() {
				t.Error("an error comes with a password")
			}
			source.called(t, 2)
		})
	}
}

func TestRefreshDoesNotReplaceATokenMadeAMomentAgo(t *testing.T) {
	for _, tt := range []struct {
		age  time.Duration
		want error
	}{
		{0, ErrUnchanged},
		{9 * time.Second, ErrUnchanged},
		{10 * time.Second, nil},
		{-time.Minute, nil}, // the clock was wrong when it was made, and is right now
	} {
		synctest.Test(t, func(t *testing.T) {
			source := numbered(0, time.Hour)
			c := &Cache{Source: source}
			refused := get(t, c)
			refused.Issued = time.Now().Add(-tt.age)
			cred, err := c.Refresh(t.Context(), "app", refused)
			if !errors.Is(err, tt.want) {
				t.Errorf("age %v: got %v, %v, want %v", tt.age, cred, err, tt.want)
			}
			if tt.want != nil {
				source.called(t, 1)
				wantPassword(t, get(t, c), "pw2") // the refused one is gone all the same
			}
		})
	}
}

func TestRefreshDropsOnlyTheRefusedCredential(t *testing.T) {
	source := numbered(0, 0)
	c := &Cache{Source: source, TTL: time.Hour}
	get(t, c)
	stranger := Credential{Password: NewSecret("from long ago"), Issued: time.Now()}
	cred, err := c.Refresh(t.Context(), "app", stranger)
	if err != nil {
		t.Fatal(err)
	}
	wantPassword(t, cred, "pw1")
	wantPassword(t, get(t, c), "pw1")
	source.called(t, 1)
}

func TestRefusedCredentialIsNotServedWhileTheSourceFails(t *testing.T) {
	c := &Cache{Source: failing(numbered(0, 0), 1, errDown), TTL: time.Hour, Log: quiet()}
	refused := get(t, c)
	if cred, err := c.Refresh(t.Context(), "app", refused); !errors.Is(err, errDown) {
		t.Errorf("refresh: got %v, %v, want %v", cred, err, errDown)
	}
	if cred, err := c.Credential(t.Context(), "app"); !errors.Is(err, errDown) {
		t.Errorf("credential: got %v, %v, want %v", cred, err, errDown)
	}
}

func TestRefreshKeepsAnotherCredentialForAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Cache{Source: failing(numbered(0, 0), 1, errDown), TTL: time.Minute, Log: quiet()}
		get(t, c)
		time.Sleep(time.Hour)
		cred, err := c.Refresh(t.Context(), "app", Credential{Password: NewSecret("from long ago")})
		if err != nil {
			t.Fatalf("got %v, want the password that was not refused", err)
		}
		wantPassword(t, cred, "pw1")
	})
}

func TestRefreshBeforeAnyCredentialAsks(t *testing.T) {
	c := &Cache{Source: numbered(0, 0)}
	cred, err := c.Refresh(t.Context(), "app", Credential{Password: NewSecret("x")})
	if err != nil {
		t.Fatal(err)
	}
	wantPassword(t, cred, "pw1")
}
