package gcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"dbvalet/tokens"
)

const (
	// minLeft is how long a token must live on to be worth a login.
	minLeft = time.Minute

	// justMade is how long a token lives on that was made a moment ago, and not only handed out again.
	justMade = 55 * time.Minute
)

// Options says who logs in, and as whom.
type Options struct {
	Engine      string       // "postgres" or "mysql": how the user is spelled
	Service     string       // "cloudsql", or "alloydb" for its tokens; empty: cloudsql
	User        string       // the route's; empty: derived from the identity, else the client's
	Impersonate []string     // service accounts: delegates in order, the target last
	Log         *slog.Logger // nil: slog.Default()
}

// Source gets IAM tokens for Cloud SQL and AlloyDB. Calls may be concurrent.
type Source struct {
	options Options
	service service
	caller  *caller
}

var (
	_ tokens.Source    = (*Source)(nil)
	_ tokens.Explainer = (*Source)(nil)
)

// New checks o. It asks nobody, and reads no file. Its errors are *tokens.Error.
func New(o Options) (*Source, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	s := &Source{options: o, caller: newCaller(o.Impersonate)}
	switch {
	case o.Engine != postgres && o.Engine != mysql:
		return nil, s.denied(fmt.Errorf("there are no IAM logins for the engine %q", o.Engine), "use postgres or mysql")
	case o.Service == "", o.Service == "cloudsql":
		s.service = cloudSQL
	case o.Service == "alloydb" && o.Engine == postgres:
		s.service = alloyDB
	default:
		return nil, s.denied(fmt.Errorf("the service %q does not exist for %s", o.Service, o.Engine),
			"write cloudsql, or alloydb for PostgreSQL")
	}
	if err := checkAccounts(o.Impersonate); err != nil {
		return nil, s.denied(err, "name service accounts by their emails, such as app@PROJECT.iam.gserviceaccount.com")
	}
	return s, nil
}

// Credential gets a token, and spells the user: the route's, or whoever the token is for, or else user.
func (s *Source) Credential(ctx context.Context, user string) (tokens.Credential, error) {
	a, err := s.caller.find(ctx)
	if err != nil {
		return tokens.Credential{}, describe(s.name(), s.service.scope, err)
	}
	principal, err := s.caller.principal(ctx, a)
	if err != nil && s.options.User == "" {
		return tokens.Credential{}, describe(s.name(), s.service.scope, &loginError{a, err, true})
	}
	name := DatabaseUser(s.options.Engine, cmp.Or(s.options.User, principal, user))
	if name == "" {
		return tokens.Credential{}, s.denied(fmt.Errorf("no database user, and %s does not say who you are", cmp.Or(a.path, "the metadata server")),
			"name USER in the route, such as you@example.com: "+s.options.Engine+"://you%40example.com@…")
	}
	t, err := s.token(ctx, a)
	if err != nil {
		return tokens.Credential{}, describe(s.name(), s.service.scope, err)
	}
	now := time.Now().Round(0)
	cred := tokens.Credential{User: name, Password: t.secret, Expires: t.expires, ID: principal}
	if t.made && t.expires.Sub(now) >= justMade {
		cred.Issued = now
	}
	s.options.Log.Debug("got a token", "user", name, "id", principal, "expires", t.expires)
	return cred, nil
}

// token gets a token that is good for a login. One that is about to die is not the last word: whoever
// kept it makes a new one soon.
func (s *Source) token(ctx context.Context, a *adc) (token, error) {
	for again := true; ; again = false {
		t, err := s.caller.token(ctx, a, s.service.scope)
		if err != nil {
			return token{}, err
		}
		left := time.Until(t.expires)
		if t.expires.IsZero() || left >= minLeft {
			return t, nil
		}
		if !again {
			return token{}, &dyingError{a, left}
		}
	}
}

// dyingError is that there are tokens, but none that lives long enough.
type dyingError struct {
	adc  *adc
	left time.Duration
}

func (e *dyingError) Error() string {
	return fmt.Sprintf("the token of %v has only %v left, by this machine's clock", e.adc, e.left.Round(time.Second))
}

// checkAccounts returns what is wrong with the service accounts to impersonate.
func checkAccounts(emails []string) error {
	for _, email := range emails {
		name, domain, ok := strings.Cut(email, "@")
		if !ok || name == "" || domain == "" || strings.ContainsAny(email, "/:?# ") {
			return errors.New("one of the accounts to impersonate is not an email")
		}
	}
	return nil
}

func (s *Source) name() string { return "gcp-iam" }

func (s *Source) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.name(), Err: err, Advice: advice, Denied: true}
}
