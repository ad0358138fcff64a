package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Probe logs in on bare as a client's session does, asks SELECT 1 and what time it is, and leaves; p is
// what comes of it. cred has a User. It does not close bare. The end of ctx sets bare's deadline into the
// past.
func (e *Engine) Probe(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential, p *proxy.Probe) error {
	defer context.AfterFunc(ctx, func() { _ = bare.SetDeadline(time.Unix(1, 0)) })()
	encrypted, err := e.probeTLS(ctx, bare, to, p)
	if err != nil {
		return err
	}
	p.Database = cmp.Or(e.Database, to.Database, pingDatabase)
	l, err := e.probeLogin(encrypted, cred, p)
	if err != nil {
		return err
	}
	defer l.send(&pgproto3.Terminate{}) //nolint:errcheck // it is a courtesy
	return p.Ask(l.value, "SELECT extract(epoch FROM pg_catalog.clock_timestamp())")
}

func (e *Engine) probeTLS(ctx context.Context, bare net.Conn, to proxy.Endpoint, p *proxy.Probe) (net.Conn, error) {
	defer proxy.Took(&p.TLSTook)()
	encrypted, err := e.startTLS(ctx, bare, to)
	if c, ok := encrypted.(*tls.Conn); ok && err == nil {
		state := c.ConnectionState()
		p.TLS = &state
	}
	return encrypted, err
}

// probeLogin logs in up to ReadyForQuery: that there is no such database, or no place, a server says only
// after it has accepted the credential.
func (e *Engine) probeLogin(conn net.Conn, cred tokens.Credential, p *proxy.Probe) (*login, error) {
	defer proxy.Took(&p.LoginTook)()
	start, err := pingStartup(cred.User, p.Database, "dbvalet check")
	if err != nil {
		return nil, err
	}
	l, err := e.logIn(conn, start, cred)
	if l != nil {
		p.Method = l.method
	}
	if err != nil {
		return nil, err
	}
	err = l.hear(func(m message) {
		var status pgproto3.ParameterStatus
		if m.kind() == 'S' && status.Decode(m.body()) == nil && status.Name == "server_version" {
			p.Server = "PostgreSQL " + proxy.Printable(status.Value)
		}
	})
	p.LoggedIn = err == nil
	return l, err
}

// value returns the first value of the last row that the server answers to sql; empty: there is none.
func (l *login) value(sql string) (value string, err error) {
	if err := l.send(&pgproto3.Query{String: sql}); err != nil {
		return "", err
	}
	err = l.hear(func(m message) {
		var row pgproto3.DataRow
		if m.kind() == 'D' && row.Decode(m.body()) == nil && len(row.Values) > 0 {
			value = string(row.Values[0])
		}
	})
	if e, ok := errors.AsType[*proxy.SetupError](err); ok && e.Advice == "" {
		e.Advice = proxy.SeeLog
	}
	return value, err
}
