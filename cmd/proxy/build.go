package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/proxy/mysql"
	"dbvalet/proxy/postgres"
)

// build puts the parts together that serve r. It is the only place that knows the names of all
// protocols and sources.
func build(r *config.Route, all *overall, log *slog.Logger) (*service, error) {
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

	credentials, connector, err := newCredentials(r, log)
	if err != nil {
		return fail(err)
	}
	password, err := newLocalPassword(r)
	if err != nil {
		return fail(err)
	}
	protocol, err := newProtocol(r, password)
	if err != nil {
		return fail(err)
	}
	door, err := newDoor(r, protocol)
	if err != nil {
		return fail(err)
	}
	via, err := newVia(r, log)
	if err != nil {
		return fail(err)
	}
	upstream := &proxy.Upstream{Credentials: credentials, TCP: tcp(r), Log: log}
	if via != nil {
		upstream.Tunnel = via
	}
	way := &way{route: r, protocol: protocol, via: via, log: log}
	if connector != nil {
		upstream.Endpoint = proxy.Endpoint{Addr: r.Instance, Tunnel: connector.Dial}
	} else {
		upstream.Endpoint, upstream.Locate, err = way.place()
	}
	if err == nil {
		upstream.Target, err = newTarget(r)
	}
	if err == nil {
		upstream.Others, err = newOthers(r, protocol, via, credentials, log)
	}
	var follower *proxy.Follower
	if err == nil {
		follower, err = newFollower(r, log)
	}
	if err != nil {
		return fail(err)
	}
	way.warn()
	server := &proxy.Server{Engine: protocol.engine, Upstream: upstream, Door: door, TCP: tcp(r), Log: log}
	limit(server, r, all)
	s := &service{route: r, protocol: protocol, security: way.security(), server: server, follower: follower}
	if password != nil {
		s.password = password.where
	}
	return s, nil
}

// A protocol is what a route's scheme decides.
type protocol struct {
	engine     proxy.Engine
	system     string   // its name in OpenTelemetry
	alpn       []string // what TLS toward the database offers
	socketName string   // that clients look for in a directory of sockets
	// proves says that the database can be made to prove itself in the login, for tls=zero-config.
	proves bool
}

// newProtocol chooses the protocol.
func newProtocol(r *config.Route, password *localPassword) (protocol, error) {
	switch r.Scheme {
	case "postgres":
		engine, err := newPostgres(r, password)
		return protocol{engine, "postgresql", postgres.ALPN(), socketName(r), false}, err
	case "mysql":
		engine, err := newMySQL(r, password)
		if err != nil {
			return protocol{}, err
		}
		return protocol{engine, "mysql", nil, socketName(r), mysql.CanProve(engine.RequireAuth)}, nil
	}
	return protocol{}, fmt.Errorf("unknown protocol %q", r.Scheme)
}

// socketName is what clients of r's protocol look for in a directory.
func socketName(r *config.Route) string {
	if r.Scheme == "mysql" {
		return "mysql.sock"
	}
	return ".s.PGSQL." + r.Port
}

func newPostgres(r *config.Route, password *localPassword) (proxy.Engine, error) {
	methods, err := postgres.ParseMethods(requireAuth(r, postgres.MethodPassword))
	if err != nil {
		return nil, err
	}
	switch r.SSLNegotiation {
	case "", "postgres", "direct":
	default:
		return nil, fmt.Errorf("sslnegotiation=%s: there are postgres and direct", r.SSLNegotiation)
	}
	engine := &postgres.Engine{
		User:        r.User,
		Database:    r.Database,
		RequireAuth: methods,
		Direct:      r.SSLNegotiation == "direct",
	}
	if password != nil {
		if engine.Password, err = postgres.NewVerifier(password.secret); err != nil {
			return nil, err
		}
		engine.Password.Hint = password.hint()
	}
	return engine, nil
}

func newMySQL(r *config.Route, password *localPassword) (*mysql.Engine, error) {
	methods, err := mysql.ParseMethods(requireAuth(r, mysql.MethodPassword))
	if err != nil {
		return nil, err
	}
	if r.SSLNegotiation != "" {
		return nil, &config.Error{Route: r.Name, Err: errors.New("sslnegotiation= is an option of PostgreSQL"), Advice: "leave it out: MySQL has one way to begin TLS"}
	}
	engine := &mysql.Engine{User: r.User, Database: r.Database, RequireAuth: methods}
	if password != nil {
		engine.Password, engine.PasswordHint = mysql.NewVerifier(password.secret), password.hint()
	}
	return engine, nil
}

// requireAuth is how the database may ask for r's credential. A token is of use only as a cleartext
// password; a server that asks for anything else is not the one that the token is for, or not set up
// for it.
func requireAuth(r *config.Route, cleartext string) string {
	if mints(r) {
		return cmp.Or(r.RequireAuth, cleartext)
	}
	return r.RequireAuth
}
