package awssecrets

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"

	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
)

// maxAttempts of the SDK for one request. Whoever asks us has a schedule of their own.
const maxAttempts = 2

// store is what both stores have in common. Client is the SDK's for one of them.
type store[Client any] struct {
	source  string // the URL without its options
	name    string
	action  string // the permission that it takes
	profile string // for hints
	decoder tokens.Decoder
	log     *slog.Logger
	limit   time.Duration

	aws       *awsconfig.Config
	endpoint  string // empty: the region's
	fips      bool
	dualStack bool
	newClient func(c aws.Config, endpoint string) Client

	mu     sync.Mutex
	client Client                  // made from the configuration with the credentials of origin
	origin aws.CredentialsProvider // nil until there is a client
}

// open returns a client for the configuration as it is now. The error is for describe.
func (s *store[Client]) open(ctx context.Context) (client Client, region string, err error) {
	c, err := s.aws.Load(ctx)
	if err != nil {
		return client, "", err
	}
	if c.Region == "" {
		return client, "", s.denied(errors.New("its region is not known"), "set region=…, such as region=eu-west-1")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.origin != c.Credentials { // which differ after each loading of the configuration
		s.client, s.origin = s.newClient(s.prepare(c), s.endpoint), c.Credentials
	}
	return s.client, c.Region, nil
}

// prepare changes a configuration for the store's own requests.
func (s *store[Client]) prepare(c aws.Config) aws.Config {
	c.HTTPClient = encrypted(c.HTTPClient)
	if c.RetryMaxAttempts == 0 || c.RetryMaxAttempts > maxAttempts {
		c.RetryMaxAttempts = maxAttempts
	}
	var o config.LoadOptions
	if s.fips {
		o.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled
	}
	if s.dualStack {
		o.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled
	}
	c.ConfigSources = append([]any{o}, c.ConfigSources...) // the first that says something counts
	return c
}

// encrypted returns a client that is like c, and sends nothing in clear to another machine.
func encrypted(c aws.HTTPClient) aws.HTTPClient {
	own, ok := c.(interface{ GetTransport() *http.Transport }) // it may have the CA of AWS_CA_BUNDLE
	if !ok {
		own = awshttp.NewBuildableClient()
	}
	return &http.Client{
		Transport:     tokens.Encrypted(own.GetTransport()),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// decode makes a credential of what the store keeps.
func (s *store[Client]) decode(payload []byte) (tokens.Credential, error) {
	cred, err := s.decoder.Credential(payload)
	if e, ok := errors.AsType[*tokens.Error](err); ok {
		e.Source = s.source
	}
	return cred, err
}

// denied makes an error that stays until somebody changes something.
func (s *store[Client]) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.source, Err: err, Advice: advice, Denied: true}
}
