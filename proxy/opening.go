package proxy

import (
	"context"
	"errors"
	"net"

	"dbvalet/tokens"
)

// An Opening is a connection to the database that is being set up. It holds a place under the
// route's limit. Where the client speaks first, Login does all of the rest; where the database
// speaks first, the engine calls Dial before it knows the user, and Login goes on from there. An
// Opening is for one goroutine, and its errors are *SetupErrors.
type Opening struct {
	upstream *Upstream
	cred     *tokens.Credential // asked for ahead of Login; nil: not yet
	user     string             // whom cred is for
	dialled  net.Conn           // for the first attempt; nil: not yet, or used
	done     bool               // the place is given back, or another's
}

// Begin takes a place under the route's limit. The caller closes what it gets.
func (u *Upstream) Begin() (*Opening, error) {
	if err := u.acquire(); err != nil {
		return nil, err
	}
	return &Opening{upstream: u}, nil
}

// Close gives up what Login has not turned into a connection, and does nothing after that.
func (o *Opening) Close() {
	if o.dialled != nil {
		o.dialled.Close()
		o.dialled = nil
	}
	if !o.done {
		o.done = true
		o.upstream.release()
	}
}

// Credential asks for user's credential ahead of Login, which uses it then.
func (o *Opening) Credential(ctx context.Context, user string) (tokens.Credential, error) {
	if o.cred != nil && o.user == user {
		return *o.cred, nil
	}
	cred, err := o.upstream.Credentials.Credential(ctx, user)
	if err != nil {
		return cred, atStage(StageCredential, err)
	}
	o.cred, o.user = &cred, user
	return cred, nil
}

// Dial opens the bare connection that Login uses first. It is the Opening's to close, and the
// caller's to read from until then; no deadline is set on it.
func (o *Opening) Dial(ctx context.Context) (net.Conn, error) {
	conn, err := o.upstream.Dial(ctx, o.upstream.Addr)
	o.dialled = conn
	return conn, err
}

// Login logs in as user. Where the database refuses the credential, it asks for another and, if
// there is one, tries again once on a new connection; as long as the client has been told nothing
// of the login, it does not notice. The end of ctx is the end of the time for all of it.
//
// What Dial opened is handed to login, or still open if there is no credential to log in with.
func (o *Opening) Login(ctx context.Context, user string, login Login) (*UpstreamConn, error) {
	cred, err := o.Credential(ctx, user)
	if err != nil {
		return nil, err
	}
	conn, err := o.attempt(ctx, cred, login)
	if errors.Is(err, ErrRejected) {
		cred, conn, err = o.retry(ctx, user, cred, login, err)
	}
	if err != nil {
		return nil, err
	}
	o.done = true
	return &UpstreamConn{Conn: conn, Credential: cred, release: o.upstream.release}, nil
}

// attempt logs in once, on the connection that is there or else on a new one.
func (o *Opening) attempt(ctx context.Context, cred tokens.Credential, login Login) (net.Conn, error) {
	bare := o.dialled
	o.dialled = nil
	if bare == nil {
		var err error
		if bare, err = o.upstream.Dial(ctx, o.upstream.Addr); err != nil {
			return nil, err
		}
	}
	disarm := deadlineFrom(ctx, bare.SetDeadline)
	conn, err := login(ctx, bare, cred)
	if !disarm() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		bare.Close()
		return nil, atStage(StageAuth, err)
	}
	return conn, nil
}

// retry follows a login that the database refused with cred. It returns refused, the database's own
// words, where there is nothing better to try.
func (o *Opening) retry(ctx context.Context, user string, cred tokens.Credential, login Login, refused error) (tokens.Credential, net.Conn, error) {
	u := o.upstream
	fresh, err := u.Credentials.Refresh(ctx, user, cred)
	if err != nil {
		if !errors.Is(err, tokens.ErrUnchanged) {
			u.Log.Warn("no other credential", append([]any{"stage", StageCredential, "user", user}, errAttrs(err)...)...)
		}
		return cred, nil, refused
	}
	u.Log.Info("credential rejected, trying another", "stage", StageAuth, "user", user, "rejected", cred, "next", fresh)
	conn, err := o.attempt(ctx, fresh, login)
	return fresh, conn, err
}
