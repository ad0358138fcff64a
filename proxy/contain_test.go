package proxy

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"dbvalet/tokens"
)

// panics is an Engine with a defect, for every client but the first.
type panics struct {
	joins
	value any
	calls *atomic.Int64
}

func (e panics) Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error) {
	if e.calls.Add(1) > 1 {
		panic(e.value)
	}
	return e.joins.Handshake(ctx, client, up)
}

// A panic ends its connection and no other, gives its places back, and is told without its value,
// which may be anything.
func TestPanicEndsItsConnectionOnly(t *testing.T) {
	var out syncBuffer
	s := newServer(echo(t))
	s.Log = newTextLog(&out)
	s.Engine = panics{value: errors.New("password=hunter2"), calls: new(atomic.Int64)}
	addr, stop := s.serve(t)
	good := dial(t, addr)
	say(t, good, "hello")
	hear(t, good, "hello")
	for range 3 {
		hearEnd(t, dial(t, addr))
	}
	say(t, good, "still")
	hear(t, good, "still")
	good.Close()
	stop()
	if s.Counts.Panics.Load() != 3 || s.Upstream.Conns[0].inUse() != 0 || s.crowd.seats != 0 {
		t.Errorf("%d panics are counted, %d places and %d seats are taken, want 3 and none", s.Counts.Panics.Load(), s.Upstream.Conns[0].inUse(), s.crowd.seats)
	}
	if log := out.String(); strings.Contains(log, "hunter2") || !strings.Contains(log, "*errors.errorString") || !strings.Contains(log, "contain_test.go") {
		t.Errorf("got log\n%s\nwant the type and the place, and not the value", log)
	}
}

// breaks is a connection whose writes panic, as the relay's other goroutine calls them.
type breaks struct{ net.Conn }

func (breaks) Write(b []byte) (int, error) { return len(b), []error{}[len(b)] }

func TestPanicInTheRelayEndsTheSession(t *testing.T) {
	var out syncBuffer
	s := newServer(echo(t))
	s.Log = newTextLog(&out)
	s.Engine = joins{login: func(_ context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
		return breaks{conn}, nil
	}}
	addr, stop := s.serve(t)
	c := dial(t, addr)
	say(t, c, "hello")
	hearEnd(t, c)
	stop()
	if s.Counts.Panics.Load() != 1 || s.Counts.Open.Load() != 0 || s.Upstream.Conns[0].inUse() != 0 {
		t.Errorf("%d panics, %d sessions and %d places, want 1, none, none", s.Counts.Panics.Load(), s.Counts.Open.Load(), s.Upstream.Conns[0].inUse())
	}
	if log := out.String(); !strings.Contains(log, "index out of range") || !strings.Contains(log, "clientToUpstream") {
		t.Errorf("got log\n%s\nwant what happened where", log)
	}
}
