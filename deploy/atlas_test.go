package deploy

import (
	"regexp"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// atlasPage returns the files in YAML that docs/atlas.md shows, by the names in their first lines.
func atlasPage(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(# ([^\n]+)\n.*?)^```$").FindAllStringSubmatch(string(read(t, "../docs/atlas.md")), -1) {
		files[m[2]] = m[1]
	}
	return files
}

// deployments are in place of what the charts of the Atlas operator and agent write, and for somebody else's Deployment.
func deployments(names ...string) []byte {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(strings.ReplaceAll(`---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
spec:
  selector:
    matchLabels: {app: NAME}
  template:
    metadata:
      labels: {app: NAME}
    spec:
      containers:
        - name: manager
          image: example.com/NAME:1
`, "NAME", name))
	}
	return []byte(b.String())
}

func TestAtlasPageAddsTheSidecarToOperatorAndAgent(t *testing.T) {
	files := atlasPage(t)
	for _, of := range []string{"operator", "agent"} {
		config, disk := files["dbvalet.yaml of the "+of], filesys.MakeFsInMemory()
		for name, content := range map[string][]byte{
			"kustomization.yaml": []byte(files["kustomization.yaml"]),
			"operator.yaml":      deployments("atlas-"+of, "another"),
			"sidecar.yaml":       read(t, "kubernetes/component/sidecar.yaml"),
			"dbvalet.yaml":       []byte(config),
		} {
			if err := disk.WriteFile("/atlas/"+name, content); err != nil {
				t.Fatal(err)
			}
		}
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/atlas")
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := built.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, object := range objects(t, manifest) {
			if cm, ok := object.(*core.ConfigMap); ok && cm.Data["dbvalet.yaml"] == config {
				checkConfig(t, config)
				seen++
			}
			switch name, pod := podOf(object); name {
			case "atlas-" + of:
				checkPod(t, pod)
				seen++
			case "another":
				if sidecarOf(pod) != nil {
					t.Error("what is not Atlas's has the sidecar")
				}
				seen++
			}
		}
		if seen != 3 {
			t.Errorf("of the %s's configuration and two Deployments there are %d in\n%s", of, seen, manifest)
		}
	}
}

// TestAtlasPageHasNoSecretInAResource decodes a resource of the operator, whose types are in no module here.
func TestAtlasPageHasNoSecretInAResource(t *testing.T) {
	var resource struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]string `json:"metadata"`
		Spec       struct {
			URL string `json:"url"`
			Dir struct {
				ConfigMapRef core.LocalObjectReference `json:"configMapRef"`
			} `json:"dir"`
		} `json:"spec"`
	}
	if err := yaml.UnmarshalStrict([]byte(atlasPage(t)["migration.yaml"]), &resource); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(resource.Spec.URL, "postgres://app@127.0.0.1:5432/") || resource.Spec.Dir.ConfigMapRef.Name == "" || resource.Kind != "AtlasMigration" {
		t.Errorf("got %+v", resource)
	}
	checkConfig(t, atlasPage(t)["dbvalet.yaml"])
}
