package gcpconnector

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/integration/gcpfake"
	"dbvalet/tokens"
)

const (
	instance = "proj:europe-west1:orders"
	app      = "app@proj.iam.gserviceaccount.com"
	kai      = "kai@example.com"
)

// A cloud is a fake Google Cloud with one instance, whose database says what it hears. Nothing else
// is found in the environment.
type cloud struct {
	*gcpfake.SQLAdmin
	*gcpfake.Instance
	t   *testing.T
	dir string
	log buffer
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	fake, err := gcpfake.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	admin := gcpfake.NewSQLAdmin(fake)
	t.Cleanup(admin.Close)
	c := &cloud{SQLAdmin: admin, t: t, dir: t.TempDir()}
	for name, value := range map[string]string{
		"HOME":                                           t.TempDir(),
		"CLOUDSDK_CONFIG":                                "",
		"GOOGLE_APPLICATION_CREDENTIALS":                 "",
		"GOOGLE_CLOUD_QUOTA_PROJECT":                     "",
		"GOOGLE_CLOUD_UNIVERSE_DOMAIN":                   "",
		"GOOGLE_SDK_GO_LOGGING_LEVEL":                    "",
		"GCE_METADATA_HOST":                              fake.Host(),
		"CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS": fake.URL,
	} {
		t.Setenv(name, value)
	}
	c.serve(instance)
	return c.use(c.ServiceAccount(app))
}

// serve starts an instance, and makes it the cloud's.
func (c *cloud) serve(name string) {
	c.t.Helper()
	var err error
	if c.Instance, err = c.ServeInstance(name, echo(c.t)); err != nil {
		c.t.Fatal(err)
	}
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

func (c *cloud) connector(o Options) *Connector {
	c.t.Helper()
	if o.Instance == "" {
		o.Instance = instance
	}
	if o.Engine == "" {
		o.Engine = "postgres"
	}
	o.Endpoint = c.URL
	o.Log = slog.New(slog.NewTextHandler(&c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	conn, err := New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		conn.Close()
		wantNoSecret(c.t, "log", c.log.String())
	})
	return conn
}

// talk connects and has the database say something.
func (c *cloud) talk(connector *Connector) {
	c.t.Helper()
	conn, err := connector.Dial(c.t.Context())
	if err != nil {
		e, _ := errors.AsType[*tokens.Error](err)
		c.t.Fatalf("dial: %v (hint: %v)", err, e.Hint())
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		c.t.Fatal(err)
	}
	got := make([]byte, len("hello"))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		c.t.Fatalf("the database says %q, %v", got, err)
	}
}

// wantLogins checks who connected.
func (c *cloud) wantLogins(want ...string) {
	c.t.Helper()
	if got := c.Logins(); strings.Join(got, " ") != strings.Join(want, " ") {
		c.t.Errorf("logins are of %v, want %v", got, want)
	}
}

func wantNoSecret(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{"ya29.", "PRIVATE KEY", "eyJ", "1//"} {
		if strings.Contains(text, secret) {
			t.Errorf("the %s shows a secret: %s", where, text)
		}
	}
}

func TestConnectionReachesTheDatabaseThroughMutualTLS(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	connector := c.connector(Options{})
	c.talk(connector)
	c.wantLogins(app)
	cred, err := connector.Credential(t.Context(), "client")
	if err != nil {
		t.Fatal(err)
	}
	if cred.User != "app@proj.iam" || cred.ID != app || !cred.Password.Empty() || !cred.Issued.IsZero() || !cred.Expires.IsZero() {
		t.Errorf("got %+v, want the user of PostgreSQL and nothing else", cred)
	}
}

func TestUserIsSpelledForTheEngine(t *testing.T) {
	c := newCloud(t)
	for _, tt := range []struct{ engine, route, want string }{
		{"postgres", "", "app@proj.iam"},
		{"mysql", "", "app"},
		{"postgres", "Other@Proj.iam.gserviceaccount.com", "other@proj.iam"},
		{"mysql", "kai@example.com", "kai"},
	} {
		cred, err := c.connector(Options{Engine: tt.engine, User: tt.route}).Credential(t.Context(), "client")
		if err != nil || cred.User != tt.want {
			t.Errorf("%s, %q: user is %q, %v, want %q", tt.engine, tt.route, cred.User, err, tt.want)
		}
	}
}

func TestIdentityMayBeAnything(t *testing.T) {
	const delegate, target = "delegate@proj.iam.gserviceaccount.com", "target@proj.iam.gserviceaccount.com"
	for _, tt := range []struct {
		name    string
		arrange func(*cloud) Options
		who     string
	}{
		{"user of gcloud", func(c *cloud) Options { c.use(c.User(kai)); return Options{} }, kai},
		{"gcloud's own folder", func(c *cloud) Options {
			os.Unsetenv("GOOGLE_APPLICATION_CREDENTIALS") // set to the same file
			c.t.Setenv("CLOUDSDK_CONFIG", c.dir)
			return Options{}
		}, app},
		{"machine", func(c *cloud) Options {
			os.Unsetenv("GOOGLE_APPLICATION_CREDENTIALS")
			c.SetMachine(app, 40*time.Minute)
			return Options{}
		}, app},
		{"impersonated account", func(c *cloud) Options {
			c.AllowImpersonation(app, target)
			return Options{Impersonate: []string{target}}
		}, target},
		{"delegates", func(c *cloud) Options {
			c.AllowImpersonation(app, delegate)
			c.AllowImpersonation(delegate, target)
			return Options{Impersonate: []string{delegate, target}}
		}, target},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t)
			o := tt.arrange(c)
			c.AllowConnect(tt.who)
			c.talk(c.connector(o))
			c.wantLogins(tt.who)
		})
	}
}

