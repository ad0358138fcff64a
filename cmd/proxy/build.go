package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/proxy/mysql"
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
func build(r *config.Route, log *slog.Logger) (*service, error) {
	if err := inferAuth(r); err != nil {
		return nil, err
	}
	fail := func(err error) (*service, error) {
		if _, ok := errors.AsType[*config.Error](err); ok {
			return nil, err
		}
		return nil, &config.Error{Route: r.Name, Err: err, Advice: proxy.Hint(err)}
	}
	log = log.With("route", r.Name)

	credentials, err := newCredentials(r, log)
	if err != nil {
		return fail(err)
	}
	protocol, err := newProtocol(r)
	if err != nil {
		return fail(err)
	}
	tlsClient, err := newTLS(r, protocol.alpn)
	if err != nil {
		return fail(err)
	}
	if tlsClient.Unproven() && !protocol.proves {
		return nil, &config.Error{
			Route: r.Name, Err: errors.New("tls=zero-config is for MariaDB and for passwords that are not sent to it: not for PostgreSQL, for tokens, or with require_auth=password"),
			Advice: "use tls=verify-full, with ca=FILE if the certificate is from a CA of your own",
		}
	}
	warn(r, tlsClient, log)
	return &service{route: r, protocol: protocol, server: &proxy.Server{
		Engine: protocol.engine,
		Upstream: &proxy.Upstream{
			Addr:        cmp.Or(r.Dial, r.Endpoint()),
			TLS:         tlsClient,
			Credentials: credentials,
			MaxConns:    r.MaxConnections,
			Log:         log,
		},
		HandshakeTimeout: r.ConnectTimeout,
		Log:              log,
	}}, nil
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

// A protocol is what a route's scheme decides.
type protocol struct {
	engine     proxy.Engine
	alpn       []string // what TLS toward the database offers
	socketName string   // that clients look for in a directory of sockets
	// command is one to copy that connects to addr.
	command func(r *config.Route, addr net.Addr) []string
	// proves says that the database can be made to prove itself in the login, for tls=zero-config.
	proves bool
}

// newProtocol chooses the protocol.
func newProtocol(r *config.Route) (protocol, error) {
	switch r.Scheme {
	case "postgres":
		engine, err := newPostgres(r)
		return protocol{engine, postgres.ALPN(), ".s.PGSQL." + r.Port, psqlCommand, false}, err
	case "mysql":
		engine, err := newMySQL(r)
		if err != nil {
			return protocol{}, err
		}
		return protocol{engine, nil, "mysql.sock", mysqlCommand, mysql.CanProve(engine.RequireAuth)}, nil
	}
	return protocol{}, fmt.Errorf("unknown protocol %q", r.Scheme)
}

func newPostgres(r *config.Route) (proxy.Engine, error) {
	methods, err := postgres.ParseMethods(requireAuth(r, postgres.MethodPassword))
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

func newMySQL(r *config.Route) (*mysql.Engine, error) {
	methods, err := mysql.ParseMethods(requireAuth(r, mysql.MethodPassword))
	if err != nil {
		return nil, err
	}
	if r.SSLNegotiation != "" {
		return nil, &config.Error{Route: r.Name, Err: errors.New("sslnegotiation= is an option of PostgreSQL"), Advice: "leave it out: MySQL has one way to begin TLS"}
	}
	return &mysql.Engine{User: r.User, Database: r.Database, RequireAuth: methods}, nil
}

// requireAuth is how the database may ask for r's credential. A token is of use only as a cleartext
// password; a server that asks for anything else is not the one that the token is for, or not set up
// for it.
func requireAuth(r *config.Route, cleartext string) string {
	if r.Auth == awsIAM {
		return cmp.Or(r.RequireAuth, cleartext)
	}
	return r.RequireAuth
}

// newTLS makes what verifies the database.
func newTLS(r *config.Route, alpn []string) (*dbtls.Client, error) {
	mode, err := dbtls.ParseMode(cmp.Or(r.TLS, dbtls.VerifyFull.String()))
	if err != nil {
		return nil, err
	}
	return dbtls.New(dbtls.Options{
		Mode:       mode,
		Host:       r.Host,
		ServerName: r.TLSServerName,
		CAFile:     r.CA,
		NextProtos: alpn,
	})
}

// warn says at the start what a user should know who wrote r.
func warn(r *config.Route, tlsClient *dbtls.Client, log *slog.Logger) {
	switch {
	case tlsClient.Unproven():
		log.Warn("tls=zero-config verifies the database only after the login: somebody in between can use a login of ours for one of their own",
			"hint", "use tls=verify-full with ca=FILE where the network is not yours")
	case !tlsClient.Verified():
		log.Warn("tls=require without ca= does not verify the database: the credential goes to whoever answers",
			"hint", "use tls=verify-full, with ca=FILE if the certificate is from a CA of your own")
	}
	if region, ok := awsrds.Region(r.Host); ok && r.Auth == awsIAM && r.Region != "" && r.Region != region {
		log.Warn("region= contradicts the endpoint's name; the database will refuse the token",
			"region", r.Region, "endpoint", r.Host, "hint", "leave region= out")
	}
}
