package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dbvalet/proxy"
	"dbvalet/tokens"
)

// Counts is what proxy.Counts is, of all servers that a route has had.
type Counts struct {
	Accepted, RefusedPeers, Limited, Failed, Served, Sessions, Open, Panics int64
}

func (c *Counts) add(server *proxy.Server) {
	one := &server.Counts
	c.Accepted += one.Accepted.Load()
	c.RefusedPeers += one.RefusedPeers.Load()
	c.Limited += one.Limited.Load()
	c.Failed += one.Failed.Load()
	c.Served += one.Served.Load()
	c.Sessions += one.Sessions.Load()
	c.Open += one.Open.Load()
	c.Panics += one.Panics.Load()
}

// sums are numbers of several servers, or of their caches.
type sums struct {
	Counts
	fromClient, fromUpstream int64
	failures                 map[proxy.Stage]int64
	ok, errors, rejected     int64
}

func (s *sums) addServer(server *proxy.Server) {
	s.add(server)
	up, down := server.Relayed()
	s.fromClient += up
	s.fromUpstream += down
	if s.failures == nil {
		s.failures = make(map[proxy.Stage]int64)
	}
	for stage, n := range server.Counts.Failures() {
		s.failures[stage] += n
	}
}

func (s *sums) addCache(cache *tokens.Cache) {
	s.ok += cache.Counts.OK.Load()
	s.errors += cache.Counts.Failed.Load()
	s.rejected += cache.Counts.Rejected.Load()
}

// copy returns s, to be added to.
func (s *sums) copy() sums {
	c := *s
	c.failures = make(map[proxy.Stage]int64)
	for stage, n := range s.failures {
		c.failures[stage] = n
	}
	return c
}

// sum adds up what r has counted, and returns the earliest end of a credential at hand; zero: there is
// none that ends.
func (r *route) sum() (all sums, expires time.Time) {
	all = r.past.copy()
	for server := range r.servers {
		all.addServer(server)
	}
	for cache := range r.caches() {
		all.addCache(cache)
		if e := cache.Expires(); !e.IsZero() && (expires.IsZero() || e.Before(expires)) {
			expires = e
		}
	}
	return all, expires
}

// What a collector shows of each route.
var (
	connections = desc("connections_total", "Connections, by what became of them.", "result")
	active      = desc("sessions_active", "Sessions that are open.")
	failures    = desc("setup_failures_total", "Set-ups that did not lead to a session, by the stage where they ended.", "stage")
	relayed     = desc("relay_bytes_total", "Bytes that were relayed, by direction.", "direction")
	requests    = desc("credential_requests_total", "Requests to the source of credentials, by result.", "result")
	expiry      = desc("credential_expiry_timestamp_seconds", "When the first of the credentials at hand expires; not there if none does.")
	rejections  = desc("credential_rejections_total", "Credentials that the database refused, and another was tried.")
	peers       = desc("rejected_peers_total", "Clients that may not come in.")
	panics      = desc("panics_total", "Panics, each of which ended one connection.")
	up          = desc("route_up", "Whether the route takes clients.")
)

func desc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc("dbvalet_"+name, help, append([]string{"route"}, more...), nil)
}

// A collector reads what the servers have counted.
type collector struct{ metrics *Metrics }

var _ prometheus.Collector = collector{}

// Describe names the metrics.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connections, active, failures, relayed, requests, expiry, rejections, peers, panics, up} {
		out <- d
	}
}

// Collect reads them.
func (c collector) Collect(out chan<- prometheus.Metric) {
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	for name, r := range c.metrics.routes {
		r.collect(name, out)
	}
}

func (r *route) collect(name string, out chan<- prometheus.Metric) {
	all, expires := r.sum()
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{name}, labels...)...)
	}
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, name)
	}
	count(connections, all.Sessions, "session")
	count(connections, all.Served, "served")
	count(connections, all.RefusedPeers, "refused")
	count(connections, all.Limited, "limited")
	count(connections, all.Failed, "failed")
	for stage, n := range all.failures {
		count(failures, n, string(stage))
	}
	count(relayed, all.fromClient, "from_client")
	count(relayed, all.fromUpstream, "from_upstream")
	count(requests, all.ok, "ok")
	count(requests, all.errors, "error")
	count(rejections, all.rejected)
	count(peers, all.RefusedPeers)
	count(panics, all.Panics)
	gauge(active, float64(all.Open))
	if !expires.IsZero() {
		gauge(expiry, float64(expires.UnixMilli())/1000)
	}
	if r.up {
		gauge(up, 1)
	} else {
		gauge(up, 0)
	}
}
