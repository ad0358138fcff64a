package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"dbvalet/admin"
	"dbvalet/config"
	"dbvalet/peer"
	"dbvalet/proxy"
	"dbvalet/recent"
	"dbvalet/tokens"
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

// A desk is where questions about the program are answered: by the admin endpoints, and by metrics and
// probes for other machines.
type desk struct {
	server *admin.Server
	admin  []net.Listener
	own    []net.Listener // the admin endpoints too, where nobody has asked for them
	public []net.Listener

	display display
	stop    context.CancelFunc
	serving sync.WaitGroup
}

// openDesk opens the listeners that c names.
func (v *valet) openDesk(c *config.Config) (*desk, error) {
	d := &desk{server: v.newAdmin(), display: v.display}
	var err error
	if d.admin, err = listenAdmin(c.Admin); err != nil {
		return nil, err
	}
	if c.Admin == "" && v.display.terminal {
		d.own = listenOwn()
	}
	if c.Metrics != "" {
		if d.public, err = proxy.Listen(proxy.ListenOptions{Addr: c.Metrics, SocketName: "dbvalet-metrics.sock", Remote: true}); err != nil {
			closeListeners(slices.Concat(d.admin, d.own))
			return nil, fmt.Errorf("--metrics: %w", err)
		}
	}
	return d, nil
}

func closeListeners(listeners []net.Listener) {
	for _, ln := range listeners {
		ln.Close()
	}
}

// listeners are all.
func (d *desk) listeners() []net.Listener { return slices.Concat(d.admin, d.own, d.public) }

// open begins to answer.
func (d *desk) open() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	for _, ln := range d.admin {
		d.display.adminReady(ln)
		d.serving.Go(func() { d.serve(ctx, d.server.Serve, ln) })
	}
	for _, ln := range d.own {
		d.serving.Go(func() { d.serve(ctx, d.server.Serve, ln) })
	}
	for _, ln := range d.public {
		d.display.log.Info("metrics ready", "listener", ln.Addr().String())
		d.serving.Go(func() { d.serve(ctx, d.server.ServePublic, ln) })
	}
}

// serve answers on ln until ctx ends. Should ln fail, the databases are served on all the same: whoever
// looks after them can live without this for longer than their clients can.
func (d *desk) serve(ctx context.Context, serve func(context.Context, net.Listener) error, ln net.Listener) {
	if err := serve(ctx, ln); err != nil {
		d.display.log.Error("admin endpoints failed", "listener", ln.Addr().String(), "err", err)
	}
}

// close ends answering.
func (d *desk) close() {
	d.stop()
	d.serving.Wait()
}

// newAdmin makes the server of the admin endpoints.
func (v *valet) newAdmin() *admin.Server {
	return &admin.Server{
		Status:  func() any { return v.status() },
		Probes:  v.health.probes(),
		Metrics: v.sights.handler(),
		Reload:  v.askToReload,
		Quit:    v.askToQuit,

		CloseSession: v.fleet.closeSession,
		Admit: func(conn net.Conn) error {
			_, err := (peer.Policy{}).Check(conn) // self
			if err != nil {
				return fmt.Errorf("the admin endpoints are for who runs dbvalet, and root: %w", err)
			}
			return nil
		},
		Log: v.display.log,
	}
}

// A status is what /status shows. It has nothing secret in it: no part of a route's URL but those that
// the ready line shows too.
type status struct {
	Version    string        `json:"version"`
	State      string        `json:"state"` // starting, ready, reloading or draining
	Routes     []routeStatus `json:"routes"`
	LastReload *reloadStatus `json:"last_reload,omitempty"` // of the configuration; null: there was none
}

