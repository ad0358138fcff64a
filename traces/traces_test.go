package traces

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"dbvalet/proxy"
	"dbvalet/proxy/proxytest"
)

// A receiver takes OTLP over HTTP.
type receiver struct {
	t    *testing.T
	mu   sync.Mutex
	path string
	all  []byte // as it came
	got  []*pb.ResourceSpans
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			r.t.Error(err)
			return
		}
		body = unpacked
	}
	raw, err := io.ReadAll(body)
	var export collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &export)
	}
	if err != nil {
		r.t.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.path, r.all, r.got = request.URL.Path, append(r.all, raw...), append(r.got, export.GetResourceSpans()...)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// spans returns what was received, by name.
func (r *receiver) spans() map[string]*pb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	named := make(map[string]*pb.Span)
	for _, resource := range r.got {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				named[span.GetName()] = span
			}
		}
	}
	return named
}

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

// traceOne runs one connection to its end, at stage if that is not empty, and returns what was received.
func traceOne(t *testing.T, stage proxy.Stage) (*receiver, *proxy.Server) {
	t.Helper()
	r := &receiver{t: t}
	server := httptest.NewServer(r)
	defer server.Close()
	traces, err := Open(t.Context(), server.URL, "v1", slog.New(slog.DiscardHandler))
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
	spans := r.spans()
	root := spans["connect"]
	if root == nil || len(spans) != 5 || r.path != "/v1/traces" {
		t.Fatalf("received %v at %s", spans, r.path)
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
	about := r.got[0].GetResource().GetAttributes()
	if attributeOf(about, "service.name") != "dbvalet" || attributeOf(about, "deployment.environment.name") != "test" {
		t.Errorf("the resource is %v", about)
	}
	if bytes.Contains(r.all, []byte(proxytest.Secret)) || bytes.Contains(r.all, []byte("hidden")) {
		t.Error("the password, or what the client said, is in the traces")
	}
}

func TestAFailedSetUpSaysWhereAndWhy(t *testing.T) {
	for _, stage := range []proxy.Stage{proxy.StagePeer, proxy.StageCredential, proxy.StageDial, proxy.StageAuth} {
		t.Run(string(stage), func(t *testing.T) {
			r, _ := traceOne(t, stage)
			spans := r.spans()
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
