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
	"dbvalet/tokens/awsconfig"
)

const (
	// tokenLife is fixed: the SDK signs for 900 seconds, and RDS accepts no more.
	tokenLife = 15 * time.Minute

	// retrieveLimit is how long the name and the credentials together may take.
	retrieveLimit = 10 * time.Second
)

// Resolver finds the name behind a name. *net.Resolver is one.
type Resolver interface {
	LookupCNAME(ctx context.Context, host string) (string, error)
}

var _ Resolver = (*net.Resolver)(nil)

// Options says what to sign, and with what.
type Options struct {
	Endpoint string            // host:port of the RDS endpoint, or of a CNAME of it
	Region   string            // empty: from the endpoint's name, or else from the SDK's configuration
	Engine   string            // postgres or mysql: which of the two Explain speaks of
	AWS      *awsconfig.Config // who we are; its default region is set to the endpoint's
	Resolver Resolver          // nil: net.DefaultResolver
	Log      *slog.Logger      // nil: slog.Default()
}

// Source signs RDS tokens. Calls may be concurrent.
type Source struct {
	options Options
	host    string // in lower case, without a dot at the end
	port    string
	limit   time.Duration // retrieveLimit, but in tests

	mu     sync.Mutex
	alias  string // the endpoint that host led to the last time
	warned bool   // that host leads to no endpoint
	signed signed
}

// signed is what the last token was signed for. It may not be what the route says.
type signed struct{ host, region string }

var (
	_ tokens.Source    = (*Source)(nil)
	_ tokens.Explainer = (*Source)(nil)
)

// New checks o without asking the network, and does not touch the SDK. Its errors are *tokens.Error.
func New(o Options) (*Source, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	host, port, err := awsconfig.SplitEndpoint(o.Endpoint)
	if err != nil {
		advice := "name the RDS endpoint in the route, such as db.abc123.eu-west-1.rds.amazonaws.com:5432"
		if errors.Is(err, awsconfig.ErrAddress) {
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
	region, err := s.region(limited, host)
	if err != nil {
		return tokens.Credential{}, s.describe(ctx, err)
	}
	creds, err := s.options.AWS.Retrieve(limited)
	if err != nil {
		return tokens.Credential{}, s.describe(ctx, err)
	}
	return s.sign(limited, host, region, user, creds)
}

// region returns the region to sign for.
func (s *Source) region(ctx context.Context, host string) (string, error) {
	inName, _ := Region(host)
	if region := cmp.Or(s.options.Region, inName); region != "" {
		// For the SDK's own calls, such as AssumeRole, where nothing else says a region.
		s.options.AWS.SetDefaultRegion(region)
		return region, nil
	}
	if IsEndpoint(host) {
		// The SDK's own region is no substitute: the writer may be anywhere, and moves.
		return "", s.denied(errors.New("the name of a global endpoint does not say the region of the database"),
			"set region=… to the region of the cluster that is the writer")
	}
	sdk, err := s.options.AWS.Load(ctx)
	if err == nil && sdk.Region == "" {
		err = s.denied(errors.New("the region of the database is not known"), "set region=…, such as region=eu-west-1")
	}
	return sdk.Region, err
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
	s.mu.Lock()
	s.signed = signed{host, region}
	s.mu.Unlock()
	expires := awsconfig.Until(now.Add(tokenLife), creds)
	s.options.Log.Debug("signed a token", "host", host, "region", region, "user", user, "id", creds.AccessKeyID, "expires", expires)
	return tokens.Credential{
		User:     user,
		Password: tokens.NewSecret(token),
		Issued:   now,
		Expires:  expires,
		ID:       creds.AccessKeyID,
	}, nil
}

// describe makes what the client reads of err, unless it is that already.
func (s *Source) describe(asked context.Context, err error) error {
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		return e
	}
	return s.options.AWS.Describe(asked, s.name(), err)
}

// name says in errors which source speaks.
func (s *Source) name() string { return "awsrds " + net.JoinHostPort(s.host, s.port) }

// denied makes an error that stays until somebody changes something.
func (s *Source) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.name(), Err: err, Advice: advice, Denied: true}
}
