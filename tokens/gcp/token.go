package gcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/iamcredentials/v1"
	"google.golang.org/api/option"

	"dbvalet/tokens"
)

const (
	// cloudPlatform is the scope for the APIs. A token with it goes to Google only.
	cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

	// iamAPI is the IAM Service Account Credentials API.
	iamAPI = "iamcredentials.googleapis.com"

	// accountPrefix makes the name of a resource of the email of a service account.
	accountPrefix = "projects/-/serviceAccounts/"

	// generated is how long a token of an impersonated account lives: the longest that needs no policy.
	generated = "3600s"
)

// A token is an access token.
type token struct {
	secret  tokens.Secret
	expires time.Time // wall clock; zero: nobody said
	made    bool      // for this call; false where a metadata server has kept it
}

// token gets a new token of the caller, with one scope.
func (c *caller) token(ctx context.Context, a *adc, scope string) (token, error) {
	n := len(c.impersonate)
	if n == 0 {
		return c.own(ctx, a, scope)
	}
	endpoint := cmp.Or(os.Getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"), "https://"+iamAPI) // gcloud's, for private ones
	return c.generate(ctx, a, impersonation{endpoint, c.impersonate[n-1], c.impersonate[:n-1]}, scope)
}

// own gets a token of the credentials themselves.
func (c *caller) own(ctx context.Context, a *adc, scope string) (token, error) {
	switch a.kind {
	case "":
		return c.machine(ctx, a, scope)
	case kindUser:
		return c.refresh(ctx, a, scope)
	case kindImpersonated: // with a key as its source, the library asks for a token that may not impersonate
		match := targetURL.FindStringSubmatch(a.target)
		return c.generate(ctx, a.source, impersonation{match[1], match[2], a.delegates}, scope)
	}
	x := &exchange{}
	bound := context.WithValue(ctx, oauth2.HTTPClient, c.client(ctx, x))
	params := google.CredentialsParams{Scopes: []string{scope}}
	creds, err := google.CredentialsFromJSONWithTypeAndParams(bound, []byte(a.content.Reveal()), google.CredentialsType(a.kind), params)
	if err != nil {
		return token{}, &fileError{a.path, err}
	}
	t, err := creds.TokenSource.Token()
	if err != nil {
		return token{}, &loginError{a, x.reason(ctx, err), x.sent}
	}
	return made(t), nil
}

// refresh gets a token of a user. It is the grant of the library's Config, but for the scope: that one
// would give a token with all scopes that the user once agreed to.
func (c *caller) refresh(ctx context.Context, a *adc, scope string) (token, error) {
	var user struct {
		ID      string `json:"client_id"`
		Secret  string `json:"client_secret"`
		Refresh string `json:"refresh_token"`
		URL     string `json:"token_uri"`
	}
	if err := json.Unmarshal([]byte(a.content.Reveal()), &user); err != nil || user.Refresh == "" {
		return token{}, &fileError{a.path, errNotADC}
	}
	if user.URL == "" {
		user.URL = google.Endpoint.TokenURL
	}
	config := clientcredentials.Config{
		ClientID: user.ID, ClientSecret: user.Secret, TokenURL: user.URL, AuthStyle: oauth2.AuthStyleInParams,
		Scopes:         []string{scope},
		EndpointParams: url.Values{"grant_type": {"refresh_token"}, "refresh_token": {user.Refresh}},
	}
	x := &exchange{}
	t, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, c.client(ctx, x)))
	if err != nil {
		return token{}, &loginError{a, x.reason(ctx, err), x.sent}
	}
	return made(t), nil
}

func made(t *oauth2.Token) token {
	return token{tokens.NewSecret(t.AccessToken), t.Expiry.Round(0), true}
}

// machine gets a token of the metadata server. It keeps them, and gives none that has less than some
// minutes.
func (c *caller) machine(ctx context.Context, a *adc, scope string) (token, error) {
	x := &exchange{}
	start := time.Now().Round(0)
	path := "instance/service-accounts/default/token?" + url.Values{"scopes": {scope}}.Encode()
	text, err := metadata.NewClient(c.client(ctx, x)).GetWithContext(ctx, path)
	if err != nil {
		return token{}, &loginError{a, x.reason(ctx, err), x.sent}
	}
	var t struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"` // seconds
	}
	if json.Unmarshal([]byte(text), &t) != nil || t.AccessToken == "" {
		return token{}, &loginError{a, errors.New("the metadata server answered something else than a token"), x.sent}
	}
	return token{tokens.NewSecret(t.AccessToken), start.Add(time.Duration(t.ExpiresIn) * time.Second), false}, nil
}

// An impersonation is whose token is wanted, and on what way.
type impersonation struct {
	endpoint  string   // of iamAPI
	target    string   // email
	delegates []string // emails, in order
}

// generate gets a token of the service account that a may impersonate.
func (c *caller) generate(ctx context.Context, a *adc, i impersonation, scope string) (token, error) {
	base, err := c.own(ctx, a, cloudPlatform)
	if err != nil {
		return token{}, err
	}
	x := &exchange{}
	api, err := iamcredentials.NewService(ctx, c.options(ctx, x, i.endpoint)...)
	if err != nil {
		return token{}, fmt.Errorf("%s: %w", iamAPI, err)
	}
	request := &iamcredentials.GenerateAccessTokenRequest{Scope: []string{scope}, Lifetime: generated}
	for _, d := range i.delegates {
		request.Delegates = append(request.Delegates, accountPrefix+d)
	}
	call := api.Projects.ServiceAccounts.GenerateAccessToken(accountPrefix+i.target, request).Context(ctx)
	base.authorize(call.Header(), a.quotaProject())
	res, err := call.Do()
	if err != nil {
		who := a.principal
		if a.kind == "" {
			who, _ = c.account(ctx)
		}
		return token{}, &impersonationError{who, i, x.reason(ctx, err)}
	}
	expires, err := time.Parse(time.RFC3339, res.ExpireTime)
	if err != nil {
		return token{}, &impersonationError{a.principal, i, errors.New("its answer does not say until when the token is good")}
	}
	return token{tokens.NewSecret(res.AccessToken), expires.Local().Round(0), true}, nil
}

// options are those of the clients of APIs. They get no credentials: the calls bring their token.
func (c *caller) options(ctx context.Context, x *exchange, endpoint string) []option.ClientOption {
	return []option.ClientOption{
		option.WithHTTPClient(c.client(ctx, x)),
		option.WithEndpoint(strings.TrimSuffix(endpoint, "/") + "/"),
		// Otherwise GOOGLE_SDK_GO_LOGGING_LEVEL=debug would write tokens and secrets to stderr.
		option.WithLogger(slog.New(slog.DiscardHandler)),
	}
}

// authorize makes header that of a request by the owner of t.
func (t token) authorize(header http.Header, quotaProject string) {
	header.Set("Authorization", "Bearer "+t.secret.Reveal())
	if quotaProject != "" { // without it, Google refuses users of gcloud
		header.Set("X-Goog-User-Project", quotaProject)
	}
}
