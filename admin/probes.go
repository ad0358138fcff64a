package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Probes say how the program is. They may be called concurrently, and are given a context that ends when
// who asks has gone. Nil: there is no such endpoint.
type Probes struct {
	Startup func(context.Context) Report // it has begun to serve
	Live    func(context.Context) Report // it is worth keeping
	// Ready reports whether clients would be served now. With upstream it logs in to the databases to
	// find out.
	Ready func(ctx context.Context, upstream bool) Report
}

// A Report is how the program is, with nothing secret in it.
type Report struct {
	OK     bool          `json:"ok"`
	State  string        `json:"state"`            // a word or two: ready, draining
	Routes []RouteReport `json:"routes,omitempty"` // where it depends on them
}

// A RouteReport is how a route is.
type RouteReport struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	State  string `json:"state"`            // a word or two: ready, no credential
	Reason string `json:"reason,omitempty"` // where it is not OK
	Hint   string `json:"hint,omitempty"`   // the next step
}

// Time limits of what takes longer than an answer from memory does.
const (
	readyTime    = 10 * time.Second
	upstreamTime = 45 * time.Second
)

// probe serves a probe that takes no parameter.
func probe(ask func(context.Context) Report) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { report(w, r, ask(r.Context())) }
}

// serveReady serves /readyz, with upstream=1 where that is allowed: it costs logins.
func serveReady(ask func(context.Context, bool) Report, mayLogIn bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		upstream, limit := false, readyTime
		if text := r.URL.Query().Get("upstream"); text != "" {
			var err error
			if upstream, err = strconv.ParseBool(text); err != nil {
				answer(w, http.StatusBadRequest, "upstream= is 1, or left out")
				return
			}
		}
		if upstream {
			if !mayLogIn {
				answer(w, http.StatusForbidden, "upstream=1 costs logins, and is for the endpoints of --admin only")
				return
			}
			limit = upstreamTime
		}
		ctx, cancel := takeTime(w, r, limit)
		defer cancel()
		report(w, r, ask(ctx, upstream))
	}
}

// takeTime gives the answer to r more time than others have. The context that it returns ends then, or
// when the client has gone.
func takeTime(w http.ResponseWriter, r *http.Request, limit time.Duration) (context.Context, context.CancelFunc) {
	deadline := time.Now().Add(limit + DefaultTimeout)
	control := http.NewResponseController(w)
	// They fail only on what is no connection. While an answer is made, net/http reads to notice that the
	// client has gone, and takes the end of this time for that.
	_ = control.SetReadDeadline(deadline)
	_ = control.SetWriteDeadline(deadline)
	return context.WithTimeout(r.Context(), limit)
}

// report answers with how things are: 200 or 503, in lines or as JSON.
func report(w http.ResponseWriter, r *http.Request, how Report) {
	status := http.StatusOK
	if !how.OK {
		status = http.StatusServiceUnavailable
	}
	if !wantsJSON(r) {
		answer(w, status, how.text())
		return
	}
	body, err := json.Marshal(how)
	if err != nil { // there is nothing in it that can't be
		answer(w, http.StatusInternalServerError, fmt.Sprintf("encode the report: %v", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // it fails if the client has gone
}

func wantsJSON(r *http.Request) bool {
	return r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json")
}

// text is the report in a few lines.
func (how Report) text() string {
	lines := oneLine(how.State)
	for _, r := range how.Routes {
		lines += "\n  " + oneLine(r.Name+": "+r.State)
		if r.Reason != "" {
			lines += ": " + oneLine(r.Reason)
		}
		if r.Hint != "" {
			lines += "\n    hint: " + oneLine(r.Hint)
		}
	}
	return lines
}

// brief are probes that report in brief.
func (p Probes) brief() (b Probes) {
	if p.Startup != nil {
		b.Startup = func(ctx context.Context) Report { return p.Startup(ctx).brief() }
	}
	if p.Live != nil {
		b.Live = func(ctx context.Context) Report { return p.Live(ctx).brief() }
	}
	if p.Ready != nil {
		b.Ready = func(ctx context.Context, upstream bool) Report { return p.Ready(ctx, upstream).brief() }
	}
	return b
}

// brief is the report without its reasons, which may name what other machines need not know.
func (how Report) brief() Report {
	routes := how.Routes
	how.Routes = nil
	for _, r := range routes {
		r.Reason, r.Hint = "", ""
		how.Routes = append(how.Routes, r)
	}
	return how
}

// oneLine replaces what would end a line or play tricks on a terminal: a part of it may come from a
// database.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
