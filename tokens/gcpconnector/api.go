package gcpconnector

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/iamcredentials/v1"
	"google.golang.org/api/option"

	"dbvalet/tokens"
)

const (
	adminScope    = "https://www.googleapis.com/auth/sqlservice.admin"
	platformScope = "https://www.googleapis.com/auth/cloud-platform" // to impersonate

	accountPrefix = "projects/-/serviceAccounts/"
)

// quiet is a log that shows nothing: the libraries would write tokens into it.
var quiet = slog.New(slog.DiscardHandler)

// apiCredentials returns the credentials for the Admin API.
func (c *Connector) apiCredentials() *auth.Credentials {
	source := apiTokens{c.options.Impersonate}
	return auth.NewCredentials(&auth.CredentialsOptions{
		TokenProvider: source, QuotaProjectIDProvider: auth.CredentialsPropertyFunc(source.quotaProject),
	})
}

// apiTokens gives the tokens to call the Admin API with. It looks for Application Default Credentials
// and gets a token for each call, so that a file that was replaced is seen. A call is made once an hour.
type apiTokens struct{ impersonate []string }

// identityError is that there is no token for the Admin API.
type identityError struct{ err error }

func (e *identityError) Error() string { return "get a token for the Cloud SQL Admin API" }
func (e *identityError) Unwrap() error { return e.err }

// Token returns a token; its errors are *identityError.
func (a apiTokens) Token(ctx context.Context) (*auth.Token, error) {
	token, err := a.token(ctx)
	if err != nil {
		return nil, &identityError{err}
	}
	return token, nil
}

func (a apiTokens) token(ctx context.Context) (*auth.Token, error) {
	if len(a.impersonate) > 0 {
		return a.generate(ctx)
	}
	credentials, err := find(ctx, adminScope)
	if err != nil {
		return nil, err
	}
	token, err := credentials.TokenSource.Token()
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: token.AccessToken, Type: "Bearer", Expiry: token.Expiry}, nil
}

// generate gets a token of the service account at the end of the chain.
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
func (a apiTokens) generate(ctx context.Context) (*auth.Token, error) {
	credentials, err := find(ctx, platformScope)
	if err != nil {
		return nil, err
	}
	options := []option.ClientOption{option.WithTokenSource(credentials.TokenSource), option.WithLogger(quiet)}
	if project := quotaProject(credentials); project != "" {
		options = append(options, option.WithQuotaProject(project))
	}
	if endpoint := os.Getenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS"); endpoint != "" { // gcloud's, for private endpoints
		if u, err := url.Parse(endpoint); err != nil || !tokens.Private(u) {
			return nil, tokens.ErrInClear
		}
		options = append(options, option.WithEndpoint(strings.TrimSuffix(endpoint, "/")+"/"))
	}
	api, err := iamcredentials.NewService(ctx, options...)
	if err != nil {
		return nil, err
	}
	last := len(a.impersonate) - 1
	request := &iamcredentials.GenerateAccessTokenRequest{Scope: []string{adminScope}, Lifetime: "3600s"}
	for _, delegate := range a.impersonate[:last] {
		request.Delegates = append(request.Delegates, accountPrefix+delegate)
	}
	res, err := api.Projects.ServiceAccounts.GenerateAccessToken(accountPrefix+a.impersonate[last], request).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	expires, err := time.Parse(time.RFC3339, res.ExpireTime)
	return &auth.Token{Value: res.AccessToken, Type: "Bearer", Expiry: expires}, err
}

// quotaProject returns the project that the calls are counted for.
func (a apiTokens) quotaProject(ctx context.Context) (string, error) {
	if len(a.impersonate) > 0 {
		return "", nil // a service account has its own
	}
	credentials, err := find(ctx, adminScope)
	if err != nil {
		return "", &identityError{err}
	}
	return quotaProject(credentials), nil
}

// find looks for Application Default Credentials where package gcp does. They are good for as long as
// ctx.
func find(ctx context.Context, scope string) (*google.Credentials, error) {
	client := &http.Client{Transport: encrypted{tokens.Encrypted(nil)}}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	if dir := os.Getenv("CLOUDSDK_CONFIG"); dir != "" && os.Getenv("GOOGLE_APPLICATION_CREDENTIALS") == "" {
		// gcloud writes there then, and the library does not look.
		if content, err := os.ReadFile(filepath.Join(dir, "application_default_credentials.json")); err == nil {
			var file struct {
				Type google.CredentialsType `json:"type"`
			}
			_ = json.Unmarshal(content, &file) // without a type it is no file with credentials
			return google.CredentialsFromJSONWithTypeAndParams(ctx, content, file.Type, google.CredentialsParams{Scopes: []string{scope}})
		}
	}
	return google.FindDefaultCredentials(ctx, scope)
}

// quotaProject returns the project in the credentials of a user of gcloud, who needs one.
func quotaProject(credentials *google.Credentials) string {
	var file struct {
		QuotaProject string `json:"quota_project_id"`
	}
	_ = json.Unmarshal(credentials.JSON, &file) // there is none on a machine with a metadata server
	return cmp.Or(os.Getenv("GOOGLE_CLOUD_QUOTA_PROJECT"), file.QuotaProject)
}

// encrypted sends requests that bring tokens: encrypted, or to the metadata server of another cloud,
// which is on the link.
type encrypted struct{ next http.RoundTripper }

func (t encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	addr, err := netip.ParseAddr(r.URL.Hostname())
	if err == nil && net.IP(addr.AsSlice()).IsLinkLocalUnicast() {
		return http.DefaultTransport.RoundTrip(r)
	}
	return t.next.RoundTrip(r)
}
