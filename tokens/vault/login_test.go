package vault

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"dbvalet/integration/vaultfake"
	"dbvalet/tokens"
)

const (
	approleSecret = "5ecret-1d-of-the-approle"
	machineJWT    = "eyJhbGciOiJSUzI1NiJ9.machine.signature"
	awsSecret     = "aws/secret/access/key"
	awsSession    = "aws-session-token"
)

func awsCredentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: awsSecret, SessionToken: awsSession}, nil
}

// addLogins lets everybody log in who has the right secret.
func (b *bench) addLogins(a vaultfake.Access) {
	b.PutKV1("kv/database", map[string]any{"password": password})
	b.AddAppRole("approle", "orders", "role-id", approleSecret, a)
	b.AddAppRole("team/approle", "orders", "role-id", "", a)
	b.AddJWTRole("kubernetes", "app", machineJWT, map[string]string{
		"role": "app", "service_account_name": "web", "service_account_namespace": "shop"}, a)
	b.AddJWTRole("jwt", "app", machineJWT, map[string]string{"role": "app"}, a)
	b.AddJWTRole("gcp", "app", machineJWT, map[string]string{"service_account_email": "web@p.iam.gserviceaccount.com"}, a)
	b.SetIdentity("app", machineJWT)
	for mount, region := range map[string]string{"aws": "us-east-1", "aws-eu": "eu-west-1"} {
		b.AddAWSRole(mount, "app", vaultfake.AWSCaller{AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: awsSecret, SessionToken: awsSession,
			Region: region, ServerID: map[string]string{"aws-eu": "vault.example.com"}[mount], ARN: "arn:aws:sts::1:assumed-role/web/i-1"}, a)
	}
}

func TestLoginsGiveAToken(t *testing.T) {
	for _, tt := range []struct{ name, options, who string }{
		{"approle", "login=approle&role_id=role-id&secret_id_file=FILE:" + approleSecret, "approle role orders"},
		{"approle without a secret id", "login=approle&login_mount=team/approle&role_id=role-id", "approle role orders"},
		{"kubernetes", "login=kubernetes&role=app&jwt_file=FILE:" + machineJWT, "kubernetes role app, shop/web"},
		{"jwt", "login=jwt&role=app&jwt_file=FILE:" + machineJWT, "jwt role app"},
		{"gcp", "login=gcp&role=app", "gcp role app, web@p.iam.gserviceaccount.com"},
		{"aws", "login=aws&role=app", "aws role app, arn:aws:sts::1:assumed-role/web/i-1"},
		{"aws with a header in another region", "login=aws&role=app&login_mount=aws-eu&region=eu-west-1&header=vault.example.com", "aws role app, arn"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			t.Setenv("VAULT_TOKEN", "") // which would do as well
			b.addLogins(vaultfake.Access{Paths: []string{"kv/database"}, TTL: time.Hour})
			options, content, ok := strings.Cut(tt.options, "FILE:")
			if ok {
				options += b.file("secret", content+"\n")
			}
			s := b.source("hashivault://kv/database?" + options)
			if cred := b.credential(s); cred.Password.Reveal() != password {
				t.Errorf("got %v", cred)
			}
			b.credential(s)
			if n := b.Requests("auth/*"); n != 1 {
				t.Errorf("%d requests to auth/, want one login for both", n)
			}
			if !strings.Contains(s.current.who, tt.who) {
				t.Errorf("we are %q, want %q", s.current.who, tt.who)
			}
			if !strings.Contains(b.log.String(), "logged in to Vault") || strings.Contains(b.log.String(), "hvs.") {
				t.Errorf("log is %s", b.log.String())
			}
		})
	}
}

func TestSecretIDComesFromTheEnvironment(t *testing.T) {
	b := newBench(t)
	b.addLogins(vaultfake.Access{Paths: []string{"*"}})
	t.Setenv("VAULT_SECRET_ID", approleSecret)
	b.credential(b.source("hashivault://kv/database?login=approle&role_id=role-id"))
}

