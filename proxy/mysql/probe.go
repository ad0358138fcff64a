package mysql

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Probe logs in on bare as a client's session does, asks SELECT 1 and what time it is, and leaves; p is
// what comes of it. cred has a User. It does not close bare. The end of ctx sets bare's deadline into the
// past.
func (e *Engine) Probe(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential, p *proxy.Probe) error {
	defer context.AfterFunc(ctx, func() { _ = bare.SetDeadline(time.Unix(1, 0)) })()
	g, r, encrypted, owed, err := e.probeTLS(ctx, bare, to, p)
	if err != nil {
		return err
	}
	if err := e.probeLogin(encrypted, g, r, cred, owed, p); err != nil {
		return err
	}
	caps := r.capabilities & g.capabilities
	defer (&login{conn: encrypted}).send([]byte{mysql.COM_QUIT}) //nolint:errcheck // it is a courtesy
	return p.Ask(func(sql string) (string, error) { return queryValue(encrypted, sql, caps) }, "SELECT UNIX_TIMESTAMP(SYSDATE(6))")
}

// probeTLS is greeted, and encrypts the rest. The greeting counts to it: before it there is no TLS.
func (e *Engine) probeTLS(ctx context.Context, bare net.Conn, to proxy.Endpoint, p *proxy.Probe) (*greeting, *response, net.Conn, *proof, error) {
	defer proxy.Took(&p.TLSTook)()
	g, err := readGreeting(bare)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	if p.Server = proxy.Printable(g.version); !strings.Contains(p.Server, "MariaDB") {
		p.Server = "MySQL " + p.Server
	}
	if to.Tunnel != nil {
		g.capabilities &^= mysql.CLIENT_SSL
	}
	r := &response{capabilities: needed, maxPacket: maxLoginPacket, charset: g.charset}
	p.Database = cmp.Or(e.Database, to.Database)
	r = r.withDatabase(p.Database)
	encrypted, owed, err := e.startTLS(ctx, bare, to, g, r)
	if c, ok := encrypted.(*tls.Conn); ok && err == nil {
		state := c.ConnectionState()
		p.TLS = &state
	}
	return g, r, encrypted, owed, err
}

func (e *Engine) probeLogin(conn net.Conn, g *greeting, r *response, cred tokens.Credential, owed *proof, p *proxy.Probe) error {
	defer proxy.Took(&p.LoginTook)()
	l := e.newLogin(conn, g, cred, owed)
	_, err := l.run(g, r)
	p.Method, p.LoggedIn = l.used(), err == nil
	return err
}

// queryValue returns the first value of the one row that the server answers to sql.
func queryValue(conn net.Conn, sql string, caps uint32) (string, error) {
	l := &login{conn: conn, reader: conn}
	if err := l.send(queryPacket(sql, caps)); err != nil {
		return "", err
	}
	row, err := l.onlyRow(caps)
	if err == errNoAnswer {
		return "", proxy.LoginError("", "the server answers %s with something else than one row", sql)
	}
	if err != nil {
		return "", err
	}
	f := fields{rest: row}
	value := string(f.lenenc())
	if f.short {
		return "", proxy.LoginError("", "the server answers %s with a row that is cut short", sql)
	}
	return value, nil
}
