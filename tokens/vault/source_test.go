package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"dbvalet/integration/vaultfake"
	"dbvalet/tokens"
)

const (
	rootToken = "hvs.rootrootroot"
	password  = "s3cr3t-of-the-database"
	oldOne    = "s3cr3t-of-yesterday"
)

// secrets is what must not be in any log line and any error.
var secrets = []string{rootToken, password, oldOne, approleSecret, machineJWT, awsSecret, awsSession}

// A bench is a fake Vault, and an environment in which there is no other.
type bench struct {
	*vaultfake.Server
	t   *testing.T
	log *lockedBuffer
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBench(t *testing.T) *bench { return benchOf(t, vaultfake.New()) }

func benchOf(t *testing.T, server *vaultfake.Server) *bench {
	t.Helper()
	t.Cleanup(server.Close)
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "VAULT_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(server.URL, "http://"))
	t.Setenv(api.EnvVaultAddress, server.URL)
	t.Setenv(api.EnvVaultToken, rootToken)
	server.AddToken(rootToken, vaultfake.Access{Paths: []string{"*"}})
	b := &bench{Server: server, t: t, log: &lockedBuffer{}}
	t.Cleanup(func() { wantNoSecret(t, b.log.String()) })
	return b
}

func wantNoSecret(t *testing.T, shown string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(shown, secret) {
			t.Errorf("a secret is shown: %s", shown)
		}
	}
}

// source makes a source of a URL, with the clock of the fake.
func (b *bench) source(url string) *Source {
	b.t.Helper()
	s, err := b.newSource(url)
	if err != nil {
		b.t.Fatalf("%v (hint: %s)", err, hint(err))
	}
	b.t.Cleanup(func() { s.Close() })
	return s
}

func (b *bench) newSource(url string) (*Source, error) {
	b.t.Helper()
	u, err := tokens.ParseSecretURL(url)
	if err != nil {
		b.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := New(u, Options{User: "", AWS: awsCredentials, Log: log})
	if err == nil {
		s.now = b.Now
	}
	return s, err
}

func (b *bench) credential(s *Source) tokens.Credential {
	b.t.Helper()
	cred, err := s.Credential(b.t.Context(), "app")
	if err != nil {
		b.t.Fatalf("credential: %v (hint: %s)", err, hint(err))
	}
	return cred
}

// file writes a file, and returns its name.
func (b *bench) file(name, content string) string {
	b.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(b.t.TempDir(), name)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return name
}

func hint(err error) string {
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		return e.Hint()
	}
	return ""
}

