package azure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"dbvalet/tokens"
)

// tokenLimit is how long a token may take. The Azure CLI alone needs seconds.
const tokenLimit = 20 * time.Second

// Options says for whom to get tokens, and where.
type Options struct {
	Engine   string       // postgres or mysql, for Explain
	User     string       // the database user; empty: from the token, or else the client's
	Cloud    string       // public, usgovernment or china; empty: public, at AZURE_AUTHORITY_HOST if that is set
	Tenant   string       // id or domain; empty: the environment's, or that of the Azure CLI
	ClientID string       // of a workload identity or a user-assigned managed identity; empty: the SDK's default chain
	Log      *slog.Logger // nil: slog.Default()
}

// Source gets tokens. Calls may be concurrent.
type Source struct {
	options   Options
	cloud     environment
	limit     time.Duration      // tokenLimit, but in tests
	transport policy.Transporter // nil: the SDK's own; in tests, the way to the fake

	// turn is held by whoever uses what stands below. It is a channel because the SDK lets callers
	// wait for each other without a look at their contexts.
	turn       chan struct{}
	credential azcore.TokenCredential // nil until it is needed
	worked     bool                   // there has been a token
}

var (
	_ tokens.Source    = (*Source)(nil)
	_ tokens.Explainer = (*Source)(nil)
)

// New checks o without asking the network, and does not touch the SDK. Its errors are *tokens.Error.
func New(o Options) (*Source, error) {
	o.Log = cmp.Or(o.Log, slog.Default())
	s := &Source{options: o, limit: tokenLimit, turn: make(chan struct{}, 1)}
	var ok bool
	if s.cloud, ok = environments[o.Cloud]; !ok {
		return nil, s.denied(fmt.Errorf("there is no Azure cloud %q", o.Cloud), "write cloud=public, cloud=usgovernment or cloud=china")
	}
	return s, nil
}

// Credential returns a token and the database user that it is for: that of the route, or else the
// token's own, or else user.
func (s *Source) Credential(ctx context.Context, user string) (tokens.Credential, error) {
	token, err := s.token(ctx)
	if err != nil {
		return tokens.Credential{}, err
	}
	who := parseClaims(token.Token)
	cred := tokens.Credential{
		User:     cmp.Or(s.options.User, who.databaseUser(), user),
		Password: tokens.NewSecret(token.Token),
		Expires:  token.ExpiresOn.Round(0),
		ID:       who.principal(),
	}
	if cred.User == "" {
		return tokens.Credential{}, s.denied(
			fmt.Errorf("the token, which is for %s, does not say the name of the database user", cmp.Or(who.principal(), "nobody known")),
			"name the user in the route: a guest is user_domain#EXT#@tenant, a service principal its display name, a group's member the group")
	}
	s.options.Log.Debug("got a token", "user", cred.User, "id", cred.ID, "expires", cred.Expires)
	return cred, nil
}

// token asks the SDK, one caller at a time.
func (s *Source) token(ctx context.Context) (azcore.AccessToken, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return azcore.AccessToken{}, s.describe(ctx, ctx.Err())
	}
	defer func() { <-s.turn }()

	if s.credential == nil {
		credential, err := s.newCredential()
		if err != nil {
			return azcore.AccessToken{}, s.denied(fmt.Errorf("set up the Azure SDK: %w", errors.New(oneLine(err.Error()))),
				"check client_id=, tenant= and the environment variables that begin with AZURE_")
		}
		s.credential = credential
	}
	token, err := s.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{s.cloud.scope}, TenantID: s.options.Tenant})
	if err != nil {
		if !s.worked {
			s.credential = nil // it may lack a file or a variable that is there the next time
		}
		return azcore.AccessToken{}, s.describe(ctx, err)
	}
	s.worked = true
	return token, nil
}

// name says in errors which source speaks.
func (s *Source) name() string {
	if s.options.ClientID != "" {
		return "azure-entra client_id=" + s.options.ClientID
	}
	return "azure-entra"
}

// denied makes an error that stays until somebody changes something.
func (s *Source) denied(err error, advice string) *tokens.Error {
	return &tokens.Error{Source: s.name(), Err: err, Advice: advice, Denied: true}
}
