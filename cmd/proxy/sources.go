package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"dbvalet/config"
	"dbvalet/tokens"
	"dbvalet/tokens/awsconfig"
	"dbvalet/tokens/awsdsql"
	"dbvalet/tokens/awsrds"
	"dbvalet/tokens/awssecrets"
	"dbvalet/tokens/azure"
	"dbvalet/tokens/gcp"
	"dbvalet/tokens/gcpconnector"
	"dbvalet/tokens/vault"
)

// The values of auth= that mint tokens.
const (
	awsIAM       = "aws-iam"  // the default where the host is an RDS endpoint
	awsDSQL      = "aws-dsql" // the default where the host is an endpoint of Aurora DSQL
	gcpIAM       = "gcp-iam"
	gcpConnector = "gcp-connector"
	azureEntra   = "azure-entra"
)

// sourceNames is for errors about auth=.
const sourceNames = "auth= is one of aws-iam, aws-dsql, gcp-iam, gcp-connector, azure-entra, env:NAME, file:PATH, exec:COMMAND, " +
	"or the URL of a secret: awssecretsmanager://, awsparamstore://, gcpsecretmanager://, hashivault://, file://"

const (
	// storeTTL is how long what a secret store said is reused, where wait= does not say. A password
	// that was replaced earlier is noticed when the database refuses it.
	storeTTL = 5 * time.Minute

	// execTTL is how long the password that a command printed is reused if it did not say.
	execTTL = time.Minute

	// noRotation is for sources that say the same for ever.
	noRotation = -1
)

// inferAuth sets r.Auth where the host says it.
func inferAuth(r *config.Route) error {
	switch {
	case r.Auth != "":
	case awsrds.IsEndpoint(r.Host):
		r.Auth = awsIAM
	case awsdsql.IsEndpoint(r.Host):
		r.Auth = awsDSQL
	case r.Instance != "":
		r.Auth = gcpConnector
	default:
		return &config.Error{
			Route: r.Name, Err: fmt.Errorf("nothing says where the credential for %s comes from", r.Host),
			Advice: "add auth=, such as auth=env:NAME; " + sourceNames,
		}
	}
	return nil
}

// A source is what auth= stands for.
type source struct {
	tokens.Source
	ttl      time.Duration // for what doesn't expire by itself; 0: not kept
	rotation time.Duration // as in tokens.Cache
	shared   bool          // as in tokens.Cache
	tunnel   *gcpconnector.Connector
}

// newCredentials makes the Cache of r's credentials, and where the database is reached by way of a
// connector, that.
func newCredentials(r *config.Route, log *slog.Logger) (*tokens.Cache, *gcpconnector.Connector, error) {
	s, err := newSource(r, log)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains([]string{"", "always", "never"}, r.TokenReuse) {
		return nil, nil, &config.Error{Route: r.Name, Err: errors.New("token_reuse= is neither always nor never"), Advice: "correct it, or leave it out"}
	}
	return &tokens.Cache{
		Source:   s.Source,
		TTL:      s.ttl,
		Once:     r.TokenReuse == "never",
		Shared:   s.shared,
		Rotation: cmp.Or(s.rotation, r.RotationTimeout),
		Log:      log,
	}, s.tunnel, nil
}

// newSource chooses the source of credentials.
func newSource(r *config.Route, log *slog.Logger) (source, error) {
	if err := checkOptions(r); err != nil {
		return source{}, err
	}
	switch r.Auth {
	case awsIAM:
		return newRDS(r, log)
	case awsDSQL:
		return newDSQL(r, log)
	case gcpIAM:
		s, err := gcp.New(gcp.Options{
			Engine: r.Scheme, Service: r.Service, User: r.User, Impersonate: r.Impersonate, Log: log,
		})
		return source{Source: s}, err
	case gcpConnector:
		s, err := gcpconnector.New(gcpconnector.Options{
			Instance: r.Instance, IPType: r.IPType, Engine: r.Scheme, User: r.User, Impersonate: r.Impersonate,
			Endpoint: r.SQLAdmin, Log: log,
		})
		return source{Source: s, ttl: storeTTL, rotation: noRotation, tunnel: s}, err
	case azureEntra:
		s, err := azure.New(azure.Options{
			Engine: r.Scheme, User: r.User, Cloud: r.Cloud, Tenant: r.Tenant, ClientID: r.ClientID, Log: log,
		})
		return source{Source: s}, err
	}
	if r.HasSecret() {
		return newSecret(r, log)
	}
	return newPassword(r)
}

