// Package proxytest has a small proxy for the tests of those who observe one: an engine without a
// protocol between real sockets, which fails at whatever stage is wanted.
package proxytest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"dbvalet/peer"
	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Secret is the password that clients of a Server log in with. No observer may show it.
const Secret = "correct-horse-battery"

// Expires is when that is no longer good.
func Expires() time.Time { return time.Now().Add(time.Hour).Truncate(time.Second) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// New returns a Server that joins clients to something that echoes what they say.
func New(t testing.TB, observer proxy.Observer) *proxy.Server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	return &proxy.Server{
		Engine: Joins{}, Observer: observer, Log: log, Finder: &peer.Finder{Patience: patience},
		Upstream: &proxy.Upstream{
			Endpoint:    proxy.Endpoint{Addr: echo(t)},
			Credentials: &tokens.Cache{Source: Source{}, Log: log},
			Log:         log,
		},
	}
}

// Source gives Secret, or fails with Err.
type Source struct{ Err error }

// Credential returns a credential that expires.
func (s Source) Credential(context.Context, string) (tokens.Credential, error) {
	return tokens.Credential{Password: tokens.NewSecret(Secret), ID: "key 7", Expires: Expires()}, s.Err
}

// Joins is an Engine whose clients say nothing of their own. Its logins fail with Err, where that is set.
type Joins struct {
	Err    error
	Reject func() error // nil: none is rejected
}

// Handshake connects client to the upstream.
func (e Joins) Handshake(ctx context.Context, client *proxy.Client, up *proxy.Upstream) (*proxy.Session, error) {
	if err := client.Refusal(); err != nil {
		return nil, err
	}
	conn, err := up.Connect(ctx, "app", func(ctx context.Context, conn net.Conn, _ proxy.Endpoint, _ tokens.Credential) (net.Conn, error) {
		done := proxy.Measure(ctx, proxy.StageTLS)
		done()
		if e.Reject != nil {
			if err := e.Reject(); err != nil {
				return nil, err
			}
		}
		return conn, e.Err
	})
	if err != nil {
		return nil, err
	}
	return &proxy.Session{Upstream: conn, User: "app", Database: "orders", Application: "test\x1b[31m"}, nil
}

// At returns what makes s fail at a stage.
func At(t testing.TB, s *proxy.Server, stage proxy.Stage) {
	t.Helper()
	err := errors.New("refused at " + string(stage))
	switch stage {
	case proxy.StagePeer:
		nobody, err := peer.ParsePolicy("4294967000") // not this test's user
		if err != nil {
			t.Fatal(err)
		}
		s.Door.Allow = nobody
	case proxy.StageLimit:
		full := &proxy.Limit{Max: 1, Name: "max_connections"}
		s.Upstream.Conns = []*proxy.Limit{full, full} // the second place is never there
	case proxy.StageCredential:
		s.Upstream.Credentials = &tokens.Cache{Source: Source{err}, Log: s.Log}
	case proxy.StageDial:
		ln := listen(t)
		ln.Close()
		s.Upstream.Endpoint.Addr = ln.Addr().String()
	default:
		s.Engine = Joins{Err: &proxy.SetupError{Stage: stage, Err: err}}
	}
}

// Serve serves clients of s until the test ends or stop is called, which returns when all is over.
func Serve(t testing.TB, s *proxy.Server) (addr string, stop func()) {
	t.Helper()
	ln := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	stop = func() { cancel(); serving.Wait() }
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// Dial connects to addr until the test ends.
func Dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// Say sends text and hears it again.
func Say(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != text {
		t.Fatalf("heard %q, %v, want %q", got, err, text)
	}
}

// HearEnd waits until the other side has closed conn.
func HearEnd(t testing.TB, conn net.Conn) {
	t.Helper()
	if got, err := io.ReadAll(conn); len(got) > 0 {
		t.Fatalf("heard %q, %v, want the end", got, err)
	}
}

// Soon waits until holds does.
func Soon(t testing.TB, what string, holds func() bool) {
	t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("no sign of %s", what)
		}
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// echo answers whatever comes on each connection, until the test ends.
func echo(t testing.TB) string {
	ln := listen(t)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return ln.Addr().String()
}
