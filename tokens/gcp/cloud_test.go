package gcp

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/integration/gcpfake"
	"dbvalet/tokens"
)

const (
	app    = "app@proj.iam.gserviceaccount.com"
	ops    = "ops@proj.iam.gserviceaccount.com"
	target = "target@proj.iam.gserviceaccount.com"
	kai    = "kai@example.com"
)

// A cloud is a fake Google Cloud, and an environment in which nothing else is found.
type cloud struct {
	*gcpfake.Server
	t   *testing.T
	dir string
	log *lockedBuffer
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	fake, err := gcpfake.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := &cloud{fake, t, t.TempDir(), &lockedBuffer{}}
	for name, value := range map[string]string{
		"HOME":                                           t.TempDir(),
		"CLOUDSDK_CONFIG":                                "",
		"GOOGLE_APPLICATION_CREDENTIALS":                 "",
		"GOOGLE_CLOUD_QUOTA_PROJECT":                     "",
		"GOOGLE_SDK_GO_LOGGING_LEVEL":                    "",
		"GCE_METADATA_HOST":                              fake.Host(),
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": fake.URL,
	} {
		t.Setenv(name, value)
	}
	return c
}

// use makes a the Application Default Credentials.
func (c *cloud) use(a gcpfake.ADC) *cloud {
	c.t.Helper()
	path, err := a.Write(c.dir)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	return c
}

func (c *cloud) federated(principal, email string) gcpfake.ADC {
	c.t.Helper()
	a, err := c.Federated(c.dir, principal, email)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *cloud) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (c *cloud) source(o Options) *Source {
	c.t.Helper()
	if o.Engine == "" {
		o.Engine = "postgres"
	}
	o.Log = c.logger()
	s, err := New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func (c *cloud) get(s tokens.Source, user string) tokens.Credential {
	c.t.Helper()
	cred, err := s.Credential(c.t.Context(), user)
	if err != nil {
		c.t.Fatalf("%v\nhint: %s", err, hint(err))
	}
	return cred
}

// wantLogin checks that cred is a token of principal, good for Cloud SQL and nothing else.
func (c *cloud) wantLogin(cred tokens.Credential, principal string) {
	c.t.Helper()
	text := cred.Password.Reveal()
	token, alive := c.Token(text)
	switch {
	case !alive:
		c.t.Error("the password is no token that is alive")
	case token.Principal != principal:
		c.t.Errorf("token of %s, want %s", token.Principal, principal)
	case !c.TokenValid(text):
		c.t.Errorf("token for %v, want nothing but logins", token.Scopes)
	}
	if d := cred.Expires.Sub(token.Expires).Abs(); d > 5*time.Second {
		c.t.Errorf("expires %v, and the token %v", cred.Expires, token.Expires)
	}
}

func wantError(t *testing.T, err error, denied bool, text, advice string) {
	t.Helper()
	e, ok := errors.AsType[*tokens.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *tokens.Error", err)
	}
	if e.Denied != denied {
		t.Errorf("denied is %v, want %v: %v", e.Denied, denied, e)
	}
	if !strings.Contains(e.Error(), text) {
		t.Errorf("error is %q, want %q in it", e, text)
	}
	if !strings.Contains(e.Advice, advice) {
		t.Errorf("advice is %q, want %q in it", e.Advice, advice)
	}
	if n := len(e.Error()) + len(e.Advice); n > 450 {
		t.Errorf("%d bytes are too many for the mysql client: %s\nhint: %s", n, e, e.Advice)
	}
}

func hint(err error) string {
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		return e.Advice
	}
	return ""
}

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
