package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"dbvalet/proxy"
	"dbvalet/proxy/proxytest"
	"dbvalet/tokens"
)

// A scrape is what Prometheus sees: values by name{label="value",...}.
type scrape map[string]float64

// get asks the handler over HTTP.
func get(t *testing.T, m *Metrics) scrape {
	t.Helper()
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	seen := scrape{}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			seen[name+labels(metric)] = value(metric)
		}
	}
	return seen
}

func labels(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.GetLabel() {
		pairs = append(pairs, fmt.Sprintf("%s=%s", l.GetName(), l.GetValue()))
	}
	slices.Sort(pairs)
	return "{" + strings.Join(pairs, ",") + "}"
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	}
	return m.GetUntyped().GetValue()
}

func (s scrape) want(t *testing.T, name string, value float64) {
	t.Helper()
	if got, ok := s[name]; !ok || got != value {
		t.Errorf("%s is %v (there: %v), want %v", name, got, ok, value)
	}
}

func (s scrape) has(text string) bool {
	for name := range s {
		if strings.Contains(name, text) {
			return true
		}
	}
	return false
}

func TestASessionIsCountedWhileItLastsAndAfter(t *testing.T) {
	m := New("v1")
	s := proxytest.New(t, m.For("orders"))
	done := m.Watch("orders", s)
	m.SetUp("orders", true)
	addr, stop := proxytest.Serve(t, s)
	c := proxytest.Dial(t, addr)
	proxytest.Say(t, c, "hello")
	relaysAll(t, s) // what was written is counted then
	seen := get(t, m)
	seen.want(t, "dbvalet_sessions_active{route=orders}", 1)
	seen.want(t, "dbvalet_connections_total{result=session,route=orders}", 1)
	seen.want(t, "dbvalet_relay_bytes_total{direction=from_client,route=orders}", 5)
	seen.want(t, "dbvalet_relay_bytes_total{direction=from_upstream,route=orders}", 5)
	for _, step := range []string{"credential", "dial", "tls", "auth", "total"} {
		seen.want(t, "dbvalet_setup_seconds{route=orders,step="+step+"}", 1)
	}
	seen.want(t, "dbvalet_credential_requests_total{result=ok,route=orders}", 1)
	seen.want(t, "dbvalet_credential_requests_total{result=error,route=orders}", 0)
	seen.want(t, "dbvalet_credential_rejections_total{route=orders}", 0)
	seen.want(t, "dbvalet_rejected_peers_total{route=orders}", 0)
	seen.want(t, "dbvalet_panics_total{route=orders}", 0)
	seen.want(t, "dbvalet_route_up{route=orders}", 1)
	seen.want(t, "dbvalet_config_last_reload_successful{}", 1)
	if at := seen["dbvalet_credential_expiry_timestamp_seconds{route=orders}"]; at < 1e9 {
		t.Errorf("the credential expires at %v", at)
	}
	if !seen.has("dbvalet_build_info{go_version=go") || !seen.has("version=v1") || !seen.has("go_goroutines") {
		t.Error("there is no build or no runtime in it")
	}
	c.Close()
	stop()
	done()
	seen = get(t, m)
	seen.want(t, "dbvalet_sessions_active{route=orders}", 0)
	seen.want(t, "dbvalet_relay_bytes_total{direction=from_client,route=orders}", 5)
	seen.want(t, "dbvalet_credential_requests_total{result=ok,route=orders}", 1)
}

// relaysAll waits until the hello of s's one session has been counted both ways.
func relaysAll(t *testing.T, s *proxy.Server) {
	t.Helper()
	proxytest.Soon(t, "5 bytes each way", func() bool { up, down := s.Relayed(); return up == 5 && down == 5 })
}

func TestFailuresAreCountedByStage(t *testing.T) {
	results := map[proxy.Stage]string{
		proxy.StagePeer: "refused", proxy.StageLimit: "limited", proxy.StageCredential: "failed",
		proxy.StageDial: "failed", proxy.StageTLS: "failed", proxy.StageAuth: "failed", proxy.StageClient: "failed",
	}
	for stage, result := range results {
		t.Run(string(stage), func(t *testing.T) {
			m := New("v1")
			s := proxytest.New(t, m.For("r"))
			proxytest.At(t, s, stage)
			m.Watch("r", s)
			addr, stop := proxytest.Serve(t, s)
			proxytest.HearEnd(t, proxytest.Dial(t, addr))
			stop()
			seen := get(t, m)
			for at := range results {
				want := 0.0
				if at == stage {
					want = 1
				}
				seen.want(t, "dbvalet_setup_failures_total{route=r,stage="+string(at)+"}", want)
			}
			seen.want(t, "dbvalet_connections_total{result="+result+",route=r}", 1)
			seen.want(t, "dbvalet_setup_seconds{route=r,step=total}", 0)
			if stage == proxy.StagePeer {
				seen.want(t, "dbvalet_rejected_peers_total{route=r}", 1)
			}
			if stage == proxy.StageCredential {
				seen.want(t, "dbvalet_credential_requests_total{result=error,route=r}", 1)
			}
		})
	}
}

