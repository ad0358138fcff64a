package diagnose

import (
	"cmp"
	"context"
	"errors"

	"dbvalet/proxy"
)

// session takes the steps that are made on one connection: tls, login and query.
func (v *visit) session(ctx context.Context) {
	if v.conn == nil || !v.sound() || ctx.Err() != nil {
		for _, name := range []string{TLS, Login, Query} {
			v.note(name, Step{Status: Skipped})
		}
		return
	}
	limited, cancel := context.WithTimeout(ctx, v.Timeout)
	defer cancel()
	err := v.logIn(limited)
	v.note(TLS, v.tls(ctx, err))
	v.note(Login, v.login(ctx, err))
	v.note(Query, v.query(err))
}

// logIn logs in, with another credential if the database refuses the first and there is one, as it is done for
// clients.
func (v *visit) logIn(ctx context.Context) error {
	for {
		v.probe = proxy.Probe{}
		err := v.Engine.Probe(ctx, v.conn, v.to, v.cred, &v.probe)
		v.conn.Close()
		v.conn = nil
		if err == nil {
			v.attempt.Accepted()
			return nil
		}
		if !errors.Is(err, proxy.ErrRejected) {
			return err
		}
		next, none := v.attempt.Refused(ctx, err)
		if none != nil {
			return err
		}
		next.User = cmp.Or(next.User, v.User)
		v.cred = next
		if v.conn, none = v.again(ctx); none != nil {
			return err
		}
	}
}

// query is SELECT 1.
func (v *visit) query(err error) Step {
	switch {
	case !v.probe.LoggedIn:
		return Step{Status: Skipped}
	case !v.probe.Answered:
		step := v.failure(err)
		step.Took = v.probe.QueryTook
		return step
	}
	return Step{Status: OK, Took: v.probe.QueryTook, Text: "SELECT 1"}
}

// code is what a database calls its refusal; empty: it was not the database who said no.
func code(err error) string {
	if e, ok := errors.AsType[interface {
		error
		Code() string
	}](err); ok {
		return e.Code()
	}
	return ""
}