// wantError checks an error: final or not, its text, its hint and its length, and that it shows no secret.
func wantError(t *testing.T, err error, final bool, text, hint string) {
	t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *tokens.Error", err)
	}
	if e.Final() != final || !strings.Contains(e.Error(), text) || !strings.Contains(e.Hint(), hint) || e.Hint() == "" {
		t.Errorf("got %q, final %v, hint %q;\nwant %q, final %v, hint %q", e, e.Final(), e.Hint(), text, final, hint)
	}
	if size := len(e.Error()) + len(e.Hint()); size > 450 {
		t.Errorf("%d bytes: %s (hint: %s)", size, e, e.Hint())
	}
	for err := error(e); err != nil; err = errors.Unwrap(err) {
		wantNoSecret(t, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

func TestWhatVaultKeepsIsRead(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		allowed   []string
		user      string
		id        string
	}{
		{"KV version 2, as Atlas writes it", "secret/data/database", []string{"secret/data/database"}, "app", "version 2"},
		{"KV version 2 without data/", "secret/database", []string{"secret/*"}, "app", "version 2"},
		{"KV version 2 without data/ and permission for it alone", "secret/database", []string{"secret/data/database"}, "app", "version 2"},
		{"KV version 2 that is said to be", "secret/database?kv=2", []string{"secret/data/database"}, "app", "version 2"},
		{"KV version 2 with a path of its own", "secret/data/data/nested/db?kv=2", []string{"secret/data/data/nested/db"}, "nested", "version 1"},
		{"KV version 2 under a longer mount", "team/kv/database", []string{"team/kv/data/database"}, "long", "version 1"},
		{"KV version 2 under a longer mount, anything allowed", "team/kv/database", []string{"*"}, "long", "version 1"},
		{"KV version 1", "kv/database", []string{"kv/database"}, "app", "kv/database"},
		{"KV version 1 that looks like version 2", "kv/lookalike?kv=1&path=data.password", []string{"kv/lookalike"}, "", "kv/lookalike"},
		{"one text", "kv/one", []string{"kv/one"}, "", "kv/one"},
		{"path=", "kv/deep?path=db.pass\\.word", []string{"kv/deep"}, "", "kv/deep"},
		{"decoder=", "kv/database?decoder=string", []string{"kv/database"}, "app", "kv/database"},
		{"a slash too many", "/kv/database/", []string{"kv/database"}, "app", "kv/database"},
		{"an older version", "secret/data/database?version=2", []string{"secret/data/database"}, "app", "version 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.AddToken(rootToken, vaultfake.Access{Paths: tt.allowed})
			b.PutKV2("secret", "database", map[string]any{"username": "app", "password": oldOne})
			b.PutKV2("secret", "database", map[string]any{"username": "app", "password": password})
			b.PutKV2("secret", "data/nested/db", map[string]any{"username": "nested", "password": password})
			b.PutKV2("team/kv", "database", map[string]any{"username": "long", "password": password})
			b.PutKV1("kv/database", map[string]any{"username": "app", "password": password})
			b.PutKV1("kv/lookalike", map[string]any{"data": map[string]any{"password": password}, "metadata": map[string]any{"version": 1}})
			b.PutKV1("kv/one", map[string]any{"key.of\\its own": password})
			b.PutKV1("kv/deep", map[string]any{"db": map[string]any{"pass.word": password}, "other": "x"})
			s := b.source("hashivault://" + tt.url)
			cred := b.credential(s)
			if cred.Password.Reveal() != password || cred.User != tt.user || cred.ID != tt.id {
				t.Errorf("got user %q, id %q and the password is right: %v", cred.User, cred.ID, cred.Password.Reveal() == password)
			}
			if !cred.Expires.IsZero() || !cred.Issued.IsZero() || cred.Lease != nil {
				t.Errorf("got %+v, want neither times nor a lease", cred)
			}
			wantNoSecret(t, fmt.Sprintf("%v %+v %#v", s, s, cred))
		})
	}
}

func TestPathThatWasFoundIsRemembered(t *testing.T) {
	b := newBench(t)
	b.PutKV2("secret", "database", map[string]any{"password": password})
	s := b.source("hashivault://secret/database")
	b.credential(s)
	b.credential(s)
	if guessed, found := b.Requests("secret/database"), b.Requests("secret/data/database"); guessed != 1 || found != 2 {
		t.Errorf("%d requests without data/ and %d with it, want 1 and 2", guessed, found)
	}
	if all := b.Requests("sys/*"); all != 0 {
		t.Errorf("%d requests to sys/, which may not be allowed", all)
	}
}

func TestPreviousVersionIsOffered(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		change    func(b *bench)
		want      int
	}{
		{"there is one", "secret/data/database", func(*bench) {}, 1},
		{"found without data/", "secret/database", func(*bench) {}, 1},
		{"deleted", "secret/data/database", func(b *bench) { b.DeleteKV2("secret", "database", 1) }, 0},
		{"destroyed", "secret/data/database", func(b *bench) { b.DestroyKV2("secret", "database", 1) }, 0},
		{"the version is fixed", "secret/data/database?version=2", func(*bench) {}, 0},
		{"there is none", "secret/data/new", func(*bench) {}, 0},
		{"KV version 1", "kv/database", func(*bench) {}, 0},
		{"a dynamic role", "database/creds/app", func(*bench) {}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.PutKV2("secret", "database", map[string]any{"password": oldOne})
			b.PutKV2("secret", "database", map[string]any{"password": password})
			b.PutKV2("secret", "new", map[string]any{"password": password})
			b.PutKV1("kv/database", map[string]any{"password": password})
			b.AddRole("database", "app", vaultfake.Role{})
			tt.change(b)
			s := b.source("hashivault://" + tt.url)
			b.credential(s)
			others, err := s.Others(t.Context(), "app")
			if err != nil {
				t.Fatal(err)
			}
			if len(others) != tt.want {
				t.Fatalf("got %d others, want %d", len(others), tt.want)
			}
			if tt.want == 1 && (others[0].Password.Reveal() != oldOne || others[0].ID != "version 1") {
				t.Errorf("got %v, want version 1", others[0])
			}
			if b.Requests("database/creds/*") > 1 {
				t.Error("asking for others made another database user")
			}
		})
	}
}

