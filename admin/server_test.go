package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// asks sends an ordinary request and returns the answer's body.
func (s *subject) asks(t *testing.T, method, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestOrdinaryClientIsServed(t *testing.T) {
	for network, listen := range map[string]func(*testing.T) net.Listener{"tcp": listenTCP, "unix": listenUnix} {
		t.Run(network, func(t *testing.T) {
			s := serves(t, listen(t))
			response, body := s.asks(t, http.MethodGet, "/status")
			want := "{\n  \"version\": \"1.2.3\",\n  \"routes\": [\n    \"orders\"\n  ]\n}\n"
			if response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/json" || body != want {
				t.Errorf("got %s, %v and\n%swant\n%s", response.Status, response.Header, body, want)
			}
			if response, body := s.asks(t, http.MethodHead, "/status"); response.StatusCode != 200 || body != "" {
				t.Errorf("HEAD: got %s and %q, want 200 and nothing", response.Status, body)
			}
			if response, body := s.asks(t, http.MethodPost, "/quitquitquit"); response.StatusCode != 200 || body != "stopping\n" {
				t.Errorf("POST: got %s and %q, want 200 and stopping", response.Status, body)
			}
			if err := s.end(); err != nil {
				t.Errorf("Serve: %v", err)
			}
			if conn, err := net.Dial(s.addr.Network(), s.addr.String()); err == nil {
				conn.Close()
				t.Error("the listener is still there")
			}
		})
	}
}

func TestProgramIsAskedToEndOnce(t *testing.T) {
	s := serves(t, listenTCP(t))
	for range 3 {
		if response, _ := s.asks(t, http.MethodPost, "/quitquitquit"); response.StatusCode != 200 {
			t.Errorf("got %s, want 200", response.Status)
		}
	}
	if got := s.quit.Load(); got != 1 {
		t.Errorf("Quit was called %d times, want 1", got)
	}
}

func TestAnswerIsCompleteThoughQuitEndsTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	ln := listenTCP(t)
	go func() { ended <- (&Server{Quit: cancel}).Serve(ctx, ln) }()
	s := &subject{addr: ln.Addr()}
	if a := s.sends(t, strings.ReplaceAll(head(postQuit, ours), "ADDR", ln.Addr().String())); a.body != "stopping\n" {
		t.Errorf("got %q, want the whole answer", a.body)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Serve: %v", err)
		}
	case <-time.After(patience):
		t.Error("Serve goes on")
	}
}

func TestRequestInProgressIsAnsweredAtTheEnd(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	s := serves(t, listenTCP(t), func(s *Server) {
		s.Status = func() any { close(asked); <-release; return "late" }
	})
	conn := s.dial(t)
	writes(t, conn, head(getStatus, "Host: localhost"))
	<-asked
	ended := make(chan error, 1)
	go func() { ended <- s.end() }()
	// The listener is gone, but not the request.
	for {
		again, err := net.Dial("tcp", s.addr.String())
		if err != nil {
			break
		}
		again.Close()
	}
	select {
	case err := <-ended:
		t.Errorf("Serve has returned %v with a request in progress", err)
	default:
	}
	close(release)
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(answer), "\"late\"\n") {
		t.Errorf("got %q, %v, want the answer", answer, err)
	}
	if err := s.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestEndDoesNotWaitForSilentClients(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	asked := make(chan struct{})
	s := serves(t, listenTCP(t), func(s *Server) {
		s.Timeout = time.Hour
		s.Status = func() any { close(asked); <-release; return nil }
	})
	silent, stuck := s.dial(t), s.dial(t)
	writes(t, stuck, head(getStatus, "Host: localhost"))
	<-asked
	if err := s.end(); err != nil { // it fails if this takes long
		t.Errorf("Serve: %v", err)
	}
	for _, conn := range []net.Conn{silent, stuck} {
		if got, _ := io.ReadAll(conn); len(got) != 0 {
			t.Errorf("got %q, want the end", got)
		}
	}
}

func TestSlowRequestIsEnded(t *testing.T) {
	for name, begin := range map[string]string{
		"nothing":           "",
		"half a line":       "POST /quit",
		"half a head":       "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\n",
		"head without end":  "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nX: y",
		"body to ask for":   "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
		"line without CRLF": strings.Repeat("x", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			ln := listenTCP(t)
			conn := dials(t, ln.Addr()) // which gives up after patience
			writes(t, conn, begin)      // before the server's time begins
			s := serves(t, ln, func(s *Server) { s.Timeout = 50 * time.Millisecond })
			if got, err := io.ReadAll(conn); err != nil || strings.Contains(string(got), "200 OK") {
				t.Errorf("got %q, %v, want the end of the connection", got, err)
			}
			if s.quit.Load() != 0 {
				t.Error("Quit was called")
			}
		})
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := serves(t, listenTCP(t), func(s *Server) { s.Timeout = time.Hour })
	var idle []net.Conn
	for range maxConns {
		idle = append(idle, s.dial(t))
	}
	// They are accepted in their order, so this one comes after them.
	waiting := s.dial(t)
	writes(t, waiting, head(getStatus, "Host: localhost"))
	answered := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(waiting)
		answered <- string(all)
	}()
	select {
	case got := <-answered:
		t.Fatalf("got %q beyond the limit, want to wait", got)
	case <-time.After(100 * time.Millisecond): // the limit is broken if it is answered within this time
	}
	idle[0].Close()
	if got := <-answered; !strings.HasPrefix(got, "HTTP/1.1 200 ") {
		t.Errorf("got %q when there is room, want 200", got)
	}
}

