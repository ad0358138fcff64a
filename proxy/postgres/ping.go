package postgres

import (
	"cmp"
	"context"
	"errors"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// pingDatabase is the one that nearly every server has, those of the clouds included, for routes that
// leave the database to the client.
const pingDatabase = "postgres"

// maxReadyMessages is how many messages may come between the login and its end: a ParameterStatus for
// each setting that is reported, and a notice here and there.
const maxReadyMessages = 256

// Ping logs in to the database as a client's session does, and leaves. The engine has to have a User.
func (e *Engine) Ping(ctx context.Context, up *proxy.Upstream) error {
	if e.User == "" {
		return errors.New("the route has no user to log in as")
	}
	conn, err := up.Connect(ctx, e.User, func(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential) (net.Conn, error) {
		cred.User = cmp.Or(cred.User, e.User)
		start, err := pingStartup(cred.User, cmp.Or(e.Database, to.Database, pingDatabase), "dbvalet health")
		if err != nil {
			return nil, err
		}
		encrypted, err := e.startTLS(ctx, bare, to)
		if err != nil {
			return nil, err
		}
		l, err := e.logIn(encrypted, start, cred)
		if err != nil {
			return nil, err
		}
		if to.Target != proxy.AnyServer {
			return encrypted, l.checkTarget(to.Target)
		}
		return encrypted, l.awaitReady()
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	terminate, err := (&pgproto3.Terminate{}).Encode(nil)
	if err == nil {
		_, _ = conn.Write(terminate) // it is a courtesy: the login has succeeded
	}
	return nil
}

// pingStartup is the StartupMessage of a client that only looks whether it gets in.
func pingStartup(user, database, application string) (*startupMessage, error) {
	packet, err := (&pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters:      map[string]string{"user": user, "database": database, "application_name": application},
	}).Encode(nil)
	if err != nil {
		return nil, err
	}
	return parseStartupMessage(packet)
}

// What the server says of the database only after it has accepted the login.
const (
	invalidCatalogName    = "3D000"
	insufficientPrivilege = "42501"
)

// awaitReady reads what comes after the login, up to ReadyForQuery: a server that has accepted it may
// still have no place, or be starting up. That there is no such database, or not for this user, is no
// failure of the login.
func (l *login) awaitReady() error {
	for range maxReadyMessages {
		m, err := readMessage(l.conn, maxLoginMessage)
		if err != nil {
			return lost(err)
		}
		switch m.kind() {
		case 'Z':
			return nil
		case 'E':
			err := l.refused(m)
			if e, ok := errors.AsType[*databaseError](err); ok && (e.response.Code == invalidCatalogName || e.response.Code == insufficientPrivilege) {
				return nil
			}
			return err
		}
	}
	return proxy.LoginError("", "more than %d messages after the login", maxReadyMessages)
}
