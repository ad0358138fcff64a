package gcp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"dbvalet/tokens"
)

// SecretOptions says what a secret is for.
type SecretOptions struct {
	User string       // the route's; empty: anyone
	Log  *slog.Logger // nil: slog.Default()
}

// SecretManager reads passwords from Google's Secret Manager. Calls may be concurrent.
type SecretManager struct {
	url      string // as the user wrote it, without options
	project  string
	secret   string
	version  string // a number, an alias, or latest
	endpoint string
	decoder  tokens.Decoder
	caller   *caller
	log      *slog.Logger
}

var (
	_ tokens.Source   = (*SecretManager)(nil)
	_ tokens.Rotating = (*SecretManager)(nil)
)

const (
	// latest is the version that was added last, whether it is enabled or not.
	latest = "latest"

	secretAPI = "secretmanager.googleapis.com"
)

// secretName is what stands in the URL: the names of resources, as Google checks them. The version may
// be an alias.
// https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/create
var secretName = regexp.MustCompile(`^projects/([a-z0-9][a-z0-9.:-]*)/secrets/([a-zA-Z0-9_-]{1,255})` +
	`(?:/versions/([1-9][0-9]{0,9}|[a-zA-Z][a-zA-Z0-9_-]{0,62}))?$`)

// NewSecretManager reads u and its options, and calls u.Close. It asks nobody. Its errors are
// *tokens.Error.
//
//	gcpsecretmanager://projects/P/secrets/S[/versions/V]
//
//	decoder, path, wait          as everywhere
//	impersonate_service_account  emails, separated by commas: delegates in order, the target last
//	endpoint                     https://… in place of Google's public one
func NewSecretManager(u *tokens.SecretURL, o SecretOptions) (*SecretManager, error) {
	s := &SecretManager{
		url: u.String(), version: latest, decoder: u.Decoder(o.User),
		endpoint: u.Option("endpoint"), log: cmp.Or(o.Log, slog.Default()),
	}
	var impersonate []string
	if list := u.Option("impersonate_service_account"); list != "" {
		impersonate = strings.Split(list, ",")
	}
	if err := u.Close(); err != nil {
		return nil, err
	}
	match := secretName.FindStringSubmatch(u.Name)
	if match == nil {
		return nil, s.denied(errors.New("not the name of a secret"),
			"write gcpsecretmanager://projects/PROJECT/secrets/SECRET, with /versions/NUMBER at the end where it may not be the latest")
	}
	s.project, s.secret, s.version = match[1], match[2], cmp.Or(match[3], latest)
	if err := checkAccounts(impersonate); err != nil {
		return nil, s.denied(err, "write impersonate_service_account=app@PROJECT.iam.gserviceaccount.com")
	}
	s.caller = newCaller(impersonate)
	if s.endpoint == "" {
		s.endpoint = "https://" + secretAPI
	}
	switch endpoint, err := url.Parse(s.endpoint); {
	case err != nil, endpoint.Host == "", endpoint.RawQuery != "", endpoint.Scheme != "http" && endpoint.Scheme != "https":
		return nil, s.denied(errors.New("endpoint is not an address"), "write endpoint=https://HOST")
	case !tokens.Private(endpoint):
		return nil, s.denied(tokens.ErrInClear, "write endpoint=https://HOST")
	}
	return s, nil
}

// Credential reads the version that the URL names.
func (s *SecretManager) Credential(ctx context.Context, _ string) (tokens.Credential, error) {
	r, err := s.open(ctx)
	if err != nil {
		return tokens.Credential{}, err
	}
	return r.read(ctx, s.version)
}

// Others returns the version before the latest, if there is one that may be read: a database that
// has not got the new password yet takes the old one. Google calls a version the latest from the
// moment it is added, so there is none to come.
func (s *SecretManager) Others(ctx context.Context, _ string) ([]tokens.Credential, error) {
	if s.version != latest {
		return nil, nil
	}
	r, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	current, err := r.read(ctx, latest)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(current.ID)
	if err != nil || n < 2 {
		return nil, nil
	}
	before, err := r.read(ctx, strconv.Itoa(n-1))
	if e, ok := errors.AsType[*tokens.Error](err); ok && e.Denied {
		return nil, nil // disabled, destroyed, or of another form
	}
	if err != nil {
		return nil, err
	}
	return []tokens.Credential{before}, nil
}

func (s *SecretManager) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.url, Err: err, Advice: advice, Denied: true}
}
