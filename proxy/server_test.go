package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestManyClientsAtOnce(t *testing.T) {
	const clients = 200
	var ended counter
	s := newServer(echo(t))
	s.Engine = joins{ended: func() { ended.next() }}
	addr, stop := s.serve(t)
	var running sync.WaitGroup
	for i := range clients {
		running.Go(func() {
			conn, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			sent := bytes.Repeat([]byte(fmt.Sprintf("client %d ", i)), 1000)
			// Who has nothing more to say before it is known who it is, is taken for gone.
			first := make([]byte, 1)
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(conn, first); err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			go func() {
				_, _ = conn.Write(sent)
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			if got, err := io.ReadAll(conn); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("client %d got %d bytes, %v, want its own %d", i, len(got), err, len(sent))
			}
		})
	}
	running.Wait()
	stop()
	if n := s.Upstream.Conns[0].inUse(); n != 0 || ended.count() != clients {
		t.Errorf("%d places are taken and %d sessions have ended, want 0 and %d", n, ended.count(), clients)
	}
	soon(t, "the end of all goroutines", func() bool { return ours() == "" })
}

func TestEndOfContextEndsEverything(t *testing.T) {
	var ended counter
	s := newServer(echo(t))
	s.Engine = joins{ended: func() { runtime.Gosched(); ended.next() }}
	addr, stop := s.serve(t)
	clients := make([]net.Conn, 10)
	for i := range clients {
		clients[i] = dial(t, addr)
		say(t, clients[i], "hello")
		hear(t, clients[i], "hello")
	}
	stop()
	if ended.count() != len(clients) {
		t.Errorf("%d sessions were ended when Serve returned, want %d", ended.count(), len(clients))
	}
	for _, c := range clients {
		if got, err := io.ReadAll(c); len(got) != 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("client got %q, %v, want the end", got, err)
		}
	}
	if _, err := net.Dial("tcp", addr.String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: got %v, want connection refused", err)
	}
	soon(t, "the end of all goroutines", func() bool { return ours() == "" })
}

// stuck is an Engine that waits for the end of its time, or refuses at once.
type stuck struct {
	refuses bool
	began   chan struct{}
}

func (e stuck) Handshake(ctx context.Context, client *Client, _ *Upstream) (*Session, error) {
	defer close(e.began)
	if e.refuses {
		return nil, errTest
	}
	e.began <- struct{}{}
	_, err := client.Read(make([]byte, 1))
	return nil, err
}

func TestEndOfContextDoesNotWaitForClients(t *testing.T) {
	for name, refuses := range map[string]bool{"in the handshake": false, "refused, and lingering": true} {
		t.Run(name, func(t *testing.T) {
			s := newServer(echo(t))
			e := stuck{refuses, make(chan struct{})}
			s.Engine = e
			addr, stop := s.serve(t)
			c := dial(t, addr)
			<-e.began
			if refuses {
				hearEnd(t, c)
			}
			began := time.Now()
			stop()
			if took := time.Since(began); took > lingerTime*4/5 {
				t.Errorf("the server took %v to stop", took)
			}
		})
	}
}

func TestHandshakeEndsAtTimeLimit(t *testing.T) {
	s := newServer(echo(t))
	s.Engine = stuck{false, make(chan struct{}, 1)}
	s.HandshakeTimeout = 20 * time.Millisecond
	addr, _ := s.serve(t)
	hearEnd(t, dial(t, addr))
}

// TestSessionThatIsReadyTooLateIsEnded has an Engine that takes no notice of its time.
func TestSessionThatIsReadyTooLateIsEnded(t *testing.T) {
	var ended counter
	s := newServer(echo(t))
	s.Engine = late{joins{ended: func() { ended.next() }}}
	s.HandshakeTimeout = 200 * time.Millisecond
	var log bytes.Buffer
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	addr, stop := s.serve(t)
	c := dial(t, addr)
	hearEnd(t, c)
	c.Close()
	stop()
	if n := s.Upstream.Conns[0].inUse(); n != 0 || ended.count() != 1 {
		t.Errorf("%d places are taken and %d sessions have ended, want 0 and 1", n, ended.count())
	}
	if !strings.Contains(log.String(), "set-up failed") || strings.Contains(log.String(), "session started") {
		t.Errorf("got log\n%s, want a set-up that failed", log.String())
	}
}

type late struct{ joins }

func (e late) Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error) {
	session, err := e.joins.Handshake(context.WithoutCancel(ctx), client, up)
	<-ctx.Done()
	return session, err
}

func TestSessionHasNoTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStillScene(t, func(s *Server) { s.HandshakeTimeout = time.Second })
		<-time.After(3 * time.Second)
		s.exchange(t, "select", "row;")
	})
}

// A ruined listener fails to accept, again and again.
type ruined struct {
	errs   []error                  // nil: a client comes that leaves at once
	accept func() (net.Conn, error) // after errs
	calls  []time.Time
	closed chan struct{}
}

func (r *ruined) Accept() (net.Conn, error) {
	r.calls = append(r.calls, time.Now())
	if n := len(r.calls); n <= len(r.errs) {
		client, far := net.Pipe()
		far.Close()
		return client, r.errs[n-1]
	}
	if r.accept != nil {
		return r.accept()
	}
	<-r.closed
	return nil, net.ErrClosed
}