// TestARejectedCredentialIsCounted has a database that refuses the first of two.
func TestARejectedCredentialIsCounted(t *testing.T) {
	m := New("v1")
	s := proxytest.New(t, m.For("r"))
	m.Watch("r", s)
	s.Upstream.Credentials = &tokens.Cache{Source: &numbered{}, Log: s.Log}
	tries := 0
	s.Engine = proxytest.Joins{Reject: func() error {
		if tries++; tries == 1 {
			return fmt.Errorf("the token is too old: %w", proxy.ErrRejected)
		}
		return nil
	}}
	addr, _ := proxytest.Serve(t, s)
	proxytest.Say(t, proxytest.Dial(t, addr), "hello")
	get(t, m).want(t, "dbvalet_credential_rejections_total{route=r}", 1)
}

// Tokens that are signed for a host are kept for each host.
func TestCredentialsOfEveryHostAreCounted(t *testing.T) {
	m := New("v1")
	s := proxytest.New(t, m.For("r"))
	other := &tokens.Cache{Source: &numbered{}, Log: s.Log}
	s.Upstream.Others = []proxy.Place{{Endpoint: s.Upstream.Endpoint, Credentials: other}, {Endpoint: s.Upstream.Endpoint, Credentials: other}}
	done := m.Watch("r", s)
	if _, err := other.Credential(t.Context(), "app"); err != nil {
		t.Fatal(err)
	}
	get(t, m).want(t, "dbvalet_credential_requests_total{result=ok,route=r}", 1)
	done()
	get(t, m).want(t, "dbvalet_credential_requests_total{result=ok,route=r}", 1)
}

func TestAChangedRouteCountsOnAndARemovedOneIsGone(t *testing.T) {
	m := New("v1")
	session := func() func() {
		s := proxytest.New(t, m.For("r"))
		done := m.Watch("r", s)
		addr, stop := proxytest.Serve(t, s)
		c := proxytest.Dial(t, addr)
		proxytest.Say(t, c, "hello")
		relaysAll(t, s)
		return func() { c.Close(); stop(); done(); done() }
	}
	first := session()
	second := session()
	get(t, m).want(t, "dbvalet_sessions_active{route=r}", 2)
	first()
	seen := get(t, m)
	seen.want(t, "dbvalet_sessions_active{route=r}", 1)
	seen.want(t, "dbvalet_connections_total{result=session,route=r}", 2)
	seen.want(t, "dbvalet_relay_bytes_total{direction=from_client,route=r}", 10)
	seen.want(t, "dbvalet_credential_requests_total{result=ok,route=r}", 2)
	m.Forget("r")
	if get(t, m).has("route=r") {
		t.Error("the route that was removed is still there")
	}
	second()
	if get(t, m).has("route=r") {
		t.Error("the end of a session brought the route back")
	}
}

func TestReloadsAndTheAuditAreCounted(t *testing.T) {
	m := New("v1")
	m.CountDropped(func() int64 { return 3 })
	m.Reloaded(nil)
	m.Reloaded(errors.New("line 3"))
	seen := get(t, m)
	seen.want(t, "dbvalet_config_reloads_total{result=ok}", 1)
	seen.want(t, "dbvalet_config_reloads_total{result=error}", 1)
	seen.want(t, "dbvalet_config_last_reload_successful{}", 0)
	seen.want(t, "dbvalet_audit_dropped_total{}", 3)
}

func TestMetricsFollowTheConventions(t *testing.T) {
	m := New("v1")
	m.CountDropped(func() int64 { return 0 })
	s := proxytest.New(t, m.For("r"))
	m.Watch("r", s)
	problems, err := testutil.GatherAndLint(m.Gatherer())
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

// numbered is a source of tokens that differ.
type numbered struct{ n int }

func (s *numbered) Credential(context.Context, string) (tokens.Credential, error) {
	s.n++
	return tokens.Credential{Password: tokens.NewSecret(fmt.Sprint("token ", s.n)), Expires: proxytest.Expires()}, nil
}
