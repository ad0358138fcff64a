package vaultfake

import (
	"net/http"
	"testing"
	"time"
)

func TestLeaseEndsByItself(t *testing.T) {
	for name, access := range map[string]Access{
		"at the end of its time":  {Paths: []string{"*"}},
		"at the end of its token": {Paths: []string{"*"}, TTL: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			s := New()
			defer s.Close()
			made, dropped := make(chan string, 1), make(chan string, 1)
			role := Role{TTL: time.Hour,
				CreateUser: func(user, _ string, _ time.Duration) error { made <- user; return nil },
				DropUser:   func(user string) error { dropped <- user; return nil }}
			if access.TTL > 0 {
				role.TTL = 2 * time.Hour
			}
			s.AddToken("t", access)
			s.AddRole("database", "app", role)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/database/creds/app", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Vault-Token", "t")
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			s.Advance(time.Hour - 100*time.Millisecond) // what is left passes by itself
			if user, gone := <-made, <-dropped; response.StatusCode != http.StatusOK || user != gone {
				t.Errorf("status %d, made %s, dropped %s", response.StatusCode, user, gone)
			}
			if n := len(s.Leases()); n != 0 {
				t.Errorf("%d leases, want none", n)
			}
		})
	}
}
