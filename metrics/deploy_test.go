package metrics

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

var (
	ourNames  = regexp.MustCompile(`\b(?:dbvalet|process|go)_\w+`)
	selectors = regexp.MustCompile(`\{[^}]*\}|\b(?:by|on) \([^)]*\)`)
	descName  = regexp.MustCompile(`fqName: "([^"]+)"`)
	suffix    = regexp.MustCompile(`_(?:bucket|sum|count)$`)
)

// exposed are the names of everything that may be scraped.
func exposed() []string {
	m := New("v1")
	m.CountDropped(func() int64 { return 0 })
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		m.registry.Describe(descs)
	}()
	var names []string
	for d := range descs {
		names = append(names, descName.FindStringSubmatch(d.String())[1])
	}
	return names
}

// asked are the metrics in the values of key, at any depth.
func asked(in any, key string) (names []string) {
	switch in := in.(type) {
	case map[string]any:
		for k, v := range in {
			if text, ok := v.(string); ok && k == key {
				for _, name := range ourNames.FindAllString(selectors.ReplaceAllString(text, ""), -1) {
					names = append(names, suffix.ReplaceAllString(name, ""))
				}
				continue
			}
			names = append(names, asked(v, key)...)
		}
	case []any:
		for _, v := range in {
			names = append(names, asked(v, key)...)
		}
	}
	return names
}

// read decodes a file of package deploy, which is another module.
func read(t *testing.T, file string, decode func([]byte, any) error) (content any) {
	t.Helper()
	text, err := os.ReadFile("../deploy/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(text, &content); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestAlertsAndDashboardAskForWhatThereIs(t *testing.T) {
	names := exposed()
	files := map[string][]string{
		"alerts":    asked(read(t, "prometheus/alerts.yaml", yaml.Unmarshal), "expr"),
		"dashboard": asked(read(t, "grafana/dbvalet.json", json.Unmarshal), "expr"),
		"variables": asked(read(t, "grafana/dbvalet.json", json.Unmarshal), "definition"),
		"examples":  asked(read(t, "prometheus/alerts_test.yaml", yaml.Unmarshal), "series"),
	}
	for file, all := range files {
		if len(all) == 0 {
			t.Errorf("the %s ask for nothing", file)
		}
		for _, name := range all {
			if !slices.Contains(names, name) {
				t.Errorf("the %s ask for %s, which is not there", file, name)
			}
		}
	}
	for _, name := range names {
		if regexp.MustCompile(`^dbvalet_`).MatchString(name) && !slices.Contains(files["dashboard"], name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
