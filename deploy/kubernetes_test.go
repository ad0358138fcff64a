package deploy

import (
	"path/filepath"
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func TestManifestsAreWhatKubernetesTakes(t *testing.T) {
	for _, name := range files(t, "kubernetes/*.yaml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			for _, object := range objects(t, read(t, name)) {
				if _, pod := podOf(object); pod != nil {
					checkPod(t, pod)
				}
				if cm, ok := object.(*core.ConfigMap); ok {
					checkConfig(t, cm.Data["dbvalet.yaml"])
				}
			}
		})
	}
}

func TestSidecarsAreOfTheKindThatTheNameSays(t *testing.T) {
	for name, native := range map[string]bool{"native": true, "job": true, "socket": true, "classic": false, "job-classic": false} {
		found := false
		for _, object := range objects(t, read(t, "kubernetes/"+name+".yaml")) {
			if _, pod := podOf(object); pod != nil {
				found = true
				if c := sidecarOf(pod); c == nil || c.native != native {
					t.Errorf("%s: got %+v, want native %v", name, c, native)
				}
			}
		}
		if !found {
			t.Errorf("%s has no pod", name)
		}
	}
}

func TestComponentAddsTheSidecarToWhatHasTheLabel(t *testing.T) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "kubernetes/example")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, object := range objects(t, manifest) {
		if cm, ok := object.(*core.ConfigMap); ok {
			seen["configuration "+cm.Name] = true
			checkConfig(t, cm.Data["dbvalet.yaml"])
		}
		name, pod := podOf(object)
		if pod == nil {
			continue
		}
		seen[name] = true
		if name == "cache" {
			if sidecarOf(pod) != nil {
				t.Error("what has no label has the sidecar")
			}
			continue
		}
		checkPod(t, pod)
		if name == "worker" {
			at := func(container string) int {
				return slices.IndexFunc(pod.InitContainers, func(c core.Container) bool { return c.Name == container })
			}
			if at("migrate") < 0 || at("dbvalet") > at("migrate") {
				t.Errorf("dbvalet is number %d of those that come first, and migrate %d: it can't connect yet", at("dbvalet"), at("migrate"))
			}
		}
	}
	for _, want := range []string{"configuration dbvalet", "orders", "worker", "cache"} {
		if !seen[want] {
			t.Errorf("%s is missing in\n%s", want, manifest)
		}
	}
}
