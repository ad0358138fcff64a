package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// half is the report of a program of which one route is in trouble.
var half = Report{State: "not ready", Routes: []RouteReport{
	{Name: "orders", OK: true, State: "ready"},
	{Name: "billing", State: "no credential", Reason: "exec /bin/pw: exit\nstatus 1", Hint: "run \"login\""},
}}

// probed gives a server probes and metrics; asked counts the logins that were asked for.
func probed(asked *atomic.Int32) func(*Server) {
	return func(s *Server) {
		s.Probes = Probes{
			Startup: func(context.Context) Report { return Report{OK: true, State: "started"} },
			Live:    func(context.Context) Report { return Report{OK: true, State: "alive"} },
			Ready: func(_ context.Context, upstream bool) Report {
				if upstream {
					asked.Add(1)
				}
				return half
			},
		}
		s.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "dbvalet_route_up 1\n")
		})
		s.Reload = func(context.Context) Outcome { return Outcome{} }
	}
}

const inFull = `not ready
  orders: ready
  billing: no credential: exec /bin/pw: exit status 1
    hint: run "login"
`

const inBrief = `not ready
  orders: ready
  billing: no credential
`

func TestProbesAreAnsweredByStatus(t *testing.T) {
	var logins atomic.Int32
	s := serves(t, listenTCP(t), probed(&logins))
	for _, row := range []struct {
		path   string
		status int
		body   string
	}{
		{"/startup", 200, "started\n"},
		{"/livez", 200, "alive\n"},
		{"/readyz", 503, inFull},
		{"/readyz?upstream=0", 503, inFull},
		{"/readyz?upstream=maybe", 400, "upstream= is 1, or left out\n"},
		{"/livez?format=json", 200, "{\"ok\":true,\"state\":\"alive\"}\n"},
		{"/metrics", 200, "dbvalet_route_up 1\n"},
	} {
		if response, body := s.asks(t, http.MethodGet, row.path); response.StatusCode != row.status || body != row.body {
			t.Errorf("%s: got %s and %q, want %d and %q", row.path, response.Status, body, row.status, row.body)
		}
	}
	if logins.Load() != 0 {
		t.Error("logins were asked for")
	}
	if response, body := s.asks(t, http.MethodGet, "/readyz?upstream=1"); response.StatusCode != 503 || body != inFull || logins.Load() != 1 {
		t.Errorf("upstream=1: got %s and %q, want the same by a login", response.Status, body)
	}
	for _, path := range []string{"/startup", "/livez", "/readyz", "/metrics"} {
		if response, _ := s.asks(t, http.MethodPost, path); response.StatusCode != 405 {
			t.Errorf("POST %s: got %s, want 405", path, response.Status)
		}
	}
}

func TestPublicListenerTellsNothingAndChangesNothing(t *testing.T) {
	var logins atomic.Int32
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	s := servesBy(t, (*Server).ServePublic, ln, probed(&logins))
	for _, row := range []struct{ name, raw, text string }{
		{"kubelet", head("GET /readyz HTTP/1.1", "Host: 10.1.2.3:9090", "User-Agent: kube-probe/1.34", "Accept: */*", "Connection: close"), "503 " + inBrief},
		{"kubelet without a host", head("GET /livez HTTP/1.1", "Host:"), "200 alive\n"},
		{"Prometheus", head("GET /metrics HTTP/1.1", "Host: db.svc:9090", "User-Agent: Prometheus/3.5.0", "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "Accept-Encoding: gzip", "X-Prometheus-Scrape-Timeout-Seconds: 10"), "200 dbvalet_route_up 1\n"},
		{"JSON", head("GET /readyz HTTP/1.1", "Host: x", "Accept: application/json"), `503 {"ok":false,"state":"not ready","routes":[{"name":"orders","ok":true,"state":"ready"},{"name":"billing","ok":false,"state":"no credential"}]}` + "\n"},
		{"login", head("GET /readyz?upstream=1 HTTP/1.1", "Host: x"), "403 upstream=1 costs logins"},
		{"status", head(getStatus, "Host: x"), "404 there is no such"},
		{"reload", head("POST /reload HTTP/1.1", "Host: x"), "404 there is no such"},
		{"quit", head(postQuit, "Host: x"), "404 there is no such"},
		{"POST", head("POST /readyz HTTP/1.1", "Host: x"), "405 /readyz"},
		{"page", head("GET /metrics HTTP/1.1", "Host: x", firefox, "Sec-Fetch-Site: cross-site"), "403 the request comes from another site"},
		{"page's fetch", head("GET /metrics HTTP/1.1", "Host: x", "Origin: http://y"), "403 the request comes from another page"},
		{"body", head("GET /metrics HTTP/1.1", "Host: x", "Content-Length: 1") + "x", "413 no request here has a body"},
		{"absolute URL", head("GET http://x/metrics HTTP/1.1", "Host: x"), "400 the request has to name a path"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := s.sends(t, row.raw)
			if got := a.Status[:4] + a.body; !strings.HasPrefix(got, row.text) {
				t.Errorf("got %q, want %q", got, row.text)
			}
			if a.rest != "" || a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("got %q after it, and %v", a.rest, a.Header)
			}
		})
	}
	if logins.Load() != 0 || s.quit.Load() != 0 {
		t.Error("something was done")
	}
}

