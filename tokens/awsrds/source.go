package awsrds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"

	"dbvalet/tokens"
)

const (
	// tokenLife is fixed: the SDK signs for 900 seconds, and RDS accepts no more.
	tokenLife = 15 * time.Minute

	// retrieveLimit is how long the name and the credentials together may take.
	retrieveLimit = 10 * time.Second

	// minLeft is how long credentials must live on to be worth signing with, if there are others.
	minLeft = time.Minute
)

// Resolver finds the name behind a name. *net.Resolver is one.
type Resolver interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Options says what to sign, and with what.
type Options struct {
	Endpoint string       // host:port of the RDS endpoint, or of a CNAME of it
	Region   string       // empty: from the endpoint's name, or else from the SDK's configuration
	Profile  string       // of the SDK's configuration files; empty: AWS_PROFILE, or else default
	Resolver Resolver     // nil: net.DefaultResolver
	Log      *slog.Logger // nil: slog.Default()
}

// Source signs RDS tokens. Calls may be concurrent.
type Source struct {
	options Options
	host    string // in lower case, without a dot at the end
	port    string
	limit   time.Duration // retrieveLimit, but in tests

	mu     sync.Mutex
	loaded *loaded // the SDK's configuration; nil until it is needed
	alias  string  // the endpoint that host led to the last time
	warned bool    // that host leads to no endpoint
	worked bool    // there have been AWS credentials
}

var _ tokens.Source = (*Source)(nil)

// New checks o without asking the network, and does not touch the SDK. Its errors are *tokens.Error.
func New(o Options) (*Source, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	host, port, err := splitEndpoint(o.Endpoint)
	if err != nil {
		advice := "name the RDS endpoint in the route, such as db.abc123.eu-west-1.rds.amazonaws.com:5432"
		if errors.Is(err, errAddress) {
			advice = "name the RDS endpoint in the route, and the address to dial in dial="
		}
		return nil, &tokens.Error{Source: "awsrds " + o.Endpoint, Err: err, Advice: advice, Denied: true}
	}
	return &Source{options: o, host: host, port: port, limit: retrieveLimit}, nil
}

// Credential signs a token for user.
func (s *Source) Credential(ctx context.Context, user string) (tokens.Credential, error) {
	if user == "" {
		return tokens.Credential{}, s.denied(errors.New("no database user to sign a token for"),
			"name the user in the route, such as postgres://app@…")
	}
	limited, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()

	host, err := s.endpoint(limited)
	if err != nil {
		return tokens.Credential{}, &tokens.Error{Source: s.name(), Err: err, Advice: "check the name, and DNS"}
	}
	l, err := s.load(limited, host)
	if err != nil {
		return tokens.Credential{}, s.describeLoad(err)
	}
	region, err := s.region(host, l)
	if err != nil {
		return tokens.Credential{}, err
	}
	creds, err := l.retrieve(limited)
	if err != nil {
		return tokens.Credential{}, s.describeRetrieve(ctx, l, err)
	}
	s.mu.Lock()
	s.worked = true
	s.mu.Unlock()
	return s.sign(limited, host, region, user, creds)
}

// region returns the region to sign for.
func (s *Source) region(host string, l *loaded) (string, error) {
	if s.options.Region != "" {
		return s.options.Region, nil
	}
	where, known := place(host)
	switch {
	case where == global:
		// The SDK's own region is no substitute: the writer may be anywhere, and moves.
		return "", s.denied(errors.New("the name of a global endpoint does not say the region of the database"),
			"set region=… to the region of the cluster that is the writer")
	case known:
		return where, nil
	case l.config.Region != "":
		return l.config.Region, nil
	}
	return "", s.denied(errors.New("the region of the database is not known"), "set region=…, such as region=eu-west-1")
}

// sign makes the token. The credentials are alive.
func (s *Source) sign(ctx context.Context, host, region, user string, creds aws.Credentials) (tokens.Credential, error) {
	fixed := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return creds, nil })
	now := time.Now().Round(0)
	token, err := auth.BuildAuthToken(ctx, net.JoinHostPort(host, s.port), region, user, fixed)
	if err != nil {
		return tokens.Credential{}, s.denied(fmt.Errorf("sign a token: %w", err), "")
	}
	// The path is "/" in what was signed, whether it is written or not, and the AWS CLI writes it.
	// Some Aurora gateways are said to insist.
	if before, query, ok := strings.Cut(token, "?"); ok {
		token = strings.TrimSuffix(before, "/") + "/?" + query
	}
	expires := now.Add(tokenLife)
	if creds.CanExpire && creds.Expires.Before(expires) {
		expires = creds.Expires.Round(0)
	}
	s.options.Log.Debug("signed a token", "host", host, "region", region, "user", user, "id", creds.AccessKeyID, "expires", expires)
	return tokens.Credential{
		User:     user,
		Password: tokens.NewSecret(token),
		Issued:   now,
		Expires:  expires,
		ID:       creds.AccessKeyID,
	}, nil
}

// name says in errors which source speaks.
func (s *Source) name() string { return "awsrds " + net.JoinHostPort(s.host, s.port) }

// denied makes an error that stays until somebody changes something.
func (s *Source) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.name(), Err: err, Advice: advice, Denied: true}
}
