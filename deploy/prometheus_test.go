package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"sigs.k8s.io/yaml"
)

var promQL = parser.NewParser(parser.Options{})

// alerts reads alerts.yaml as Prometheus does.
func alerts(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile("prometheus/alerts.yaml", false, model.LegacyValidation, promQL, slog.Default())
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 {
		t.Fatal("there is not one group of alerts")
	}
	return groups.Groups[0].Rules
}

func TestPrometheusAlertsSayWhatToDo(t *testing.T) {
	for _, rule := range alerts(t) {
		if s := rule.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", rule.Alert, s)
		}
		for _, name := range []string{"summary", "description"} {
			if rule.Annotations[name] == "" {
				t.Errorf("%s has no %s", rule.Alert, name)
			}
		}
	}
}

// alertTests are what promtool reads from alerts_test.yaml.
type alertTests struct {
	RuleFiles          []string    `json:"rule_files"`
	EvaluationInterval string      `json:"evaluation_interval"`
	Tests              []alertTest `json:"tests"`
}

type alertTest struct {
	Name     string `json:"name"`
	Interval string `json:"interval"`
	Series   []struct {
		Series string `json:"series"`
		Values string `json:"values"`
	} `json:"input_series"`
	Cases []struct {
		At     string   `json:"eval_time"`
		Alert  string   `json:"alertname"`
		Firing []firing `json:"exp_alerts"`
	} `json:"alert_rule_test"`
}

// A firing is an alert that is sent.
type firing struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

func (f firing) String() string { return fmt.Sprint(f.Labels, f.Annotations) }

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := model.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(d)
}

// TestPrometheusAlertsFire runs alerts_test.yaml on Prometheus' own engine, as promtool does. That one's
// package of rules would bring the clients of Alertmanager and its database along.
func TestPrometheusAlertsFire(t *testing.T) {
	text, err := os.ReadFile("prometheus/alerts_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file alertTests
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, EnableAtModifier: true, Parser: promQL})
	defer engine.Close()
	rules := map[string]rulefmt.Rule{}
	for _, rule := range alerts(t) {
		rules[rule.Alert] = rule
	}
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		t.Run(test.Name, func(t *testing.T) {
			series := test.load(t)
			for _, c := range test.Cases {
				rule, ok := rules[c.Alert]
				if !ok {
					t.Fatalf("there is no alert %s", c.Alert)
				}
				e := evaluation{engine: engine, series: series, rule: rule}
				got := e.run(t, duration(t, file.EvaluationInterval), duration(t, c.At))
				want := map[string]bool{}
				for _, f := range c.Firing {
					want[f.String()] = true
				}
				if !maps.Equal(got, want) {
					t.Errorf("after %s %s fires\n%v\nwant\n%v", c.At, c.Alert, got, want)
				}
				fires[c.Alert] = fires[c.Alert] || len(want) > 0
				rests[c.Alert] = rests[c.Alert] || len(want) == 0
			}
		})
	}
	for name := range rules {
		if !fires[name] || !rests[name] {
			t.Errorf("%s is not seen to fire (%v) and to rest (%v)", name, fires[name], rests[name])
		}
	}
}

// promtool runs the same file where it is on the machine.
func TestPrometheusToolAgrees(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		run := exec.Command(promtool, args...)
		run.Dir = "prometheus"
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// load makes series of what a test says that was scraped.
func (test alertTest) load(t *testing.T) []storage.Series {
	t.Helper()
	interval := duration(t, test.Interval)
	var all []storage.Series
	for _, in := range test.Series {
		name, values, err := promQL.ParseSeriesDesc(in.Series + " " + in.Values)
		if err != nil {
			t.Fatal(err)
		}
		var samples []chunks.Sample
		for i, v := range values {
			if !v.Omitted {
				samples = append(samples, sample{at: (time.Duration(i) * interval).Milliseconds(), value: v.Value})
			}
		}
		all = append(all, storage.NewListSeries(name, samples))
	}
	return all
}

// An evaluation follows one alert through the series of a test.
type evaluation struct {
	engine *promql.Engine
	series []storage.Series
	rule   rulefmt.Rule
}

// run evaluates the rule from the start until end, and returns what fires then.
func (e evaluation) run(t *testing.T, interval, end time.Duration) map[string]bool {
	t.Helper()
	since := map[string]time.Duration{} // by labels: how long it has been true
	for now := time.Duration(0); ; now += interval {
		result := e.query(t, now)
		seen, fires := map[string]time.Duration{}, map[string]bool{}
		for _, s := range result {
			key := s.Metric.String()
			seen[key] = now
			if at, ok := since[key]; ok {
				seen[key] = at
			}
			if now-seen[key] >= time.Duration(e.rule.For) {
				fires[e.firing(t, s, now).String()] = true
			}
		}
		since = seen
		if now+interval > end {
			return fires
		}
	}
}

func (e evaluation) query(t *testing.T, now time.Duration) promql.Vector {
	t.Helper()
	data := storage.MockQueryable{MockQuerier: &storage.MockQuerier{SelectMockFunction: e.find}}
	query, err := e.engine.NewInstantQuery(context.Background(), &data, nil, e.rule.Expr, time.UnixMilli(now.Milliseconds()))
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	result, err := query.Exec(context.Background()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", e.rule.Alert, err)
	}
	return slices.Clone(result)
}

// find selects the series that match.
func (e evaluation) find(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &seriesSet{}
	for _, s := range e.series {
		matches := func(m *labels.Matcher) bool { return m.Matches(s.Labels().Get(m.Name)) }
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !matches(m) }) {
			found.rest = append(found.rest, s)
		}
	}
	return found
}

