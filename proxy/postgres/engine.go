package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Engine speaks PostgreSQL for one route. Its exported fields are set before the first use and not
// changed after it.
type Engine struct {
	// User is the database user of every session; empty means the one that the client names.
	User string
	// Database is for clients that name none; empty leaves it to the server, which takes the user's
	// name.
	Database string
	// RequireAuth limits how the database may ask for the credential.
	RequireAuth proxy.Methods
	// Direct begins TLS without asking first (sslnegotiation=direct, PostgreSQL 17).
	Direct bool
	// Password is what clients have to know; nil: they are asked for nothing.
	Password *Verifier

	cancelKeys cancelKeys
}

var _ proxy.Engine = (*Engine)(nil)

// Handshake implements proxy.Engine.
func (e *Engine) Handshake(ctx context.Context, client *proxy.Client, up *proxy.Upstream) (*proxy.Session, error) {
	client.Turn()
	first, err := readStartup(client)
	if err != nil {
		return nil, refuseStartup(ctx, client, err)
	}
	request, isCancel := first.(cancelRequest)
	if isCancel || e.Password == nil { // else it has not said who it is
		client.Spoke()
	}
	if isCancel {
		return nil, e.cancel(ctx, up, request)
	}
	session, err := e.open(ctx, client, up, first.(*startupMessage))
	if err != nil {
		if evicted := evictedBy(ctx); evicted != nil {
			err = evicted
		}
		tell(client, err)
		return nil, err
	}
	return session, nil
}

// open logs in to the database on behalf of a client that wants a session.
func (e *Engine) open(ctx context.Context, client *proxy.Client, up *proxy.Upstream, start *startupMessage) (*proxy.Session, error) {
	start, user, err := e.admit(client, up, start)
	if err != nil {
		return nil, err
	}
	if e.Password != nil {
		if err := e.Password.ask(client, localBinding(client), cmp.Or(start.get("user"), user)); err != nil {
			return nil, err
		}
		client.Spoke()
	}

	var done *login
	conn, err := up.Connect(ctx, user, func(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential) (net.Conn, error) {
		if cred.User == "" {
			cred.User = user
		}
		if to.Database != "" && start.get("database") == "" {
			start = start.with("database", to.Database)
		}
		if err := client.Door.CheckDatabase(databaseOf(start, to, cred.User)); err != nil {
			return nil, err
		}
		encrypted, err := e.startTLS(ctx, bare, to)
		if err != nil {
			return nil, err
		}
		if done, err = e.logIn(encrypted, start.with("user", cred.User), cred); err != nil {
			return nil, err
		}
		return encrypted, done.checkTarget(to.Target)
	})
	if err != nil {
		return nil, err
	}

	forget := func() {}
	passOn := &prologue{client: client.Conn, upstream: io.MultiReader(bytes.NewReader(done.heard), conn.Conn), first: done.passOn, gotKey: func(key string) {
		forget() // a server that sends a second key means that one
		to := conn.Endpoint
		to.Addr = conn.RemoteAddr().String()
		forget = e.cancelKeys.add(key, to)
	}}
	return &proxy.Session{
		Upstream:    conn,
		Prologue:    passOn.run,
		Ended:       func() { forget() },
		User:        done.cred.User,
		Database:    start.get("database"),
		Application: start.get("application_name"),
		SilentHint:  e.silentHint(),
		Reply:       replyOf,
		Farewell:    farewell,
		Quit:        terminate,
	}, nil
}

// silentHint is for clients that find the login not good enough.
func (e *Engine) silentHint() string {
	if e.Password != nil {
		return "if the client says that the server asked for no certificate: leave sslcertmode=require out of the client's settings, " +
			"or name a CA in local_client_ca= on the route"
	}
	return "if the client says that the server did not authenticate it: leave channel_binding=require, require_auth and " +
		"sslcertmode=require out of the client's settings, or set local_password= and local_tls= on the route; " +
		"dbvalet keeps them toward the database"
}

// evictedBy returns why the client has to make room for others, nil if it has not.
func evictedBy(ctx context.Context) error {
	if e, ok := errors.AsType[*proxy.SetupError](context.Cause(ctx)); ok {
		return e
	}
	return nil
}

// refuseStartup tells client what was wrong with its first words, where it has some understanding of
// ours, and returns the error for the log, which is nil if nothing was wrong.
func refuseStartup(ctx context.Context, client net.Conn, err error) error {
	if err == io.EOF {
		return nil // a probe of the port
	}
	_, deaf := errors.AsType[brokenTLS](err)
	_, ours := errors.AsType[coded](err)
	if evicted := evictedBy(ctx); evicted != nil {
		err, ours = evicted, true
	}
	if ours && !deaf {
		tell(client, err)
	}
	if _, ok := errors.AsType[*proxy.SetupError](err); ok {
		return err
	}
	return &proxy.SetupError{Stage: proxy.StageClient, Err: fmt.Errorf("read the startup packet: %w", err)}
}