func TestEndpointsWithoutPurposeAreNotThere(t *testing.T) {
	all := (&Server{}).endpoints()
	for _, path := range []string{"/status", "/quitquitquit", "/reload", "/metrics", "/startup", "/livez", "/readyz"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w := httptest.NewRecorder()
			all.ServeHTTP(w, httptest.NewRequest(method, path, nil))
			if w.Code != http.StatusNotFound {
				t.Errorf("%s %s: got %d, want 404", method, path, w.Code)
			}
		}
	}
}

func TestStatusThatIsNoJSONIsAnError(t *testing.T) {
	s := serves(t, listenTCP(t), func(s *Server) { s.Status = func() any { return math.Inf(1) } })
	if response, body := s.asks(t, http.MethodGet, "/status"); response.StatusCode != 500 || !strings.Contains(body, "encode the status") {
		t.Errorf("got %s and %q, want 500 and why", response.Status, body)
	}
}

func TestPanicEndsOneRequest(t *testing.T) {
	s := serves(t, listenTCP(t), func(s *Server) { s.Status = func() any { panic("a bug") } })
	conn := s.dial(t)
	writes(t, conn, head(getStatus, "Host: localhost"))
	if got, _ := io.ReadAll(conn); len(got) != 0 {
		t.Errorf("got %q, want the end", got)
	}
	if response, _ := s.asks(t, http.MethodGet, "/"); response.StatusCode != 200 {
		t.Errorf("got %s after a panic, want 200", response.Status)
	}
}

// broken is a listener that fails.
type broken struct{ net.Listener }

var errBroken = errors.New("broken")

func (broken) Accept() (net.Conn, error) { return nil, errBroken }

func TestBrokenListenerIsAnError(t *testing.T) {
	ln := listenTCP(t)
	if err := (&Server{}).Serve(t.Context(), broken{ln}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the listener's error", err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("the listener is still there")
	}
}

func TestRefusalsAreLogged(t *testing.T) {
	var log strings.Builder
	handler := slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})
	s := serves(t, listenTCP(t), func(s *Server) { s.Log = slog.New(handler) })
	s.sends(t, head(getStatus, "Host: evil.example"))
	if err := s.end(); err != nil {
		t.Fatal(err)
	}
	var record struct{ Level, Msg, Listener, Host, Err string }
	if err := json.Unmarshal([]byte(log.String()), &record); err != nil {
		t.Fatalf("%q: %v", log.String(), err)
	}
	if record.Level != "DEBUG" || record.Msg != "admin request refused" || record.Listener != s.addr.String() || record.Host != "evil.example" || record.Err != errHost.Error() {
		t.Errorf("got %s", log.String())
	}
}

// Who may not come in is told so, whatever is asked for, and nothing is done.
func TestClientThatMayNotComeInIsServedNothing(t *testing.T) {
	asked := make(chan net.Addr, 8)
	s := &Server{
		Status: func() any { t.Error("the status was asked for"); return nil },
		Quit:   func() { t.Error("the program was asked to end") },
		Admit: func(conn net.Conn) error {
			asked <- conn.RemoteAddr()
			return errors.New("connections of user \"bob\" are not allowed here")
		},
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	for _, request := range []struct{ method, path string }{{"GET", "/status"}, {"GET", "/"}, {"POST", "/quitquitquit"}} {
		r, err := http.NewRequestWithContext(t.Context(), request.method, "http://"+ln.Addr().String()+request.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(got.Body)
		got.Body.Close()
		if got.StatusCode != http.StatusForbidden || !strings.Contains(string(text), `user "bob"`) {
			t.Errorf("%v: got %d %q", request, got.StatusCode, text)
		}
		if addr := <-asked; !addr.(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("asked about %v", addr)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// The place at which one of them came is for the next visitor.
func TestClientsThatMayNotComeInLeaveTheirPlaces(t *testing.T) {
	var refusing atomic.Bool
	refusing.Store(true)
	s := serves(t, listenTCP(t), func(s *Server) {
		s.Admit = func(net.Conn) error {
			if refusing.Load() {
				return errors.New("connections of user \"bob\" are not allowed here")
			}
			return nil
		}
	})
	told := 0
	for told < 2*maxConns {
		conn := s.dial(t)
		_, _ = io.WriteString(conn, head(getStatus, "Host: localhost"))
		answer, _ := io.ReadAll(conn)
		if strings.Contains(string(answer), `user "bob"`) {
			told++
		}
	}
	refusing.Store(false)
	if response, _ := s.asks(t, http.MethodGet, "/status"); response.StatusCode != 200 {
		t.Errorf("who may come in got %s, want 200", response.Status)
	}
}

// Those who may not come in are told so as long as there are few of them, and keep nobody waiting who may.
func TestClientsThatMayNotComeInTakeNoPlaces(t *testing.T) {
	const many = 2 * maxConns
	var came atomic.Int32
	s := serves(t, listenTCP(t), func(s *Server) {
		s.Timeout = time.Hour
		s.Admit = func(net.Conn) error {
			if came.Add(1) <= many { // they are accepted in their order
				return errors.New("connections of user \"bob\" are not allowed here")
			}
			return nil
		}
	})
	var silent []net.Conn
	for range many {
		silent = append(silent, s.dial(t))
	}
	if response, _ := s.asks(t, http.MethodGet, "/status"); response.StatusCode != 200 {
		t.Errorf("who may come in got %s, want 200", response.Status)
	}
	for i, conn := range silent {
		_, _ = io.WriteString(conn, head(getStatus, "Host: localhost")) // it may have been closed
		told, _ := io.ReadAll(conn)
		if told := strings.Contains(string(told), `user "bob"`); told != (i < maxRefused) {
			t.Errorf("number %d of those who may not was told why: %v, want %v", i, told, !told)
		}
	}
}
