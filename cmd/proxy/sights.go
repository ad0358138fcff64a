package main

import (
	"context"
	"log/slog"
	"net/http"

	"dbvalet/audit"
	"dbvalet/config"
	"dbvalet/metrics"
	"dbvalet/proxy"
	"dbvalet/recent"
	"dbvalet/traces"
)

// sights are what can be seen of the program from outside: metrics, what happened lately, and where they
// are asked for the audit and traces.
type sights struct {
	metrics *metrics.Metrics
	recent  recent.Routes
	audit   *audit.Audit   // nil: there is none
	traces  *traces.Traces // nil: there are none
}

// openSights opens what c asks for.
func openSights(c *config.Config, log *slog.Logger) (*sights, error) {
	s := &sights{metrics: metrics.New(version)}
	var err error
	if c.Traces != "" {
		if s.traces, err = traces.Open(context.Background(), c.Traces, version, log); err != nil {
			return nil, err
		}
	}
	if c.Audit != "" {
		if s.audit, err = audit.Open(c.Audit, log); err != nil {
			s.close()
			return nil, err
		}
		s.metrics.CountDropped(s.audit.Dropped)
	}
	return s, nil
}

// close writes what is left. It is called when the last session has ended.
func (s *sights) close() {
	if s.traces != nil {
		s.traces.Close()
	}
	if s.audit != nil {
		_ = s.audit.Close() // which has said in the log what went wrong
	}
}

// reopen opens the audit's file again, for whoever has moved it away.
func (s *sights) reopen() {
	if s.audit != nil {
		s.audit.Reopen()
	}
}

// observe has service seen from now on, until done is called.
func (s *sights) observe(service *service) (done func()) {
	name := service.route.Name
	service.recent = s.recent.For(name)
	observers := proxy.Observers{s.metrics.For(name), service.recent}
	if s.traces != nil {
		observers = append(observers, s.traces.For(name, service.protocol.system))
	}
	if s.audit != nil {
		observers = append(observers, s.audit.For(name))
	}
	service.server.Observer = observers
	done = s.metrics.Watch(name, service.server)
	s.metrics.SetUp(name, true)
	return done
}

// forget drops what is known of a route.
func (s *sights) forget(name string) {
	s.metrics.Forget(name)
	s.recent.Forget(name)
}

// handler serves the metrics.
func (s *sights) handler() http.Handler { return s.metrics.Handler() }
