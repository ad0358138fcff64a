package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dbvalet/integration/gcpfake"
)

// identities are all the ways to say who we are, and who that is.
var identities = []struct {
	name      string
	principal string // of the token
	known     bool   // the credentials say it
	set       func(c *cloud)
}{
	{"service account key", app, true, func(c *cloud) { c.use(c.ServiceAccount(app)) }},
	{"user of gcloud", kai, false, func(c *cloud) { c.use(c.User(kai)) }},
	{"user that gcloud names", kai, true, func(c *cloud) {
		a := c.User(kai)
		a["account"] = "Kai@Example.com"
		c.use(a)
	}},
	{"user who impersonates", target, true, func(c *cloud) {
		c.AllowImpersonation(kai, target)
		c.use(c.Impersonated(c.User(kai), target))
	}},
	{"key that impersonates", target, true, func(c *cloud) {
		c.AllowImpersonation(app, target)
		c.use(c.Impersonated(c.ServiceAccount(app), target))
	}},
	{"user who impersonates by delegation", target, true, func(c *cloud) {
		c.AllowImpersonation(kai, ops)
		c.AllowImpersonation(ops, target)
		c.use(c.Impersonated(c.User(kai), target, ops))
	}},
	{"federation", "principal://pool/subject/pod", false, func(c *cloud) {
		c.use(c.federated("principal://pool/subject/pod", ""))
	}},
	{"federation that impersonates", target, true, func(c *cloud) {
		c.AllowImpersonation("principal://pool/subject/pod", target)
		c.use(c.federated("principal://pool/subject/pod", target))
	}},
	{"metadata server", app, true, func(c *cloud) { c.SetMachine(app, 40*time.Minute) }},
}

func TestTokenIsGoodForLoginsOnly(t *testing.T) {
	for _, tt := range identities {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			c.wantLogin(c.get(c.source(Options{User: "app"}), ""), tt.principal)
		})
	}
}

func TestAlloyDBHasAScopeOfItsOwn(t *testing.T) {
	c := newCloud(t)
	cred := c.get(c.use(c.ServiceAccount(app)).source(Options{Service: "alloydb"}), "")
	if token, _ := c.Token(cred.Password.Reveal()); !slices.Equal(token.Scopes, []string{gcpfake.AlloyDBLogin}) {
		t.Errorf("token for %v, want AlloyDB", token.Scopes)
	}
}

func TestEveryIdentityMayImpersonate(t *testing.T) {
	const last = "last@proj.iam.gserviceaccount.com"
	for _, tt := range identities {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			c.AllowImpersonation(tt.principal, last)
			cred := c.get(c.source(Options{Impersonate: []string{last}}), "")
			c.wantLogin(cred, last)
			if cred.User != "last@proj.iam" || cred.ID != last || cred.Issued.IsZero() {
				t.Errorf("got %v", cred.LogValue())
			}
		})
	}
}

func TestDelegatesAreFollowedInOrder(t *testing.T) {
	c := newCloud(t)
	c.use(c.User(kai))
	c.AllowImpersonation(kai, app)
	c.AllowImpersonation(app, ops)
	c.AllowImpersonation(ops, target)
	c.wantLogin(c.get(c.source(Options{Impersonate: []string{app, ops, target}}), ""), target)

	_, err := c.source(Options{Impersonate: []string{ops, app, target}}).Credential(t.Context(), "")
	wantError(t, err, true, "impersonate "+target, "add-iam-policy-binding "+ops)
}

func TestUserIsSpelledAsTheEngineWants(t *testing.T) {
	for _, tt := range []struct{ engine, principal, want string }{
		{"postgres", app, "app@proj.iam"},
		{"postgres", "app@proj.iam", "app@proj.iam"},
		{"postgres", "App@Proj.IAM.gserviceaccount.com", "app@proj.iam"},
		{"postgres", "123-compute@developer.gserviceaccount.com", "123-compute@developer"},
		{"postgres", "Kai@Example.com", "kai@example.com"},
		{"mysql", app, "app"},
		{"mysql", "app", "app"},
		{"mysql", "Kai@Example.com", "kai"},
		{"mysql", "", ""},
	} {
		if got := DatabaseUser(tt.engine, tt.principal); got != tt.want {
			t.Errorf("%s: %s is %q, want %q", tt.engine, tt.principal, got, tt.want)
		}
	}
}

