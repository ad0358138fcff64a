package proxy

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"dbvalet/tokens"
)

// An Opening is a connection to the database that is being set up. It holds a place under the
// limits. Where the client speaks first, Login does all of the rest; where the database
// speaks first, the engine calls Dial before it knows the user, and Login goes on from there. An
// Opening is for one goroutine, and its errors are *SetupErrors.
type Opening struct {
	upstream *Upstream
	search   *search
	logins   *tokens.Attempt    // nil: no credential has been asked for
	cache    *tokens.Cache      // that logins is of
	user     string             // whom logins is for
	known    *tokens.Credential // what Credential has returned; nil: nothing yet
	endpoint Endpoint           // where the database is, once it has been dialled
	dialled  net.Conn           // for the first attempt; nil: not yet, or used
	done     bool               // logins and the place among the connections are given back, or another's
	leave    func()             // gives the place among the connections back
	ready    func()             // gives the place among those that are being set up back
}

// Begin takes a place under the limits, and waits for one if it has to. The caller closes what it
// gets.
func (u *Upstream) Begin(ctx context.Context) (*Opening, error) {
	if u.refusal != nil {
		return nil, u.refusal
	}
	leave, err := enterAll(ctx, u.Conns)
	if err != nil {
		return nil, err
	}
	ready, err := enterAll(ctx, u.Setups)
	if err != nil {
		leave()
		return nil, err
	}
	return &Opening{upstream: u, search: u.newSearch(), leave: leave, ready: ready}, nil
}

// Yield reports whether this Opening should be closed, if it can be, for somebody who waits for its place
// among those that are being set up.
func (o *Opening) Yield() bool {
	i := slices.IndexFunc(o.upstream.Setups, (*Limit).yield)
	if i < 0 {
		return false
	}
	ready := o.ready
	o.ready = func() {
		ready()
		o.upstream.Setups[i].yielded()
	}
	return true
}

// Close gives up what Login has not turned into a connection, and does nothing after that.
func (o *Opening) Close() {
	if o.dialled != nil {
		o.dialled.Close()
		o.dialled = nil
	}
	if o.ready != nil {
		o.ready()
		o.ready = nil
	}
	if o.done {
		return
	}
	o.done = true
	o.again()
	o.leave()
}

// Credential asks for user's credential ahead of Login.
func (o *Opening) Credential(ctx context.Context, user string) (tokens.Credential, error) {
	o.begin(user)
	done := Measure(ctx, StageCredential)
	cred, err := o.logins.Peek(ctx)
	done()
	if err != nil {
		return cred, o.explain(ctx, atStage(StageCredential, err))
	}
	o.known = &cred
	return cred, nil
}

// Known returns the credential for the host that Dial has found, if Credential was called; nil if it
// was not.
func (o *Opening) Known() *tokens.Credential { return o.known }

// Credentials are those for the host that Login has found.
func (o *Opening) Credentials() *tokens.Cache { return o.search.place().Credentials }

// begin begins to log in as user, unless that has begun.
func (o *Opening) begin(user string) {
	cache := o.Credentials()
	if o.logins != nil {
		if o.cache == cache && (o.user == user || cache.Shared) {
			return
		}
		o.logins.Close()
	}
	o.logins, o.cache, o.user = cache.Begin(user), cache, user
}

// again gives up what the last try held: while this one waits, others are not to wait for it, and the
// next host may take other credentials.
func (o *Opening) again() {
	if o.logins != nil {
		o.logins.Close()
	}
	o.logins, o.known = nil, nil
}

// Dial opens the bare connection that Login uses first, to a host whose greeting greet can read from
// it; it tries others, or again, as Login does. It is the Opening's to close, and the caller's to read
// from until then; no deadline is set on it. Where only the credential says where the database is, it is
// asked for, and where Credential was called, it is known for the host that is found.
func (o *Opening) Dial(ctx context.Context, greet func(context.Context, net.Conn) error) (net.Conn, error) {
	ahead := o.known != nil
	for {
		conn, err := o.reach(ctx, ahead, greet)
		if err == nil {
			o.dialled = conn
			return conn, nil
		}
		if err = o.search.next(ctx, err); err != nil {
			return nil, err
		}
		o.again()
	}
}