func TestRefusedLoginNamesMethodMountAndRole(t *testing.T) {
	jwt := func(b *bench) string { return b.file("jwt", machineJWT) }
	for _, tt := range []struct {
		name, options string
		prepare       func(b *bench)
		final         bool
		text, hint    string
	}{
		{"wrong role id", "login=approle&role_id=other", func(*bench) {}, true, "the approle login at auth/approle was refused: invalid role ID", "check role_id="},
		{"no secret id", "login=approle&role_id=role-id", func(*bench) {}, true, "invalid secret id", "used up"},
		{"kubernetes", "login=kubernetes&role=none&jwt_file=JWT", func(*bench) {}, true,
			`the kubernetes login at auth/kubernetes with role "none" was refused: invalid role name`, "vault read auth/kubernetes/role/none"},
		{"forbidden", "login=kubernetes&role=app&jwt_file=JWT", func(b *bench) { b.FailNext(1, "auth/kubernetes/login", 403, "permission denied") }, true,
			"was refused: permission denied", "service account"},
		{"jwt", "login=jwt&role=none&jwt_file=JWT", func(*bench) {}, true, `with role "none" was refused`, "claims"},
		{"the answer quotes what was sent", "login=jwt&role=app&jwt_file=JWT", func(b *bench) { b.FailNext(1, "auth/jwt/login", 400, "bad token "+machineJWT) }, true,
			`with role "app" was refused`, "claims"},
		{"a long answer", "login=jwt&role=app&jwt_file=JWT", func(b *bench) { b.FailNext(1, "auth/jwt/login", 400, strings.Repeat("long ", 500)) }, true, "long …", "claims"},
		{"aws", "login=aws&role=none", func(*bench) {}, true, `the aws login at auth/aws with role "none" was refused`, "aws sts get-caller-identity"},
		{"aws quotes the signed request", "login=aws&role=app", func(b *bench) { b.FailNext(1, "auth/aws/login", 400, "should have been "+awsSession) }, true, "was refused", "iam_server_id_header_value"},
		{"aws without the header", "login=aws&role=app&login_mount=aws-eu&region=eu-west-1", func(*bench) {}, true, "was refused", "header="},
		{"aws in the wrong region", "login=aws&role=app&region=eu-west-1", func(*bench) {}, true, "was refused", "aws sts get-caller-identity"},
		{"no such mount", "login=jwt&login_mount=none&role=app&jwt_file=JWT", func(*bench) {}, true, "no login at auth/none", "vault auth list"},
		{"no JWT", "login=jwt&jwt_file=/no/such/file", func(*bench) {}, false, "jwt_file=: open /no/such/file", "check the path"},
		{"out of order", "login=jwt&role=app&jwt_file=JWT", func(b *bench) { b.FailNext(1, "auth/jwt/login", 500, machineJWT) }, false, "the jwt login at auth/jwt", "vault status"},
		{"sealed", "login=jwt&role=app&jwt_file=JWT", func(b *bench) { b.Set(vaultfake.Sealed) }, false, "Vault is sealed", "vault status"},
		{"not on Google Cloud", "login=gcp&role=app", func(b *bench) { b.t.Setenv("GCE_METADATA_HOST", "127.0.0.1:1") }, false, "metadata service", "GCE"},
		{"for another role", "login=gcp&role=other", func(*bench) {}, false, "answered 400", "GCE"},
		{"no service account", "login=gcp&role=app", func(b *bench) { b.SetIdentity("", "") }, true, "no service account", "gcloud"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.addLogins(vaultfake.Access{Paths: []string{"*"}})
			s := b.source("hashivault://kv/database?" + strings.Replace(tt.options, "JWT", jwt(b), 1))
			tt.prepare(b)
			_, err := s.Credential(t.Context(), "app")
			wantError(t, err, tt.final, tt.text, tt.hint)
		})
	}
}

func TestFailingAWSCredentialsKeepTheirHint(t *testing.T) {
	b := newBench(t)
	u, err := tokens.ParseSecretURL("hashivault://kv/database?login=aws")
	if err != nil {
		t.Fatal(err)
	}
	failing := func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, &tokens.Error{Source: "aws", Err: errors.New("no session"), Advice: "aws sso login", Denied: true}
	}
	s, err := New(u, Options{AWS: failing})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Credential(t.Context(), "app")
	wantError(t, err, true, "hashivault://kv/database: AWS credentials for the aws login at auth/aws: no session", "aws sso login")
	if n := b.Requests("*"); n != 0 {
		t.Errorf("%d requests", n)
	}
	u, _ = tokens.ParseSecretURL("hashivault://kv/database?login=aws")
	_, err = New(u, Options{})
	wantError(t, err, true, "no AWS credentials for login=aws", "another login=")
}

func TestTokenComesFrom(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(b *bench) (options string)
		who     string
	}{
		{"VAULT_TOKEN", func(b *bench) string { b.t.Setenv("VAULT_TOKEN", rootToken+"\n"); return "" }, "the token of VAULT_TOKEN"},
		{"the Go CDK's variable", func(b *bench) string { b.t.Setenv("VAULT_SERVER_TOKEN", rootToken); return "" }, "the token of VAULT_SERVER_TOKEN"},
		{"vault login", func(b *bench) string { b.file(os.Getenv("HOME")+"/.vault-token", rootToken); return "" }, "the token in ~/.vault-token"},
		{"a file", func(b *bench) string { return "?token_file=" + b.file("sink", rootToken+"\n") }, "the token in /"},
		{"a file before VAULT_TOKEN", func(b *bench) string {
			b.t.Setenv("VAULT_TOKEN", "hvs.other")
			return "?login=token&token_file=" + b.file("sink", rootToken)
		}, "the token in /"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			t.Setenv("VAULT_TOKEN", "")
			b.PutKV1("kv/database", map[string]any{"password": password})
			s := b.source("hashivault://kv/database" + tt.prepare(b))
			b.credential(s)
			if !strings.HasPrefix(s.current.who, tt.who) {
				t.Errorf("who is %q, want %q", s.current.who, tt.who)
			}
		})
	}
}