func TestUserIsDerivedWhereTheIdentityIsKnown(t *testing.T) {
	for _, tt := range identities {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			for _, engine := range []string{"postgres", "mysql"} {
				want, id := "client", ""
				if tt.known {
					want, id = DatabaseUser(engine, tt.principal), tt.principal
				}
				if cred := c.get(c.source(Options{Engine: engine}), "client"); cred.User != want || cred.ID != id {
					t.Errorf("%s: user is %q and id %q, want %q and %q", engine, cred.User, cred.ID, want, id)
				}
				if cred := c.get(c.source(Options{Engine: engine, User: "Route@X"}), "client"); cred.User != DatabaseUser(engine, "route@x") {
					t.Errorf("%s: user is %q, want the route's", engine, cred.User)
				}
			}
		})
	}
}

func TestUserThatNobodyNamesIsAskedFor(t *testing.T) {
	c := newCloud(t)
	_, err := c.use(c.User(kai)).source(Options{}).Credential(t.Context(), "")
	wantError(t, err, true, "no database user", "name USER in the route")
	if n := c.Count(gcpfake.OpToken); n != 0 {
		t.Errorf("%d tokens were asked for in vain", n)
	}
}

func TestTokenThatWasMadeIsIssuedNow(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(c *cloud)
		issued bool
	}{
		{"made", func(c *cloud) { c.use(c.ServiceAccount(app)) }, true},
		{"short", func(c *cloud) { c.use(c.ServiceAccount(app)).SetTokenLife(20 * time.Minute) }, false},
		{"kept by the metadata server", func(c *cloud) { c.SetMachine(app, 20*time.Minute) }, false},
		{"kept, but not for long", func(c *cloud) { c.SetMachine(app, time.Hour) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			cred := c.get(c.source(Options{}), "")
			if !cred.Issued.IsZero() != tt.issued || cred.Expires.IsZero() {
				t.Errorf("issued %v, expires %v", cred.Issued, cred.Expires)
			}
			c.wantLogin(cred, app)
		})
	}
}

func TestTokenAboutToDieIsNotHandedOut(t *testing.T) {
	c := newCloud(t)
	c.SetMachine(app, 50*time.Second)
	_, err := c.source(Options{User: "app"}).Credential(t.Context(), "")
	wantError(t, err, false, "only", "clock")

	// The second that is asked for may live long enough.
	given := 0
	c.Respond(gcpfake.OpMetadata, func(w http.ResponseWriter, r *http.Request) {
		if filepath.Base(r.URL.Path) == "email" {
			fmt.Fprint(w, app)
			return
		}
		given++
		fmt.Fprintf(w, `{"access_token": "token-%d", "expires_in": %d, "token_type": "Bearer"}`, given, given*40)
	})
	if cred := c.get(c.source(Options{}), ""); cred.Password.Reveal() != "token-2" {
		t.Error("the token that has 40 seconds left was handed out")
	}
}

func TestEveryCallGetsANewToken(t *testing.T) {
	for _, tt := range identities {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			s := c.source(Options{})
			if first, second := c.get(s, "x"), c.get(s, "x"); first.Password.Equal(second.Password) {
				t.Error("the second token is the first")
			}
		})
	}
}

func TestCredentialsAreLookedUpAnew(t *testing.T) {
	c := newCloud(t)
	s := c.source(Options{})
	for _, principal := range []string{app, ops} {
		c.use(c.ServiceAccount(principal))
		c.wantLogin(c.get(s, ""), principal)
	}
}