// reach opens a connection to the present host, and has it greeted.
func (o *Opening) reach(ctx context.Context, ahead bool, greet func(context.Context, net.Conn) error) (net.Conn, error) {
	var cred tokens.Credential
	if o.known == nil && (ahead || o.search.place().Locate != nil) {
		if _, err := o.Credential(ctx, o.user); err != nil {
			return nil, err
		}
	}
	if o.known != nil {
		cred = *o.known
	}
	ctx, cancel := share(ctx, o.search.left())
	defer cancel()
	conn, err := o.dial(ctx, cred)
	if err != nil {
		return nil, err
	}
	if err := greet(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// Endpoint returns where Dial, or Login, has found the database.
func (o *Opening) Endpoint() Endpoint { return o.endpoint }

// dial opens a bare connection to the database that cred is for.
func (o *Opening) dial(ctx context.Context, cred tokens.Credential) (net.Conn, error) {
	place := o.search.place()
	o.endpoint = place.Endpoint
	if place.Locate != nil {
		var err error
		if o.endpoint, err = place.Locate(cred); err != nil {
			return nil, atStage(StageCredential, err)
		}
	}
	o.endpoint.Target = o.search.target()
	stepsOf(ctx).toward(o.endpoint.Addr)
	defer Measure(ctx, StageDial)()
	return o.upstream.dial(ctx, o.endpoint)
}

// Login logs in as user. Where the database refuses the credential and there is another, it tries
// again on a new connection; as long as the client has been told nothing of the login, it does not
// notice. The same goes for a host that can't be reached or will not do, as far as there are others or
// it is worth waiting; see search. The end of ctx is the end of the time for all of it.
//
// What Dial opened is handed to login, or still open if there is no credential to log in with.
func (o *Opening) Login(ctx context.Context, user string, login Login) (*UpstreamConn, error) {
	for {
		conn, err := o.logIn(ctx, user, login)
		if err == nil {
			o.search.found()
			return conn, nil
		}
		if err = o.search.next(ctx, err); err != nil {
			return nil, err
		}
		o.again()
	}
}

// logIn logs in as user on the present host.
func (o *Opening) logIn(ctx context.Context, user string, login Login) (*UpstreamConn, error) {
	o.begin(user)
	done := Measure(ctx, StageCredential)
	cred, err := o.logins.Credential(ctx)
	done()
	for err == nil {
		var conn net.Conn
		conn, err = o.attempt(ctx, cred, login)
		if err == nil {
			o.logins.Accepted()
			o.done, o.known = true, nil
			cred.Password = tokens.Secret{} // a session lasts, and has no use for it
			return &UpstreamConn{Conn: conn, Credential: cred, Endpoint: o.endpoint, logins: o.logins, release: o.leave}, nil
		}
		if !errors.Is(err, ErrRejected) {
			return nil, err
		}
		rejected := cred
		done := Measure(ctx, StageCredential)
		cred, err = o.logins.Refused(ctx, err)
		done()
		if err == nil {
			o.upstream.Log.Info("credential rejected, trying another", "stage", StageAuth, "user", user, "rejected", rejected, "next", cred)
		}
	}
	return nil, o.explain(ctx, atStage(StageCredential, err))
}

// attempt logs in once, on the connection that is there or else on a new one.
func (o *Opening) attempt(ctx context.Context, cred tokens.Credential, login Login) (net.Conn, error) {
	ctx, cancel := share(ctx, o.search.left())
	defer cancel()
	bare := o.dialled
	o.dialled = nil
	if bare == nil {
		var err error
		if bare, err = o.dial(ctx, cred); err != nil {
			return nil, err
		}
	}
	disarm := deadlineFrom(ctx, bare.SetDeadline)
	done := Measure(ctx, StageAuth)
	conn, err := login(ctx, bare, o.endpoint, cred)
	if err == nil || stageOf(err) == StageAuth {
		done() // else TLS, or what the client asked for, was in the way
	}
	if !disarm() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		bare.Close()
		return nil, atStage(StageAuth, err)
	}
	return conn, nil
}

// explainTime is how long a client waits for the reason of a refusal.
const explainTime = 3 * time.Second

// explain adds what the source of the credential knows about the reason, where err is a refusal.
func (o *Opening) explain(ctx context.Context, err error) error {
	if !errors.Is(err, ErrRejected) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, explainTime)
	defer cancel()
	if advice := o.logins.Explain(ctx); advice != "" {
		return &SetupError{Stage: StageAuth, Err: err, Advice: advice}
	}
	return err
}
