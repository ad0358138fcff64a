package main

import (
	"context"
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"sync"
	"time"

	"dbvalet/admin"
	"dbvalet/config"
	"dbvalet/proxy"
)

// A fleet is all that is served. A configuration is put into force in two steps: prepare does whatever
// can fail, and launch what can't. Routes that stay as they are keep their listeners and sessions.
type fleet struct {
	all       *overall
	display   display
	inherited *proxy.Inherited
	sights    *sights
	health    *health
	auto      autoPorts
	// open opens listeners; nil: proxy.Listen does.
	open func(proxy.ListenOptions) ([]net.Listener, error)

	mu       sync.Mutex
	config   *config.Config // in force; nil: none yet
	services []*service     // in the order of the routes
	ports    map[place][]*proxy.Port
	leaving  []*service // no longer in force, with sessions that live on
	past     int64      // sessions of the services that have left
	retired  sync.WaitGroup
}

// sameRoute reports whether two routes say the same.
func sameRoute(a, b *config.Route) bool { return reflect.DeepEqual(a, b) }

// A plan is a configuration that is ready to be put into force.
type plan struct {
	before   []*service // in force while it was made
	open     map[place][]*proxy.Port
	config   *config.Config
	services []*service
	fresh    []*service // those of services that are new
	ports    map[place][]*proxy.Port
	opened   []*proxy.Port
	// listeners are those of opened.
	listeners []net.Listener
}

// undo closes what was made for p.
func (p *plan) undo() {
	for _, port := range p.opened {
		port.Close()
	}
	for _, s := range p.fresh {
		s.server.Upstream.Close()
	}
}

// prepare makes what next needs and is not there yet. A route that can't be served is an error, but
// if tolerant says that about it.
func (f *fleet) prepare(next *config.Config, tolerant func(*config.Route) bool) (*plan, error) {
	f.mu.Lock()
	p := &plan{config: next, ports: map[place][]*proxy.Port{}, before: slices.Clone(f.services), open: maps.Clone(f.ports)}
	f.mu.Unlock()
	fail := func(err error) (*plan, error) {
		p.undo()
		return nil, err
	}
	var first error
	for _, r := range next.Routes {
		s, err := f.prepareRoute(r, p)
		if err != nil {
			if !tolerant(r) {
				return fail(err)
			}
			if first == nil {
				first = err
			}
			s = &service{route: r, given: r, failure: err}
		}
		p.services = append(p.services, s)
	}
	if !slices.ContainsFunc(p.services, func(s *service) bool { return s.failure == nil }) && first != nil {
		return fail(first)
	}
	return p, nil
}

// prepareRoute returns the service of r: the one that there is, if nothing has changed.
func (f *fleet) prepareRoute(r *config.Route, p *plan) (*service, error) {
	sum := prints(r)
	i := slices.IndexFunc(p.before, func(s *service) bool { return s.failure == nil && s.same(r, sum) })
	if i >= 0 {
		return p.before[i], f.openPorts(p.before[i], p)
	}
	built := *r // build fills in what can be inferred, and r is to be compared with what is read later
	s, err := build(&built, f.all, f.display.log)
	if err != nil {
		return nil, usageError{p.config.Place(err)}
	}
	s.given, s.prints, s.ended = r, sum, make(chan struct{})
	if err := f.openPorts(s, p); err != nil {
		s.server.Upstream.Close()
		return nil, fmt.Errorf("route %s: %w", r.Name, err)
	}
	p.fresh = append(p.fresh, s)
	return s, nil
}

// launch puts p into force. The sessions of services that are not in it any more live on: those of a
// route that is gone for at most its drain timeout.
func (f *fleet) launch(ctx context.Context, p *plan) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range p.fresh {
		for i := range s.route.Listen {
			for _, port := range p.ports[placeOf(s.route, s.protocol, i)] {
				s.listeners = append(s.listeners, port.View()) // which ends another service's view
			}
		}
	}
	old, oldPorts := f.services, f.ports
	f.config, f.services, f.ports = p.config, p.services, p.ports
	f.reportHealth()
	for _, s := range p.fresh {
		s.unwatch = f.sights.observe(s)
		go s.serve(ctx, func(err error) { f.lose(ctx, s, err) })
	}
	f.display.allReady(p.fresh)
	for at, ports := range oldPorts {
		if _, ok := p.ports[at]; !ok {
			closePorts(ports)
		}
	}
	for _, s := range old {
		if s.failure == nil && !slices.Contains(p.services, s) {
			f.leave(ctx, s)
		}
	}
	for _, s := range p.services {
		if s.failure != nil && !p.knew(s) {
			f.display.log.Error("route is not served", append([]any{"route", s.route.Name, "err", s.failure}, hintAttr(s.failure)...)...)
		}
	}
}

