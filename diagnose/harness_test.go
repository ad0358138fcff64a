package diagnose

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

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
	p.Tell(time.Now(), time.Now())
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

// A zone is what a name server knows: names with a dot at the end.
type zone struct {
	aliases   map[string]string
	addresses map[string][]string
	failing   bool // it knows nothing, and says so
	silent    bool // it says nothing
}

// serve answers until the test ends, and returns a resolver that asks it.
func (z zone) serve(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := z.answer(buf[:n]); err == nil && !z.silent {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (z zone) answer(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	name := question.Name.String()
	_, isAlias := z.aliases[name]
	switch {
	case z.failing:
		header.RCode = dnsmessage.RCodeServerFailure
	case !isAlias && z.addresses[name] == nil:
		header.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, header)
	if err := errors.Join(b.StartQuestions(), b.Question(question), b.StartAnswers()); err != nil {
		return nil, err
	}
	at := func(name string) dnsmessage.ResourceHeader {
		return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 1}
	}
	for z.aliases[name] != "" && !z.failing {
		if err := b.CNAMEResource(at(name), dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(z.aliases[name])}); err != nil {
			return nil, err
		}
		name = z.aliases[name]
	}
	for _, text := range z.addresses[name] {
		addr := netip.MustParseAddr(text)
		switch {
		case addr.Is4() && question.Type == dnsmessage.TypeA:
			err = b.AResource(at(name), dnsmessage.AResource{A: addr.As4()})
		case addr.Is6() && question.Type == dnsmessage.TypeAAAA:
			err = b.AAAAResource(at(name), dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}
