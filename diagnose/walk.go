package diagnose

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// An Engine logs in to a database to find out how that goes.
type Engine interface {
	Probe(ctx context.Context, bare net.Conn, to proxy.Endpoint, cred tokens.Credential, p *proxy.Probe) error
}

// A Walk is the way to one database, as dbvalet serves it. Its fields are set before Run.
type Walk struct {
	Name     string // of the route
	Upstream string // the route's URL without its options, with one host
	Scheme   string // postgres or mysql
	Host     string // that the route names; empty: none
	User     string // to log in as; empty: as the credential says
	Database string // that the route names; empty: none
	Source   string // of the credential, without what may be secret
	// NameGiven says that the route names what the certificate is made out to.
	NameGiven bool

	Engine   Engine
	Place    proxy.Place
	Resolver *net.Resolver // nil: net.DefaultResolver
	Via      string        // what the Endpoint's Dialer goes through; empty: it has none
	// Timeout is how long a step may take; TLS, login and query count as one.
	Timeout time.Duration
}

// Run goes the way to its end or to where it can't go on, and tells each step when it is done; each may be
// nil. The end of ctx is the end of all steps.
func (w *Walk) Run(ctx context.Context, each func(Step)) *Report {
	v := &visit{Walk: w, report: &Report{Route: w.Name, Upstream: w.Upstream}, each: each}
	defer v.close()
	v.take(ctx, Identity, true, v.identity)
	v.take(ctx, Credential, v.sound(), v.credential)
	v.locate()
	v.take(ctx, DNS, true, v.dns)
	v.take(ctx, TCP, v.sound(), v.tcp)
	v.session(ctx)
	v.take(ctx, Clock, true, v.clock)
	return v.report
}

// A visit is one Run.
type visit struct {
	*Walk
	report *Report
	each   func(Step)

	who     tokens.Identity
	attempt *tokens.Attempt // nil: nothing was asked for
	cred    tokens.Credential
	to      proxy.Endpoint
	located bool
	alias   string // the RDS endpoint that the route's host is an alias of; empty: none
	private bool   // all addresses are of private networks
	addrs   []string
	conn    net.Conn // to the database; nil: none
	local   net.Addr // our end of it
	probe   proxy.Probe
}

// sound reports whether nothing has failed so far.
func (v *visit) sound() bool { return v.report.Failed == "" }

// take takes a step, if it is to be taken, and notes it.
func (v *visit) take(ctx context.Context, name string, now bool, do func(context.Context) Step) {
	step := Step{Status: Skipped}
	if now && ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(ctx, v.Timeout)
		done := proxy.Took(&step.Took)
		took := do(ctx)
		cancel()
		done()
		if took.Took == 0 && took.Status != Skipped {
			took.Took = step.Took
		}
		step = took
	}
	v.note(name, step)
}

func (v *visit) note(name string, step Step) {
	step.Name = name
	v.report.add(step)
	if v.each != nil {
		v.each(v.report.Steps[len(v.report.Steps)-1])
	}
}

// locate says where the database is, unless that is known only with the credential that there is not.
func (v *visit) locate() {
	if v.Place.Locate == nil {
		v.to, v.located = v.Place.Endpoint, true
	}
}

func (v *visit) close() {
	if v.conn != nil {
		v.conn.Close()
	}
	if v.attempt != nil {
		v.attempt.Close()
	}
}

// failure is the step that ended with err, with the advice that err has.
func (v *visit) failure(err error) Step {
	return failed(proxy.Printable(err.Error()), v.hint(err))
}

// hint is the advice that err has. That of the proxy for what takes too long is about clients.
func (v *visit) hint(err error) string {
	if _, own := errors.AsType[interface {
		error
		Hint() string
	}](err); !own && proxy.Advice(err) == "" && timedOut(err) {
		return "find out what takes so long, or give it more time with --timeout"
	}
	return proxy.Hint(err)
}

func timedOut(err error) bool {
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

func (v *visit) resolver() *net.Resolver {
	if v.Resolver != nil {
		return v.Resolver
	}
	return net.DefaultResolver
}
