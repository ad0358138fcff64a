package admin

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

// tokenHeader is where the page shows its token.
const tokenHeader = "X-Dbvalet-Token"

// pagePolicy is the Content-Security-Policy of the page: its own three files, requests to where it comes
// from, and no way for a text to become code.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

//go:embed page
var pageFolder embed.FS

// pageFiles are the endpoints of what the page loads.
func pageFiles() (all endpoints) {
	for name, kind := range map[string]string{"page.css": "text/css", "page.js": "text/javascript", "page.svg": "image/svg+xml"} {
		all = append(all, endpoint{method: http.MethodGet, path: "/" + name, serve: func(w http.ResponseWriter, _ *http.Request) {
			content, err := fs.ReadFile(pageFolder, path.Join("page", name))
			if err != nil { // it is not in the program
				answer(w, http.StatusInternalServerError, err.Error())
				return
			}
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
			_, _ = w.Write(content) // it fails if the client has gone
		}})
	}
	return all
}

// secrets are texts that differ from process to process.
type secrets struct {
	once  sync.Once
	token string // by which requests are known as the page's
	run   string // by which the page notices that the program is another one now
}

func (s *secrets) get() *secrets {
	s.once.Do(func() { s.token, s.run = rand.Text(), rand.Text() })
	return s
}

// wantsHTML reports whether who asks is shown pages.
func wantsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// servePage serves the page: with what is served as a plain table, for browsers that run no scripts.
// What the table shows comes from the JSON, as what the script shows does.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) {
	seclude(w.Header())
	if !forWindow(r) {
		answer(w, http.StatusForbidden, errWindow.Error())
		return
	}
	body, err := s.renderPage()
	if err != nil {
		answer(w, http.StatusInternalServerError, fmt.Sprintf("make the page: %v", err))
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = body.WriteTo(w) // it fails if the client has gone
}

// seclude sets the headers that keep what another program has left in the browser under our address out of
// the page: service workers end before the page loads anything, so that none takes part in it, and tabs of
// the same origin do not get hold of its window. same-origin would let those in that say the same.
//
//   - https://w3c.github.io/webappsec-clear-site-data/
//   - https://html.spec.whatwg.org/multipage/browsers.html#coop-noopener-allow-popups
func seclude(h http.Header) {
	h.Set("Clear-Site-Data", `"storage"`)
	h.Set("Cross-Origin-Opener-Policy", "noopener-allow-popups")
}

var errWindow = errors.New("the page is for a window of its own, and a script or a service worker has asked for it: if that was not you, load it again")

// forWindow reports whether r's answer goes to a window and no script can read it. Browsers from before
// 2023 do not say.
func forWindow(r *http.Request) bool {
	for _, dest := range r.Header.Values("Sec-Fetch-Dest") {
		if dest != "document" {
			return false
		}
	}
	// A service worker's, who gets the answer first. It can choose the value.
	return len(r.Header.Values("Service-Worker-Navigation-Preload")) == 0
}

func (s *Server) renderPage() (*bytes.Buffer, error) {
	status, err := json.Marshal(s.Status())
	if err != nil {
		return nil, err
	}
	page := struct {
		Token, Run    string
		Reload, Close bool
		Status        map[string]any
	}{s.secrets.get().token, s.secrets.get().run, s.Reload != nil, s.CloseSession != nil, nil}
	if err := json.Unmarshal(status, &page.Status); err != nil {
		return nil, err
	}
	t, err := template.ParseFS(pageFolder, "page/page.html")
	if err != nil {
		return nil, err
	}
	body := new(bytes.Buffer)
	return body, t.Execute(body, page)
}
