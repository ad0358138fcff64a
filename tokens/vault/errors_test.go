package vault

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/vaultfake"
	"dbvalet/tokens"
)

func TestAnswersOfVault(t *testing.T) {
	only := func(paths ...string) func(*bench) {
		return func(b *bench) { b.AddToken(rootToken, vaultfake.Access{Paths: paths}) }
	}
	set := func(state vaultfake.State) func(*bench) { return func(b *bench) { b.Set(state) } }
	for _, tt := range []struct {
		name, url  string
		prepare    func(b *bench)
		final      bool
		text, hint string
	}{
		{"not allowed", "secret/data/database", only(), true, "permission denied for the token of VAULT_TOKEN",
			`path "secret/data/database" { capabilities = ["read"] }`},
		{"not allowed, KV version unknown", "secret/database", only(), true, "permission denied", "for KV version 2: secret/data/database"},
		{"not allowed, without data/", "secret/database", only("secret/database"), true, "permission denied", `path "secret/data/database"`},
		{"not allowed, dynamic", "database/creds/app", only(), true, "permission denied",
			`path "sys/leases/renew" { capabilities = ["update"] } path "sys/leases/revoke" { capabilities = ["update"] }`},
		{"missing", "secret/data/none", func(*bench) {}, true, "no such secret at secret/data/none", "vault read secret/data/none"},
		{"missing, without data/", "secret/none", func(*bench) {}, true, "no such secret at secret/data/none", "vault read"},
		{"missing version", "secret/data/database?version=7", func(*bench) {}, true, "no such secret", "check the path"},
		{"deleted", "secret/data/database", func(b *bench) { b.DeleteKV2("secret", "database", 1) }, true,
			"version 1 was deleted at 20", "vault kv undelete -versions=1 secret/database"},
		{"destroyed", "secret/database", func(b *bench) { b.DestroyKV2("secret", "database", 1) }, true,
			"version 1 is destroyed", "vault kv put secret/database"},
		{"not KV version 2", "kv/data/database?kv=2", func(b *bench) { b.PutKV1("kv/data/database", map[string]any{"a": "b"}) }, true, "not one of KV version 2", "leave kv= out"},
		{"no password", "kv/other", func(b *bench) { b.PutKV1("kv/other", map[string]any{"a": password, "b": "c"}) }, true,
			`hashivault://kv/other: the secret is a JSON object without a text "password"`, "path=KEY"},
		{"no such role", "database/creds/none", func(*bench) {}, true, "no role of that name", "vault list database/roles"},
		{"no such static role", "database/static-creds/none", func(*bench) {}, true, "no role of that name", "vault list database/static-roles"},
		{"bad request", "secret/data/database", func(b *bench) { b.FailNext(1, "secret/data/database", 400, password) }, true, "the request was refused (400)", "vault read"},
		{"not to be read", "secret/data/database", func(b *bench) { b.FailNext(1, "secret/data/database", 405, password) }, true, "can't be read", "check the path"},
		{"database out of order", "database/creds/app", func(b *bench) { b.FailNext(1, "database/creds/app", 500, password) }, false,
			"answer 500 of Vault", "vault status -address=http://127.0.0.1:"},
		{"not JSON", "secret/data/database", func(b *bench) { b.FailNext(1, "secret/data/database", 502, password) }, false, "answer 502 of Vault", "vault status"},
		{"sealed", "secret/data/database", set(vaultfake.Sealed), false, "Vault is sealed", "vault status -address=http://127.0.0.1:"},
		{"standby", "secret/data/database", set(vaultfake.Standby), false, "standby", "vault status"},
		{"throttled", "secret/data/database", set(vaultfake.Throttled), false, "asked too often (429)", "vault status"},
		{"down", "secret/data/database", set(vaultfake.Down), false, "EOF", "vault status"},
		{"gone", "secret/data/database", func(b *bench) { b.Close() }, false, "connection refused", "vault status"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.PutKV2("secret", "database", map[string]any{"password": password})
			b.AddRole("database", "app", vaultfake.Role{})
			tt.prepare(b)
			_, err := b.source("hashivault://"+tt.url).Credential(t.Context(), "app")
			wantError(t, err, tt.final, tt.text, tt.hint)
		})
	}
}

func TestOutagePassesByItself(t *testing.T) {
	b := newBench(t)
	b.PutKV1("kv/database", map[string]any{"password": password})
	s := b.source("hashivault://kv/database")
	b.Set(vaultfake.Sealed)
	if _, err := s.Credential(t.Context(), "app"); err == nil {
		t.Error("a sealed Vault gave a credential")
	}
	if n := b.Requests("*"); n != 1 {
		t.Errorf("%d requests for one credential: the Cache asks again, and nobody else", n)
	}
	b.Set(vaultfake.Up)
	b.credential(s)
}

func TestCallerThatGoesAwayEndsTheRequest(t *testing.T) {
	b := newBench(t)
	b.Set(vaultfake.Hanging)
	s := b.source("hashivault://kv/database")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Credential(ctx, "app")
	wantError(t, err, false, "no answer from Vault: context deadline exceeded", "vault status")
}

func TestServerThatIsNotVaultIsNotFinal(t *testing.T) {
	b := newBench(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>"+password)
	}))
	defer server.Close()
	_, err := b.source("hashivault://kv/database?address="+server.URL).Credential(t.Context(), "app")
	wantError(t, err, false, "invalid character", "vault status")
}

func TestTokenIsNeverQuoted(t *testing.T) {
	b := newBench(t)
	t.Setenv("VAULT_TOKEN", rootToken+"\n"+rootToken)
	_, err := b.source("hashivault://kv/database").Credential(t.Context(), "app")
	wantError(t, err, true, "VAULT_TOKEN holds more than a token", "one line")
}

func TestRefusedCredentialIsExplained(t *testing.T) {
	for _, tt := range []struct{ url, want, hint string }{
		{"database/creds/app", `Vault made the user "v-app-`, "vault read database/roles/app"},
		{"database/static-creds/app", `the password of "app_static" is that of database/static-creds/app, rotated 20`, "vault read database/static-roles/app"},
		{"secret/database", `the password of "app" is version 1 of secret/data/database`, "vault kv metadata get secret/database"},
		{"kv/database", `the password of "app" is that in kv/database`, "vault read kv/database"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			b := newBench(t)
			b.PutKV2("secret", "database", map[string]any{"password": password})
			b.PutKV1("kv/database", map[string]any{"password": password})
			b.AddRole("database", "app", vaultfake.Role{})
			b.AddStaticRole("database", "app", "app_static", password, time.Hour)
			s := b.source("hashivault://" + tt.url)
			cred := b.credential(s)
			got := s.Explain(t.Context(), "app", cred)
			if !strings.Contains(got, tt.want) || !strings.Contains(got, tt.hint) || len(got) > 350 {
				t.Errorf("got %d bytes: %s", len(got), got)
			}
			wantNoSecret(t, got)
			if cred.Lease != nil && strings.Contains(got, cred.Password.Reveal()) {
				t.Error("the password is shown")
			}
			long := s.Explain(t.Context(), strings.Repeat("ü", 400), tokens.Credential{})
			if len(long) > 350 {
				t.Errorf("%d bytes", len(long))
			}
		})
	}
}