func TestPublicListenerOfThisMachineHasItsHosts(t *testing.T) {
	for name, listen := range map[string]func(*testing.T) net.Listener{"tcp": listenTCP, "unix": listenUnix} {
		t.Run(name, func(t *testing.T) {
			s := servesBy(t, (*Server).ServePublic, listen(t), probed(new(atomic.Int32)))
			if a := s.sends(t, head("GET /livez HTTP/1.1", "Host: evil.example", firefox)); a.StatusCode != 421 {
				t.Errorf("got %s for a rebound name, want 421", a.Status)
			}
			if a := s.sends(t, head("GET /livez HTTP/1.1", "Host: localhost")); a.StatusCode != 200 {
				t.Errorf("got %s, want 200", a.Status)
			}
		})
	}
}

func TestReloadTellsWhatBecameOfIt(t *testing.T) {
	for _, row := range []struct {
		name    string
		outcome Outcome
		status  int
		body    string
	}{
		{"nothing", Outcome{}, 200, "reloaded: nothing has changed\n"},
		{"something", Outcome{Changed: []string{"route orders: new", "route old: gone"}}, 200, "reloaded\n  route orders: new\n  route old: gone\n"},
		{"mistake", Outcome{Err: errors.New("c.yaml:3: unknown key"), Hint: "correct it", Invalid: true}, 422, "not reloaded, all goes on as before: c.yaml:3: unknown key\nhint: correct it\n"},
		{"failure", Outcome{Err: errors.New("listen on 127.0.0.1:1: taken")}, 500, "not reloaded, all goes on as before: listen on 127.0.0.1:1: taken\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := serves(t, listenTCP(t), func(s *Server) { s.Reload = func(context.Context) Outcome { return row.outcome } })
			if response, body := s.asks(t, http.MethodPost, "/reload"); response.StatusCode != row.status || body != row.body {
				t.Errorf("got %s and %q, want %d and %q", response.Status, body, row.status, row.body)
			}
			if response, _ := s.asks(t, http.MethodGet, "/reload"); response.StatusCode != 405 {
				t.Errorf("GET: got %s, want 405", response.Status)
			}
		})
	}
}

func TestReloadOutlivesWhoAskedForIt(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	release := make(chan struct{})
	ln := listenTCP(t)
	conn := asksEarly(t, ln, "POST /reload HTTP/1.1", "Host: localhost")
	serves(t, ln, func(s *Server) {
		s.Timeout = 50 * time.Millisecond // which is not for reloads
		s.Reload = func(ctx context.Context) Outcome {
			close(begun)
			<-release
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // it is broken if it ends within this time
			}
			ended <- ctx.Err()
			return Outcome{}
		}
	})
	<-begun
	conn.Close()
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("got %v, want the reload to go on", err)
	}
}

// What takes its time is not cut off by the time limit of the rest, and ends when nobody waits.
func TestLoginsHaveTimeAndEndWithWhoAsked(t *testing.T) {
	gone := make(chan error, 1)
	begun := make(chan struct{}, 1)
	ln := listenTCP(t)
	conn := asksEarly(t, ln, "GET /readyz?upstream=1 HTTP/1.1", "Host: localhost")
	left := asksEarly(t, ln, "GET /readyz HTTP/1.1", "Host: localhost")
	serves(t, ln, func(s *Server) {
		s.Timeout = 20 * time.Millisecond
		s.Probes.Ready = func(ctx context.Context, upstream bool) Report {
			if !upstream {
				begun <- struct{}{}
				<-ctx.Done()
				gone <- ctx.Err()
				return Report{}
			}
			select {
			case <-ctx.Done():
				return Report{State: "cut off"}
			case <-time.After(100 * time.Millisecond): // five times what others have
				return Report{OK: true, State: "ready"}
			}
		}
	})
	if got, err := io.ReadAll(conn); err != nil || !strings.HasSuffix(string(got), "\r\n\r\nready\n") {
		t.Errorf("got %q, %v, want the answer", got, err)
	}
	<-begun
	left.Close()
	select {
	case err := <-gone:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.After(patience):
		t.Error("the probe goes on without its client")
	}
}

func TestBriefReportLeavesTheOriginalAlone(t *testing.T) {
	before := append([]RouteReport(nil), half.Routes...)
	if got := half.brief(); got.Routes[1].Reason != "" || got.Routes[1].Hint != "" {
		t.Errorf("got %+v", got)
	}
	if !reflect.DeepEqual(half.Routes, before) {
		t.Error("the report itself was changed")
	}
}