func TestOutageIsNoAbsenceOfOthers(t *testing.T) {
	b := newBench(t)
	b.PutKV2("secret", "database", map[string]any{"password": password})
	s := b.source("hashivault://secret/data/database")
	b.credential(s)
	b.Set(vaultfake.Sealed)
	_, err := s.Others(t.Context(), "app")
	wantError(t, err, false, "Vault is sealed", "vault status")
}

func TestStaticRoleGivesUserAndPassword(t *testing.T) {
	b := newBench(t)
	b.AddStaticRole("database", "app", "app_static", oldOne, 3600e9)
	s := b.source("hashivault://database/static-creds/app")
	first := b.credential(s)
	if first.User != "app_static" || first.Password.Reveal() != oldOne || !strings.HasPrefix(first.ID, "rotated 20") {
		t.Errorf("got %v, want the user and the password", first)
	}
	if !first.Expires.IsZero() || first.Lease != nil {
		t.Errorf("got %v, want no end: the next rotation is bridged when it comes", first)
	}
	b.Rotate("database", "app", password)
	if next := b.credential(s); next.Password.Reveal() != password || next.ID == first.ID {
		t.Errorf("got %v, want the password after the rotation", next)
	}
	alone := b.source("hashivault://database/static-creds/app?path=password")
	if cred := b.credential(alone); cred.User != "app_static" {
		t.Errorf("user is %q, want that of the role also with path=", cred.User)
	}
}

func TestSecretOfAnotherUserIsRefused(t *testing.T) {
	b := newBench(t)
	b.AddStaticRole("database", "app", "somebody", password, 3600e9)
	s := b.source("hashivault://database/static-creds/app")
	s.decoder.User = "app"
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, true, "hashivault://database/static-creds/app: the secret is for another user", "leave USER out")
}