// newPassword makes the sources that need no SDK.
func newPassword(r *config.Route) (source, error) {
	kind, rest, _ := strings.Cut(r.Auth, ":")
	if rest == "" && slices.Contains([]string{"env", "file", "exec"}, kind) {
		return source{}, &tokens.Error{Source: "auth=" + kind, Err: errors.New("names nothing"), Advice: sourceNames}
	}
	decoder := tokens.Decoder{User: r.User}
	switch kind {
	case "env":
		return source{Source: &tokens.Env{Name: rest, Decoder: decoder}, rotation: noRotation}, nil
	case "file":
		return source{Source: &tokens.File{Path: rest, Decoder: decoder}}, nil
	case "exec":
		argv, err := tokens.SplitCommand(rest)
		if err != nil {
			return source{}, &tokens.Error{Source: "auth=exec", Err: err, Advice: "write auth=exec:COMMAND with quotes as for a shell"}
		}
		return source{Source: &tokens.Exec{Argv: argv}, ttl: execTTL}, nil
	}
	// What is there may be a password.
	return source{}, &tokens.Error{Source: "auth=", Err: errors.New("unknown source"), Advice: sourceNames}
}

// newSecret makes the sources that are named by the URL of a secret.
func newSecret(r *config.Route, log *slog.Logger) (source, error) {
	u, err := tokens.ParseSecretURL(r.Auth)
	if err != nil {
		return source{}, err
	}
	switch u.Scheme {
	case "awssecretsmanager":
		s, err := awssecrets.NewSecretsManager(u, awssecrets.Options{AWS: awsOptions(r, log), User: r.User, Log: log})
		return stored(u, s, err)
	case "awsparamstore":
		s, err := awssecrets.NewParameterStore(u, awssecrets.Options{AWS: awsOptions(r, log), User: r.User, Log: log})
		return stored(u, s, err)
	case "gcpsecretmanager":
		s, err := gcp.NewSecretManager(u, gcp.SecretOptions{User: r.User, Log: log})
		return stored(u, s, err)
	case "hashivault":
		s, err := vault.New(u, vault.Options{User: r.User, AWS: vaultAWS(r, log), Log: log})
		made, err := stored(u, s, err)
		made.shared = err == nil && s.OwnUser()
		return made, err
	case "file":
		if u.Name == "" {
			return source{}, &tokens.Error{Source: "auth=file", Err: errors.New("names nothing"), Advice: "write auth=file:PATH, or auth=file:///PATH?path=KEY"}
		}
		s := &tokens.File{Path: u.Name, Decoder: u.Decoder(r.User)}
		return source{Source: s, ttl: u.TTL()}, u.Close()
	case "constant":
		if u.Option("val") != "" {
			return source{}, errInArguments
		}
		s := &tokens.Env{Name: u.Option("envvar"), Decoder: u.Decoder(r.User)}
		if s.Name == "" {
			return source{}, errInArguments
		}
		return source{Source: s, rotation: noRotation}, u.Close()
	case "env", "exec":
		return newPassword(&config.Route{User: r.User, Auth: u.Scheme + ":" + strings.TrimPrefix(r.Auth, u.Scheme+"://")})
	}
	return source{}, &tokens.Error{Source: "auth=", Err: errors.New("unknown secret store"), Advice: sourceNames}
}

// errInArguments is the error for the one secret URL that is no name but the secret.
var errInArguments = &tokens.Error{
	Source: "auth=constant://", Err: errors.New("a password does not go into a route, which everybody on this machine can read"),
	Advice: "put it into a file or an environment variable, and write auth=file:PATH, auth=env:NAME or auth=constant://?envvar=NAME", Denied: true,
}

