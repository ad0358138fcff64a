package diagnose

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/integration/dnsfake"
	"dbvalet/proxy"
	dbtls "dbvalet/tls"
	"dbvalet/tokens"
)

// secret is a password that nothing may print.
const secret = "hunter2secret"

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// A source gives a password, and remembers nothing.
type source struct{}

func (source) Credential(context.Context, string) (tokens.Credential, error) {
	return tokens.Credential{Password: tokens.NewSecret(secret), ID: "the-id"}, nil
}

// probing is an Engine of one function.
type probing func(conn net.Conn, cred tokens.Credential, p *proxy.Probe) error

func (f probing) Probe(_ context.Context, bare net.Conn, _ proxy.Endpoint, cred tokens.Credential, p *proxy.Probe) error {
	return f(bare, cred, p)
}

// good is an engine for which all is well.
func good(_ net.Conn, _ tokens.Credential, p *proxy.Probe) error {
	if p.TLS == nil {
		p.TLS = &tls.ConnectionState{Version: tls.VersionTLS13}
	}
	p.LoggedIn, p.Answered, p.Method, p.Server = true, true, "password", "PostgreSQL 18"
	p.LoginTook, p.QueryTook = 3*time.Millisecond, time.Millisecond
	p.Clock, p.ClockAt = time.Now(), time.Now().Round(0)
	return nil
}

// walk is one to addr, with an engine that has found out what f says.
func walk(t *testing.T, addr string, f probing) *Walk {
	t.Helper()
	host, _, _ := net.SplitHostPort(addr)
	client, err := dbtls.New(dbtls.Options{Mode: dbtls.Require, Host: "db.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	w := &Walk{
		Name: "orders", Upstream: "postgres://app@" + host + "/orders", Scheme: "postgres", Host: host, User: "app", Database: "orders",
		Source: "env:PW", Engine: f, Timeout: patience,
		Place: proxy.Place{Endpoint: proxy.Endpoint{Addr: addr, TLS: client}, Credentials: &tokens.Cache{Source: source{}}},
	}
	t.Cleanup(w.Place.Credentials.Close)
	return w
}

// run runs w, and returns the step of that name.
func run(t *testing.T, w *Walk, name string) (Step, *Report) {
	t.Helper()
	told := 0
	r := w.Run(t.Context(), func(Step) { told++ })
	if told != len(Steps()) || len(r.Steps) != told {
		t.Errorf("%d steps were told, and %d are in the report", told, len(r.Steps))
	}
	for i, s := range r.Steps {
		if s.Name != Steps()[i] {
			t.Errorf("step %d is %s", i, s.Name)
		}
	}
	for _, s := range r.Steps {
		if s.Name == name {
			return s, r
		}
	}
	t.Fatalf("no step %s", name)
	return Step{}, nil
}

// allOf is everything that s says to do.
func allOf(s Step) string {
	var b strings.Builder
	for _, a := range s.Advice {
		b.WriteString(a.Text + "\n" + a.Copy + "\n")
	}
	return b.String()
}

// open is a port where connections are accepted and kept until the test ends.
func open(t *testing.T, addr string) string {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait()
		for _, conn := range conns {
			conn.Close()
		}
	})
	return ln.Addr().String()
}

// names has w look names up in z.
func names(t *testing.T, w *Walk, z dnsfake.Zone) *Walk {
	t.Helper()
	server, err := dnsfake.Start("127.0.0.1:0", z)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w.Resolver = server.Resolver()
	return w
}