func TestRoleHasAUserOfItsOwn(t *testing.T) {
	b := newBench(t)
	for url, want := range map[string]bool{
		"database/creds/app":          true,
		"team/database/creds/app":     true,
		"database/static-creds/app":   true,
		"secret/data/database":        false,
		"secret/data/creds/app":       false,
		"secret/creds/app?kv=2":       false,
		"kv/database":                 false,
		"creds/app":                   false,
		"database/creds/app?wait=10s": true,
	} {
		if got := b.source("hashivault://" + url).OwnUser(); got != want {
			t.Errorf("%s: own user is %v, want %v", url, got, want)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, tt := range []struct{ url, text, hint string }{
		{"kv/database?unknown=x", `unknown option "unknown"`, "namespace"},
		{"database", "not the path of a secret", "hashivault://secret/data/database"},
		{"kv/database?kv=3", "kv is neither 1 nor 2", "leave it out"},
		{"kv/database?version=x", "version is not a number", "leave it out"},
		{"kv/database?version=1&kv=1", "keeps no versions", "leave version= or kv=1 out"},
		{"kv/database?decoder=jsonmap", "decoder has another value", "path=KEY"},
		{"kv/database?address=vault:8200", "the address of Vault", "https://vault.example.com:8200"},
		{"kv/database?address=http://vault.example.com:8200", "begins with http://", "https://vault.example.com:8200"},
		{"kv/database?login=ldap", "unknown method", "approle, kubernetes"},
		{"kv/database?login=approle", "login=approle needs role_id=", "role_id=…"},
		{"kv/database?login=approle&role_id=x&role=app", `unknown option "role"`, "role_id"},
		{"kv/database?login=kubernetes", "login=kubernetes needs role=", "role=…"},
		{"kv/database?login=jwt", "login=jwt needs jwt_file=", "jwt_file=…"},
		{"kv/database?login=gcp", "login=gcp needs role=", "role=…"},
		{"kv/database?role=app", `unknown option "role"`, "token_file"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			_, err := newBench(t).newSource("hashivault://" + tt.url)
			wantError(t, err, true, tt.text, tt.hint)
		})
	}
}

func TestUncheckedCertificatesAreRefused(t *testing.T) {
	b := newBench(t)
	t.Setenv(api.EnvVaultSkipVerify, "true")
	_, err := b.newSource("hashivault://kv/database")
	wantError(t, err, true, "VAULT_SKIP_VERIFY", "VAULT_CACERT")
}

func TestOwnCAIsTrusted(t *testing.T) {
	b := benchOf(t, vaultfake.NewTLS())
	b.PutKV1("kv/database", map[string]any{"password": password})
	ca := b.file("ca.pem", string(b.CA))

	_, err := b.source("hashivault://kv/database").Credential(t.Context(), "app")
	wantError(t, err, false, "certificate", "ca=/path/ca.pem")
	b.credential(b.source("hashivault://kv/database?ca=" + ca))
	b.credential(b.source("hashivault://kv/database?ca=" + filepath.Dir(ca)))

	_, err = b.source("hashivault://kv/database?ca=/no/such/file").Credential(t.Context(), "app")
	wantError(t, err, true, "ca=/no/such/file", "check ca=")
	t.Setenv(api.EnvVaultCACert, ca)
	b.credential(b.source("hashivault://kv/database"))
}

func TestAddressComesFrom(t *testing.T) {
	for _, tt := range []struct{ name, variable, option string }{
		{"VAULT_ADDR", api.EnvVaultAddress, ""},
		{"the Go CDK's variable", "VAULT_SERVER_URL", ""},
		{"a Vault Agent", api.EnvVaultAgentAddr, ""},
		{"the URL", "", "?address="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.PutKV1("kv/database", map[string]any{"password": password})
			t.Setenv(api.EnvVaultAddress, "")
			url := "hashivault://kv/database"
			if tt.variable != "" {
				t.Setenv(tt.variable, b.URL)
			} else {
				t.Setenv(api.EnvVaultAddress, "https://vault.invalid")
				url += tt.option + b.URL
			}
			b.credential(b.source(url))
		})
	}
}

func TestNamespaceIsSent(t *testing.T) {
	b := newBench(t)
	b.SetNamespace("team/a")
	b.PutKV1("kv/database", map[string]any{"password": password})
	_, err := b.source("hashivault://kv/database").Credential(t.Context(), "app")
	wantError(t, err, true, "permission denied", "policy")
	b.credential(b.source("hashivault://kv/database?namespace=team/a"))
	t.Setenv(api.EnvVaultNamespace, "team/a")
	b.credential(b.source("hashivault://kv/database"))
}

func TestNothingInClearGoesThroughAProxy(t *testing.T) {
	b := newBench(t)
	b.PutKV1("kv/database", map[string]any{"password": password})
	asked := false
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	t.Setenv(api.EnvVaultProxyAddr, proxy.URL)
	b.credential(b.source("hashivault://kv/database"))
	if asked {
		t.Error("the token went through a proxy in clear")
	}
}

func TestRedirectIntoTheClearIsRefused(t *testing.T) {
	b := newBench(t)
	standby := httptest.NewServer(http.RedirectHandler("http://vault.example.com:8200/v1/kv/database", http.StatusTemporaryRedirect))
	defer standby.Close()
	_, err := b.source("hashivault://kv/database?address="+standby.URL).Credential(t.Context(), "app")
	wantError(t, err, true, "begins with http://", "api_addr")
}

func TestWrappedAnswersAreNotAskedFor(t *testing.T) {
	b := newBench(t)
	t.Setenv(api.EnvVaultWrapTTL, "60s")
	wrapped := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wrapped = r.Header.Get("X-Vault-Wrap-TTL")
		_, _ = io.WriteString(w, `{"data":{"password":"x"}}`)
	}))
	defer server.Close()
	b.credential(b.source("hashivault://kv/database?address=" + server.URL))
	if wrapped != "" {
		t.Errorf("asked for an answer that is wrapped for %s", wrapped)
	}
}
