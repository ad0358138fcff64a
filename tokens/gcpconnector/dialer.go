package gcpconnector

import (
	"context"
	"errors"
	"os"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/cloudsqlconn"

	"dbvalet/tokens/gcp"
)

var (
	errVerbose = errors.New("GOOGLE_SDK_GO_LOGGING_LEVEL=debug would write the login token to stderr")
	errClosed  = errors.New("the connector is closed")
)

// open returns the dialer, and makes it where there is none. The caller has its turn.
func (c *Connector) open(ctx context.Context) (*cloudsqlconn.Dialer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, errClosed
	case c.dialer != nil:
		return c.dialer, nil
	case strings.EqualFold(os.Getenv("GOOGLE_SDK_GO_LOGGING_LEVEL"), "debug"): // read while the dialer is made
		return nil, errVerbose
	}
	login := auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: loginTokens{c.login}})
	options := []cloudsqlconn.Option{
		cloudsqlconn.WithIAMAuthN(),
		cloudsqlconn.WithIAMAuthNCredentials(c.apiCredentials(), login),
		cloudsqlconn.WithLazyRefresh(),
		cloudsqlconn.WithBuiltInMetrics(false),
		cloudsqlconn.WithUserAgent("dbvalet"),
	}
	if c.options.Endpoint != "" {
		options = append(options, cloudsqlconn.WithAdminAPIEndpoint(strings.TrimSuffix(c.options.Endpoint, "/")+"/"))
	}
	dialer, err := cloudsqlconn.NewDialer(context.WithoutCancel(ctx), options...)
	if err != nil {
		return nil, err
	}
	c.dialer = dialer
	return dialer, nil
}

// loginTokens gives the tokens that go into certificates: new ones, for logins and nothing else.
type loginTokens struct{ source *gcp.Source }

// Token asks for a token. The user plays no role for it, and is named for identities that do not say it.
func (l loginTokens) Token(ctx context.Context) (*auth.Token, error) {
	cred, err := l.source.Credential(ctx, "unknown")
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: cred.Password.Reveal(), Type: "Bearer", Expiry: cred.Expires}, nil
}