type routeStatus struct {
	Name     string   `json:"name"`
	State    string   `json:"state"`           // served or failed; leaving: it is gone, and has sessions that live on
	Scheme   string   `json:"scheme"`          // postgres or mysql
	Error    string   `json:"error,omitempty"` // why it failed
	Hint     string   `json:"hint,omitempty"`
	Listen   []string `json:"listen"`
	Endpoint string   `json:"endpoint,omitempty"` // the database's own name
	Upstream string   `json:"upstream"`           // what is dialled
	Via      string   `json:"via,omitempty"`      // by way of what
	Auth     string   `json:"auth"`
	Security string   `json:"security"`           // how the database is verified
	Allow    string   `json:"allow"`              // who may come in
	User     string   `json:"user,omitempty"`     // the route's; empty: the client's own, or the secret's
	Database string   `json:"database,omitempty"` // the route's; empty: the client's own
	// Connect has what to copy for each listener.
	Connect     []connectStatus    `json:"connect,omitempty"`
	Credentials []credentialStatus `json:"credentials,omitempty"` // at hand

	// Since the start, or since there is a route of this name.
	Accepted     int64 `json:"accepted"`
	RefusedPeers int64 `json:"refused_peers"`
	Limited      int64 `json:"limited"` // for whom there was no place
	Failed       int64 `json:"failed"`  // set-ups that ended in another error
	Sessions     int64 `json:"sessions"`
	OpenSessions int64 `json:"open_sessions"` // now
	Panics       int64 `json:"panics"`

	Clients []clientStatus `json:"clients,omitempty"` // whose sessions are open, the oldest first

	Connects []recent.Span    `json:"connects,omitempty"` // of the last quarter of an hour, the oldest first
	Errors   []recent.Failure `json:"errors,omitempty"`   // the last ones that differ, the latest first
}

// A clientStatus is a session that is open.
type clientStatus struct {
	Session      string    `json:"session"` // as in the log and in the audit
	Since        time.Time `json:"since"`
	Client       string    `json:"client"`
	Peer         string    `json:"peer"` // who it is
	PID          int       `json:"pid,omitempty"`
	Program      string    `json:"program,omitempty"`
	Upstream     string    `json:"upstream"`
	User         string    `json:"user"`
	Database     string    `json:"database"`
	Application  string    `json:"application"`
	Credential   string    `json:"credential,omitempty"` // the ID of the one that was logged in with
	FromClient   int64     `json:"from_client"`          // bytes
	FromUpstream int64     `json:"from_upstream"`
	Idle         bool      `json:"idle"` // the database spoke last
}

func (v *valet) status() status {
	all := status{Version: version, State: v.phase.get().String(), Routes: []routeStatus{}, LastReload: v.last.get()}
	served, left := v.fleet.parts()
	for _, s := range served {
		all.Routes = append(all.Routes, s.status())
	}
	for _, s := range left {
		all.addLeaving(s)
	}
	for i := range all.Routes {
		all.Routes[i].count(v.fleet.sights.metrics.Counts(all.Routes[i].Name))
	}
	return all
}

func (s *service) status() routeStatus {
	if s.failure != nil {
		return routeStatus{
			Name: s.route.Name, State: "failed", Error: s.failure.Error(), Hint: proxy.Hint(s.failure),
			Scheme: s.route.Scheme, User: s.route.User, Database: s.route.Database,
			Listen: s.route.Listen, Auth: sourceName(s.route.Auth),
		}
	}
	upstream, endpoint := s.where()
	route := routeStatus{
		Name:     s.route.Name,
		State:    "served",
		Listen:   []string{},
		Endpoint: endpoint,
		Upstream: upstream,
		Via:      viaText(s.route),
		Auth:     sourceName(s.route.Auth),
		Security: s.security,
		Allow:    s.allows(),
		Scheme:   s.route.Scheme,
		User:     s.route.User,
		Database: s.route.Database,
	}
	for _, ln := range s.listeners {
		route.Listen = append(route.Listen, ln.Addr().String())
		route.Connect = append(route.Connect, s.connectStatus(ln.Addr()))
	}
	route.Credentials = s.credentialStatus()
	route.Connects, route.Errors = s.recent.Spans(time.Now()), s.recent.Failures()
	route.Clients = s.clients()
	return route
}

// adminReady says where the admin endpoints are.
func (d display) adminReady(ln net.Listener) {
	if d.people == nil {
		d.log.Info("admin ready", "listener", ln.Addr().String())
		return
	}
	command := "curl http://" + ln.Addr().String() + "/  # or open it in a browser"
	if ln.Addr().Network() == "unix" {
		command = "curl --unix-socket " + tokens.Quote(ln.Addr().String()) + " http://localhost/"
	}
	fmt.Fprintf(d.people, "admin ready: %s\n  %s\n", ln.Addr(), command)
}