func TestUsersOfGcloudNameTheirQuotaProject(t *testing.T) {
	c := newCloud(t)
	c.use(c.User(kai))
	project := "never asked"
	c.Respond(gcpfake.OpConnectSettings, func(w http.ResponseWriter, r *http.Request) {
		project = r.Header.Get("X-Goog-User-Project")
		w.WriteHeader(http.StatusNotFound)
	})
	_, _ = c.connector(Options{}).Dial(t.Context())
	if project != "quota-proj" {
		t.Errorf("the quota project is %q, want that of the credentials", project)
	}
}

func TestReplacedCredentialsFileIsSeen(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	c.AllowConnect(kai)
	c.SetCertificateLife(3 * time.Minute) // which is too short to be used again
	connector := c.connector(Options{})
	c.talk(connector)
	c.use(c.User(kai))
	c.talk(connector)
	c.wantLogins(app, kai)
}

func TestCertificateIsUsedAgainWhileItIsGood(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	connector := c.connector(Options{})
	for range 3 {
		c.talk(connector)
	}
	if got := c.Count(gcpfake.OpEphemeralCert); got != 1 {
		t.Errorf("%d certificates for three connections, want one", got)
	}
}

func TestCertificateEndsWithItsToken(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	c.SetTokenLife(3 * time.Minute)
	connector := c.connector(Options{})
	c.talk(connector)
	first := c.Count(gcpfake.OpEphemeralCert)
	c.talk(connector)
	if got := c.Count(gcpfake.OpEphemeralCert); got <= first {
		t.Errorf("%d certificates, want another where the token is about to end", got)
	}
}

func TestConcurrentFirstConnectsGetOneCertificate(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	connector := c.connector(Options{})
	var wait sync.WaitGroup
	for range 20 {
		wait.Go(func() {
			conn, err := connector.Dial(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
		})
	}
	wait.Wait()
	if got := c.Count(gcpfake.OpEphemeralCert); got != 1 {
		t.Errorf("%d certificates, want one", got)
	}
}

func TestAddressOfEachTypeIsDialled(t *testing.T) {
	for _, tt := range []struct {
		ipType string
		kinds  []string
		ok     bool
	}{
		{"", []string{"PRIMARY"}, true},
		{"public", []string{"PRIMARY", "PRIVATE"}, true},
		{"private", []string{"PRIVATE"}, true},
		{"psc", []string{"PSC"}, true},
		{"auto", []string{"PRIVATE"}, true},
		{"", []string{"PRIVATE"}, false},
		{"private", []string{"PRIMARY"}, false},
		{"psc", []string{"PRIMARY"}, false},
		{"auto", nil, false},
	} {
		t.Run(tt.ipType+" "+strings.Join(tt.kinds, "+"), func(t *testing.T) {
			c := newCloud(t)
			c.AllowConnect(app)
			c.SetAddresses(tt.kinds...)
			connector := c.connector(Options{IPType: tt.ipType})
			if tt.ok {
				c.talk(connector)
				return
			}
			_, err := connector.Dial(t.Context())
			wantError(t, err, true, "IP", "ip_type=public, private or psc")
		})
	}
}

func TestDomainScopedProjectIsReached(t *testing.T) {
	const name = "example.com:proj:us-east1:orders"
	c := newCloud(t)
	c.serve(name)
	c.AllowConnect(app)
	c.talk(c.connector(Options{Instance: name}))
}

func TestNothingIsAskedBeforeTheFirstConnection(t *testing.T) {
	c := newCloud(t)
	connector := c.connector(Options{})
	if connector.dialer != nil || c.Count(gcpfake.OpToken) != 0 {
		t.Error("the connector is set up before it is used")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		name       string
		o          Options
		text, hint string
	}{
		{"two parts", Options{Instance: "proj:orders"}, "not the connection name", "instance=PROJECT:REGION:NAME"},
		{"five parts", Options{Instance: "a:b:c:d:e"}, "not the connection name", "instance="},
		{"slash", Options{Instance: "proj:region:or/ders"}, "not the connection name", "instance="},
		{"address", Options{Instance: instance, IPType: "both"}, `"both"`, "ip_type=public"},
		{"clear text", Options{Instance: instance, Endpoint: "http://sqladmin.example.com"}, "no https:// URL", "https://"},
		{"no URL", Options{Instance: instance, Endpoint: "sqladmin"}, "no https:// URL", "https://"},
		{"engine", Options{Instance: instance, Engine: "sqlserver"}, "sqlserver", "postgres or mysql"},
		{"impersonate", Options{Instance: instance, Engine: "mysql", Impersonate: []string{"app"}}, "not an email", "emails"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.o)
			wantError(t, err, true, tt.text, tt.hint)
			if e, ok := errors.AsType[*tokens.Error](err); ok && !strings.HasPrefix(e.Source, "gcp-connector ") {
				t.Errorf("the error is of %q, want it to be ours", e.Source)
			}
		})
	}
}

func TestConnectionsOutliveTheConnector(t *testing.T) {
	c := newCloud(t)
	c.AllowConnect(app)
	connector := c.connector(Options{})
	conn, err := connector.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := connector.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(conn, "x"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	_, err = connector.Dial(t.Context())
	wantError(t, err, false, "closed", "")
}

func TestRefusalIsExplained(t *testing.T) {
	c := newCloud(t)
	connector := c.connector(Options{})
	cred, err := connector.Credential(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	got := connector.Explain(t.Context(), "", cred)
	for _, want := range []string{"app@proj.iam", "roles/cloudsql.instanceUser"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

// echo starts a database that says what it hears.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		tasks.Wait()
	})
	return listener.Addr().String()
}

// buffer is a log that may be written to by many.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
