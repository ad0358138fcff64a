package admin

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// shown is what the status of a test's server is.
type shown struct {
	Version string   `json:"version"`
	Routes  []string `json:"routes"`
}

// A subject is a server that is tested.
type subject struct {
	*Server
	addr net.Addr
	quit atomic.Int32 // how often Quit was called
	// end ends the context of Serve, and returns what Serve returns.
	end func() error
}

// serves starts a server on ln. change may change its fields before.
func serves(t *testing.T, ln net.Listener, change ...func(*Server)) *subject {
	t.Helper()
	return servesBy(t, (*Server).Serve, ln, change...)
}

// servesBy is serves by Serve or by ServePublic.
func servesBy(t *testing.T, serve func(*Server, context.Context, net.Listener) error, ln net.Listener, change ...func(*Server)) *subject {
	t.Helper()
	s := &subject{addr: ln.Addr()}
	s.Server = &Server{
		Status:       func() any { return shown{"1.2.3", []string{"orders"}} },
		Quit:         func() { s.quit.Add(1) },
		Reload:       func(context.Context) Outcome { return Outcome{} },
		CloseSession: func(context.Context, string) error { return nil },
		Log:          slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(s.Server)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(s.Server, ctx, ln) }()
	s.end = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(patience):
			t.Error("Serve goes on after the end of its context")
			return nil
		}
	}
	t.Cleanup(func() { _ = s.end() })
	return s
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func listenUnix(t *testing.T) net.Listener {
	t.Helper()
	// The path of t.TempDir may be too long for a socket.
	dir, err := os.MkdirTemp("", "dbvalet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ln, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// dial connects to the server.
func (s *subject) dial(t *testing.T) net.Conn {
	t.Helper()
	return dials(t, s.addr)
}

// dials connects to addr.
func dials(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// asksEarly sends a request to a listener that nobody serves yet: it is there when a server's time for it
// begins, and can't be late.
func asksEarly(t *testing.T, ln net.Listener, lines ...string) net.Conn {
	t.Helper()
	conn := dials(t, ln.Addr())
	writes(t, conn, head(lines...))
	return conn
}

// writes writes text to conn.
func writes(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// An answered is an answer, and what came after it on the connection.
type answered struct {
	*http.Response
	body, rest string
}

// sends sends raw as it is and returns the answer, after which the server must close the connection.
func (s *subject) sends(t *testing.T, raw string) answered {
	t.Helper()
	conn := s.dial(t)
	writes(t, conn, raw)
	r := bufio.NewReader(conn)
	method, _, _ := strings.Cut(raw, " ")
	a := answered{}
	var err error
	if a.Response, err = http.ReadResponse(r, &http.Request{Method: method}); err != nil {
		t.Fatalf("read the answer: %v", err)
	}
	// A server that does not read everything ends with a reset.
	body, err := io.ReadAll(a.Body)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read the answer's body: %v", err)
	}
	rest, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read to the end of the connection: %v", err)
	}
	a.body, a.rest = string(body), string(rest)
	return a
}

// client is an HTTP client for the server.
func (s *subject) client() *http.Client {
	return &http.Client{
		Timeout: patience,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, s.addr.Network(), s.addr.String())
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
