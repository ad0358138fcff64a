package proxy

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/peer"
	"dbvalet/tokens"
)

// told is an Observer that keeps what it was told.
type told struct {
	mu      sync.Mutex
	events  []Event
	records []Record // as they were then
}

func (o *told) Observe(event Event, r *Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events, o.records = append(o.events, event), append(o.records, Record{
		ID: r.ID, Client: r.Client, Listener: r.Listener, Peer: r.Peer, Steps: r.Steps, SetUp: r.SetUp,
		Upstream: r.Upstream, Session: r.Session, Err: r.Err, Duration: r.Duration,
	})
}

func (o *told) what() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var words []string
	for _, e := range o.events {
		words = append(words, string(e))
	}
	return strings.Join(words, " ")
}

func TestObserverIsToldOfASessionFromStartToEnd(t *testing.T) {
	var o told
	s := newServer(echo(t))
	s.Observer = Observers{&o}
	s.Engine = joins{login: func(ctx context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
		Measure(ctx, StageTLS)()
		return conn, nil
	}}
	addr, stop := s.serve(t)
	c := dial(t, addr)
	say(t, c, "hello")
	hear(t, c, "hello")
	soon(t, "5 bytes each way while the session lasts", func() bool { up, down := s.Relayed(); return up == 5 && down == 5 })
	c.Close()
	soon(t, "the session's end", func() bool { return o.what() == "session_start session_end" })
	stop()
	if up, down := s.Relayed(); up != 5 || down != 5 {
		t.Errorf("after the session, %d and %d bytes are relayed, want 5 and 5", up, down)
	}
	begin, end := o.records[0], o.records[1]
	var stages []string
	for _, step := range begin.Steps {
		stages = append(stages, string(step.Stage))
	}
	if got := strings.Join(stages, " "); got != "credential dial tls auth" {
		t.Errorf("got the steps %s", got)
	}
	if begin.ID == "" || begin.ID != end.ID || !begin.Peer.Known || begin.Upstream != s.Upstream.Endpoint.Addr || begin.Client != c.LocalAddr().String() {
		t.Errorf("got %+v, and at the end the id %s", begin, end.ID)
	}
	if end.Err != nil || end.Duration < begin.SetUp || end.Session.Traffic.FromClient.Load() != 5 {
		t.Errorf("got %+v, want a normal end and 5 bytes", end)
	}
}

func TestObserverIsToldAtWhichStageASetUpFailed(t *testing.T) {
	closed := listen(t)
	closed.Close()
	nobody, err := peer.ParsePolicy("4294967000") // not this test's user
	if err != nil {
		t.Fatal(err)
	}
	fail := func(err error) Login {
		return func(context.Context, net.Conn, Endpoint, tokens.Credential) (net.Conn, error) { return nil, err }
	}
	rows := map[Stage]func(*Server){
		StagePeer:       func(s *Server) { s.Engine, s.Door.Allow = refused{}, nobody },
		StageClient:     func(s *Server) { s.Engine = stuck{true, make(chan struct{}, 1)} },
		StageLimit:      func(s *Server) { s.Upstream.Conns = []*Limit{{Max: 1, taken: 1}} },
		StageCredential: func(s *Server) { s.Upstream.Credentials = &tokens.Cache{Source: fails{errTest}, Log: s.Log} },
		StageDial:       func(s *Server) { s.Upstream.Endpoint.Addr = closed.Addr().String() },
		StageTLS:        func(s *Server) { s.Engine = joins{login: fail(&SetupError{Stage: StageTLS, Err: errTest})} },
		StageAuth:       func(s *Server) { s.Engine = joins{login: fail(errTest)} },
	}
	for stage, edit := range rows {
		t.Run(string(stage), func(t *testing.T) {
			var o told
			s := newServer(echo(t))
			s.Observer = &o
			edit(s)
			addr, stop := s.serve(t)
			hearEnd(t, dial(t, addr))
			stop()
			if o.what() != "refused" || o.records[0].Stage() != stage || o.records[0].Err == nil {
				t.Fatalf("told %q: %+v, want refused at %s", o.what(), o.records, stage)
			}
			for at, n := range s.Counts.Failures() {
				if want := map[bool]int64{true: 1}[at == stage]; n != want {
					t.Errorf("%d failures are counted at %s, want %d", n, at, want)
				}
			}
		})
	}
}

// refused is an Engine that tells who may not come in, and nobody else.
type refused struct{}

func (refused) Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error) {
	if client.Refusal() != nil {
		return nil, client.Refusal()
	}
	return joins{}.Handshake(ctx, client, up)
}

func TestObserverIsToldTheEndAfterAPanic(t *testing.T) {
	var o told
	s := newServer(echo(t))
	s.Observer = &o
	s.Engine = joins{login: func(_ context.Context, conn net.Conn, _ Endpoint, _ tokens.Credential) (net.Conn, error) {
		return breaks{conn}, nil
	}}
	addr, stop := s.serve(t)
	c := dial(t, addr)
	say(t, c, "hello")
	hearEnd(t, c)
	stop()
	if o.what() != "session_start session_end" || !errors.Is(o.records[1].Err, errPanicked) {
		t.Errorf("told %q, %+v, want the end with the panic", o.what(), o.records)
	}
}

// TestLoginBeginsWhereTLSEnds covers that no time is counted twice.
func TestLoginBeginsWhereTLSEnds(t *testing.T) {
	ctx, s := withSteps(t.Context())
	auth := Measure(ctx, StageAuth)
	time.AfterFunc(2*time.Millisecond, Measure(ctx, StageTLS))
	soon(t, "the end of TLS", func() bool { list, _ := s.copy(); return len(list) == 1 })
	auth()
	list, _ := s.copy()
	if tls, login := list[0], list[1]; !login.Began.Equal(tls.Began.Add(tls.Took)) {
		t.Errorf("TLS began %v and took %v, and the login began %v", tls.Began, tls.Took, login.Began)
	}
}
