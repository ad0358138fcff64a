package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"dbvalet/tokens"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// tcpPair returns the two ends of a connection.
func tcpPair(t testing.TB) (near, far *net.TCPConn) {
	t.Helper()
	ln := listen(t)
	defer ln.Close()
	dialled, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{dialled, accepted} {
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
	}
	_ = accepted.SetDeadline(time.Time{}) // the relay's own
	return dialled.(*net.TCPConn), accepted.(*net.TCPConn)
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

// dial connects to addr until the test ends.
func dial(t testing.TB, addr net.Addr) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// privateDir is a directory with a short name that nobody else may write to.
func privateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dbvalet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// echo answers whatever comes on each connection, until the test ends.
func echo(t testing.TB) net.Addr {
	t.Helper()
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
	return ln.Addr()
}

// joins is an Engine whose clients say nothing of their own: it connects them to the upstream.
type joins struct {
	login Login
	ended func()
}

func (e joins) Handshake(ctx context.Context, _ *Client, up *Upstream) (*Session, error) {
	conn, err := up.Connect(ctx, "app", func(ctx context.Context, conn net.Conn, to Endpoint, cred tokens.Credential) (net.Conn, error) {
		if e.login == nil {
			return conn, nil
		}
		return e.login(ctx, conn, to, cred)
	})
	if err != nil {
		return nil, err
	}
	return &Session{Upstream: conn, Ended: e.ended}, nil
}

// newServer returns a Server that joins clients to the upstream at addr.
func newServer(addr net.Addr) *Server {
	log := slog.New(slog.DiscardHandler)
	return &Server{
		Engine: joins{},
		Upstream: &Upstream{
			Endpoint:    Endpoint{Addr: addr.String()},
			Credentials: &tokens.Cache{Source: numbered{new(counter)}, Log: log},
			Conns:       []*Limit{{}},
			Log:         log,
		},
		Log: log,
	}
}

// serve serves clients until the test ends or stop is called, which returns when Serve has.
func (s *Server) serve(t testing.TB) (addr net.Addr, stop func()) {
	t.Helper()
	ln := listen(t)
	return ln.Addr(), s.serveOn(t, ln)
}

// serveOn is serve on a listener of the test's.
func (s *Server) serveOn(t testing.TB, ln net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, ln); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	stop = func() { cancel(); serving.Wait() }
	t.Cleanup(stop)
	return stop
}

// A counter counts what happens in several goroutines.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// numbered is a source of the passwords "1", "2" and so on.
type numbered struct{ calls *counter }

func (s numbered) Credential(context.Context, string) (tokens.Credential, error) {
	password := strings.Repeat("x", s.calls.next())
	return tokens.Credential{Password: tokens.NewSecret(password), ID: "id " + password}, nil
}

// same is a source of one password.
type same struct{ calls *counter }

func (s same) Credential(context.Context, string) (tokens.Credential, error) {
	s.calls.next()
	return tokens.Credential{Password: tokens.NewSecret("x"), ID: "id x"}, nil
}

// fails is a source that has none.
type fails struct{ err error }

func (s fails) Credential(context.Context, string) (tokens.Credential, error) {
	return tokens.Credential{}, s.err
}

var errTest = errors.New("test error")

// soon waits until holds does.
func soon(t testing.TB, what string, holds func() bool) {
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

// ours returns the stacks of the goroutines that run code of this package but no test's.
func ours() string {
	var all bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2)
	var found []string
	for stack := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(stack, "dbvalet/proxy.") && !strings.Contains(stack, "_test.go") {
			found = append(found, stack)
		}
	}
	return strings.Join(found, "\n\n")
}

// inUse returns how many places are taken.
func (l *Limit) inUse() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}

// A syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newTextLog(out io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(out, nil)) }
