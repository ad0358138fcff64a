package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"dbvalet/admin"
	"dbvalet/peer"
	"dbvalet/proxy"
)

// adminSocket is the name of the admin endpoints' socket in a directory.
const adminSocket = "dbvalet-admin.sock"

// listenAdmin opens the listeners of the admin endpoints; none if addr is empty.
func listenAdmin(addr string) ([]net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	listeners, err := proxy.Listen(proxy.ListenOptions{Addr: addr, SocketName: adminSocket})
	if e, ok := errors.AsType[*proxy.ListenError](err); ok {
		// Its advice is for routes, the second half of it for routes only.
		advice, _, _ := strings.Cut(e.Advice, "; or let other machines in")
		err = &proxy.ListenError{Addr: e.Addr, Err: e.Err, Advice: strings.ReplaceAll(advice, "listen=", "--admin=")}
	}
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	return listeners, nil
}

// newAdmin makes the server of the admin endpoints. quit is what ends the program.
func newAdmin(services []*service, quit func(), log *slog.Logger) *admin.Server {
	return &admin.Server{
		Status: func() any { return statusOf(services) },
		Quit: func() {
			log.Info("asked to stop by the admin endpoint")
			quit()
		},
		Admit: func(conn net.Conn) error {
			_, err := (peer.Policy{}).Check(conn) // self
			if err != nil {
				return fmt.Errorf("the admin endpoints are for who runs dbvalet, and root: %w", err)
			}
			return nil
		},
		Log: log,
	}
}

// serveAdmin serves the admin endpoints on ln until ctx ends. Should ln fail, the databases are served
// on all the same: whoever looks after them can live without this for longer than their clients can.
func serveAdmin(ctx context.Context, server *admin.Server, ln net.Listener) {
	if err := server.Serve(ctx, ln); err != nil {
		server.Log.Error("admin endpoints failed", "listener", ln.Addr().String(), "err", err)
	}
}

// A status is what /status shows. It has nothing secret in it: no part of a route's URL but those that
// the ready line shows too.
type status struct {
	Version string        `json:"version"`
	Routes  []routeStatus `json:"routes"`
}

type routeStatus struct {
	Name     string   `json:"name"`
	Listen   []string `json:"listen"`
	Upstream string   `json:"upstream"` // what is dialled
	Auth     string   `json:"auth"`
	Security string   `json:"security"` // how the database is verified
	Allow    string   `json:"allow"`    // who may come in

	// Since the start.
	Accepted     int64 `json:"accepted"`
	RefusedPeers int64 `json:"refused_peers"`
	Limited      int64 `json:"limited"` // for whom there was no place
	Failed       int64 `json:"failed"`  // set-ups that ended in another error
	Sessions     int64 `json:"sessions"`
	OpenSessions int64 `json:"open_sessions"` // now
	Panics       int64 `json:"panics"`
}

func statusOf(services []*service) status {
	all := status{Version: version, Routes: []routeStatus{}}
	for _, s := range services {
		upstream, _ := s.where()
		counts := &s.server.Counts
		route := routeStatus{
			Name:     s.route.Name,
			Listen:   []string{},
			Upstream: upstream,
			Auth:     sourceName(s.route.Auth),
			Security: s.security,
			Allow:    s.allows(),

			Accepted:     counts.Accepted.Load(),
			RefusedPeers: counts.RefusedPeers.Load(),
			Limited:      counts.Limited.Load(),
			Failed:       counts.Failed.Load(),
			Sessions:     counts.Sessions.Load(),
			OpenSessions: counts.Open.Load(),
			Panics:       counts.Panics.Load(),
		}
		for _, ln := range s.listeners {
			route.Listen = append(route.Listen, ln.Addr().String())
		}
		all.Routes = append(all.Routes, route)
	}
	return all
}

// adminReady says where the admin endpoints are.
func (d display) adminReady(ln net.Listener) {
	if d.people == nil {
		d.log.Info("admin ready", "listener", ln.Addr().String())
		return
	}
	command := "curl http://" + ln.Addr().String() + "/"
	if ln.Addr().Network() == "unix" {
		command = "curl --unix-socket " + shellQuote(ln.Addr().String()) + " http://localhost/"
	}
	fmt.Fprintf(d.people, "admin ready: %s\n  %s\n", ln.Addr(), command)
}
