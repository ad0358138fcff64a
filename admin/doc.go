// Package admin is the program's own HTTP endpoint, for whoever looks after it on this machine. It has
// no password, so it is only for listeners that nothing but the machine can reach, and a guard stands
// before every endpoint.
//
// What the guard is for: the browser on the same machine reaches the port too, and runs other
// people's pages. A page may ask for any address, this one included; its browser then sends the
// request, and only says where it came from. And a page may have its own name resolve to 127.0.0.1
// (DNS rebinding), which makes it the same origin as the port. So a request is served only if all of
// this holds, and is told in plain text what does not:
//
//	the client may come in        403   which the caller says, who knows whose connection it is
//	asks for a path               400   no absolute URL, no "*", no CONNECT: this is no proxy
//	Host is this machine          421   localhost, 127.0.0.0/8 or [::1], with any port, for ports are
//	                                    forwarded; a rebound name is none of these
//	comes from no other page      403   Sec-Fetch-Site is same-origin or none, Origin and Referer are
//	                                    our own, where they are there; in reading requests as well
//	is not a blind POST           403   of a browser that says nothing of this (see below)
//	has no body                   413   there is nothing to parse, to limit, or to smuggle in
//	a browser's POST has a token  403   which the status page got, of this run of the program
//	the method is the endpoint's  405   GET and HEAD only read; what changes something is a POST
//
// A POST with neither Origin nor Sec-Fetch-Site is what curl, wget and http.Post send, and what a
// browser from before 2020 sends for a form. The Content-Type does not tell them apart: curl with an
// empty -d and wget with an empty --post-data, which is the only POST that BusyBox knows, say
// application/x-www-form-urlencoded, as does a form without fields. The User-Agent does: every
// browser's begins with "Mozilla/", no tool's does unless it poses as one, and no form can change it.
// So these are refused. A form with fields, or one of text/plain, is refused for its body besides.
//
// The token is for what the rest can't tell: whether a page of our own origin is ours, or one that
// another program left in a browser when it had the port. Tools need none; who shows one has to show
// the right one.
//
// What that program left has our origin, and may ask for our page, open it, or come between it and us as a
// service worker. So the page is for windows and not for scripts (Sec-Fetch-Dest), keeps its window from
// whoever opened it, ends service workers before it loads anything, and loads its files under names that
// nobody can have put something else into the browser's cache for.
//
// On a unix socket, where no page gets to by itself, Host may be anything ("localhost" is what curl
// sends, other clients make something up), but for a browser, that somebody has forwarded a port for.
//
// There is one request for each connection, so that no bytes after it are ever taken for another one;
// their number, size and time are bounded. No answer carries a CORS header, and preflights are
// refused. Answers are not for caches, frames, or other origins. They have the Referrer-Policy
// no-referrer, with which a browser sends "Origin: null" for a form even of our own: a page of ours
// that posts has to do so with fetch.
//
// ServePublic is for a listener that other machines may reach too, so that Prometheus and a kubelet get
// to metrics and probes. Nothing there changes anything, costs a login, or says more than names and
// numbers: who asks /readyz learns which route is not ready, and not why. There Host may be anything,
// since these name a machine as they like, unless the listener is of this machine after all. The other
// rules are the same, so that no page gets to it by another's browser.
//
// The page for people is three files and what /events says. It is the one answer with a policy that lets
// a browser run something, our own script, which can't turn a text into markup: the names in it are other
// people's. A stream of events goes on for as long as somebody looks, takes one of the few places that
// there are for streams, so that probes find room, and ends at once when the program does.
//
// Most answers come from memory. A reload, the end of a session, and /readyz with its logins, may take longer than the rest.
//
// Nothing secret is shown as long as the caller gives nothing secret to show: the package knows only
// what is in Server's fields. It does not listen by itself, and makes no requests.
//
//   - https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
//   - https://fetch.spec.whatwg.org/#origin-header
package admin