// stored is a source that reads the secret store of u.
func stored(u *tokens.SecretURL, s tokens.Source, err error) (source, error) {
	if err != nil {
		return source{}, err
	}
	return source{Source: s, ttl: cmp.Or(u.TTL(), storeTTL)}, nil
}

func newRDS(r *config.Route, log *slog.Logger) (source, error) {
	c, err := awsconfig.New(awsOptions(r, log))
	if err != nil {
		return source{}, err
	}
	s, err := awsrds.New(awsrds.Options{Endpoint: r.Endpoint(), Region: r.Region, Engine: r.Scheme, AWS: c, Log: log})
	return source{Source: s}, err
}

func newDSQL(r *config.Route, log *slog.Logger) (source, error) {
	if r.Scheme != "postgres" {
		return source{}, &config.Error{Route: r.Name, Err: errors.New("auth=aws-dsql is for PostgreSQL, which Aurora DSQL speaks"), Advice: "write postgres://"}
	}
	c, err := awsconfig.New(awsOptions(r, log))
	if err != nil {
		return source{}, err
	}
	s, err := awsdsql.New(awsdsql.Options{Endpoint: r.Endpoint(), Region: r.Region, AWS: c, Log: log})
	return source{Source: s}, err
}

// awsOptions is who r is on AWS. A secret is probably where its database is.
func awsOptions(r *config.Route, log *slog.Logger) awsconfig.Options {
	region, _ := awsrds.Region(r.Host)
	return awsconfig.Options{
		Region: r.Region, DefaultRegion: region, Profile: r.Profile, Roles: r.Roles, ExternalID: r.ExternalID, SessionName: r.SessionName, Log: log,
	}
}

// vaultAWS gives the credentials of Vault's login by AWS.
func vaultAWS(r *config.Route, log *slog.Logger) func(context.Context) (aws.Credentials, error) {
	return func(ctx context.Context) (aws.Credentials, error) {
		c, err := awsconfig.New(awsOptions(r, log))
		if err != nil {
			return aws.Credentials{}, err
		}
		creds, err := c.Retrieve(ctx)
		if err != nil {
			return aws.Credentials{}, c.Describe(ctx, "auth=hashivault login=aws", err)
		}
		return creds, nil
	}
}

// checkOptions refuses options that the source of r would not look at: whoever wrote them means
// something by them.
func checkOptions(r *config.Route) error {
	aws := r.Auth == awsIAM || r.Auth == awsDSQL || r.HasSecret()
	google := r.Auth == gcpIAM || r.Auth == gcpConnector
	for _, o := range []struct {
		key  string
		used bool
		set  bool
	}{
		{"region", aws, r.Region != ""},
		{"profile", aws, r.Profile != ""},
		{"role", aws, r.Roles != nil},
		{"external_id", aws, r.ExternalID != ""},
		{"session_name", aws, r.SessionName != ""},
		{"instance", r.Auth == gcpConnector, r.Instance != ""},
		{"ip_type", r.Auth == gcpConnector, r.IPType != ""},
		{"impersonate_service_account", google, r.Impersonate != nil},
		{"sqladmin_endpoint", r.Auth == gcpConnector, r.SQLAdmin != ""},
		{"service", r.Auth == gcpIAM, r.Service != ""},
		{"cloud", r.Auth == azureEntra, r.Cloud != ""},
		{"tenant", r.Auth == azureEntra, r.Tenant != ""},
		{"client_id", r.Auth == azureEntra, r.ClientID != ""},
	} {
		if o.set && !o.used {
			return &config.Error{Route: r.Name, Err: fmt.Errorf("%s= means nothing with auth=%s", o.key, sourceName(r.Auth)), Advice: "leave it out"}
		}
	}
	return nil
}

// mints reports whether r's credentials are tokens, which are of use only as a cleartext password; a
// server that asks for anything else is not the one that the token is for, or not set up for it.
func mints(r *config.Route) bool {
	return slices.Contains([]string{awsIAM, awsDSQL, gcpIAM, azureEntra}, r.Auth)
}
