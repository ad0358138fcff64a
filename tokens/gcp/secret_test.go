package gcp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/gcpfake"
	"dbvalet/tokens"
)

// secret makes a source of the secret that name, with options, names.
func (c *cloud) secret(name, user string) *SecretManager {
	c.t.Helper()
	separator := "?"
	if strings.Contains(name, "?") {
		separator = "&"
	}
	u, err := tokens.ParseSecretURL("gcpsecretmanager://" + name + separator + "endpoint=" + c.URL)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := NewSecretManager(u, SecretOptions{User: user, Log: c.logger()})
	if err != nil {
		c.t.Fatalf("%v\nhint: %s", err, hint(err))
	}
	return s
}

// vault is a cloud with a secret of two versions, which app may read.
func vault(t *testing.T) *cloud {
	c := newCloud(t)
	c.use(c.ServiceAccount(app))
	c.AddVersion("proj", "pw", []byte("first\n"))
	c.AddVersion("proj", "pw", []byte("second\n"))
	c.AllowAccess("proj", "pw", app)
	return c
}

const pw = "projects/proj/secrets/pw"

func TestSecretIsReadWithOnePermission(t *testing.T) {
	c := vault(t)
	for _, tt := range []struct{ name, password, id string }{
		{pw, "second", "2"},
		{pw + "?decoder=string&wait=30s", "second", "2"},
		{pw + "/versions/latest", "second", "2"},
		{pw + "/versions/1", "first", "1"},
	} {
		cred := c.get(c.secret(tt.name, ""), "app")
		if got := cred.Password.Reveal(); got != tt.password || cred.ID != tt.id {
			t.Errorf("%s: version %s, password %q; want %s and %q", tt.name, cred.ID, got, tt.id, tt.password)
		}
		if !cred.Expires.IsZero() || !cred.Issued.IsZero() {
			t.Errorf("%s: what was looked up has a time", tt.name)
		}
	}
}

func TestEveryIdentityMayReadSecrets(t *testing.T) {
	for _, tt := range identities {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			c.AddVersion("proj", "pw", []byte("second"))
			c.AllowAccess("proj", "pw", tt.principal)
			if got := c.get(c.secret(pw, ""), ""); got.Password.Reveal() != "second" {
				t.Error("got another password")
			}
			c.AllowImpersonation(tt.principal, ops)
			c.AllowImpersonation(ops, target)
			c.RevokeAccess("proj", "pw", tt.principal)
			c.AllowAccess("proj", "pw", target)
			if got := c.get(c.secret(pw+"?impersonate_service_account="+ops+","+target, ""), ""); got.Password.Reveal() != "second" {
				t.Error("got another password")
			}
		})
	}
}

func TestPartsOfAJSONSecretAreFound(t *testing.T) {
	c := vault(t)
	c.AddVersion("proj", "pw", []byte(`{"db": {"username": "app", "password": "deep", "host": "db.internal", "port": 5432, "dbname": "orders"}}`))
	cred := c.get(c.secret(pw+"?path=db", "app"), "app")
	if cred.User != "app" || cred.Password.Reveal() != "deep" || cred.Host != "db.internal" || cred.Port != "5432" || cred.Database != "orders" {
		t.Errorf("got %+v", cred)
	}
	if cred := c.get(c.secret(pw+"?path=db.password", ""), "x"); cred.Password.Reveal() != "deep" || cred.User != "" {
		t.Errorf("got %+v", cred)
	}
	_, err := c.secret(pw+"?path=db", "other").Credential(t.Context(), "other")
	wantError(t, err, true, "gcpsecretmanager://"+pw+": the secret is for another user", "USER")
}

