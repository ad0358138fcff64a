package metrics

import (
	"net/http"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Metrics are those of the process. Calls may be concurrent.
type Metrics struct {
	registry *prometheus.Registry
	setUp    *prometheus.HistogramVec
	reloads  *prometheus.CounterVec
	lastOK   prometheus.Gauge

	mu     sync.Mutex
	routes map[string]*route
}

// A route is what is counted under one name.
type route struct {
	up      bool
	servers map[*proxy.Server]bool // that have clients, or may get some
	past    sums                   // of servers that have not
}

// setUpBuckets reach from a login on this machine to the usual limit of a set-up, in seconds.
var setUpBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// New returns Metrics without a route.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		routes:   make(map[string]*route),
		setUp: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dbvalet_setup_seconds", Buckets: setUpBuckets,
			Help: "How long the set-up of a session took, and its steps credential, dial, tls and auth.",
		}, []string{"route", "step"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dbvalet_config_reloads_total", Help: "Times that the configuration was read anew, by result.",
		}, []string{"result"}),
		lastOK: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dbvalet_config_last_reload_successful", Help: "Whether the configuration that was read last is in force.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dbvalet_build_info", Help: "Which build this is; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	m.lastOK.Set(1)
	for _, result := range []string{"ok", "error"} {
		m.reloads.WithLabelValues(result)
	}
	m.registry.MustRegister(build, m.setUp, m.reloads, m.lastOK, collector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics over HTTP.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Gatherer is what Handler shows.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Watch counts server under the name of a route, beside those that are watched already. The function
// that it returns is called when the server has no clients any more: its numbers stay, and the server
// need not. It may be called more than once.
func (m *Metrics) Watch(name string, server *proxy.Server) (done func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.route(name)
	r.servers[server] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if r.servers[server] {
			delete(r.servers, server)
			r.past.addServer(server)
			for _, cache := range server.Upstream.Caches() {
				if !r.caches()[cache] {
					r.past.addCache(cache)
				}
			}
		}
	}
}

// Counts returns what the servers have counted that are watched under the name of a route, or were.
func (m *Metrics) Counts(name string) (all Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.routes[name]; r != nil {
		all = r.past.Counts
		for server := range r.servers {
			all.add(server)
		}
	}
	return all
}

// route finds or makes the route of this name. m is locked.
func (m *Metrics) route(name string) *route {
	r := m.routes[name]
	if r == nil {
		r = &route{servers: make(map[*proxy.Server]bool)}
		m.routes[name] = r
	}
	return r
}

// SetUp says whether a route takes clients.
func (m *Metrics) SetUp(name string, up bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.route(name).up = up
}

// Forget removes all that is known of a route.
func (m *Metrics) Forget(name string) {
	m.mu.Lock()
	delete(m.routes, name)
	m.mu.Unlock()
	m.setUp.DeletePartialMatch(prometheus.Labels{"route": name})
}

// Reloaded counts that the configuration was read anew; err is why it is not in force, nil: it is.
func (m *Metrics) Reloaded(err error) {
	if err != nil {
		m.reloads.WithLabelValues("error").Inc()
		m.lastOK.Set(0)
		return
	}
	m.reloads.WithLabelValues("ok").Inc()
	m.lastOK.Set(1)
}

// CountDropped shows how many records the audit has lost, which dropped returns. It is called once.
func (m *Metrics) CountDropped(dropped func() int64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "dbvalet_audit_dropped_total", Help: "Audit records that could not be written.",
	}, func() float64 { return float64(dropped()) }))
}

// For returns what measures the set-ups of a route.
func (m *Metrics) For(name string) proxy.Observer {
	return &timer{
		total: m.setUp.WithLabelValues(name, "total"),
		steps: map[proxy.Stage]prometheus.Observer{
			proxy.StageCredential: m.setUp.WithLabelValues(name, "credential"),
			proxy.StageDial:       m.setUp.WithLabelValues(name, "dial"),
			proxy.StageTLS:        m.setUp.WithLabelValues(name, "tls"),
			proxy.StageAuth:       m.setUp.WithLabelValues(name, "auth"),
		},
	}
}

// A timer measures the set-ups of one route that led to a session.
type timer struct {
	total prometheus.Observer
	steps map[proxy.Stage]prometheus.Observer
}

var _ proxy.Observer = (*timer)(nil)

// Observe notes the times of a set-up.
func (t *timer) Observe(event proxy.Event, r *proxy.Record) {
	if event != proxy.SessionStart {
		return
	}
	t.total.Observe(r.SetUp.Seconds())
	for stage, step := range t.steps {
		if took, ok := r.Took(stage); ok {
			step.Observe(took.Seconds())
		}
	}
}

// caches returns those of r's servers.
func (r *route) caches() map[*tokens.Cache]bool {
	caches := make(map[*tokens.Cache]bool)
	for server := range r.servers {
		for _, cache := range server.Upstream.Caches() {
			caches[cache] = true
		}
	}
	return caches
}
