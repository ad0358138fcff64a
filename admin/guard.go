package admin

import (
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// A guard lets requests through to next that can't come from another page in a browser. The package's
// documentation has the rules and their reasons.
type guard struct {
	unix    bool // the listener is a unix socket
	anyHost bool // the listener is for other machines too, which know it by names of their own
	token   string
	next    http.Handler
	log     *slog.Logger
}

var _ http.Handler = (*guard)(nil)

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	protect(w.Header())
	if status, err := g.judge(r); err != nil {
		g.log.Debug("admin request refused", "method", r.Method, "uri", r.RequestURI, "host", r.Host, "status", status, "err", err)
		answer(w, status, err.Error())
		return
	}
	g.next.ServeHTTP(w, r)
}

// protect sets the headers of every answer. They are for a browser, which is to keep the answer from
// caches and from other pages, and to run nothing that may be in it.
func protect(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

var (
	errForm      = errors.New("the request has to name a path, such as /status; this is no proxy")
	errHost      = errors.New("the Host header names something else than this machine: use localhost, 127.0.0.1 or [::1]")
	errFetchSite = errors.New("the request comes from another site (Sec-Fetch-Site): no page may use this port; type the address, or use curl")
	errOrigin    = errors.New("the request comes from another page (Origin): no page may use this port; use curl")
	errReferer   = errors.New("the request comes from another page (Referer): no page may use this port; type the address, or use curl")
	errBlind     = errors.New("a browser that does not say which page it acts for may only read: use curl, or a User-Agent that does not begin with Mozilla/")
	errToken     = errors.New("a browser has to show the token that the status page got, and this is not the one: load the page again, or use curl")
	errBody      = errors.New("no request here has a body: send none")
)

// judge returns why r is not served, and the status that says so.
func (g *guard) judge(r *http.Request) (status int, err error) {
	if err := refusal(r); err != nil {
		return http.StatusForbidden, err
	}
	// The first of the rest, because net/http takes the host of an absolute URL for Host, and forgets the header.
	if !strings.HasPrefix(r.RequestURI, "/") {
		return http.StatusBadRequest, errForm
	}
	if !g.anyHost && !isLocal(r.Host) && (!g.unix || isBrowser(r)) {
		return http.StatusMisdirectedRequest, errHost
	}
	if err := otherPage(r); err != nil {
		return http.StatusForbidden, err
	}
	if r.ContentLength != 0 { // -1 if it is chunked
		return http.StatusRequestEntityTooLarge, errBody
	}
	if r.Method == http.MethodPost && !g.mayPost(r) {
		return http.StatusForbidden, errToken
	}
	return 0, nil
}

// mayPost reports whether r has the token of the page, or is of no browser and says nothing of a token.
func (g *guard) mayPost(r *http.Request) bool {
	tokens := r.Header.Values(tokenHeader)
	if len(tokens) == 0 {
		return !isBrowser(r)
	}
	return len(tokens) == 1 && g.token != "" && subtle.ConstantTimeCompare([]byte(tokens[0]), []byte(g.token)) == 1
}

// otherPage returns an error if r comes, or may come, from a page that is not our own. It refuses what
// http.CrossOriginProtection does and more: that one lets every GET pass, reads only the first of
// several headers, and trusts one of them without a look at the others.
func otherPage(r *http.Request) error {
	own := "http://" + r.Host
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		// Not same-site either, which every other port of localhost is.
		if site != "same-origin" && site != "none" {
			return errFetchSite
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if !strings.EqualFold(origin, own) {
			return errOrigin
		}
	}
	for _, referer := range r.Header.Values("Referer") {
		// A browser too old for the other two still sends this one, unless the page forbids it.
		if u, err := url.Parse(referer); err != nil || !strings.EqualFold(u.Scheme+"://"+u.Host, own) {
			return errReferer
		}
	}
	if reads(r.Method) || !isBrowser(r) || saysOrigin(r) {
		return nil
	}
	return errBlind
}

// reads reports whether requests of this method change nothing.
func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// isBrowser reports whether r has what browsers send and tools do not.
func isBrowser(r *http.Request) bool {
	return saysOrigin(r) || strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

// saysOrigin reports whether r says where it comes from in a header that no page can set or leave out.
func saysOrigin(r *http.Request) bool {
	return len(r.Header.Values("Sec-Fetch-Site")) > 0 || len(r.Header.Values("Origin")) > 0
}
