// Package otlpfake is an OpenTelemetry collector for tests: it takes OTLP over HTTP and keeps the spans.
// What it is sent is decoded with OpenTelemetry's own types.
package otlpfake

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Collector keeps what it was sent.
type Collector struct {
	URL string // of the endpoint

	t         testing.TB
	mu        sync.Mutex
	path      string
	raw       []byte
	resources []*pb.ResourceSpans
}

// New starts a Collector, which ends with the test. It fails the test if it is sent anything else.
func New(t testing.TB) *Collector {
	c := &Collector{t: t}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *Collector) serve(w http.ResponseWriter, request *http.Request) {
	raw, err := body(request)
	var export collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &export)
	}
	if err != nil {
		c.t.Errorf("export of traces: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.path, c.raw, c.resources = request.URL.Path, append(c.raw, raw...), append(c.resources, export.GetResourceSpans()...)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// body is what was sent, unpacked.
func body(request *http.Request) ([]byte, error) {
	if request.Header.Get("Content-Encoding") != "gzip" {
		return io.ReadAll(request.Body)
	}
	unpacked, err := gzip.NewReader(request.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}

// Path is where the last spans were sent to.
func (c *Collector) Path() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.path
}

// Resources are all spans, with who has sent them.
func (c *Collector) Resources() []*pb.ResourceSpans {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resources
}

// Spans are all spans, by name.
func (c *Collector) Spans() map[string][]*pb.Span {
	named := make(map[string][]*pb.Span)
	for _, resource := range c.Resources() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				named[span.GetName()] = append(named[span.GetName()], span)
			}
		}
	}
	return named
}

// Contains reports whether text is in what was sent.
func (c *Collector) Contains(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.raw, []byte(text))
}
