package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dbvalet/admin"
)

// object is one of JSON.
type object map[string]any

// A shownPage is a browser with the status page, which shows what a test says.
type shownPage struct {
	*browser
	url    string
	status atomic.Value // of []object, the routes
	end    func()
}

// showPage serves the page with some routes, and waits until the browser shows it.
func showPage(t *testing.T, opened args, routes ...object) *shownPage {
	t.Helper()
	ln, err := net.Listen("tcp", freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &shownPage{url: "http://" + ln.Addr().String() + "/"}
	p.shows(routes...)
	p.end = p.serve(t, ln)
	t.Cleanup(func() { p.end() })
	p.browser = startBrowser(t)
	request := args{"url": p.url}
	for key, value := range opened {
		request[key] = value
	}
	p.do("open", request)
	p.sees("#link", "Live")
	return p
}

// serve serves the page until end is called.
func (p *shownPage) serve(t *testing.T, ln net.Listener) (end func()) {
	server := &admin.Server{
		Status:       func() any { return object{"version": "1", "state": "ready", "routes": p.status.Load()} },
		CloseSession: func(context.Context, string) error { return nil },
		Reload: func(context.Context) admin.Outcome {
			return admin.Outcome{Err: errors.New("orders has no database"), Hint: "say which"}
		},
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, ln) }()
	return func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// restart has another run of the program serve the page.
func (p *shownPage) restart() {
	p.t.Helper()
	p.end()
	ln, err := net.Listen("tcp", strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.end = p.serve(p.t, ln)
}

func (p *shownPage) shows(routes ...object) { p.status.Store(routes) }

// servedRoute is a route that has something to copy, and sessions.
func servedRoute(name string, sessions ...string) object {
	var clients []object
	for _, id := range sessions {
		clients = append(clients, object{
			"session": id, "since": time.Now(), "program": "psql", "pid": 1, "peer": "uid 1", "user": "app", "database": id, "application": "", "from_client": 1, "from_upstream": 1,
		})
	}
	return object{
		"name": name, "state": "served", "scheme": "postgres", "listen": []string{}, "clients": clients,
		"connect": []object{{"listen": "", "command": "psql " + name, "url": "postgres://" + name}},
	}
}

// routeIn is servedRoute in another state.
func routeIn(state, name string, sessions ...string) object {
	r := servedRoute(name, sessions...)
	r["state"], r["connect"] = state, nil
	return r
}

// hasFocus checks what the keyboard acts on.
func (p *shownPage) hasFocus(want string) {
	p.t.Helper()
	if got := outcome[string](p.browser, "focused", nil); got != want {
		p.t.Errorf("the focus is on %q, want it on %q", got, want)
	}
}

func TestKeyboardFocusStaysThoughRoutesMove(t *testing.T) {
	p := showPage(t, nil, servedRoute("a", "1"), servedRoute("b"), servedRoute("c"))
	for _, button := range []string{"Copy the psql command of b", "Copy the psql command of c"} {
		p.do("focus", args{"selector": fmt.Sprintf("button[aria-label=%q]", button)})
		p.shows(servedRoute("b"), servedRoute("c"), routeIn("leaving", "a", "1"))
		p.sees("section:nth-of-type(3)", "Gone")
		p.hasFocus(button)
		p.shows(servedRoute("a", "1"), servedRoute("b"), servedRoute("c"))
		p.sees("section:nth-of-type(1) h2", "a")
		p.hasFocus(button)
	}
}

func TestKeyboardFocusStaysNearWhatGoes(t *testing.T) {
	const state, nobody = `[data-slot="state"]`, `[data-slot="no-session"]`
	for name, row := range map[string]struct {
		focus string
		then  object
		seen  string // what says that it has gone, and
		says  string
	}{
		"copying, and the route fails":           {`[data-slot="copy"]`, routeIn("failed", "a"), state, "Not served"},
		"copying, and the route leaves":          {`[data-slot="copy"]`, routeIn("leaving", "a", "1"), state, "Gone"},
		"at a session, and it ends":              {`[data-slot="close"]`, servedRoute("a"), nobody, "Nobody"},
		"at a session, and the route fails":      {`[data-slot="close"]`, routeIn("failed", "a"), state, "Not served"},
		"at the sessions, and the last one ends": {`[role="region"]`, servedRoute("a"), nobody, "Nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			p := showPage(t, nil, servedRoute("a", "1"), servedRoute("b"))
			p.do("focus", args{"selector": inRoute("a", row.focus)})
			p.shows(row.then, servedRoute("b"))
			p.sees(inRoute("a", row.seen), row.says)
			p.hasFocus("a")
		})
	}
}

func TestKeyboardFocusSurvivesTheDialogOfASessionThatEnds(t *testing.T) {
	p := showPage(t, nil, servedRoute("a", "1"))
	p.click(`[data-slot="close"]`)
	p.sees("dialog", "psql")
	p.shows(servedRoute("a"))
	p.do("misses", args{"selector": `[data-slot="close"]`, "text": ""})
	p.press("Escape")
	p.do("sees", args{"selector": "main:focus", "text": ""})
}

// newsTime is how long a line of news stays, in milliseconds.
const newsTime = 8000

func TestWhatCameOfAnActionStaysThoughSomethingChanges(t *testing.T) {
	p := showPage(t, args{"stopped": true}, servedRoute("a"), servedRoute("b"))
	hasNews := func(want string) {
		t.Helper()
		if got := p.text("#news"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("the news is %q, want %q", got, want)
		}
	}
	p.click("#reload")
	p.do("passes until", args{"selector": "#news", "text": "say which"})
	p.shows(servedRoute("a"), servedRoute("b", "1"))
	p.sees("section", "Sessions: 1")
	p.do("pass", args{"ms": newsTime / 2})
	hasNews("say which")
	p.do("pass", args{"ms": newsTime})
	hasNews("1 session on b began.")

	// Changes alone, however many, leave a corner of the page free for half of the time.
	p.shows(servedRoute("a"), servedRoute("b", "1", "2"))
	p.sees("section", "Sessions: 2")
	hasNews("1 session on b began.")
	p.do("pass", args{"ms": newsTime})
	hasNews("")
	p.shows(servedRoute("a"), servedRoute("b", "1", "2", "3"))
	p.sees("section", "Sessions: 3")
	hasNews("")
	p.do("pass", args{"ms": newsTime})
	hasNews("2 sessions on b began.")
}

// A screen reader says what changes, and only that.
func TestWhatIsSaidAgainIsReadOutAgain(t *testing.T) {
	p := showPage(t, args{"stopped": true}, servedRoute("a"))
	p.click(`button[aria-label="Copy the psql command of a"]`)
	p.do("passes until", args{"selector": "#news", "text": "Copied: psql a"})
	p.do("run", args{"script": `window.said = [], new MutationObserver(() => said.push(document.getElementById('news').textContent)).observe(document.getElementById('news'), {childList: true})`})
	p.click(`button[aria-label="Copy the psql command of a"]`)
	p.do("passes until", args{"selector": "#news:empty", "text": ""})
	p.do("passes until", args{"selector": "#news", "text": "Copied: psql a"})
	if got := outcome[[]string](p.browser, "run", args{"script": "said"}); fmt.Sprint(got) != "[ Copied: psql a]" {
		t.Errorf("read out was %q, want nothing, and it again", got)
	}
}

func TestLateAnswerDoesNotReplaceWhatTheStreamSays(t *testing.T) {
	p := showPage(t, args{"stopped": true}, servedRoute("first"))
	const look = `document.dispatchEvent(new Event('visibilitychange'))`
	p.do("run", args{"script": `window.said = [], new MutationObserver(() => said.push(document.getElementById('link-text').textContent)).observe(document.getElementById('link-text'), {childList: true})`})
	p.do("hold", args{"path": "/status", "fails": "/events"})
	p.do("run", args{"script": look})
	p.do("held", nil)
	p.shows(servedRoute("second"))
	p.do("run", args{"script": look})
	p.sees("h2", "second")
	p.do("release", nil)
	p.shows(servedRoute("third"))
	p.sees("h2", "third")
	if got := outcome[[]string](p.browser, "run", args{"script": "said"}); len(got) > 0 {
		t.Errorf("the page said %q, want it to stay live", got)
	}
}

// The page of the run before has a token that is good for nothing any more.
func TestPageOfAnotherRunDoesNotLookAlive(t *testing.T) {
	p := showPage(t, nil, servedRoute("a"))
	p.do("run", args{"script": `new MutationObserver(() => console.warn('it says ' + document.getElementById('link-text').textContent)).observe(document.getElementById('link-text'), {childList: true})`})
	p.do("hold", args{"path": "/", "fails": "/nothing"})
	p.restart()
	p.do("held", nil) // it is loaded again, but not yet there
	p.do("release", nil)
	p.sees("#link", "Live")
	p.click("#reload")
	p.sees("#news", "say which")
	said := outcome[[]string](p.browser, "complaints", nil)
	if slices.Contains(said, "it says Live") || !slices.ContainsFunc(said, func(text string) bool { return strings.HasPrefix(text, "it says ") }) {
		t.Errorf("the console has %q, want that the page before was not live once the connection was lost", said)
	}
}