func TestMissingTokenSaysWhatToSet(t *testing.T) {
	b := benchOf(t, vaultfake.NewTLS())
	t.Setenv("VAULT_TOKEN", "")
	_, err := b.source("hashivault://kv/database").Credential(t.Context(), "app")
	wantError(t, err, true, "there is no Vault token", "VAULT_TOKEN")
	_, err = b.source("hashivault://kv/database?token_file=/no/such/file").Credential(t.Context(), "app")
	wantError(t, err, false, "token_file=: open /no/such/file", "check the path")
	_, err = b.source("hashivault://kv/database?token_file="+b.file("empty", "\n")).Credential(t.Context(), "app")
	wantError(t, err, false, "is empty", "what writes the file")
}

func TestVaultAgentMayAddTheToken(t *testing.T) {
	b := newBench(t)
	t.Setenv("VAULT_TOKEN", "")
	b.PutKV1("kv/database", map[string]any{"password": password})
	s := b.source("hashivault://kv/database")
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, true, "no Vault token, and no Vault Agent", "use_auto_auth_token")
	b.AddToken("", vaultfake.Access{Paths: []string{"kv/database"}}) // as an agent does
	b.credential(s)
}

func TestTokenFileIsReadAgain(t *testing.T) {
	b := newBench(t)
	b.PutKV1("kv/database", map[string]any{"password": password})
	sink := b.file("sink", "hvs.first")
	s := b.source("hashivault://kv/database?token_file=" + sink)
	_, err := s.Credential(t.Context(), "app")
	wantError(t, err, true, "permission denied for the token in "+sink, "vault token lookup")
	b.file(sink, rootToken)
	b.credential(s)
}

func TestLoginIsReplacedBeforeItsTokenEnds(t *testing.T) {
	b := newBench(t)
	b.addLogins(vaultfake.Access{Paths: []string{"*"}, TTL: time.Hour})
	s := b.source("hashivault://kv/database?login=jwt&role=app&jwt_file=" + b.file("jwt", machineJWT))
	for _, step := range []struct {
		wait   time.Duration
		logins int
	}{{0, 1}, {25 * time.Minute, 1}, {10 * time.Minute, 2}, {3 * time.Hour, 3}} { // the last is a laptop that slept
		b.Advance(step.wait)
		b.credential(s)
		if n := b.Requests("auth/jwt/login"); n != step.logins {
			t.Errorf("%d logins after another %v, want %d", n, step.wait, step.logins)
		}
	}
}

func TestRevokedTokenIsReplacedOnce(t *testing.T) {
	b := newBench(t)
	b.addLogins(vaultfake.Access{Paths: []string{"kv/*"}, TTL: time.Hour})
	s := b.source("hashivault://kv/database?login=jwt&role=app&jwt_file=" + b.file("jwt", machineJWT))
	b.credential(s)
	b.RevokeTokens()
	b.credential(s)
	if n := b.Requests("auth/jwt/login"); n != 2 {
		t.Errorf("%d logins, want another after the token was revoked", n)
	}
	fresh := b.source("hashivault://kv/database?login=approle&role_id=role-id&secret_id_file=" + b.file("id", approleSecret))
	b.FailNext(1, "kv/database", 403, "permission denied")
	_, err := fresh.Credential(t.Context(), "app")
	wantError(t, err, true, "permission denied for approle role orders", `path "kv/database"`)
	b.FailNext(3, "kv/database", 403, "permission denied")
	_, err = s.Credential(t.Context(), "app")
	wantError(t, err, true, "permission denied for jwt role app", `path "kv/database"`)
	if n := b.Requests("auth/jwt/login"); n != 3 {
		t.Errorf("%d logins, want one more and no further", n)
	}
}

func TestConcurrentCallersShareALogin(t *testing.T) {
	b := newBench(t)
	b.addLogins(vaultfake.Access{Paths: []string{"*"}, TTL: time.Hour})
	s := b.source("hashivault://kv/database?login=jwt&role=app&jwt_file=" + b.file("jwt", machineJWT))
	done := make(chan error)
	for range 20 {
		go func() {
			_, err := s.Credential(context.WithoutCancel(t.Context()), "app")
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := b.Requests("auth/jwt/login"); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

func TestCallerDoesNotWaitForAnothersLogin(t *testing.T) {
	b := newBench(t)
	s := b.source("hashivault://kv/database")
	s.turn <- struct{}{} // somebody logs in
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Credential(ctx, "app")
	wantError(t, err, false, "context canceled", "vault status")
	<-s.turn
}
