package admin

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const (
	browser  = "Sec-Fetch-Site: none"
	wantHTML = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
	getPage  = "GET / HTTP/1.1"
)

// routesShown is a status with what a hostile client, database or configuration may put into it.
func routesShown() any {
	const hostile = `</script><script>alert(1)</script><img src=x onerror="alert(1)">'"` + "\u202e"
	return map[string]any{"version": hostile, "routes": []any{map[string]any{
		"name": hostile, "state": "served", "auth": hostile, "endpoint": hostile,
		"connect":     []any{map[string]any{"command": hostile, "url": "javascript:alert(1)" + hostile}},
		"credentials": []any{map[string]any{"id": hostile, "expires": hostile}},
		"clients":     []any{map[string]any{"user": hostile, "database": hostile, "program": hostile, "peer": hostile, "since": hostile}},
		"errors":      []any{map[string]any{"at": hostile, "error": hostile, "hint": hostile}},
	}}}
}

func (s *subject) page(t *testing.T) answered {
	t.Helper()
	return s.sends(t, head(getPage, "Host: "+s.addr.String(), firefox, browser, wantHTML))
}

func withRoutes(s *Server) { s.Status = routesShown }

func TestBrowsersGetThePageAndOthersTheList(t *testing.T) {
	s := serves(t, listenTCP(t), withRoutes)
	if a := s.page(t); a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") || !strings.Contains(a.body, "<!doctype html>") {
		t.Errorf("a browser got %s, %v and %q", a.Status, a.Header, a.body)
	}
	for _, accept := range []string{"Accept: */*", "Accept: text/plain", "X: y"} {
		a := s.sends(t, head(getPage, "Host: localhost", accept))
		if a.StatusCode != 200 || !strings.HasPrefix(a.body, "endpoints of dbvalet:\n") {
			t.Errorf("with %s got %s and %q, want the list", accept, a.Status, a.body)
		}
		for _, path := range []string{"/status", "/events", "/sessions/close", "/reload"} {
			if !strings.Contains(a.body, path) {
				t.Errorf("%s is not on the list:\n%s", path, a.body)
			}
		}
	}
}

func TestThereIsNoPageWithoutAStatusOrForEverybody(t *testing.T) {
	s := serves(t, listenTCP(t), func(s *Server) { s.Status = nil })
	if a := s.page(t); !strings.HasPrefix(a.body, "endpoints of dbvalet:") {
		t.Errorf("got %q without a status, want the list", a.body)
	}
	public := servesBy(t, (*Server).ServePublic, listenTCP(t), withRoutes)
	if a := public.page(t); !strings.HasPrefix(a.body, "endpoints of dbvalet:") || strings.Contains(a.body, "/status") {
		t.Errorf("everybody got %q, want a list without the status", a.body)
	}
	for _, path := range []string{"/events", "/page.js", "/page.css", "/status"} {
		if response, _ := public.asks(t, http.MethodGet, path); response.StatusCode != http.StatusNotFound {
			t.Errorf("%s is there for everybody: %s", path, response.Status)
		}
	}
}

// The page may run its own script only, load its own files only, and talk to nobody but dbvalet.
func TestPageIsConfinedToItself(t *testing.T) {
	s := serves(t, listenTCP(t), withRoutes)
	a := s.page(t)
	policy := map[string]string{}
	for directive := range strings.SplitSeq(a.Header.Get("Content-Security-Policy"), "; ") {
		name, value, _ := strings.Cut(directive, " ")
		policy[name] = value
	}
	for name, want := range map[string]string{
		"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "connect-src": "'self'",
		"form-action": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'", "require-trusted-types-for": "'script'", "trusted-types": "'none'",
	} {
		if policy[name] != want {
			t.Errorf("the policy has %s %s, want %s", name, policy[name], want)
		}
		delete(policy, name)
	}
	if len(policy) > 0 {
		t.Errorf("the policy has %v besides", policy)
	}
	for key, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := a.Header.Get(key); got != want {
			t.Errorf("got %s: %s, want %s", key, got, want)
		}
	}
	// What would need more than the policy allows: code or style in the page, or something from elsewhere.
	for _, pattern := range []string{`<script>`, `<script [^>]*>[^<]`, `<style`, `\sstyle=`, `\son[a-z]+=`, `(src|href)="[^/#]`, `(src|href)="//`, `https?://`} {
		if found := regexp.MustCompile(pattern).FindString(withoutHostile(a.body)); found != "" {
			t.Errorf("the page has %q, which matches %s", found, pattern)
		}
	}
	run := "?" + s.secrets.get().run
	for path, kind := range map[string]string{"/page.js" + run: "text/javascript", "/page.css" + run: "text/css", "/page.svg": "image/svg+xml"} {
		if !strings.Contains(a.body, `"`+path+`"`) {
			t.Errorf("the page does not load %s", path)
		}
		response, body := s.asks(t, http.MethodGet, path)
		if response.StatusCode != 200 || !strings.HasPrefix(response.Header.Get("Content-Type"), kind) || body == "" {
			t.Errorf("%s: got %s, %v", path, response.Status, response.Header)
		}
		if response.Header.Get("Content-Security-Policy") != "default-src 'none'; form-action 'none'; frame-ancestors 'none'" {
			t.Errorf("%s may do more than be read: %v", path, response.Header)
		}
	}
}

