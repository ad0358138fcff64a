package awsdsql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dsql/auth"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

const (
	// tokenLife is what the SDK signs for, as with RDS. Longer ones would outlive a permission.
	tokenLife = 15 * time.Minute

	// retrieveLimit is how long the credentials may take.
	retrieveLimit = 10 * time.Second

	// admin is the user that a cluster is made with, and the only one with an action of its own.
	admin = "admin"
)

// Options says what to sign, and with what.
type Options struct {
	Endpoint string            // host:port of the cluster
	Region   string            // empty: from the name of the cluster
	AWS      *awsconfig.Config // who we are; its default region is set to the cluster's
	Log      *slog.Logger      // nil: slog.Default()
}

// Source signs DSQL tokens. Calls may be concurrent.
type Source struct {
	options    Options
	host, port string // the host is in lower case, without a dot at the end
}

var (
	_ tokens.Source    = (*Source)(nil)
	_ tokens.Explainer = (*Source)(nil)
)

// New checks o without asking the network, and does not touch the SDK. Its errors are *tokens.Error.
func New(o Options) (*Source, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	invalid := func(err error, advice string) error {
		return &tokens.Error{Source: "awsdsql " + o.Endpoint, Err: err, Advice: advice, Denied: true}
	}
	host, port, err := awsconfig.SplitEndpoint(o.Endpoint)
	switch {
	case errors.Is(err, awsconfig.ErrAddress):
		return nil, invalid(err, "name the cluster in the route, and the address to dial in dial=")
	case err != nil:
		return nil, invalid(err, "name the cluster in the route, such as foo0bar1baz2quux3quuux4abc.dsql.eu-west-1.on.aws:5432")
	}
	_, inName, _ := split(host)
	if o.Region = cmp.Or(o.Region, inName); o.Region == "" {
		return nil, invalid(errors.New("not the name of a DSQL cluster"),
			"name the cluster in the route, such as foo0bar1baz2quux3quuux4abc.dsql.eu-west-1.on.aws, and the name to dial in dial=")
	}
	o.AWS.SetDefaultRegion(o.Region)
	return &Source{options: o, host: host, port: port}, nil
}

// IsEndpoint reports whether host is the name of a DSQL cluster.
func IsEndpoint(host string) bool {
	_, _, ok := split(awsconfig.Normalize(host))
	return ok
}

// split takes the name of a cluster apart:
//
//	<id>.dsql.<region>.on.aws
//	<id>.dsql-<suffix>.<region>.on.aws    through AWS PrivateLink
func split(host string) (id, region string, ok bool) {
	labels := strings.Split(host, ".")
	if len(labels) != 5 || labels[0] == "" || labels[3] != "on" || labels[4] != "aws" {
		return "", "", false
	}
	if service, _, _ := strings.Cut(labels[1], "-"); service != "dsql" || !awsconfig.IsRegion(labels[2]) {
		return "", "", false
	}
	return labels[0], labels[2], true
}

// Credential signs a token for user.
func (s *Source) Credential(ctx context.Context, user string) (tokens.Credential, error) {
	if user == "" {
		return tokens.Credential{}, s.denied(errors.New("no database user to sign a token for"),
			"name the user in the route, such as postgres://app@…")
	}
	limited, cancel := context.WithTimeout(ctx, retrieveLimit)
	defer cancel()
	creds, err := s.options.AWS.Retrieve(limited)
	if err != nil {
		return tokens.Credential{}, s.options.AWS.Describe(ctx, s.name(), err)
	}
	return s.sign(limited, user, creds)
}

// sign makes the token. The credentials are alive.
func (s *Source) sign(ctx context.Context, user string, creds aws.Credentials) (tokens.Credential, error) {
	fixed := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return creds, nil })
	generate := auth.GenerateDbConnectAuthToken
	if user == admin {
		generate = auth.GenerateDBConnectAdminAuthToken
	}
	now := time.Now().Round(0)
	token, err := generate(ctx, s.host, s.options.Region, fixed, func(o *auth.TokenOptions) { o.ExpiresIn = tokenLife })
	if err != nil {
		return tokens.Credential{}, s.denied(fmt.Errorf("sign a token: %w", err), "")
	}
	// The path is "/" in what was signed, whether it is written or not, and the AWS CLI writes it.
	if before, query, ok := strings.Cut(token, "?"); ok {
		token = strings.TrimSuffix(before, "/") + "/?" + query
	}
	expires := awsconfig.Until(now.Add(tokenLife), creds)
	s.options.Log.Debug("signed a token", "host", s.host, "region", s.options.Region, "user", user, "id", creds.AccessKeyID, "expires", expires)
	return tokens.Credential{
		User:     user,
		Password: tokens.NewSecret(token),
		Issued:   now,
		Expires:  expires,
		ID:       creds.AccessKeyID,
	}, nil
}

// name says in errors which source speaks.
func (s *Source) name() string { return "awsdsql " + net.JoinHostPort(s.host, s.port) }

// denied makes an error that stays until somebody changes something.
func (s *Source) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.name(), Err: err, Advice: advice, Denied: true}
}