func TestNameAndOptionsAreChecked(t *testing.T) {
	for _, tt := range []struct{ name, text, advice string }{
		{"pw", "not the name of a secret", "projects/PROJECT/secrets/SECRET"},
		{"projects/p/secrets/", "not the name", "projects/PROJECT"},
		{"projects/p/secrets/a/b", "not the name", "projects/PROJECT"},
		{"projects/p/secrets/a%3Faccess", "not the name", "projects/PROJECT"},
		{"projects/../secrets/a", "not the name", "projects/PROJECT"},
		{"projects/p/locations/l/secrets/a", "not the name", "projects/PROJECT"},
		{pw + "/versions/0", "not the name", "/versions/NUMBER"},
		{pw + "/versions/", "not the name", "/versions/NUMBER"},
		{pw + "/versions/1:destroy", "not the name", "/versions/NUMBER"},
		{pw + "?vresion=1", `unknown option "vresion"`, "endpoint, impersonate_service_account, path, wait"},
		{pw + "?wait=soon", "option wait", "30s"},
		{pw + "?decoder=jsonmap", "option decoder", "path=KEY"},
		{pw + "?endpoint=vpc.example.com", "endpoint", "https://HOST"},
		{pw + "?endpoint=ftp://vpc.example.com", "endpoint", "https://HOST"},
		{pw + "?endpoint=http://vpc.example.com", "in clear", "https://HOST"},
		{pw + "?impersonate_service_account=app", "not an email", "@PROJECT"},
	} {
		u, err := tokens.ParseSecretURL("gcpsecretmanager://" + tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = NewSecretManager(u, SecretOptions{}); err == nil {
			t.Errorf("%s is taken", tt.name)
			continue
		}
		wantError(t, err, true, tt.text, tt.advice)
	}
	for _, name := range []string{
		"projects/example.com:proj/secrets/S_1-a", "projects/123456789012/secrets/pw", pw + "/versions/prod",
		pw + "?endpoint=https://secretmanager-psc.p.googleapis.com",
	} {
		u, err := tokens.ParseSecretURL("gcpsecretmanager://" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewSecretManager(u, SecretOptions{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersionBeforeTheLatestIsTheOther(t *testing.T) {
	for _, tt := range []struct {
		name   string
		secret string
		set    func(c *cloud)
		want   string
	}{
		{"enabled", pw, func(*cloud) {}, "first"},
		{"disabled", pw, func(c *cloud) { c.SetState("proj", "pw", 1, gcpfake.Disabled) }, ""},
		{"destroyed", pw, func(c *cloud) { c.SetState("proj", "pw", 1, gcpfake.Destroyed) }, ""},
		{"of three", pw, func(c *cloud) { c.AddVersion("proj", "pw", []byte("third")) }, "second"},
		{"none, with a number", pw + "/versions/2", func(*cloud) {}, ""},
		{"of another form", pw + "?path=password", func(c *cloud) { c.AddVersion("proj", "pw", []byte(`{"password": "third"}`)) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := vault(t)
			tt.set(c)
			others, err := c.secret(tt.secret, "").Others(t.Context(), "app")
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(others) > 0 {
				got = others[0].Password.Reveal()
			}
			if got != tt.want || len(others) > 1 {
				t.Errorf("got %d credentials, the first is %q; want %q", len(others), got, tt.want)
			}
		})
	}
}

func TestOnlyVersionHasNoOther(t *testing.T) {
	c := newCloud(t)
	c.use(c.ServiceAccount(app))
	c.AddVersion("proj", "pw", []byte("first"))
	c.AllowAccess("proj", "pw", app)
	if others, err := c.secret(pw, "").Others(t.Context(), "app"); err != nil || len(others) > 0 {
		t.Errorf("got %v and %v", others, err)
	}
}

func TestOthersFailWithTheStore(t *testing.T) {
	c := vault(t)
	c.Fail(gcpfake.OpAccess, gcpfake.Broken)
	_, err := c.secret(pw, "").Others(t.Context(), "app")
	wantError(t, err, false, "503", "try again")
	c.RevokeAccess("proj", "pw", app)
	c.Recover(gcpfake.OpAccess)
	_, err = c.secret(pw, "").Others(t.Context(), "app")
	wantError(t, err, true, "may not read", "secretAccessor")
}

func TestDamagedPayloadIsRefused(t *testing.T) {
	c := vault(t)
	sum := crc32.Checksum([]byte("second"), crc32.MakeTable(crc32.Castagnoli))
	for _, tt := range []struct{ name, payload, text string }{
		{"whole", fmt.Sprintf(`{"data": %q, "dataCrc32c": "%d"}`, base64.StdEncoding.EncodeToString([]byte("second")), sum), ""},
		{"not checked by an emulator", fmt.Sprintf(`{"data": %q}`, base64.StdEncoding.EncodeToString([]byte("second"))), ""},
		{"damaged", fmt.Sprintf(`{"data": %q, "dataCrc32c": "%d"}`, base64.StdEncoding.EncodeToString([]byte("secomd")), sum), "checksum"},
		{"no base64", `{"data": "$$$", "dataCrc32c": "1"}`, "not a version"},
		{"missing", `null`, "not a version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.Respond(gcpfake.OpAccess, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"name": "projects/1/secrets/pw/versions/2", "payload": %s}`, tt.payload)
			})
			cred, err := c.secret(pw, "").Credential(t.Context(), "app")
			if tt.text != "" {
				wantError(t, err, false, tt.text, "try again")
			} else if err != nil || cred.Password.Reveal() != "second" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSecretErrorsSayWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name         string
		secret       string
		set          func(c *cloud)
		denied       bool
		text, advice string
	}{
		{"no permission", pw, func(c *cloud) { c.RevokeAccess("proj", "pw", app) }, true, app + " may not read version latest",
			"gcloud secrets add-iam-policy-binding pw --member=serviceAccount:" + app + " --role=roles/secretmanager.secretAccessor --project=proj"},
		{"no permission, user of gcloud", pw, func(c *cloud) { c.use(c.User(kai)) }, true, "application_default_credentials.json may not read", "--member=user:EMAIL"},
		{"no permission, metadata server", pw, func(c *cloud) {
			t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
			c.SetMachine(ops, time.Hour)
		}, true, ops + " may not read", "--member=serviceAccount:" + ops},
		{"no secret", "projects/proj/secrets/pwd", func(*cloud) {}, true, "NOT_FOUND", "gcloud secrets versions list pwd --project=proj"},
		{"no version", pw + "/versions/7", func(*cloud) {}, true, "NOT_FOUND", "gcloud secrets versions list pw"},
		{"disabled version", pw + "/versions/1", func(c *cloud) { c.SetState("proj", "pw", 1, gcpfake.Disabled) }, true,
			"is in DISABLED state", "gcloud secrets versions enable 1 --secret=pw --project=proj"},
		{"latest version is destroyed", pw, func(c *cloud) { c.SetState("proj", "pw", 2, gcpfake.Destroyed) }, true,
			"is in DESTROYED state", "gcloud secrets versions add pw --project=proj"},
		{"session ended", pw, func(c *cloud) { c.use(c.User(kai)).EndSessions() }, true, "invalid_grant", "gcloud auth application-default login"},
		{"token is not taken", pw, func(c *cloud) {
			c.Respond(gcpfake.OpAccess, refusing(401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", "Request had invalid authentication credentials."))
		}, true, "UNAUTHENTICATED", "gcloud auth application-default login"},
		{"no quota project", pw, func(c *cloud) {
			a := c.User(kai)
			delete(a, "quota_project_id")
			c.use(a)
		}, true, "Application Default Credentials", "set-quota-project"},
		{"machine without scopes", pw, func(c *cloud) {
			c.Respond(gcpfake.OpAccess, refusing(403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "Request had insufficient authentication scopes."))
		}, true, "insufficient authentication scopes", "--scopes=cloud-platform"},
		{"API is not enabled", pw, func(c *cloud) {
			c.Respond(gcpfake.OpAccess, refusing(403, "PERMISSION_DENIED", "SERVICE_DISABLED", "Secret Manager API has not been used in project 123456789012 before or it is disabled."))
		}, true, "has not been used", "gcloud services enable secretmanager.googleapis.com"},
		{"service perimeter", pw, func(c *cloud) {
			c.Respond(gcpfake.OpAccess, refusing(403, "PERMISSION_DENIED", "SECURITY_POLICY_VIOLATED", "Request is prohibited by organization's policy."))
		}, true, "prohibited by organization's policy", "VPC Service Controls"},
		{"endpoint of something else", pw, func(c *cloud) {
			c.Respond(gcpfake.OpAccess, http.NotFound)
		}, true, "answered 404", "endpoint="},
		{"nobody knows who we are", pw, func(*cloud) { t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere") }, false, "/nowhere", "gcloud auth application-default login"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := vault(t)
			tt.set(c)
			_, err := c.secret(tt.secret, "").Credential(t.Context(), "app")
			wantError(t, err, tt.denied, tt.text, tt.advice)
			if name, _, _ := strings.Cut(tt.secret, "?"); !strings.HasPrefix(err.Error(), "gcpsecretmanager://"+name+": ") {
				t.Errorf("error is %q, and does not name the secret", err)
			}
			if strings.Contains(err.Error(), "second") {
				t.Errorf("the secret is in %q", err)
			}
		})
	}
}

func TestQuotaProjectOfTheEnvironmentIsUsed(t *testing.T) {
	c := vault(t)
	c.AllowAccess("proj", "pw", kai)
	a := c.User(kai)
	delete(a, "quota_project_id")
	c.use(a)
	t.Setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "quota-proj")
	c.get(c.secret(pw, ""), "app")
}

func TestReadingASecretEndsWithTheContext(t *testing.T) {
	c := vault(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.Respond(gcpfake.OpAccess, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := c.secret(pw, "").Credential(ctx, "app")
	wantError(t, err, false, "context canceled", "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the caller gave up", err)
	}
}

func TestClientLibraryLogsNoSecret(t *testing.T) {
	c := vault(t)
	c.AllowImpersonation(app, target)
	c.AllowAccess("proj", "pw", target)
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stderr := os.Stderr
	os.Stderr = w
	cred, err := c.secret(pw+"?impersonate_service_account="+target, "").Credential(t.Context(), "app")
	os.Stderr = stderr
	w.Close()
	if err != nil || cred.Password.Reveal() != "second" {
		t.Fatalf("got %v", err)
	}
	written, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(written) > 0 {
		t.Errorf("the library wrote to stderr: %s", written)
	}
	if strings.Contains(c.log.String(), "second") {
		t.Error("the secret is in the log")
	}
}
