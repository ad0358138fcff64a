package gcpconnector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"sync"
	"time"

	"cloud.google.com/go/cloudsqlconn"

	"dbvalet/tokens"
	"dbvalet/tokens/gcp"
)

// dialLimit is how long a connection may take, a new certificate included.
const dialLimit = 30 * time.Second

// Options says where to connect, and as whom.
type Options struct {
	Instance    string       // project:region:name; the project may be domain-scoped, example.com:project
	IPType      string       // which of the instance's addresses: public, private, psc, or auto; empty: public
	Engine      string       // postgres or mysql: how the user is spelled
	User        string       // the route's; empty: from the identity, else the client's
	Impersonate []string     // service accounts: delegates in order, the target last
	Endpoint    string       // of the Cloud SQL Admin API, for private access and tests; empty: Google's
	Log         *slog.Logger // nil: slog.Default()
}

// Connector connects to one instance. Calls may be concurrent.
type Connector struct {
	options Options
	address cloudsqlconn.DialOption
	login   *gcp.Source
	limit   time.Duration // dialLimit, but in tests

	turn chan struct{} // held by whoever gets a certificate

	mu     sync.Mutex
	dialer *cloudsqlconn.Dialer // nil until it is needed
	closed bool
}

var (
	_ tokens.Source    = (*Connector)(nil)
	_ tokens.Explainer = (*Connector)(nil)
)

var addresses = map[string]cloudsqlconn.DialOption{
	"":        cloudsqlconn.WithPublicIP(),
	"public":  cloudsqlconn.WithPublicIP(),
	"private": cloudsqlconn.WithPrivateIP(),
	"psc":     cloudsqlconn.WithPSC(),
	"auto":    cloudsqlconn.WithAutoIP(),
}

// instanceName is project:region:name, where the project may begin with a domain and a colon.
var instanceName = regexp.MustCompile(`^([a-z0-9.-]+:)?[a-z0-9-]+:[a-z0-9-]+:[a-z0-9-]+$`)

// New checks o. It asks nobody, and reads no file. Its errors are *tokens.Error.
func New(o Options) (*Connector, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	c := &Connector{options: o, limit: dialLimit, turn: make(chan struct{}, 1)}
	if !instanceName.MatchString(o.Instance) {
		return nil, c.denied(errors.New("not the connection name of an instance"),
			"write instance=PROJECT:REGION:NAME, as gcloud sql instances describe NAME --format='value(connectionName)' shows it")
	}
	var ok bool
	if c.address, ok = addresses[o.IPType]; !ok {
		return nil, c.denied(fmt.Errorf("there is no type of address %q", o.IPType), "write ip_type=public, private, psc or auto")
	}
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || !tokens.Private(u) {
			return nil, c.denied(errors.New("the endpoint of the Admin API is no https:// URL, and the login token goes there"),
				"write sqladmin_endpoint=https://…, or leave it out")
		}
	}
	var err error
	if c.login, err = gcp.New(gcp.Options{Engine: o.Engine, User: o.User, Impersonate: o.Impersonate, Log: o.Log}); err != nil {
		return nil, c.ours(err)
	}
	return c, nil
}

// Dial returns a connection to the instance, which the caller owns. What is read and written are the
// bytes of the database without TLS; they travel in TLS. The connection has no CloseWrite: there is
// no way to say that nothing more will be sent but Close.
func (c *Connector) Dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	dialer, err := c.prepare(ctx)
	if err != nil {
		return nil, c.describe(ctx, err)
	}
	conn, err := dialer.Dial(ctx, c.options.Instance, c.address)
	if err != nil {
		return nil, c.describe(ctx, err)
	}
	return conn, nil
}

// prepare returns the dialer, which has a certificate that is good.
func (c *Connector) prepare(ctx context.Context) (*cloudsqlconn.Dialer, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.turn }()
	dialer, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return dialer, dialer.Warmup(ctx, c.options.Instance, c.address)
}

// Credential returns the database user, and no password: the login is in the certificate. It asks who
// we are, but not the database.
func (c *Connector) Credential(ctx context.Context, user string) (tokens.Credential, error) {
	cred, err := c.login.Credential(ctx, user)
	if err != nil {
		return tokens.Credential{}, c.ours(err)
	}
	return tokens.Credential{User: cred.User, ID: cred.ID}, nil
}

// Explain says as whom the login was, and what must have been done before.
func (c *Connector) Explain(ctx context.Context, user string, refused tokens.Credential) string {
	return c.login.Explain(ctx, user, refused)
}

// Close ends the connector. Its connections go on.
func (c *Connector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.dialer == nil {
		return nil
	}
	return c.dialer.Close()
}

// name says in errors which source speaks.
func (c *Connector) name() string { return "gcp-connector " + c.options.Instance }

// denied makes an error that stays until somebody changes something.
func (c *Connector) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: c.name(), Err: err, Advice: advice, Denied: true}
}

// ours puts our name on an error of package gcp.
func (c *Connector) ours(err error) error {
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		return &tokens.Error{Source: c.name(), Err: e.Err, Advice: e.Advice, Denied: e.Denied}
	}
	return err
}