func (r *ruined) Close() error   { close(r.closed); return nil }
func (r *ruined) Addr() net.Addr { return &net.UnixAddr{Name: "ruined", Net: "unix"} }

func TestAcceptBacksOffAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 12
		ln := &ruined{closed: make(chan struct{})}
		for range failures {
			ln.errs = append(ln.errs, &net.OpError{Op: "accept", Err: syscall.EMFILE})
		}
		var log bytes.Buffer
		s := &Server{Engine: joins{}, Log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, ln) }()
		synctest.Wait()
		began := time.Now()
		<-time.After(time.Minute)
		synctest.Wait()

		if len(ln.calls) != failures+1 {
			t.Fatalf("got %d calls of Accept, want %d", len(ln.calls), failures+1)
		}
		var last time.Duration
		for i := 1; i < len(ln.calls); i++ {
			wait := ln.calls[i].Sub(ln.calls[i-1])
			if wait < last || wait > time.Second || wait <= 0 {
				t.Errorf("wait %d was %v, after one of %v; want it to grow up to 1s", i, wait, last)
			}
			last = wait
		}
		if took := ln.calls[failures].Sub(began); last != time.Second || took > 6*time.Second {
			t.Errorf("got %v in all, and %v at the end", took, last)
		}
		if n := strings.Count(log.String(), "accept failed"); n != failures {
			t.Errorf("got %d log lines, want %d", n, failures)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestBackOffBeginsAnewAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := syscall.EMFILE
		ln := &ruined{closed: make(chan struct{}), errs: []error{failure, failure, failure, nil, failure}}
		s := &Server{Engine: leaves{}, Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if first, last := ln.calls[1].Sub(ln.calls[0]), ln.calls[5].Sub(ln.calls[4]); last != first {
			t.Errorf("got a wait of %v after a success, want %v as at first", last, first)
		}
	})
}

// leaves is an Engine for clients that have left already.
type leaves struct{}

func (leaves) Handshake(context.Context, *Client, *Upstream) (*Session, error) { return nil, nil }

func TestEndOfContextEndsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := &ruined{closed: make(chan struct{}), accept: func() (net.Conn, error) { return nil, syscall.EMFILE }}
		s := &Server{Engine: joins{}, Log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		began := time.Now()
		if err := s.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
		if took := time.Since(began); took != 3500*time.Millisecond {
			t.Errorf("Serve returned after %v, want 3.5s", took)
		}
	})
}

func TestClosedListenerLeavesSessionsAlone(t *testing.T) {
	s := newServer(echo(t))
	ln := listen(t)
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), ln) }()
	c := dial(t, ln.Addr())
	say(t, c, "hello")
	hear(t, c, "hello")
	ln.Close()
	soon(t, "a refused connection", func() bool {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	say(t, c, "still here")
	hear(t, c, "still here")
	select {
	case err := <-done:
		t.Fatalf("Serve returned %v before its session had ended", err)
	default:
	}
	c.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Serve: got %v, want nil", err)
		}
	case <-time.After(patience):
		t.Fatal("Serve goes on")
	}
}

func TestServerServesSeveralListeners(t *testing.T) {
	s := newServer(echo(t))
	for range 2 {
		addr, _ := s.serve(t)
		c := dial(t, addr)
		say(t, c, "hello")
		hear(t, c, "hello")
	}
}

func TestLimitGivesPlacesBack(t *testing.T) {
	const limit = 3
	s := newServer(echo(t))
	s.Upstream.Conns = []*Limit{{Max: limit, Name: "max_connections"}}
	var refused atomic.Int64
	s.Engine = observes{joins{}, func(err error) {
		if stageOf(err) == StageLimit && Hint(err) != "" {
			refused.Add(1)
		}
	}}
	addr, _ := s.serve(t)
	for round := range int64(3) {
		var clients []net.Conn
		for range limit {
			c := dial(t, addr)
			say(t, c, "hello")
			hear(t, c, "hello")
			clients = append(clients, c)
		}
		hearEnd(t, dial(t, addr))
		if got := refused.Load(); got != round+1 {
			t.Errorf("got %d refusals for the limit, want %d", got, round+1)
		}
		for _, c := range clients {
			c.Close()
		}
		soon(t, "free places", func() bool { return s.Upstream.Conns[0].inUse() == 0 })
	}
}

// observes tells of the errors of its Engine.
type observes struct {
	Engine
	failed func(error)
}

func (e observes) Handshake(ctx context.Context, client *Client, up *Upstream) (*Session, error) {
	session, err := e.Engine.Handshake(ctx, client, up)
	if err != nil {
		e.failed(err)
	}
	return session, err
}

func TestClientOnUnixSocketIsServed(t *testing.T) {
	listeners, err := Listen(ListenOptions{Addr: privateDir(t), SocketName: ".s.PGSQL.5432"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := newServer(echo(t))
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listeners[0]) }()
	c, err := net.Dial("unix", listeners[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say(t, c, "hello")
	hear(t, c, "hello")
	_ = c.(*net.UnixConn).CloseWrite()
	hearEnd(t, c)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "client=unix ") || !strings.Contains(log.String(), "from_client=5") {
		t.Errorf("got log\n%s, want client=unix and from_client=5 in it", log.String())
	}
}
