package gcpfake

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/jwt"
)

const app = "app@proj.iam.gserviceaccount.com"

func start(t *testing.T) *Server {
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestForgedAssertionsAreRefused(t *testing.T) {
	s := start(t)
	good := s.ServiceAccount(app)["private_key"].(string)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(stranger)}))
	for name, tt := range map[string]struct {
		config jwt.Config
		want   string // in the error; empty: a token
	}{
		"good":           {jwt.Config{Email: app, PrivateKey: []byte(good), Scopes: []string{CloudSQLLogin}}, ""},
		"other key":      {jwt.Config{Email: app, PrivateKey: []byte(other), Scopes: []string{CloudSQLLogin}}, "Invalid JWT Signature"},
		"other account":  {jwt.Config{Email: "x@y", PrivateKey: []byte(good), Scopes: []string{CloudSQLLogin}}, "account not found"},
		"other audience": {jwt.Config{Email: app, PrivateKey: []byte(good), Scopes: []string{CloudSQLLogin}, Audience: "https://example.com"}, "audience"},
		"no scope":       {jwt.Config{Email: app, PrivateKey: []byte(good)}, "scope"},
		"too long":       {jwt.Config{Email: app, PrivateKey: []byte(good), Scopes: []string{CloudSQLLogin}, Expires: 3 * time.Hour}, "short-lived"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.config.TokenURL = s.URL + "/token"
			token, err := tt.config.TokenSource(t.Context()).Token()
			switch {
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want == "" && !s.TokenValid(token.AccessToken):
				t.Error("the token is not good for logins")
			}
		})
	}
}

func TestRequestsNeedWhatTheyNeedAtGoogle(t *testing.T) {
	s := start(t)
	s.SetMachine(app, time.Hour)
	s.AddVersion("proj", "pw", []byte("x"))
	s.AllowAccess("proj", "pw", app)
	s.mu.Lock()
	login, _ := s.mint(app, []string{CloudSQLLogin}, time.Hour)
	old, _ := s.mint(app, []string{CloudPlatform}, -time.Second)
	good, _ := s.mint(app, []string{CloudPlatform}, time.Hour)
	stranger, _ := s.mint("x@y", []string{CloudPlatform}, time.Hour)
	s.mu.Unlock()
	const token = "/computeMetadata/v1/instance/service-accounts/default/token"
	const access = "/v1/projects/proj/secrets/pw/versions/latest:access"
	for _, tt := range []struct {
		name, path, header, value string
		status                    int
	}{
		{"metadata", token + "?scopes=a", "Metadata-Flavor", "Google", http.StatusOK},
		{"metadata without its header", token + "?scopes=a", "X", "Y", http.StatusForbidden},
		{"metadata without scopes", token, "Metadata-Flavor", "Google", http.StatusBadRequest},
		{"bearer", access, "Authorization", "Bearer " + good, http.StatusOK},
		{"no bearer", access, "X", "Y", http.StatusUnauthorized},
		{"expired bearer", access, "Authorization", "Bearer " + old, http.StatusUnauthorized},
		{"bearer for logins", access, "Authorization", "Bearer " + login, http.StatusForbidden},
		{"bearer without permission", access, "Authorization", "Bearer " + stranger, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+tt.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(tt.header, tt.value)
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != tt.status {
				t.Errorf("got %d, want %d: %s", res.StatusCode, tt.status, body)
			}
		})
	}
	if s.TokenValid(good) || !s.TokenValid(login) {
		t.Error("a login takes tokens for logins, and no others")
	}
}
