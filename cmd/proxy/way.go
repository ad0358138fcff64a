package main

import (
	"cmp"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"

	"dbvalet/config"
	"dbvalet/proxy"
	dbtls "dbvalet/tls"
	"dbvalet/tokens"
	"dbvalet/tokens/awsrds"
	"dbvalet/tunnel"
)

// A way is how a route's database is reached and verified. It makes an Endpoint for each database that
// there turns out to be: usually one, and more only where it is a secret that names the host, and it
// changes.
type way struct {
	route    *config.Route
	protocol protocol
	via      *tunnel.Dialer // nil: it is reached directly
	log      *slog.Logger

	mu   sync.Mutex
	host string        // that tls is for
	tls  *dbtls.Client // the last one; nil: none yet
}

// place returns where the database is, or what finds that with the credential.
func (w *way) place() (to proxy.Endpoint, locate func(tokens.Credential) (proxy.Endpoint, error), err error) {
	r := w.route
	if !r.HasSecret() || r.Host != "" && !r.PortLeftOut && r.Database != "" {
		to, err = w.to(r.Host, r.Port)
		return to, nil, err
	}
	// The settings are checked now; the secret may name another host.
	_, err = w.to(cmp.Or(r.Host, "host.invalid"), r.Port)
	return proxy.Endpoint{}, w.locate, err
}

// locate returns where the database is that cred is for, as far as the route leaves that to the secret.
func (w *way) locate(cred tokens.Credential) (proxy.Endpoint, error) {
	r := w.route
	fail := func(text, advice string) (proxy.Endpoint, error) {
		return proxy.Endpoint{}, &config.Error{Route: r.Name, Err: errors.New(text), Advice: advice}
	}
	host, port := cmp.Or(r.Host, cred.Host), r.Port
	if r.PortLeftOut && cred.Port != "" {
		port = cred.Port
	}
	if host == "" {
		return fail("neither the route nor the secret names the database's host", "write the host in the route, or put a host into the secret")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fail("the secret's port is none", "write the port in the route, or correct it in the secret")
	}
	to, err := w.to(host, port)
	if err != nil {
		return proxy.Endpoint{}, &config.Error{Route: r.Name, Err: err, Advice: proxy.Hint(err)}
	}
	to.Database = cmp.Or(r.Database, cred.Database)
	return to, nil
}

// to returns the Endpoint for host.
func (w *way) to(host, port string) (proxy.Endpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tls == nil || w.host != host {
		client, err := w.newTLS(host)
		if err != nil {
			return proxy.Endpoint{}, err
		}
		w.host, w.tls = host, client
	}
	to := proxy.Endpoint{Addr: cmp.Or(w.route.Dial, net.JoinHostPort(host, port)), TLS: w.tls}
	if w.via != nil {
		to.Dialer = w.via.DialContext
	}
	return to, nil
}

// newTLS makes what verifies the database at host.
func (w *way) newTLS(host string) (*dbtls.Client, error) {
	r := w.route
	mode, err := dbtls.ParseMode(cmp.Or(r.TLS, dbtls.VerifyFull.String()))
	if err != nil {
		return nil, err
	}
	client, err := dbtls.New(dbtls.Options{
		Mode:       mode,
		Host:       host,
		ServerName: r.TLSServerName,
		CAFile:     r.CA,
		NextProtos: w.protocol.alpn,
	})
	if err != nil {
		return nil, err
	}
	if client.Unproven() && (!w.protocol.proves || mints(r)) {
		return nil, &config.Error{
			Route: r.Name, Err: errors.New("tls=zero-config is for MariaDB and for passwords that are not sent to it: not for PostgreSQL, for tokens, or with require_auth=password"),
			Advice: "use tls=verify-full, with ca=FILE if the certificate is from a CA of your own",
		}
	}
	return client, nil
}

// security says how the database is verified, for the line that announces the route.
func (w *way) security() string {
	switch {
	case w.tls == nil:
		return "Cloud SQL connector"
	case w.route.Host == "":
		return "TLS " + cmp.Or(w.route.TLS, dbtls.VerifyFull.String())
	}
	return w.tls.Describe()
}

// warn says at the start what a user should know who wrote the route.
func (w *way) warn() {
	r := w.route
	switch {
	case w.tls == nil:
	case w.tls.Unproven():
		w.log.Warn("tls=zero-config verifies the database only after the login: somebody in between can use a login of ours for one of their own",
			"hint", "use tls=verify-full with ca=FILE where the network is not yours")
	case !w.tls.Verified():
		w.log.Warn("tls=require without ca= does not verify the database: the credential goes to whoever answers",
			"hint", "use tls=verify-full, with ca=FILE if the certificate is from a CA of your own")
	}
	if region, ok := awsrds.Region(r.Host); ok && r.Auth == awsIAM && r.Region != "" && r.Region != region {
		w.log.Warn("region= contradicts the endpoint's name; the database will refuse the token",
			"region", r.Region, "endpoint", r.Host, "hint", "leave region= out")
	}
}
