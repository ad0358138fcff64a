package traces

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"

	"dbvalet/integration/otlpfake"
	"dbvalet/proxy"
	"dbvalet/proxy/proxytest"
)

func attributeOf(list []*common.KeyValue, key string) any {
	for _, a := range list {
		if a.GetKey() == key {
			if n, ok := a.GetValue().GetValue().(*common.AnyValue_IntValue); ok {
				return n.IntValue
			}
			return a.GetValue().GetStringValue()
		}
	}
	return nil
}

// last returns the last span of each name: a step that is tried again is there more than once.
func last(r *otlpfake.Collector) map[string]*pb.Span {
	named := make(map[string]*pb.Span)
	for name, spans := range r.Spans() {
		named[name] = spans[len(spans)-1]
	}
	return named
}

// traceOne runs one connection to its end, at stage if that is not empty, and returns what was received.
func traceOne(t *testing.T, stage proxy.Stage) (*otlpfake.Collector, *proxy.Server) {
	t.Helper()
	r := otlpfake.New(t)
	traces, err := Open(t.Context(), r.URL, "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := proxytest.New(t, traces.For("orders", "postgresql"))
	if stage != "" {
		proxytest.At(t, s, stage)
	}
	addr, stop := proxytest.Serve(t, s)
	c := proxytest.Dial(t, addr)
	if stage == "" {
		proxytest.Say(t, c, "SELECT hidden")
		c.Close()
	} else {
		proxytest.HearEnd(t, c)
	}
	stop()
	traces.Close()
	return r, s
}

func TestASetUpIsASpanWithItsSteps(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	r, s := traceOne(t, "")
	spans := last(r)
	root := spans["connect"]
	if root == nil || len(spans) != 5 || r.Path() != "/v1/traces" {
		t.Fatalf("received %v at %s", spans, r.Path())
	}
	end := root.GetStartTimeUnixNano()
	for _, name := range []string{"credential", "dial", "tls", "auth"} {
		child := spans[name]
		if child == nil || !bytes.Equal(child.GetParentSpanId(), root.GetSpanId()) || !bytes.Equal(child.GetTraceId(), root.GetTraceId()) ||
			child.GetStartTimeUnixNano() < end || child.GetEndTimeUnixNano() > root.GetEndTimeUnixNano() {
			t.Errorf("%s is %v, want one within %v, after %d", name, child, root, end)
		}
		end = child.GetEndTimeUnixNano()
	}
	_, port, _ := strings.Cut(s.Upstream.Endpoint.Addr, ":")
	for key, want := range map[string]any{
		"db.system.name": "postgresql", "db.namespace": "orders", "user.name": "app", "dbvalet.route": "orders", "server.address": "127.0.0.1",
	} {
		if got := attributeOf(root.GetAttributes(), key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if got, _ := attributeOf(root.GetAttributes(), "server.port").(int64); got == 0 || root.GetStatus().GetCode() != pb.Status_STATUS_CODE_UNSET {
		t.Errorf("server.port is %d, want %s, and the status is %v", got, port, root.GetStatus())
	}
	about := r.Resources()[0].GetResource().GetAttributes()
	if attributeOf(about, "service.name") != "dbvalet" || attributeOf(about, "deployment.environment.name") != "test" {
		t.Errorf("the resource is %v", about)
	}
	if r.Contains(proxytest.Secret) || r.Contains("hidden") {
		t.Error("the password, or what the client said, is in the traces")
	}
}

func TestAFailedSetUpSaysWhereAndWhy(t *testing.T) {
	for _, stage := range []proxy.Stage{proxy.StagePeer, proxy.StageCredential, proxy.StageDial, proxy.StageAuth} {
		t.Run(string(stage), func(t *testing.T) {
			r, _ := traceOne(t, stage)
			spans := last(r)
			root := spans["connect"]
			if root.GetStatus().GetCode() != pb.Status_STATUS_CODE_ERROR || root.GetStatus().GetMessage() == "" || attributeOf(root.GetAttributes(), "error.type") != string(stage) {
				t.Errorf("received %v", root)
			}
			if step := spans[string(stage)]; step != nil && step.GetStatus().GetCode() != pb.Status_STATUS_CODE_ERROR {
				t.Errorf("the step is %v", step)
			}
		})
	}
}

func TestACollectorThatFailsIsOneWarning(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }))
	defer server.Close()
	var log bytes.Buffer
	traces, err := Open(t.Context(), server.URL, "v1", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	s := proxytest.New(t, traces.For("r", "mysql"))
	addr, stop := proxytest.Serve(t, s)
	for range 2 {
		proxytest.Say(t, proxytest.Dial(t, addr), "hello")
		if err := traces.provider.ForceFlush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	stop()
	traces.Close()
	if n := strings.Count(log.String(), "traces can't be sent"); n != 1 {
		t.Errorf("%d warnings, want one:\n%s", n, log.String())
	}
}

func TestOpenWantsAURL(t *testing.T) {
	for _, text := range []string{"127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "%"} {
		if traces, err := Open(t.Context(), text, "v1", nil); err == nil {
			traces.Close()
			t.Errorf("%q was taken", text)
		}
	}
}