// firing is the alert that Prometheus would send for s.
func (e evaluation) firing(t *testing.T, s promql.Sample, now time.Duration) firing {
	t.Helper()
	f := firing{Labels: s.Metric.Map(), Annotations: map[string]string{}}
	delete(f.Labels, model.MetricNameLabel)
	maps.Copy(f.Labels, e.rule.Labels)
	for name, text := range e.rule.Annotations {
		data := template.AlertTemplateData(s.Metric.Map(), nil, "", s)
		text = "{{$labels := .Labels}}{{$value := .Value}}" + text
		expander := template.NewTemplateExpander(context.Background(), text, e.rule.Alert, data, model.Time(now.Milliseconds()), nil, &url.URL{}, nil)
		expanded, err := expander.Expand()
		if err != nil {
			t.Fatal(err)
		}
		f.Annotations[name] = expanded
	}
	return f
}

// A sample is one value, without a histogram.
type sample struct {
	at    int64 // milliseconds since the start
	value float64
}

var _ chunks.Sample = sample{}

func (s sample) T() int64                    { return s.at }
func (sample) ST() int64                     { return 0 }
func (s sample) F() float64                  { return s.value }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }

// A seriesSet hands out series one after the other.
type seriesSet struct {
	now  storage.Series
	rest []storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.rest) == 0 {
		return false
	}
	s.now, s.rest = s.rest[0], s.rest[1:]
	return true
}
func (s *seriesSet) At() storage.Series                { return s.now }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// A dashboard is what matters here of Grafana's.
type dashboard struct {
	SchemaVersion int `json:"schemaVersion"`
	Templating    struct {
		List []struct{ Name, Type string } `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID          int                      `json:"id"`
		Type        string                   `json:"type"`
		Title       string                   `json:"title"`
		Description string                   `json:"description"`
		Datasource  struct{ UID string }     `json:"datasource"`
		GridPos     struct{ X, Y, W, H int } `json:"gridPos"`
		Targets     []struct{ Expr string }  `json:"targets"`
	} `json:"panels"`
}

// grafana fills in what Grafana does before it asks Prometheus.
var grafana = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$route", "orders")

func TestPrometheusUnderstandsTheDashboard(t *testing.T) {
	text, err := os.ReadFile("grafana/dbvalet.json")
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var variables []string
	for _, v := range board.Templating.List {
		variables = append(variables, v.Name+" "+v.Type)
	}
	if !slices.Equal(variables, []string{"datasource datasource", "route query"}) || board.SchemaVersion < 39 {
		t.Errorf("its variables are %v, its schema is %d", variables, board.SchemaVersion)
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q has the id of another", p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.W == 0 || p.GridPos.H == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is not within the 24 columns: %+v", p.Title, p.GridPos)
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q lacks a description, the chosen source or a query", p.Title)
		}
		for _, target := range p.Targets {
			expr := grafana.Replace(target.Expr)
			if _, err := promQL.ParseExpr(expr); err != nil || strings.Contains(expr, "$") {
				t.Errorf("panel %q asks %q: %v", p.Title, expr, err)
			}
		}
	}
	if len(ids) < 15 {
		t.Errorf("there are %d panels", len(ids))
	}
}