// withoutHostile is the page without the texts of the status, which are escaped.
func withoutHostile(page string) string {
	return strings.NewReplacer("onerror=&#34;alert(1)&#34;", "", "onerror=&quot;alert(1)&quot;", "").Replace(page)
}

func TestHostileTextsAreTextOnThePage(t *testing.T) {
	s := serves(t, listenTCP(t), withRoutes)
	a := s.page(t)
	if strings.Contains(a.body, "<script>alert") || strings.Contains(a.body, "<img src=x") {
		t.Errorf("a client's text is markup in\n%s", a.body)
	}
	if got := strings.Count(a.body, "&lt;script&gt;alert(1)"); got < 12 {
		t.Errorf("the table has %d of the hostile texts, want all of them:\n%s", got, a.body)
	}
	// The script has no way to make markup of a text; this is what the policy enforces as well.
	_, script := s.asks(t, http.MethodGet, "/page.js")
	for _, word := range []string{"innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "srcdoc", "DOMParser"} {
		if strings.Contains(script, word) {
			t.Errorf("the script has %s", word)
		}
	}
}

func TestTokenIsOnThePageAloneAndOfThisRun(t *testing.T) {
	pattern := regexp.MustCompile(`name="dbvalet-token" content="([A-Z2-7]{26})"`)
	tokens := map[string]bool{}
	for range 2 {
		s := serves(t, listenTCP(t), withRoutes)
		first, again := pattern.FindStringSubmatch(s.page(t).body), pattern.FindStringSubmatch(s.page(t).body)
		if first == nil || again == nil || first[1] != again[1] || first[1] != s.secrets.get().token {
			t.Fatalf("got %v and %v, want the token %s", first, again, s.secrets.get().token)
		}
		tokens[first[1]] = true
		for _, path := range []string{"/", "/status", "/page.js", "/nothing"} {
			if _, body := s.asks(t, http.MethodGet, path); strings.Contains(body, first[1]) {
				t.Errorf("the token is on %s too", path)
			}
		}
	}
	if len(tokens) != 2 {
		t.Error("two runs have the same token")
	}
}

// A script that has our origin is not one of ours.
func TestPageIsForWindowsAndNotForScripts(t *testing.T) {
	s := serves(t, listenTCP(t), withRoutes)
	for name, row := range map[string]struct {
		header string
		status int
	}{
		"a window":                      {"Sec-Fetch-Dest: document", 200},
		"a browser that does not say":   {"X: y", 200},
		"a script":                      {"Sec-Fetch-Dest: empty", 403},
		"a frame":                       {"Sec-Fetch-Dest: iframe", 403},
		"a window and a script":         {"Sec-Fetch-Dest: document\r\nSec-Fetch-Dest: empty", 403},
		"a service worker's preload":    {"Sec-Fetch-Dest: document\r\nService-Worker-Navigation-Preload: true", 403},
		"its preload, under no name":    {"Sec-Fetch-Dest: document\r\nService-Worker-Navigation-Preload:", 403},
		"a preload, and an old browser": {"Service-Worker-Navigation-Preload: true", 403},
	} {
		a := s.sends(t, head(getPage, "Host: localhost", firefox, "Sec-Fetch-Site: same-origin", wantHTML, row.header))
		if a.StatusCode != row.status || strings.Contains(a.body, s.secrets.get().token) != (row.status == 200) {
			t.Errorf("%s: got %s and %q, want %d", name, a.Status, a.body, row.status)
		}
		if got := a.Header.Get("Clear-Site-Data"); got != `"storage"` {
			t.Errorf("%s: got Clear-Site-Data: %s, want service workers to end", name, got)
		}
	}
}

func TestPageOfAStatusThatIsNoJSONIsAnError(t *testing.T) {
	s := serves(t, listenTCP(t), func(s *Server) { s.Status = func() any { return func() {} } })
	if a := s.page(t); a.StatusCode != 500 || !strings.Contains(a.body, "make the page") {
		t.Errorf("got %s and %q, want 500 and why", a.Status, a.body)
	}
}

func TestButtonsWithoutPurposeAreNotThere(t *testing.T) {
	for _, there := range []bool{true, false} {
		s := serves(t, listenTCP(t), func(s *Server) {
			s.Status = routesShown
			if !there {
				s.Reload, s.CloseSession = nil, nil
			}
		})
		body := s.page(t).body
		for _, button := range []string{`id="reload"`, `data-slot="close"`} {
			if strings.Contains(body, button) != there {
				t.Errorf("the page has %s: %v, want %v", button, !there, there)
			}
		}
	}
}
