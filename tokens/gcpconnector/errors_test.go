package gcpconnector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dbvalet/integration/gcpfake"
	"dbvalet/tokens"
)

// wantError checks an error: final or not, its text and its hint, its length, and that it shows no
// secret.
func wantError(t *testing.T, err error, final bool, text, hint string) {
	t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *tokens.Error", err)
	}
	if e.Final() != final || !strings.Contains(e.Error(), text) || !strings.Contains(e.Hint(), hint) || e.Hint() == "" {
		t.Errorf("got %q, final %v, hint %q;\nwant %q, final %v, hint %q", e, e.Final(), e.Hint(), text, final, hint)
	}
	if whole := e.Error() + e.Hint(); len(whole) > 450 || strings.ContainsAny(whole, "\n\t") {
		t.Errorf("%d bytes, want one line of at most 450: %q", len(whole), whole)
	}
	for err := error(e); err != nil; err = errors.Unwrap(err) {
		wantNoSecret(t, "error", fmt.Sprintf("%v %+v", err, err))
	}
}

// respond returns what makes an operation answer with an error of Google's APIs.
func respond(c *cloud, op string, status int, body string) {
	c.Respond(op, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func TestAnswersOfTheAdminAPI(t *testing.T) {
	const member = "--member=serviceAccount:" + app
	for _, tt := range []struct {
		name       string
		arrange    func(*cloud)
		o          Options
		final      bool
		text, hint string
	}{
		{"API disabled", func(c *cloud) { c.Disable() }, Options{}, true, "Admin API is disabled", "gcloud services enable sqladmin.googleapis.com --project=proj"},
		{"role missing", func(c *cloud) {}, Options{}, true, app + " may not connect to the instance orders", "add-iam-policy-binding proj " + member + " --role=roles/cloudsql.client"},
		{"no such instance", func(c *cloud) { c.AllowConnect(app) }, Options{Instance: "proj:europe-west1:other"}, true, "404: The Cloud SQL instance does not exist", "gcloud sql instances list --project=proj"},
		{"other region", func(c *cloud) { c.AllowConnect(app) }, Options{Instance: "proj:us-east1:orders"}, true, "the instance is in europe-west1", "instance=proj:europe-west1:orders"},
		{"SQL Server", func(c *cloud) { c.AllowConnect(app); c.SetVersion("SQLSERVER_2022_WEB") }, Options{}, true, "does not support Auto IAM", "PostgreSQL and MySQL"},
		{"throttled", func(c *cloud) { c.Fail(gcpfake.OpEphemeralCert, gcpfake.Throttled); c.AllowConnect(app) }, Options{}, false, "429", "try again"},
		{"quota", func(c *cloud) {
			respond(c, gcpfake.OpConnectSettings, 403, `{"error":{"code":403,"message":"Quota exceeded.","errors":[{"reason":"rateLimitExceeded"}]}}`)
		}, Options{}, false, "Quota exceeded", "try again"},
		{"down", func(c *cloud) { c.Fail(gcpfake.OpConnectSettings, gcpfake.Down) }, Options{}, false, "EOF", "check the network"},
		{"quota project", func(c *cloud) {
			respond(c, gcpfake.OpConnectSettings, 403, `{"error":{"code":403,"message":"The sqladmin.googleapis.com API requires a quota project, which is not set by default."}}`)
		}, Options{}, true, "requires a quota project", "set-quota-project"},
		{"scopes of the machine", func(c *cloud) {
			respond(c, gcpfake.OpConnectSettings, 403, `{"error":{"code":403,"message":"Request had insufficient authentication scopes.","status":"PERMISSION_DENIED"}}`)
		}, Options{}, true, "insufficient authentication scopes", "--scopes=cloud-platform"},
		{"token refused", func(c *cloud) { respond(c, gcpfake.OpConnectSettings, 401, `{}`) }, Options{}, true, "401", "gcloud auth application-default login"},
		{"something else", func(c *cloud) { respond(c, gcpfake.OpConnectSettings, 400, `{"error":{"code":400,"message":"Odd."}}`) }, Options{}, true, "400: Odd", "gcloud sql instances describe orders"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.arrange(c)
			_, err := c.connector(tt.o).Dial(t.Context())
			wantError(t, err, tt.final, tt.text, tt.hint)
		})
	}
}

func TestIdentityThatGetsNoTokenIsExplained(t *testing.T) {
	const target = "target@proj.iam.gserviceaccount.com"
	for _, tt := range []struct {
		name       string
		arrange    func(*cloud) Options
		final      bool
		text, hint string
	}{
		{"session ended", func(c *cloud) Options { c.use(c.User(kai)); c.EndSessions(); return Options{} }, true, "invalid_grant", "gcloud auth application-default login"},
		{"file missing", func(c *cloud) Options {
			c.t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(c.dir, "missing"))
			return Options{}
		}, false, "missing", "GOOGLE_APPLICATION_CREDENTIALS"},
		{"machine without an account", func(*cloud) Options {
			os.Unsetenv("GOOGLE_APPLICATION_CREDENTIALS")
			return Options{}
		}, true, "404", "service account"},
		{"may not impersonate", func(c *cloud) Options { c.AddServiceAccount(target); return Options{Impersonate: []string{target}} },
			true, "impersonate " + target, "roles/iam.serviceAccountTokenCreator"},
		{"may only impersonate in clear", func(c *cloud) Options {
			c.t.Setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS", "http://iamcredentials.example.com")
			return Options{Impersonate: []string{target}}
		}, true, "never sent in clear", "https://"},
		{"token endpoint out of order", func(c *cloud) Options { c.Fail(gcpfake.OpToken, gcpfake.Down); return Options{} }, false, "EOF", "check the network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			connector := c.connector(tt.arrange(c))
			_, err := connector.Dial(t.Context())
			wantError(t, err, tt.final, tt.text, tt.hint)
			_, err = connector.Credential(t.Context(), "client")
			wantError(t, err, tt.final, tt.text, tt.hint)
		})
	}
}