// knew reports whether s is a route that failed in the same way before.
func (p *plan) knew(s *service) bool {
	return slices.ContainsFunc(p.before, func(old *service) bool {
		return old.failure != nil && sameRoute(old.given, s.given) && old.failure.Error() == s.failure.Error()
	})
}

func hintAttr(err error) []any {
	if hint := proxy.Hint(err); hint != "" {
		return []any{"hint", hint}
	}
	return nil
}

func closePorts(ports []*proxy.Port) {
	for _, port := range ports {
		port.Close()
	}
}

// leave lets the sessions of s, which is not in force any more, come to their end. The fleet is locked.
func (f *fleet) leave(ctx context.Context, s *service) {
	gone := !slices.ContainsFunc(f.services, func(other *service) bool { return other.route.Name == s.route.Name })
	limit := f.config.DrainTimeout
	f.leaving = append(f.leaving, s)
	f.retired.Go(func() { f.retire(ctx, s, gone, limit) })
}

// retire waits for the end of a service that is not in force any more, and after limit brings it about
// if the route is gone.
func (f *fleet) retire(ctx context.Context, s *service, gone bool, limit time.Duration) {
	s.closeDoor()
	if gone {
		f.sights.metrics.SetUp(s.route.Name, false)
		if sessions := s.server.Counts.Open.Load(); sessions > 0 {
			f.display.log.Info("route is gone, its sessions are waited for", "route", s.route.Name, "sessions", sessions, "drain_timeout", limit)
		}
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-timer.C:
			s.dismiss(ctx)
		case <-s.ended:
		}
	}
	<-s.ended
	f.mu.Lock()
	f.leaving = slices.DeleteFunc(f.leaving, func(other *service) bool { return other == s })
	f.past += s.server.Counts.Sessions.Load()
	f.mu.Unlock()
	f.forget(s.route.Name)
	f.display.log.Info("route ended", "route", s.route.Name)
}

// reportHealth says what is served and what is not. The fleet is locked.
func (f *fleet) reportHealth() {
	var served []*service
	broken := map[string]error{}
	for _, s := range f.services {
		if s.failure == nil {
			served = append(served, s)
		} else {
			broken[s.route.Name] = s.failure
			f.sights.metrics.SetUp(s.route.Name, false)
		}
	}
	f.health.serves(served, broken)
}

// forget drops what was seen of a route that there is no more.
func (f *fleet) forget(name string) {
	if !slices.ContainsFunc(f.served(), func(s *service) bool { return s.route.Name == name }) {
		f.sights.forget(name)
	}
}

// served are the services that are in force.
func (f *fleet) served() []*service {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.services)
}

// inForce is the configuration.
func (f *fleet) inForce() *config.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.config
}

// lose notes that a listener of s failed for good. The route is tried again, as one that could not be
// served in the beginning.
func (f *fleet) lose(ctx context.Context, s *service, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at, ports := range f.ports {
		for i := range s.route.Listen {
			if at == placeOf(s.route, s.protocol, i) {
				closePorts(ports)
				delete(f.ports, at)
			}
		}
	}
	if i := slices.Index(f.services, s); i >= 0 {
		f.services[i] = &service{route: s.route, given: s.given, failure: err}
		f.reportHealth()
		f.leave(ctx, s)
	}
	f.display.log.Error("listener failed", "route", s.route.Name, "err", err)
}

// sessions counts the sessions that are open, and all that began, whatever has been reloaded since.
func (f *fleet) sessions() (open, began int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	began = f.past
	for _, s := range slices.Concat(f.services, f.leaving) {
		if s.failure == nil {
			open += s.server.Counts.Open.Load()
			began += s.server.Counts.Sessions.Load()
		}
	}
	return open, began
}

// closeDoors ends accepting everywhere.
func (f *fleet) closeDoors() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ports := range f.ports {
		closePorts(ports)
	}
}

// wait waits for the end of all sessions, after closeDoors.
func (f *fleet) wait(over chan<- struct{}) {
	for _, s := range f.served() {
		if s.failure == nil {
			<-s.ended
		}
	}
	f.retired.Wait()
	close(over)
}

// living are the services in force, and those with sessions that live on.
func (f *fleet) living() []*service {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Concat(f.services, f.leaving)
}

// parts are the services in force, and apart from them those with sessions that live on.
func (f *fleet) parts() (served, left []*service) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.services), slices.Clone(f.leaving)
}

// closeSession ends one session, and returns when it is over or ctx is.
func (f *fleet) closeSession(ctx context.Context, id string) error {
	for _, s := range f.living() {
		if s.failure != nil {
			continue
		}
		if found, err := s.closeSession(ctx, id); found {
			return err
		}
	}
	return admin.ErrNoSession
}

// dismiss tells all sessions that this is the end, and returns when they are over.
func (f *fleet) dismiss(ctx context.Context) {
	var all sync.WaitGroup
	for _, s := range f.living() {
		if s.failure == nil {
			all.Go(func() { s.dismiss(ctx) })
		}
	}
	all.Wait()
}
