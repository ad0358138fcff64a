package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net"
	"os"
	"strings"
	"time"

	"dbvalet/config"
	"dbvalet/proxy"
	"dbvalet/recent"
)

// A service is a route with what serves it, or why it is not served.
type service struct {
	route    *config.Route
	given    *config.Route // the route as it was read: building fills in what can be inferred
	prints   []byte        // of the files that the route names, as they were then
	protocol protocol
	security string // how the database is verified
	password string // where the one is that clients are asked for; empty: there is none
	server   *proxy.Server
	follower *proxy.Follower // follows the names of the hosts; nil: nobody does
	// listeners are the views of the ports that the server accepts from.
	listeners []net.Listener
	// failure is why the route is not served; nil: it is.
	failure error
	unwatch func() // ends its metrics
	recent  *recent.Route
	// ended is closed when the last session is over and nothing is left of the service.
	ended chan struct{}
}

// same reports whether a route that is read again is the one that s serves: what is written, and what
// is in the files.
func (s *service) same(given *config.Route, prints []byte) bool {
	return sameRoute(s.given, given) && bytes.Equal(s.prints, prints)
}

// serve serves until the listeners are closed and the last session is over, or ctx ends. lost is told
// about a listener that failed.
func (s *service) serve(ctx context.Context, lost func(error)) {
	defer close(s.ended)
	defer s.unwatch()
	defer s.server.Upstream.Close()
	if s.follower != nil {
		following, stop := context.WithCancel(ctx)
		defer stop()
		s.follower.Moved = func(gone func(net.Addr) bool) { s.leave(following, gone) }
		go s.follower.Run(following)
	}
	warming, stop := context.WithCancel(ctx)
	defer stop()
	go s.warm(warming)
	done := make(chan struct{}, len(s.listeners))
	for _, ln := range s.listeners {
		go s.accept(ctx, ln, lost, done)
	}
	for range s.listeners {
		<-done
	}
}

// warm fetches a token ahead of the first client, who otherwise waits for it. Where it fails, that client
// tries again.
func (s *service) warm(ctx context.Context) {
	if c := s.server.Upstream.Credentials; mints(s.route) && s.route.User != "" && !c.Once {
		if _, err := c.Credential(ctx, s.route.User); err != nil && ctx.Err() == nil {
			s.recent.Fail(time.Now(), proxy.StageCredential, err)
			s.server.Log.Warn("no credential yet", append([]any{"err", err}, hintAttr(err)...)...)
		}
	}
}

func (s *service) accept(ctx context.Context, ln net.Listener, lost func(error), done chan<- struct{}) {
	if err := s.server.Serve(ctx, ln); err != nil {
		lost(err)
	}
	done <- struct{}{}
}

// closeDoor ends accepting; the sessions go on.
func (s *service) closeDoor() {
	for _, ln := range s.listeners {
		ln.Close()
	}
}

// dismissTime is how long a session that is being told of the end may take to finish its transaction. It
// has a second more for the answer that it is in the middle of: together the five that Kubernetes leaves.
const dismissTime = 4 * time.Second

// dismiss tells the sessions that this is the end, and returns when they are over or ctx is.
func (s *service) dismiss(ctx context.Context) {
	_ = s.server.Dismiss(ctx, nil, &proxy.Farewell{Text: "dbvalet is stopping, or serves this route no longer", Advice: "connect again"}, dismissTime)
}

// closeSession ends one session, if it is open, and returns when it is over or ctx is.
func (s *service) closeSession(ctx context.Context, id string) (found bool, err error) {
	session := s.server.Session(id)
	if session == nil {
		return false, nil
	}
	why := &proxy.Farewell{Text: "this session was closed by hand, at the admin endpoint", Advice: "connect again"}
	return true, s.server.Dismiss(ctx, func(other *proxy.Session) bool { return other == session }, why, dismissTime)
}

// leave ends the sessions with servers whose address is gone. It does not wait for them.
func (s *service) leave(ctx context.Context, gone func(net.Addr) bool) {
	why := &proxy.Farewell{Text: "the database's name has another address now", Advice: "connect again; follow_dns= on the route is what looks"}
	which := func(session *proxy.Session) bool { return gone(session.Upstream.RemoteAddr()) }
	go func() { _ = s.server.Dismiss(ctx, which, why, dismissTime) }()
}

// files are those that r names, or that its hops go by, and that are read when it is built: who changes
// one means the route.
func files(r *config.Route) []string {
	var files []string
	for _, path := range []string{r.CA, r.LocalTLS, r.LocalTLSKey, r.LocalClientCA, strings.TrimPrefix(r.LocalPassword, "file:")} {
		if path != "" && path != "auto" && !strings.HasPrefix(path, "env:") {
			files = append(files, path)
		}
	}
	return append(files, sshConfigs(r)...)
}

// prints sums up the contents of r's files. One that can't be read has its error from who needs it.
func prints(r *config.Route) []byte {
	sum := sha256.New()
	for _, path := range files(r) {
		content, _ := os.ReadFile(path)
		one := sha256.Sum256(content)
		sum.Write(one[:])
	}
	return sum.Sum(nil)
}
