package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/proxy/postgres"
	dbtls "dbvalet/tls"
	"dbvalet/tokens"
	"dbvalet/tokens/awsrds"
)

// awsIAM is the value of auth= for RDS tokens, and the default where the host is an RDS endpoint.
const awsIAM = "aws-iam"

// execTTL is how long the password that a command printed is reused if it did not say.
const execTTL = time.Minute

// build puts the parts together that serve r. It is the only place that knows the names of all
// protocols and sources.
func build(r *config.Route, log *slog.Logger) (*proxy.Server, error) {
	if err := inferAuth(r); err != nil {
		return nil, err
	}
	fail := func(err error) (*proxy.Server, error) {
		return nil, &config.Error{Route: r.Name, Err: err, Advice: proxy.Hint(err)}
	}
	log = log.With("route", r.Name)

	credentials, err := newCredentials(r, log)
	if err != nil {
		return fail(err)
	}
	engine, err := newEngine(r)
	if err != nil {
		return fail(err)
	}
	tlsClient, err := newTLS(r)
	if err != nil {
		return fail(err)
	}
	warn(r, tlsClient, log)
	return &proxy.Server{
		Engine: engine,
		Upstream: &proxy.Upstream{
			Addr:        cmp.Or(r.Dial, r.Endpoint()),
			TLS:         tlsClient,
			Credentials: credentials,
			MaxConns:    r.MaxConnections,
			Log:         log,
		},
		HandshakeTimeout: r.ConnectTimeout,
		Log:              log,
	}, nil
}

// inferAuth sets r.Auth where the host says it.
func inferAuth(r *config.Route) error {
	if r.Auth == "" && awsrds.IsEndpoint(r.Host) {
		r.Auth = awsIAM
	}
	if r.Auth == "" {
		return &config.Error{
			Route: r.Name, Err: fmt.Errorf("nothing says where the credential for %s comes from", r.Host),
			Advice: "add auth=env:NAME, auth=file:PATH, auth=exec:COMMAND or auth=aws-iam",
		}
	}
	return nil
}

// newCredentials chooses the source of credentials.
func newCredentials(r *config.Route, log *slog.Logger) (*tokens.Cache, error) {
	const sources = "sources are aws-iam, env:NAME, file:PATH and exec:COMMAND"
	kind, rest, _ := strings.Cut(r.Auth, ":")
	rest = strings.TrimPrefix(rest, "//") // file:///run/secrets/pw
	if rest == "" && slices.Contains([]string{"env", "file", "exec"}, kind) {
		return nil, &tokens.Error{Source: "auth=" + kind, Err: errors.New("names nothing"), Advice: sources}
	}
	switch {
	case r.Auth == awsIAM:
		source, err := awsrds.New(awsrds.Options{Endpoint: r.Endpoint(), Region: r.Region, Profile: r.Profile, Log: log})
		return &tokens.Cache{Source: source, Log: log}, err
	case kind == "env":
		return &tokens.Cache{Source: &tokens.Env{Name: rest}, Log: log}, nil
	case kind == "file":
		return &tokens.Cache{Source: &tokens.File{Path: rest}, Log: log}, nil
	case kind == "exec":
		argv, err := tokens.SplitCommand(rest)
		if err != nil {
			return nil, &tokens.Error{Source: "auth=exec", Err: err, Advice: "write auth=exec:COMMAND with quotes as for a shell"}
		}
		return &tokens.Cache{Source: &tokens.Exec{Argv: argv}, TTL: execTTL, Log: log}, nil
	}
	// What is there may be a password.
	return nil, &tokens.Error{Source: "auth=", Err: errors.New("unknown source"), Advice: sources}
}

// newEngine chooses the protocol.
func newEngine(r *config.Route) (proxy.Engine, error) {
	// A token is of use only as a cleartext password; a server that asks for anything else is not
	// the one that the token is for, or not set up for it.
	if r.Auth == awsIAM && r.RequireAuth == "" {
		r.RequireAuth = postgres.MethodPassword
	}
	methods, err := postgres.ParseMethods(r.RequireAuth)
	if err != nil {
		return nil, err
	}
	switch r.SSLNegotiation {
	case "", "postgres", "direct":
	default:
		return nil, fmt.Errorf("sslnegotiation=%s: there are postgres and direct", r.SSLNegotiation)
	}
	return &postgres.Engine{
		User:        r.User,
		Database:    r.Database,
		RequireAuth: methods,
		Direct:      r.SSLNegotiation == "direct",
	}, nil
}

// newTLS makes what verifies the database.
func newTLS(r *config.Route) (*dbtls.Client, error) {
	mode, err := dbtls.ParseMode(cmp.Or(r.TLS, dbtls.VerifyFull.String()))
	if err != nil {
		return nil, err
	}
	return dbtls.New(dbtls.Options{
		Mode:       mode,
		Host:       r.Host,
		ServerName: r.TLSServerName,
		CAFile:     r.CA,
		NextProtos: postgres.ALPN(),
	})
}

// warn says at the start what a user should know who wrote r.
func warn(r *config.Route, tlsClient *dbtls.Client, log *slog.Logger) {
	if !tlsClient.Verified() {
		log.Warn("tls=require without ca= does not verify the database: the credential goes to whoever answers",
			"hint", "use tls=verify-full, with ca=FILE if the certificate is from a CA of your own")
	}
	if region, ok := awsrds.Region(r.Host); ok && r.Auth == awsIAM && r.Region != "" && r.Region != region {
		log.Warn("region= contradicts the endpoint's name; the database will refuse the token",
			"region", r.Region, "endpoint", r.Host, "hint", "leave region= out")
	}
}
