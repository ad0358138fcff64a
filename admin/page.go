package admin

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
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
func (s *Server) servePage(w http.ResponseWriter, _ *http.Request) {
	body, err := s.renderPage()
	if err != nil {
		answer(w, http.StatusInternalServerError, fmt.Sprintf("make the page: %v", err))
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = body.WriteTo(w) // it fails if the client has gone
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
