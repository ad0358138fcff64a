package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"dbvalet/admin"
	"dbvalet/proxy"
)

// What a probe may cost, and for how long its result counts.
const (
	credentialTime     = 3 * time.Second
	credentialGood     = 5 * time.Second
	credentialBad      = time.Second
	upstreamResultTime = 10 * time.Second // good or bad: a login that fails may lock a user out
)

// health answers the probes. Whoever serves the routes feeds it; the zero value is a program that has
// only begun to start. Calls may be concurrent.
type health struct {
	mu       sync.Mutex
	started  bool
	draining bool
	routes   []*routeHealth
	broken   map[string]error // routes that are not served, by name
}

// A routeHealth is what is known about a route that is served.
type routeHealth struct {
	service              *service
	credential, upstream *check // nil: there is nothing to find out
}

// A pinger logs in to a database as the route's user.
type pinger interface {
	Ping(ctx context.Context, up *proxy.Upstream) error
}

// serves says which routes are served from now on, on listeners that are open, and which should be and
// are not, and why. When it returns, nothing is asked any more of those that are no longer served, so
// that they can be closed.
func (h *health) serves(services []*service, broken map[string]error) {
	h.mu.Lock()
	old := h.routes
	h.routes = nil
	h.broken = maps.Clone(broken)
	for _, s := range services {
		i := slices.IndexFunc(old, func(r *routeHealth) bool { return r.service == s })
		if i < 0 {
			h.routes = append(h.routes, newRouteHealth(s))
			continue
		}
		h.routes = append(h.routes, old[i])
		old = slices.Delete(old, i, i+1)
	}
	h.started = true
	h.mu.Unlock()
	for _, r := range old {
		r.close()
	}
}

// drain says that the end has begun: no new clients, please.
func (h *health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// close ends what is being found out, before the services are closed. The probes may go on.
func (h *health) close() {
	h.drain()
	h.mu.Lock()
	old := h.routes
	h.routes = nil
	h.mu.Unlock()
	for _, r := range old {
		r.close()
	}
}

// probes are what the admin server asks.
func (h *health) probes() admin.Probes {
	return admin.Probes{Startup: h.startup, Live: h.live, Ready: h.ready}
}

// startup is good when the listeners are open.
func (h *health) startup(context.Context) admin.Report {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.started {
		return admin.Report{State: "starting"}
	}
	return admin.Report{OK: true, State: "started"}
}

// live is good as long as it can be asked: nothing that goes wrong elsewhere gets better by a restart.
func (h *health) live(context.Context) admin.Report {
	h.mu.Lock() // which nobody holds for longer than an instant
	defer h.mu.Unlock()
	return admin.Report{OK: true, State: "alive"}
}

// ready is good if clients of every route would be served: the listeners are open, and there is a
// credential; with upstream, the database has accepted it.
func (h *health) ready(ctx context.Context, upstream bool) admin.Report {
	h.mu.Lock()
	started, draining, routes, broken := h.started, h.draining, slices.Clone(h.routes), h.broken
	h.mu.Unlock()
	switch {
	case draining:
		return admin.Report{State: "draining"}
	case !started:
		return admin.Report{State: "starting"}
	}
	reports := make([]admin.RouteReport, len(routes))
	var asking sync.WaitGroup // a slow route does not use up the time of the others
	for i, r := range routes {
		asking.Go(func() { reports[i] = r.report(ctx, upstream) })
	}
	asking.Wait()
	for _, name := range slices.Sorted(maps.Keys(broken)) {
		reports = append(reports, admin.RouteReport{Name: name, State: "not served", Reason: broken[name].Error(), Hint: proxy.Hint(broken[name])})
	}
	if slices.ContainsFunc(reports, func(r admin.RouteReport) bool { return !r.OK }) {
		return admin.Report{State: "not ready", Routes: reports}
	}
	return admin.Report{OK: true, State: "ready", Routes: reports}
}

func newRouteHealth(s *service) *routeHealth {
	r := &routeHealth{service: s}
	credentials := s.server.Upstream.Credentials
	if s.route.User != "" || credentials.Shared {
		r.credential = &check{limit: credentialTime, good: credentialGood, bad: credentialBad, ask: func(ctx context.Context) error {
			_, err := credentials.Credential(ctx, s.route.User)
			return err
		}}
	}
	if engine, ok := s.server.Engine.(pinger); ok && s.route.User != "" {
		limit := cmp.Or(s.server.HandshakeTimeout, proxy.DefaultHandshakeTimeout)
		r.upstream = &check{limit: limit, good: upstreamResultTime, bad: upstreamResultTime, ask: func(ctx context.Context) error {
			err := engine.Ping(ctx, s.server.Upstream)
			if e, ok := errors.AsType[*proxy.SetupError](err); ok && e.Stage == proxy.StageLimit {
				return nil // all places are taken, by clients whom the database has let in
			}
			return err
		}}
	}
	return r
}

// report finds out how the route is.
func (r *routeHealth) report(ctx context.Context, upstream bool) admin.RouteReport {
	report := admin.RouteReport{Name: r.service.route.Name, OK: true, State: "ready"}
	fail := func(state string, err error) admin.RouteReport {
		report.OK, report.State, report.Reason, report.Hint = false, state, err.Error(), proxy.Hint(err)
		return report
	}
	if r.credential == nil {
		report.State = "listening" // the client says who it is
		return report
	}
	if err := r.credential.result(ctx); err != nil {
		return fail("no credential", err)
	}
	if !upstream || r.upstream == nil {
		return report
	}
	if err := r.upstream.result(ctx); err != nil {
		return fail("no login", err)
	}
	report.State = "logged in"
	return report
}

func (r *routeHealth) close() {
	for _, c := range []*check{r.credential, r.upstream} {
		if c != nil {
			c.close()
		}
	}
}
