package vault

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/hashicorp/vault/api"

	"dbvalet/tokens"
)

// Options is what a Source needs beside the URL.
type Options struct {
	User string // the route's; empty: anyone

	// AWS gives the credentials that login=aws signs with; nil where there is no such login.
	AWS func(context.Context) (aws.Credentials, error)

	Log *slog.Logger // nil: slog.Default()
}

// Source reads one path of one Vault. Calls may be concurrent.
type Source struct {
	name    string // as the user wrote it: hashivault://secret/data/database
	path    string
	kv      string // "1" or "2"; empty: the answer says it
	version string // of KV version 2; empty: the current one
	decoder tokens.Decoder
	server  server
	login   login
	log     *slog.Logger

	now         func() time.Time // time.Now, but in tests that let time pass
	answerLimit time.Duration    // the constants, but in tests
	revokeLimit time.Duration

	turn    chan struct{} // holds one token, for whoever uses client and current
	client  *api.Client   // without a Vault token; nil until it is needed
	current *session      // nil until it is needed

	mu          sync.Mutex
	found       string // the path that had the secret, which may have a data/ more
	versioned   bool   // the secret is one of KV version 2
	leases      map[*tokens.Lease]*lease
	closed      bool
	revocations sync.WaitGroup
}

var (
	_ tokens.Source    = (*Source)(nil)
	_ tokens.Rotating  = (*Source)(nil)
	_ tokens.Renewer   = (*Source)(nil)
	_ tokens.Explainer = (*Source)(nil)
)

// New checks u and the environment without asking the network, and does not touch the client.
// Its errors are *tokens.Error.
func New(u *tokens.SecretURL, o Options) (*Source, error) {
	s := &Source{
		name:    u.String(),
		path:    strings.Trim(u.Name, "/"),
		kv:      u.Option("kv"),
		decoder: u.Decoder(o.User),
		log:     cmp.Or(o.Log, slog.Default()),
		turn:    make(chan struct{}, 1),
		leases:  make(map[*tokens.Lease]*lease),

		now:         time.Now,
		answerLimit: answerLimit,
		revokeLimit: revokeLimit,
	}
	if u.Number("version") > 0 {
		s.version = u.Option("version")
	}
	var err error
	if s.server, err = s.newServer(u); err != nil {
		return nil, err
	}
	if s.login, err = s.newLogin(u, o); err != nil {
		return nil, err
	}
	if err := u.Close(); err != nil {
		return nil, err
	}
	switch {
	case !strings.Contains(s.path, "/"):
		return nil, s.denied(errors.New("not the path of a secret"), "write hashivault://MOUNT/PATH, such as hashivault://secret/data/database")
	case !slices.Contains([]string{"", "1", "2"}, s.kv):
		return nil, s.denied(errors.New("option kv is neither 1 nor 2"), "correct it, or leave it out")
	case s.kv == "1" && s.version != "":
		return nil, s.denied(errors.New("KV version 1 keeps no versions"), "leave version= or kv=1 out")
	}
	return s, nil
}

// Credential reads the secret. Where that is a dynamic role, each call makes a database user, who is
// known from the answer alone: then it is waited for 5 seconds beyond the end of ctx, so that the
// lease can be given back.
func (s *Source) Credential(ctx context.Context, _ string) (tokens.Credential, error) {
	if s.OwnUser() {
		if ctx.Err() != nil {
			return tokens.Credential{}, s.outage(ctx.Err())
		}
		var end context.CancelFunc
		ctx, end = lingering(ctx, s.answerLimit)
		defer end()
	}
	a, err := s.read(ctx, s.version)
	switch {
	case err != nil:
		return tokens.Credential{}, err
	case a.secret.LeaseID != "":
		return s.borrow(ctx, a)
	}
	return s.lookedUp(a)
}

// Others returns the version of a KV version 2 secret before the current one. For a while it may be
// what the database takes: a secret is often written before the password is changed.
func (s *Source) Others(ctx context.Context, _ string) ([]tokens.Credential, error) {
	s.mu.Lock()
	versioned := s.versioned && s.version == ""
	s.mu.Unlock()
	if !versioned {
		return nil, nil
	}
	current, err := s.read(ctx, "")
	if err != nil {
		return nil, err
	}
	before, ok := current.versionBefore()
	if !ok {
		return nil, nil
	}
	a, err := s.read(ctx, before)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	cred, err := s.lookedUp(a)
	if err != nil {
		return nil, err
	}
	return []tokens.Credential{cred}, nil
}

// OwnUser reports whether the user comes from Vault, and is the same for every client: the path is
// that of a dynamic or a static role.
func (s *Source) OwnUser() bool {
	keys := strings.Split(s.path, "/")
	before := keys[len(keys)-2]
	return s.kv == "" && len(keys) > 2 && (before == "creds" || before == "static-creds") && !slices.Contains(keys[1:], "data")
}

// denied makes an error that stays until somebody changes something.
func (s *Source) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.name, Err: err, Advice: advice, Denied: true}
}
