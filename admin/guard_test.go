package admin

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// head is a request's head: its lines, with ADDR and PORT for the server's.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

const (
	getStatus  = "GET /status HTTP/1.1"
	postQuit   = "POST /quitquitquit HTTP/1.1"
	postReload = "POST /reload HTTP/1.1"
	token      = "X-Dbvalet-Token: TOKEN"
	ours       = "Host: ADDR"
	firefox    = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0"
	form       = "Content-Type: application/x-www-form-urlencoded"
)

// A caseRow is a request and what becomes of it.
type caseRow struct {
	name, why string
	raw       string
	status    int
	text      string // in the answer's body
}

// quits is what a POST is answered that was heard.
const quits = "stopping"

var tcpRows = []caseRow{
	// What is served.
	{"address", "the ordinary request", head(getStatus, ours), 200, `"version": "1.2.3"`},
	{"localhost", "its name", head(getStatus, "Host: localhost:PORT"), 200, "orders"},
	{"localhost in capitals", "names have no case", head(getStatus, "Host: LocalHost:PORT"), 200, "orders"},
	{"localhost without a port", "HTTP's own port may be left out", head(getStatus, "Host: localhost"), 200, "orders"},
	{"other loopback address", "all of 127.0.0.0/8 is this machine", head(getStatus, "Host: 127.8.9.10:PORT"), 200, "orders"},
	{"IPv6", "a client may have connected by way of ::1", head(getStatus, "Host: [::1]:PORT"), 200, "orders"},
	{"IPv6 without a port", "the brackets are the address's", head(getStatus, "Host: [::1]"), 200, "orders"},
	{"other port", "ports are forwarded", head(getStatus, "Host: localhost:8080"), 200, "orders"},
	{"HEAD", "it reads, as GET does", head("HEAD /status HTTP/1.1", ours), 200, ""},
	{"query", "cache busters and the like", head("GET /status?now HTTP/1.1", ours), 200, "orders"},
	{"HTTP/1.0 with Host", "old, but it says where it goes", head("GET /status HTTP/1.0", ours), 200, "orders"},
	{"address typed into a browser", "the user wants it", head(getStatus, ours, firefox, "Sec-Fetch-Site: none"), 200, "orders"},
	{"page of our own", "what a status page will send", head(getStatus, ours, firefox, "Sec-Fetch-Site: same-origin", "Referer: http://ADDR/"), 200, "orders"},
	{"old browser reads", "it has typed addresses too, and no page sees the answer", head(getStatus, ours, firefox), 200, "orders"},
	{"list", "a person looks around", head("GET / HTTP/1.1", ours), 200, "POST /quitquitquit"},
	{"quit by curl -X POST", "it sends neither body nor type", head(postQuit, ours, "User-Agent: curl/8.14.1"), 200, quits},
	{"quit by curl -d ''", "it calls the empty body a form", head(postQuit, ours, "User-Agent: curl/8.14.1", form, "Content-Length: 0"), 200, quits},
	{"quit by wget of BusyBox", "it has no other way", head(postQuit, "Host: localhost:PORT", "User-Agent: Wget", form, "Content-Length: 0"), 200, quits},
	{"quit by page of our own", "a button on a status page", head(postQuit, ours, firefox, "Sec-Fetch-Site: same-origin", "Origin: http://ADDR", token, "Content-Length: 0"), 200, quits},
	{"quit by page of our own, no Sec-Fetch-Site", "a browser from before 2023", head(postQuit, ours, firefox, "Origin: http://ADDR", token, "Content-Length: 0"), 200, quits},
	{"quit by curl with the token", "whoever has it may show it", head(postQuit, ours, token), 200, quits},
	{"reload by page of our own", "the other button", head(postReload, ours, firefox, "Sec-Fetch-Site: same-origin", "Origin: http://ADDR", token, "Content-Length: 0"), 200, "reloaded"},
	{"reload by curl", "as before there was a page", head(postReload, ours, "User-Agent: curl/8.14.1"), 200, "reloaded"},
	{"close by page of our own", "a button", head("POST /sessions/close?id=0 HTTP/1.1", ours, firefox, "Sec-Fetch-Site: same-origin", "Origin: http://ADDR", token, "Content-Length: 0"), 200, "closed"},
	{"close by curl", "as it reloads", head("POST /sessions/close?id=0 HTTP/1.1", ours), 200, "closed"},
	{"events by page of our own", "what it lives by", head("HEAD /events HTTP/1.1", ours, firefox, "Sec-Fetch-Site: same-origin", "Accept: text/event-stream"), 200, ""},

	// Pages of our own that did not get the token, as they are of another program on the same port.
	{"page without the token", "it comes from our origin, and we did not serve it", head(postQuit, ours, firefox, "Sec-Fetch-Site: same-origin", "Origin: http://ADDR", "Content-Length: 0"), 403, "token"},
	{"typed address that posts", "no person does", head(postQuit, ours, firefox, "Sec-Fetch-Site: none"), 403, "token"},
	{"Origin alone without the token", "a browser says it", head(postQuit, ours, "Origin: http://ADDR"), 403, "token"},
	{"wrong token", "that of the run before", head(postQuit, ours, firefox, "Sec-Fetch-Site: same-origin", "X-Dbvalet-Token: AAAAAAAAAAAAAAAAAAAAAAAAAA"), 403, "token"},
	{"wrong token of curl", "whoever shows one means it", head(postQuit, ours, "X-Dbvalet-Token: x"), 403, "token"},
	{"empty token", "it is not the one", head(postQuit, ours, firefox, "Sec-Fetch-Site: same-origin", "X-Dbvalet-Token:"), 403, "token"},
	{"two tokens", "one reader takes the first, another the last", head(postQuit, ours, firefox, "Sec-Fetch-Site: same-origin", token, "X-Dbvalet-Token: x"), 403, "token"},
	{"token for another page", "it helps nobody from elsewhere", head(postQuit, ours, firefox, "Sec-Fetch-Site: cross-site", token), 403, "Sec-Fetch-Site"},
	{"token in the URL", "it belongs into a header", head("POST /quitquitquit?X-Dbvalet-Token=TOKEN HTTP/1.1", ours, firefox, "Sec-Fetch-Site: same-origin"), 403, "token"},
	{"reload without the token", "the same", head(postReload, ours, firefox, "Sec-Fetch-Site: same-origin", "Content-Length: 0"), 403, "token"},
	{"close without the token", "the same", head("POST /sessions/close?id=0 HTTP/1.1", ours, firefox, "Sec-Fetch-Site: same-origin"), 403, "token"},
	{"close by GET", "an image", head("GET /sessions/close?id=0 HTTP/1.1", ours), 405, "POST"},
	{"events in another page", "they say what the status says", head("GET /events HTTP/1.1", ours, firefox, "Sec-Fetch-Site: same-site", "Accept: text/event-stream"), 403, "Sec-Fetch-Site"},
	{"page in a frame of another", "nobody may borrow its buttons", head("GET / HTTP/1.1", ours, firefox, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: iframe", "Accept: text/html"), 403, "Sec-Fetch-Site"},
	{"page by a rebound name", "it would get the token", head("GET / HTTP/1.1", "Host: evil.example:PORT", firefox, "Sec-Fetch-Site: none", "Accept: text/html"), 421, "Host"},

	// Names that lead here but are not ours.
	{"rebound name", "the page at evil.example has its name resolve to 127.0.0.1", head(getStatus, "Host: evil.example:PORT"), 421, "Host"},
	{"rebound name quits", "the same, and its page is the same origin for the browser", head(postQuit, "Host: evil.example:PORT", "Origin: http://evil.example:PORT", "Sec-Fetch-Site: same-origin"), 421, "Host"},
	{"name below ours", "a comparison of beginnings would take it", head(getStatus, "Host: localhost.evil.example:PORT"), 421, "Host"},
	{"name above ours", "a comparison of ends would take it", head(getStatus, "Host: evil.localhost:PORT"), 421, "Host"},
	{"nip.io", "a public name that resolves to its own first part", head(getStatus, "Host: 127.0.0.1.nip.io:PORT"), 421, "Host"},
	{"decimal address", "browsers write it out; who sends it is no browser", head(getStatus, "Host: 2130706433:PORT"), 421, "Host"},
	{"hexadecimal address", "the same", head(getStatus, "Host: 0x7f000001:PORT"), 421, "Host"},
	{"short address", "the same", head(getStatus, "Host: 127.1:PORT"), 421, "Host"},
	{"address with zeros", "octal to some, decimal to others", head(getStatus, "Host: 127.0.0.01:PORT"), 421, "Host"},
	{"0.0.0.0", "browsers let pages reach loopback by it", head(getStatus, "Host: 0.0.0.0:PORT"), 421, "Host"},
	{"mapped address", "not one of the three ways to write it", head(getStatus, "Host: [::ffff:127.0.0.1]:PORT"), 421, "Host"},
	{"IPv6 without brackets", "no Host header looks like this", head(getStatus, "Host: ::1"), 421, "Host"},
	{"IPv6 without brackets, with a port", "the same", head(getStatus, "Host: ::1:PORT"), 421, "Host"},
	{"other address", "a forwarded port that others can reach", head(getStatus, "Host: 192.168.1.2:PORT"), 421, "Host"},
	{"user before the name", "it belongs into no Host header", head(getStatus, "Host: localhost@evil.example"), 400, "Host"},
	{"name of ours as the port", "what follows the colon has to be a number", head(getStatus, "Host: localhost:evil.example"), 421, "Host"},
	{"two names", "the first is ours", head(getStatus, "Host: localhost, evil.example"), 400, "Host"},
	{"trailing dot", "another name for a browser's rules of origin", head(getStatus, "Host: localhost.:PORT"), 421, "Host"},
	{"empty Host", "it says nothing", head(getStatus, "Host:"), 421, "Host"},
	{"HTTP/1.0 without Host", "it says nothing", head("GET /status HTTP/1.0"), 421, "Host"},
	{"no Host", "HTTP/1.1 demands one", head(getStatus), 400, "Host"},
	{"two Hosts", "one reader takes the first, another the last", head(getStatus, ours, "Host: evil.example"), 400, ""},
	{"two Hosts, ours last", "the same", head(getStatus, "Host: evil.example", ours), 400, ""},

	// Requests for something else than a path.
	{"absolute URL of another", "this is no proxy", head("GET http://evil.example/status HTTP/1.1", ours), 400, "no proxy"},
	{"absolute URL of ours", "its host replaces Host, which would be believed then", head("GET http://ADDR/status HTTP/1.1", "Host: evil.example"), 400, "no proxy"},
	{"CONNECT", "this is no proxy", head("CONNECT 127.0.0.1:5432 HTTP/1.1", "Host: 127.0.0.1:5432"), 400, "no proxy"},
	{"CONNECT with a path", "a method like any other", head("CONNECT /status HTTP/1.1", ours), 405, "GET"},
	{"OPTIONS *", "net/http would answer it before the guard", head("OPTIONS * HTTP/1.1", ours), 400, "no proxy"},
	{"HTTP/2", "there is only HTTP/1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "no proxy"},
	{"upgrade to HTTP/2", "it is not heard", head(getStatus, ours, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), 200, "orders"},
	{"path with two slashes", "no redirect to another host or path", head("GET //evil.example/status HTTP/1.1", ours), 404, "no such endpoint"},
	{"path with dots", "no redirect", head("GET /x/../status HTTP/1.1", ours), 404, "no such endpoint"},
	{"something below an endpoint", "there is nothing", head("GET /status/ HTTP/1.1", ours), 404, "/quitquitquit"},

	// Pages of others.
	{"image in another page", "nothing of ours is a page's business", head(getStatus, ours, firefox, "Sec-Fetch-Site: cross-site"), 403, "Sec-Fetch-Site"},
	{"page of another port", "what runs there is same-site, and not us", head(getStatus, ours, firefox, "Sec-Fetch-Site: same-site"), 403, "Sec-Fetch-Site"},
	{"HEAD by another page", "it measures what GET shows", head("HEAD /status HTTP/1.1", ours, firefox, "Sec-Fetch-Site: cross-site"), 403, ""},
	{"Sec-Fetch-Site to come", "unknown values are not ours", head(getStatus, ours, "Sec-Fetch-Site: same-galaxy"), 403, "Sec-Fetch-Site"},
	{"Sec-Fetch-Site twice", "one reader takes the first, another the last", head(getStatus, ours, "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"), 403, "Sec-Fetch-Site"},
	{"fetch by another page", "GET carries an Origin then", head(getStatus, ours, "Origin: https://evil.example"), 403, "Origin"},
	{"Origin null", "a sandboxed frame, a file, a redirect", head(postQuit, ours, firefox, "Origin: null"), 403, "Origin"},
	{"Origin null reads", "the same", head(getStatus, ours, "Origin: null"), 403, "Origin"},
	{"Origin of another port", "another program's page on localhost", head(postQuit, ours, "Origin: http://127.0.0.1:1"), 403, "Origin"},
	{"Origin without our port", "the same", head(postQuit, ours, "Origin: http://127.0.0.1"), 403, "Origin"},
	{"Origin by another name of ours", "another origin for the browser", head(postQuit, ours, "Origin: http://localhost:PORT"), 403, "Origin"},
	{"Origin with https", "we have none, so somebody else has", head(postQuit, ours, "Origin: https://ADDR"), 403, "Origin"},
	{"Origin that begins as ours", "a comparison of beginnings would take it", head(postQuit, ours, "Origin: http://ADDR.evil.example"), 403, "Origin"},
	{"Origin against Sec-Fetch-Site", "both have to be right", head(postQuit, ours, "Sec-Fetch-Site: same-origin", "Origin: https://evil.example"), 403, "Origin"},
	{"Origin twice", "one reader takes the first, another the last", head(postQuit, ours, "Origin: http://ADDR", "Origin: https://evil.example"), 403, "Origin"},
	{"empty Origin", "it is not ours", head(postQuit, ours, "Origin:"), 403, "Origin"},
	{"POST by another page", "a form or a fetch", head(postQuit, ours, firefox, "Sec-Fetch-Site: cross-site", "Origin: https://evil.example", form, "Content-Length: 0"), 403, "Sec-Fetch-Site"},
	{"POST by page of another port", "same-site is not us", head(postQuit, ours, "Sec-Fetch-Site: same-site", "Origin: http://localhost:3000"), 403, "Sec-Fetch-Site"},
	{"Referer of another page", "an old browser says no more", head(postQuit, ours, firefox, "Referer: https://evil.example/x", form, "Content-Length: 0"), 403, "Referer"},
	{"Referer of another page reads", "an old browser's image", head(getStatus, ours, firefox, "Referer: http://localhost:3000/"), 403, "Referer"},
	{"Referer with ours as its user", "the host is what counts", head(getStatus, ours, "Referer: http://ADDR@evil.example/"), 403, "Referer"},
	{"Referer that is none", "what can't be read is not ours", head(getStatus, ours, "Referer: http://%zz"), 403, "Referer"},
	{"old browser's empty form", "it says nothing of the page", head(postQuit, ours, firefox, form, "Content-Length: 0"), 403, "Mozilla"},
	{"old browser's bare POST", "a fetch without cors and body", head(postQuit, ours, firefox, "Content-Length: 0"), 403, "Mozilla"},
	{"old browser's form of text", "no preflight asks before it", head(postQuit, ours, firefox, "Content-Type: text/plain", "Content-Length: 2") + "x=", 403, "Mozilla"},
	{"preflight", "no page gets permission", head("OPTIONS /quitquitquit HTTP/1.1", ours, firefox, "Origin: https://evil.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true"), 403, "Origin"},
	{"preflight by ours", "there is nothing to ask for", head("OPTIONS /quitquitquit HTTP/1.1", ours, "Origin: http://ADDR", "Access-Control-Request-Method: POST"), 405, "POST"},

	// Methods and bodies.
	{"GET of what changes", "an image, a crawler, a prefetch", head("GET /quitquitquit HTTP/1.1", ours), 405, "POST"},
	{"HEAD of what changes", "the same", head("HEAD /quitquitquit HTTP/1.1", ours), 405, ""},
	{"PUT of what changes", "there is one way", head("PUT /quitquitquit HTTP/1.1", ours), 405, "POST"},
	{"GET that would be a POST", "nobody reads this header", head("GET /quitquitquit?_method=POST HTTP/1.1", ours, "X-HTTP-Method-Override: POST"), 405, "POST"},
	{"method in small letters", "methods have a case", head("post /quitquitquit HTTP/1.1", ours), 405, "POST"},
	{"POST of what reads", "it changes nothing", head("POST /status HTTP/1.1", ours), 405, "GET, HEAD"},
	{"TRACE", "it shows a page what it can't see", head("TRACE /status HTTP/1.1", ours), 405, "GET, HEAD"},
	{"POST to nowhere", "there is no such endpoint", head("POST /quit HTTP/1.1", ours), 404, "/quitquitquit"},
	{"form with fields", "whoever sends it, nothing here reads one", head(postQuit, ours, form, "Content-Length: 3") + "x=y", 413, "body"},
	{"body of text", "the same", head(postQuit, ours, "Content-Type: text/plain", "Content-Length: 1") + "x", 413, "body"},
	{"body with GET", "the same", head(getStatus, ours, "Content-Length: 1") + "x", 413, "body"},
	{"body in chunks", "the same, of unknown length", head(postQuit, ours, "Transfer-Encoding: chunked") + "0\r\n\r\n", 413, "body"},
	{"body that does not come", "the answer does not wait for it", head(postQuit, ours, "Content-Length: 9999999"), 413, "body"},

	// Bytes that one reader takes for one request and another for two.
	{"length and chunks", "smuggling", head(postQuit, ours, "Content-Length: 4", "Transfer-Encoding: chunked") + "0\r\n\r\n" + head(postQuit, ours), 413, "body"},
	{"two lengths", "smuggling", head(getStatus, ours, "Content-Length: 0", "Content-Length: 5"), 400, ""},
	{"unknown encoding", "smuggling", head(postQuit, ours, "Transfer-Encoding: xchunked"), 501, ""},
	{"second request", "there is one for each connection", head(getStatus, ours, "Connection: keep-alive") + head(postQuit, ours), 200, "orders"},
	{"second request after HTTP/1.0 with chunks", "the encoding is not known there", head("GET /status HTTP/1.0", ours, "Connection: keep-alive", "Transfer-Encoding: chunked") + head(postQuit, ours), 200, "orders"},
	{"space before the colon", "a header to some", head(getStatus, "Host : ADDR"), 400, ""},
	{"folded header", "its end is read differently", head(getStatus, ours, "X: y", " Origin: http://ADDR"), 200, "orders"},
	{"NUL in a header", "its end is read differently", head(getStatus, ours, "X: \x00"), 400, ""},
	{"no HTTP", "a database's client", "\x00\x00\x00\x08\x04\xd2\x16\x2f\r\n\r\n", 400, ""},
	{"oversize header", "it is bounded", head(getStatus, ours, "X: "+strings.Repeat("x", 20<<10)), 431, ""},
	{"oversize path", "it is bounded", head("GET /"+strings.Repeat("x", 20<<10)+" HTTP/1.1", ours), 431, ""},
}

// For a unix socket Host says nothing, as long as no browser is there.
var unixRows = []caseRow{
	{"curl", "it takes the name from the URL", head(getStatus, "Host: localhost", "User-Agent: curl/8.14.1"), 200, "orders"},
	{"made up Host", "clients have to send something", head(getStatus, "Host: unix"), 200, "orders"},
	{"empty Host", "there is none", head(getStatus, "Host:"), 200, "orders"},
	{"quit", "by a client with a name made up", head(postQuit, "Host: dbvalet"), 200, quits},
	{"browser by a forwarded port", "the user has forwarded it", head(getStatus, "Host: localhost:8080", firefox, "Sec-Fetch-Site: none"), 200, "orders"},
	{"rebound name by a forwarded port", "a page has found the port", head(getStatus, "Host: evil.example:8080", firefox, "Sec-Fetch-Site: same-origin"), 421, "Host"},
	{"rebound name, old browser", "the same", head(getStatus, "Host: evil.example:8080", firefox), 421, "Host"},
	{"rebound name with Origin", "the same", head(postQuit, "Host: evil.example:8080", "Origin: http://evil.example:8080"), 421, "Host"},
	{"other page by a forwarded port", "the same", head(postQuit, "Host: localhost:8080", "Origin: https://evil.example"), 403, "Origin"},
	{"absolute URL", "this is no proxy", head("GET http://unix/status HTTP/1.1", "Host: unix"), 400, "no proxy"},
	{"GET of what changes", "as on TCP", head("GET /quitquitquit HTTP/1.1", "Host: unix"), 405, "POST"},
	{"body", "as on TCP", head(postQuit, "Host: unix", "Content-Length: 1") + "x", 413, "body"},
}

func TestOnlyRequestsOfThisMachineAreServed(t *testing.T) {
	for network, rows := range map[string][]caseRow{"tcp": tcpRows, "unix": unixRows} {
		for _, row := range rows {
			t.Run(network+"/"+row.name, func(t *testing.T) {
				listen := listenTCP
				if network == "unix" {
					listen = listenUnix
				}
				s := serves(t, listen(t))
				_, port, _ := net.SplitHostPort(s.addr.String())
				a := s.sends(t, strings.NewReplacer("ADDR", s.addr.String(), "PORT", port, "TOKEN", s.secrets.get().token).Replace(row.raw))
				if a.StatusCode != row.status || !strings.Contains(a.body, row.text) {
					t.Errorf("got %s and %q, want %d and %q in it: %s", a.Status, a.body, row.status, row.text, row.why)
				}
				if want := int32(strings.Count(row.text, quits)); s.quit.Load() != want {
					t.Errorf("Quit was called %d times, want %d: %s", s.quit.Load(), want, row.why)
				}
				if a.rest != "" {
					t.Errorf("got %q after the answer, want the end: %s", a.rest, row.why)
				}
				isProtected(t, a)
			})
		}
	}
}

// isProtected checks the headers of an answer.
func isProtected(t *testing.T, a answered) {
	t.Helper()
	for key := range a.Header {
		if strings.HasPrefix(key, "Access-Control-") || key == "Location" || key == "Server" {
			t.Errorf("the answer has %s: %s, which it never may", key, a.Header.Get(key))
		}
	}
	if allow := a.Header.Get("Allow"); (a.StatusCode == 405) != (allow != "") {
		t.Errorf("got %s with Allow: %s", a.Status, allow)
	}
	if a.StatusCode >= 400 && !strings.HasPrefix(a.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("got the type %q, want plain text", a.Header.Get("Content-Type"))
	}
	if a.Header.Get("Cache-Control") == "" && (a.StatusCode == 400 || a.StatusCode == 431 || a.StatusCode == 501) {
		return // net/http has refused it, before there was a request
	}
	for key, want := range map[string]string{
		"Cache-Control":                "no-store",
		"Content-Security-Policy":      "default-src 'none'; form-action 'none'; frame-ancestors 'none'",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"X-Frame-Options":              "DENY",
	} {
		if got := a.Header.Get(key); got != want {
			t.Errorf("got %s: %s, want %s", key, got, want)
		}
	}
}

// What the standard library refuses to post, the guard refuses too, whatever the three headers say.
func TestGuardIsAsStrictAsCrossOriginProtection(t *testing.T) {
	standard, refused := http.NewCrossOriginProtection(), 0
	hosts := []string{"localhost:9", "127.0.0.1:9", "[::1]:9", "localhost", "evil.example"}
	values := []string{"", "null", "http://localhost:9", "https://localhost:9", "http://127.0.0.1:9", "http://[::1]:9", "http://localhost", "http://evil.example", "localhost:9", ":"}
	sites := []string{"", "none", "same-origin", "same-site", "cross-site", "other"}
	for _, host := range hosts {
		for _, origin := range values {
			for _, site := range sites {
				r := httptest.NewRequest(http.MethodPost, "/quitquitquit", nil)
				r.Host = host
				for key, value := range map[string]string{"Origin": origin, "Sec-Fetch-Site": site} {
					if value != "" {
						r.Header.Set(key, value)
					}
				}
				if standard.Check(r) == nil {
					continue
				}
				refused++
				if status, err := (&guard{}).judge(r); err == nil {
					t.Errorf("Host %q, Origin %q, Sec-Fetch-Site %q: got %d, want it refused", host, origin, site, status)
				}
			}
		}
	}
	if refused < 100 {
		t.Errorf("%d were to be refused, want 100 and more", refused)
	}
}
