package deploy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const helmRoutes = `
metrics: 0.0.0.0:9902
drain_delay: 5s
routes:
  - {name: orders, upstream: "postgres://app@orders.abc123.us-east-1.rds.amazonaws.com:5432/orders", auth: aws-iam, allow: pod}
`

// values reads YAML.
func values(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// renders returns what a chart makes with these values, by the schema, as Helm installs it.
func renders(t *testing.T, c *chart.Chart, v map[string]any) ([]runtime.Object, error) {
	t.Helper()
	all, err := util.ToRenderValues(c, v, common.ReleaseOptions{Name: "shop", Namespace: "default", IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	var objs []runtime.Object
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		if strings.HasSuffix(name, ".yaml") {
			objs = append(objs, objects(t, []byte(rendered[name]))...)
		}
	}
	return objs, nil
}

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load("helm/dbvalet")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChartHasNothingThatLintMinds(t *testing.T) {
	result := lint.RunAll("helm/dbvalet", map[string]any{"config": values(t, helmRoutes)}, "default")
	for _, m := range result.Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}

func TestChartServesOtherMachinesWhenAsked(t *testing.T) {
	objs, err := renders(t, load(t), map[string]any{
		"config":     values(t, helmRoutes),
		"standalone": map[string]any{"enabled": true, "ports": []any{5432}},
	})
	if err != nil {
		t.Fatal(err)
	}
	checkRelease(t, objs, "*v1.ConfigMap", "*v1.Deployment", "*v1.Service")
}

func TestChartMakesOnlyTheConfigurationByItself(t *testing.T) {
	objs, err := renders(t, load(t), map[string]any{"config": values(t, helmRoutes)})
	if err != nil {
		t.Fatal(err)
	}
	checkRelease(t, objs, "*v1.ConfigMap")
}

// An application's chart depends on this one and includes its templates.
func TestChartAddsTheSidecarToAnotherChart(t *testing.T) {
	shop, err := loader.Load("testdata/shop")
	if err != nil {
		t.Fatal(err)
	}
	shop.AddDependency(load(t))
	objs, err := renders(t, shop, map[string]any{"dbvalet": map[string]any{
		"config": values(t, helmRoutes), "env": []any{map[string]any{"name": "AWS_REGION", "value": "us-east-1"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	checkRelease(t, objs, "*v1.ConfigMap", "*v1.Deployment")
	for _, o := range objs {
		if _, pod := podOf(o); pod != nil {
			c := sidecarOf(pod)
			if c == nil || !c.native {
				t.Fatalf("got %+v, want a native sidecar", c)
			}
			if want := "ghcr.io/dbvalet/dbvalet:" + load(t).Metadata.AppVersion; c.Image != want {
				t.Errorf("got image %s, want %s", c.Image, want)
			}
			if !slices.Contains(c.Env, core.EnvVar{Name: "AWS_REGION", Value: "us-east-1"}) {
				t.Errorf("got variables %+v, want that of the values too", c.Env)
			}
		}
	}
}

func TestChartRefusesValuesThatItDoesNotKnow(t *testing.T) {
	for _, text := range []string{
		"cfg: {}", "image: {repo: x}", "standalone: {enabled: true, ports: [0]}", "config: {routes: {}}", "config: {metrics: null}",
	} {
		if _, err := renders(t, load(t), values(t, text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// checkRelease looks whether there are objects of these types, and what is in them.
func checkRelease(t *testing.T, objs []runtime.Object, types ...string) {
	t.Helper()
	var got []string
	mounted, made := "", ""
	for _, o := range objs {
		got = append(got, fmt.Sprintf("%T", o))
		if cm, ok := o.(*core.ConfigMap); ok {
			made = cm.Name
			checkConfig(t, cm.Data["dbvalet.yaml"])
		}
		if _, pod := podOf(o); pod != nil {
			checkPod(t, pod)
			mounted = pod.Volumes[0].ConfigMap.Name
		}
	}
	if slices.Sort(got); !slices.Equal(got, types) {
		t.Errorf("got %q, want %q", got, types)
	}
	if mounted != "" && mounted != made {
		t.Errorf("the pod has ConfigMap %q, and the chart makes %q", mounted, made)
	}
}