func TestCredentialsAreFoundWhereGcloudLeavesThem(t *testing.T) {
	c := newCloud(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	dir := filepath.Join(home, ".config", "gcloud")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ServiceAccount(app).Write(dir); err != nil {
		t.Fatal(err)
	}
	c.SetMachine(target, time.Hour) // comes last
	s := c.source(Options{})
	c.wantLogin(c.get(s, ""), app)
	t.Setenv("HOME", "/dev/null") // as containers have it
	c.wantLogin(c.get(s, ""), target)
	t.Setenv("HOME", home)

	t.Setenv("CLOUDSDK_CONFIG", c.dir)
	c.wantLogin(c.get(s, ""), app)
	if _, err := c.ServiceAccount(ops).Write(c.dir); err != nil {
		t.Fatal(err)
	}
	c.wantLogin(c.get(s, ""), ops)
}

func TestMetadataServerIsLookedForUntilItIsThere(t *testing.T) {
	c := newCloud(t)
	c.SetMachine(app, time.Hour)
	s := c.source(Options{})
	there, looked := false, 0
	s.caller.detect = func(context.Context) bool { looked++; return there }
	_, err := s.Credential(t.Context(), "")
	wantError(t, err, true, "no Application Default Credentials", "gcloud auth application-default login")
	there = true
	c.wantLogin(c.get(s, ""), app)
	there = false // once seen, it is out of order and not missing
	c.Fail(gcpfake.OpMetadata, gcpfake.Down)
	_, err = s.Credential(t.Context(), "")
	wantError(t, err, false, "EOF", "try again")
	if looked != 2 {
		t.Errorf("looked for it %d times, want 2", looked)
	}
}

func TestNothingIsAskedBeforeItIsNeeded(t *testing.T) {
	c := newCloud(t)
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere")
	c.source(Options{Impersonate: []string{app}})
	c.secret("projects/proj/secrets/pw", "")
	for _, op := range []string{gcpfake.OpToken, gcpfake.OpMetadata, gcpfake.OpImpersonate, gcpfake.OpAccess} {
		if n := c.Count(op); n != 0 {
			t.Errorf("%d requests for %s", n, op)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		o            Options
		text, advice string
	}{
		{Options{Engine: "oracle"}, `"oracle"`, "mysql"},
		{Options{Engine: "mysql", Service: "alloydb"}, "alloydb", "PostgreSQL"},
		{Options{Engine: "postgres", Service: "spanner"}, "spanner", "cloudsql"},
		{Options{Engine: "postgres", Impersonate: []string{"app"}}, "not an email", "@PROJECT"},
		{Options{Engine: "postgres", Impersonate: []string{app, ""}}, "not an email", "@PROJECT"},
		{Options{Engine: "postgres", Impersonate: []string{"a@b/c"}}, "not an email", "@PROJECT"},
	} {
		_, err := New(tt.o)
		wantError(t, err, true, tt.text, tt.advice)
	}
}

func TestEveryRequestEndsWithTheContext(t *testing.T) {
	for _, tt := range []struct {
		name, op string
		set      func(c *cloud)
	}{
		{"key", gcpfake.OpToken, func(c *cloud) { c.use(c.ServiceAccount(app)) }},
		{"user", gcpfake.OpToken, func(c *cloud) { c.use(c.User(kai)) }},
		{"federation", gcpfake.OpSTS, func(c *cloud) { c.use(c.federated("pod", "")) }},
		{"metadata", gcpfake.OpMetadata, func(c *cloud) { c.SetMachine(app, time.Hour) }},
		{"impersonation", gcpfake.OpImpersonate, func(c *cloud) { c.use(c.Impersonated(c.User(kai), target)) }},
		{"library's impersonation", gcpfake.OpImpersonate, func(c *cloud) { c.use(c.federated("pod", target)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			tt.set(c)
			ctx, cancel := context.WithCancel(t.Context())
			c.Respond(tt.op, func(_ http.ResponseWriter, r *http.Request) {
				cancel()
				<-r.Context().Done()
			})
			_, err := c.source(Options{}).Credential(ctx, "x")
			wantError(t, err, false, "context canceled", "")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want that the caller gave up", err)
			}
		})
	}
}

func TestConcurrentCallersGetTokens(t *testing.T) {
	c := newCloud(t)
	s := c.use(c.ServiceAccount(app)).source(Options{})
	done := make(chan error)
	for range 20 {
		go func() {
			_, err := s.Credential(context.WithoutCancel(t.Context()), "")
			done <- err
		}()
	}
	for range 20 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
