package deploy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// objects decodes the documents of a manifest into Kubernetes' own types. An unknown field, and a field
// that is there twice, is an error.
func objects(t *testing.T, manifest []byte) (all []runtime.Object) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{core.AddToScheme, apps.AddToScheme, batch.AddToScheme, monitoring.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifest)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, document)
		}
		all = append(all, object)
	}
	return all
}

// podOf returns the pods that an object makes.
func podOf(object runtime.Object) (string, *core.PodSpec) {
	switch o := object.(type) {
	case *apps.Deployment:
		return o.Name, &o.Spec.Template.Spec
	case *apps.StatefulSet:
		return o.Name, &o.Spec.Template.Spec
	case *batch.Job:
		return o.Name, &o.Spec.Template.Spec
	}
	return "", nil
}

// A sidecar is dbvalet in a pod.
type sidecar struct {
	core.Container
	native bool
}

func sidecarOf(pod *core.PodSpec) *sidecar {
	isDbvalet := func(c core.Container) bool { return c.Name == "dbvalet" }
	if i := slices.IndexFunc(pod.InitContainers, isDbvalet); i >= 0 {
		return &sidecar{pod.InitContainers[i], true}
	}
	if i := slices.IndexFunc(pod.Containers, isDbvalet); i >= 0 {
		return &sidecar{pod.Containers[i], false}
	}
	return nil
}

// checkPod looks whether dbvalet has in this pod no rights, the probes, and its configuration as a
// directory, the only form that changes in a running pod.
func checkPod(t *testing.T, pod *core.PodSpec) *sidecar {
	t.Helper()
	c := sidecarOf(pod)
	if c == nil {
		t.Error("the pod has no dbvalet")
		return nil
	}
	s := c.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser != 65532 ||
		s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
		s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Errorf("it has rights: %+v", s)
	}
	if c.native != (c.RestartPolicy != nil && *c.RestartPolicy == core.ContainerRestartPolicyAlways) {
		t.Errorf("native %v, with restartPolicy %v", c.native, c.RestartPolicy)
	}
	if c.StartupProbe == nil || c.StartupProbe.Exec == nil || strings.Join(c.StartupProbe.Exec.Command, " ") != "/dbvalet health --startup" {
		t.Errorf("got startup probe %+v", c.StartupProbe)
	}
	if c.LivenessProbe == nil || c.LivenessProbe.HTTPGet == nil || c.LivenessProbe.HTTPGet.Path != "/livez" || c.LivenessProbe.HTTPGet.Port != intstr.FromString("dbvalet-metrics") {
		t.Errorf("got liveness probe %+v", c.LivenessProbe)
	}
	if !slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == "dbvalet-metrics" && p.ContainerPort == 9902 }) {
		t.Errorf("got ports %+v, want dbvalet-metrics", c.Ports)
	}
	if !slices.ContainsFunc(c.Env, func(e core.EnvVar) bool { return e.Name == "DBVALET_ADMIN" && e.Value == "127.0.0.1:9901" }) {
		t.Errorf("got variables %+v, want where the probe asks", c.Env)
	}
	if c.Resources.Requests.Cpu().MilliValue() != 10 || c.Resources.Requests.Memory().Value() != 64<<20 {
		t.Errorf("got requests %v", c.Resources.Requests)
	}
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) || m.SubPath != "" {
			t.Errorf("%+v is not mounted as a directory of a volume of this pod", m)
		}
	}
	if !slices.ContainsFunc(c.VolumeMounts, func(m core.VolumeMount) bool { return m.MountPath == "/etc/dbvalet" && m.ReadOnly }) {
		t.Errorf("got %+v, want the configuration", c.VolumeMounts)
	}
	return c
}
