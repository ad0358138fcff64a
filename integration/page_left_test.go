package integration

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// leftWorker is a service worker that tells the tabs of its origin what it gets to see. What it does is in
// its address.
const leftWorker = `
const does = new URL(location).searchParams.get('does'), tabs = new BroadcastChannel('seen');
const tell = async answer => { tabs.postMessage(await answer.clone().text()); return answer; };
addEventListener('install', () => skipWaiting());
addEventListener('activate', event => event.waitUntil((async () => {
  if (does === 'preload') await registration.navigationPreload.enable();
  await clients.claim();
})()));
addEventListener('fetch', event => {
  const r = event.request, path = new URL(r.url).pathname;
  tabs.postMessage('token ' + r.headers.get('X-Dbvalet-Token'));
  if (r.mode === 'navigate' && does === 'fetch') event.respondWith(fetch(r).then(tell));
  if (r.mode === 'navigate' && does === 'preload') event.respondWith(event.preloadResponse.then(tell));
  if (path === '/page.js' && does === 'forge') event.respondWith(new Response("` + leftScript + `", {headers: {'Content-Type': 'text/javascript'}}));
});
`

// leftScript tells them what is on a page that loads it as its own.
const leftScript = `new BroadcastChannel('seen').postMessage(document.documentElement.outerHTML)`

// leftPage keeps what the service worker says.
const leftPage = `<!doctype html><title>another program</title><script>
window.seen = [];
const tabs = new BroadcastChannel('seen');
tabs.onmessage = event => seen.push(event.data);
</script>`

// left opens the page of a program, runs a script there, and has dbvalet start where the program was.
func left(t *testing.T, script string) (b *browser, url string) {
	t.Helper()
	ln, err := net.Listen("tcp", freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		switch r.URL.Path {
		case "/worker.js":
			fmt.Fprint(w, leftWorker)
		case "/page.js", "/page.css":
			w.Header().Set("Cache-Control", "max-age=31536000, immutable")
			fmt.Fprint(w, leftScript)
		default:
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Cross-Origin-Opener-Policy", "same-origin") // with which it would be let in by the same
			fmt.Fprint(w, leftPage)
		}
	})}
	go func() { _ = other.Serve(ln) }() // until it is closed
	t.Cleanup(func() { other.Close() })
	addr := ln.Addr().String()
	b, url = startBrowser(t), "http://"+addr+"/"
	b.do("open", args{"url": url})
	b.do("run", args{"script": script})
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	startCommand(t, command(t, program, []string{"PASSWORD=x"}, "--admin="+addr, "--landlock=off",
		"postgres://app@127.0.0.1:1/orders?auth=env:PASSWORD&listen=127.0.0.1:0"), 1).next("admin ready", 0)
	return b, url
}

// tokenOf is the token of the page that the browser shows.
func tokenOf(b *browser) string {
	b.t.Helper()
	token := outcome[string](b, "run", args{"script": `document.querySelector('meta[name=dbvalet-token]').content`})
	if len(token) < 20 {
		b.t.Fatalf("the page's token is %q", token)
	}
	return token
}

// What another program left in a tab has dbvalet's origin, and is not to get at its token.
func TestTabOfAnotherProgramGetsNoToken(t *testing.T) {
	for name, script := range map[string]string{
		"by a request": `fetch('/', {headers: {Accept: 'text/html'}}).then(answer => answer.text())`,
		"by a window": `(async () => {
			const w = open('/');
			for (;;) {
				try {
					if (w.closed) return 'closed';
					if (w.document.querySelector('meta[name=dbvalet-token]')) return w.document.documentElement.outerHTML;
				} catch (err) {
					return String(err);
				}
				await new Promise(done => setTimeout(done, 10));
			}
		})()`,
	} {
		t.Run(name, func(t *testing.T) {
			b, url := left(t, "0")
			got := outcome[string](b, "run", args{"script": script})
			b.do("tab", args{"url": url})
			b.sees("#link", "Live")
			if strings.Contains(got, tokenOf(b)) {
				t.Errorf("it got the token: %s", got)
			}
		})
	}
}

// Where the browser keeps a file under the name of one of ours, that is not the one that the page loads.
func TestFilesOfAnotherProgramGetNoToken(t *testing.T) {
	b, url := left(t, `Promise.all(['/page.js', '/page.css'].map(path => fetch(path))).then(() => 0)`)
	b.do("tab", args{"url": url})
	b.sees("#link", "Live")
	token := tokenOf(b)
	b.do("back", nil)
	if got := string(b.do("run", args{"script": "seen"})); strings.Contains(got, token) {
		t.Errorf("it got the token: %s", got)
	}
}

// A service worker sees what every tab of its origin asks for, and can answer in dbvalet's place.
func TestServiceWorkerOfAnotherProgramGetsNoToken(t *testing.T) {
	for does, first := range map[string]string{
		"fetch":   "load it again", // it is told so, and passes it on
		"preload": "load it again",
		"forge":   "Live",
		"watch":   "Live",
	} {
		t.Run(does, func(t *testing.T) {
			b, url := left(t, `navigator.serviceWorker.register('/worker.js?does=`+does+`').then(() => new Promise(done => {
				navigator.serviceWorker.addEventListener('controllerchange', done);
				if (navigator.serviceWorker.controller) done();
			})).then(() => 0)`)
			b.do("tab", args{"url": url})
			b.sees("body", first)
			b.do("tab", args{"url": url})
			b.sees("#link", "Live")
			b.click("#reload")
			b.sees("#news", "Reloaded")
			token := tokenOf(b)
			b.do("back", nil)
			if got := string(b.do("run", args{"script": "seen"})); strings.Contains(got, token) {
				t.Errorf("it got the token: %s", got)
			}
			if got := outcome[int](b, "run", args{"script": `navigator.serviceWorker.getRegistrations().then(all => all.length)`}); got != 0 {
				t.Error("it is still there")
			}
		})
	}
}