func TestIdentityThatIsRepairedWorks(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	good := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(c.dir, "missing"))
	connector := c.connector(Options{})
	if _, err := connector.Dial(t.Context()); err == nil {
		t.Fatal("connected without credentials")
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", good)
	c.talk(connector)
}

func TestTokenThatOnlyTheLoginGetsIsAnErrorToo(t *testing.T) {
	c := newCloud(t)
	connector := c.connector(Options{})
	err := connector.describe(t.Context(), &identityError{errors.New("ya29.what was sent")})
	wantError(t, err, false, "get a token for the Cloud SQL Admin API", "gcloud auth application-default")
}

func TestInstanceThatDoesNotAnswerIsNotFinal(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	c.Move("127.33.8.1") // where nobody listens
	_, err := c.connector(Options{}).Dial(t.Context())
	wantError(t, err, false, "dial tcp 127.33.8.1:3307: connect: connection refused", "port 3307")
}

func TestImpostorIsNotTalkedTo(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	honest := c.Instance
	c.serve("proj:europe-west1:other")
	honest.Move(c.Address)
	_, err := c.connector(Options{}).Dial(t.Context())
	wantError(t, err, false, "the certificate is not the instance's", "who answers at port 3307")
	c.wantLogins()
}

func TestAdminAPIThatHangsIsGivenUp(t *testing.T) {
	c := newCloud(t)
	c.Fail(gcpfake.OpConnectSettings, gcpfake.Slow)
	connector := c.connector(Options{})
	if connector.limit != 30*time.Second {
		t.Errorf("the time limit is %v, want 30s", connector.limit)
	}
	connector.limit = 100 * time.Millisecond
	_, err := connector.Dial(t.Context())
	wantError(t, err, false, "deadline exceeded", "check the network")
}

func TestCallerThatGoesAwayDoesNotWaitForItsTurn(t *testing.T) {
	connector := newCloud(t).connector(Options{})
	connector.turn <- struct{}{} // somebody else gets a certificate, and it takes its time
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := connector.Dial(ctx)
	wantError(t, err, false, "canceled", "check the network")
}

func TestVerboseLogOfTheLibraryIsRefused(t *testing.T) {
	c := newCloud(t)
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "DEBUG")
	_, err := c.connector(Options{}).Dial(t.Context())
	wantError(t, err, true, "would write the login token", "unset it")
}
