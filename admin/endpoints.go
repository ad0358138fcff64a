package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// An endpoint is a path and what it does.
type endpoint struct {
	method string // GET: it reads, and HEAD is served too; POST: it changes something
	path   string
	about  string // empty: it is part of the page, and not on the list
	serve  http.HandlerFunc
}

// endpoints are all that there are. Paths are compared as they are: http.ServeMux would clean them and
// redirect, and there is nothing below any of them.
type endpoints []endpoint

var _ http.Handler = endpoints(nil)

// endpoints returns those that the server's fields make possible.
func (s *Server) endpoints() endpoints {
	all := s.probes(s.Probes, true)
	if s.Status != nil {
		all = append(all,
			endpoint{http.MethodGet, "/status", "what is served, as JSON", s.serveStatus},
			endpoint{http.MethodGet, "/events", "the same as it changes, as server-sent events", s.serveEvents})
		all = append(all, pageFiles()...)
	}
	if s.CloseSession != nil {
		all = append(all, endpoint{http.MethodPost, "/sessions/close", "end the session ?id=ID", s.serveClose})
	}
	if s.Reload != nil {
		all = append(all, endpoint{http.MethodPost, "/reload", "read the configuration again", s.serveReload})
	}
	if s.Quit != nil {
		all = append(all, endpoint{http.MethodPost, "/quitquitquit", "end the program, as SIGTERM does", s.serveQuit})
	}
	list := all
	return append(all, endpoint{http.MethodGet, "/", "this list; in a browser, the status page", func(w http.ResponseWriter, r *http.Request) {
		if s.Status != nil && wantsHTML(r) {
			s.servePage(w, r)
			return
		}
		list.serveList(w, r)
	}})
}

// publicEndpoints returns those that anybody may ask who can connect: they change nothing, cost
// nothing, and tell nothing but names and numbers.
func (s *Server) publicEndpoints() endpoints {
	all := s.probes(s.Probes.brief(), false)
	return append(all, endpoint{http.MethodGet, "/", "this list", all.serveList})
}

// probes are the endpoints that machines ask.
func (s *Server) probes(p Probes, mayLogIn bool) (all endpoints) {
	if p.Startup != nil {
		all = append(all, endpoint{http.MethodGet, "/startup", "200 when it has begun to serve", probe(p.Startup)})
	}
	if p.Live != nil {
		all = append(all, endpoint{http.MethodGet, "/livez", "200 while it is alive", probe(p.Live)})
	}
	if p.Ready != nil {
		about := "200 while clients are served"
		if mayLogIn {
			about += "; with ?upstream=1 it logs in to find out"
		}
		all = append(all, endpoint{http.MethodGet, "/readyz", about, serveReady(p.Ready, mayLogIn)})
	}
	if s.Metrics != nil {
		all = append(all, endpoint{http.MethodGet, "/metrics", "numbers for Prometheus", s.Metrics.ServeHTTP})
	}
	return all
}

func (all endpoints) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, e := range all {
		if e.path != r.URL.Path {
			continue
		}
		if !e.takes(r.Method) {
			w.Header().Set("Allow", e.allow())
			answer(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s is for %s only", e.path, e.allow()))
			return
		}
		e.serve(w, r)
		return
	}
	answer(w, http.StatusNotFound, "there is no such endpoint; there are:\n"+all.list())
}

// takes reports whether e is for requests of this method.
func (e endpoint) takes(method string) bool {
	return method == e.method || reads(e.method) && reads(method)
}

// allow is e's Allow header.
func (e endpoint) allow() string {
	if reads(e.method) {
		return "GET, HEAD"
	}
	return e.method
}

func (all endpoints) serveList(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "endpoints of dbvalet:\n"+all.list())
}

// list has a line for each endpoint.
func (all endpoints) list() string {
	var lines strings.Builder
	for _, e := range all {
		if e.about == "" || e.path == "/" {
			continue
		}
		fmt.Fprintf(&lines, "  %-4s %-15s %s\n", e.method, e.path, e.about)
	}
	return strings.TrimSuffix(lines.String(), "\n")
}

func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	// Into memory first, so that a failure can still be told.
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s.Status()); err != nil {
		answer(w, http.StatusInternalServerError, fmt.Sprintf("encode the status: %v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = body.WriteTo(w) // it fails if the client has gone
}

// serveQuit answers first: the end of the program waits for requests in progress, but not for long.
func (s *Server) serveQuit(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "stopping")
	s.quit.Do(s.Quit)
}

// answer is a line of plain text. Nothing of the request is in it.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // it fails if the client has gone
}
