package admin

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Whatever is taken for this machine is this machine for another reader of hosts too.
func FuzzHost(f *testing.F) {
	for _, row := range tcpRows {
		for line := range strings.SplitSeq(row.raw, "\r\n") {
			if host, ok := strings.CutPrefix(line, "Host: "); ok {
				f.Add(strings.NewReplacer("ADDR", "127.0.0.1:80", "PORT", "80").Replace(host))
			}
		}
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !isLocal(host) {
			return
		}
		u, err := url.Parse("http://" + host + "/")
		if err != nil {
			t.Fatalf("%q is taken for this machine, and is no host: %v", host, err)
		}
		if name := u.Hostname(); u.Host != host || !strings.EqualFold(name, "localhost") && !net.ParseIP(name).IsLoopback() {
			t.Errorf("%q is taken for this machine, and is %q", host, name)
		}
	})
}

// Whatever is sent, the program ends, reads its configuration, or closes a session, only by a POST to the
// one path, from no other origin, and from a browser only with the token. To the public listener nothing does it.
func FuzzRequest(f *testing.F) {
	for _, row := range tcpRows {
		if len(row.raw) < 1000 {
			f.Add([]byte(strings.NewReplacer("ADDR", "127.0.0.1:80", "PORT", "80").Replace(row.raw)), false)
		}
	}
	for _, row := range unixRows {
		f.Add([]byte(row.raw), true)
	}
	f.Add([]byte(head("POST /reload HTTP/1.1", "Host: localhost")), false)
	f.Add([]byte(head("POST /sessions/close?id=1 HTTP/1.1", "Host: localhost", "Sec-Fetch-Site: same-origin", "X-Dbvalet-Token: THETOKEN")), false)
	f.Add([]byte(head("GET / HTTP/1.1", "Host: localhost", "Accept: text/html")), false)
	f.Add([]byte(head("GET /events HTTP/1.1", "Host: localhost")), false)
	f.Add([]byte(head("GET /readyz?upstream=1&format=json HTTP/1.1", "Host: localhost")), false)
	f.Fuzz(func(t *testing.T, raw []byte, unix bool) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(raw))))
		if err != nil {
			return
		}
		asked := ""
		s := &Server{
			Status: func() any { return nil }, Quit: func() { asked = "/quitquitquit" },
			Reload:       func(context.Context) Outcome { asked = "/reload"; return Outcome{} },
			CloseSession: func(context.Context, string) error { asked = "/sessions/close"; return nil },
			Probes: Probes{Ready: func(_ context.Context, upstream bool) Report {
				if upstream {
					asked = "/readyz"
				}
				return Report{OK: true}
			}},
		}
		public := httptest.NewRecorder()
		(&guard{anyHost: true, next: s.publicEndpoints(), log: slog.New(slog.DiscardHandler)}).ServeHTTP(public, r)
		if asked != "" {
			t.Errorf("%s is done for everybody: %q", asked, raw)
		}
		w := httptest.NewRecorder()
		const token = "THETOKEN"
		if r.URL.Path == "/events" {
			ended, end := context.WithCancel(context.Background())
			end()
			r = r.WithContext(withEnd(ended))
		}
		(&guard{unix: unix, token: token, next: s.endpoints(), log: slog.New(slog.DiscardHandler)}).ServeHTTP(w, r)
		if w.Code >= 300 && w.Code < 400 || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("got %d with %v", w.Code, w.Header())
		}
		if asked == "" || asked == "/readyz" {
			return
		}
		if r.Method != http.MethodPost || r.URL.Path != asked || w.Code != http.StatusOK || http.NewCrossOriginProtection().Check(r) != nil {
			t.Errorf("%s is done by %q", asked, raw)
		}
		if isBrowser(r) && r.Header.Get(tokenHeader) != token {
			t.Errorf("%s is done for a browser without the token: %q", asked, raw)
		}
		if !unix && !isLocal(r.Host) {
			t.Errorf("%s is done by a request for %q", asked, r.Host)
		}
	})
}
