// Package traces sends how connections were set up to an OpenTelemetry collector, over OTLP and HTTP: a
// span for each session or failed set-up, and in it one for each step. There is no SQL in it, and nothing
// of what a session does. A collector that does not answer costs spans, and one warning.
package traces

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"dbvalet/proxy"
)

// Traces sends spans. Calls may be concurrent.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// closeTime is how long Close waits for the collector.
const closeTime = 2 * time.Second

// Open returns Traces that go to endpoint, such as http://127.0.0.1:4318. A URL without a path gets OTLP's
// own. For the rest there are the variables of OpenTelemetry, such as OTEL_RESOURCE_ATTRIBUTES,
// OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS. Nothing is sent before the first span has ended.
func Open(ctx context.Context, endpoint, version string, log *slog.Logger) (*Traces, error) {
	to, err := url.Parse(endpoint)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, fmt.Errorf("traces go to a URL such as http://127.0.0.1:4318")
	}
	if to.Path == "" || to.Path == "/" {
		to.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.String()))
	if err != nil {
		return nil, fmt.Errorf("set up traces to %s: %w", to.Host, err)
	}
	described, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "dbvalet"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read the variables of OpenTelemetry: %w", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(described),
		sdktrace.WithBatcher(&calm{SpanExporter: exporter, log: log, host: to.Host}),
	)
	return &Traces{provider: provider, tracer: provider.Tracer("dbvalet", trace.WithInstrumentationVersion(version))}, nil
}

// Close sends what is left, which takes two seconds at most.
func (t *Traces) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // calm has complained
}

// For returns what traces the set-ups of a route. system is postgresql, mysql or mariadb.
func (t *Traces) For(route, system string) proxy.Observer {
	return &observer{t.tracer, []attribute.KeyValue{
		attribute.String("db.system.name", system), attribute.String("dbvalet.route", route),
	}}
}

type observer struct {
	tracer trace.Tracer
	always []attribute.KeyValue
}

var _ proxy.Observer = (*observer)(nil)

// Observe makes the spans of a set-up that has ended.
func (o *observer) Observe(event proxy.Event, r *proxy.Record) {
	if event != proxy.SessionStart && event != proxy.Refused {
		return
	}
	ctx, span := o.tracer.Start(context.Background(), "connect", trace.WithTimestamp(r.Accepted),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(o.always...), trace.WithAttributes(attributes(r)...))
	failed := event == proxy.Refused
	for i, step := range r.Steps {
		_, child := o.tracer.Start(ctx, string(step.Stage), trace.WithTimestamp(step.Began), trace.WithSpanKind(trace.SpanKindClient))
		if failed && i == len(r.Steps)-1 && step.Stage == r.Stage() {
			blame(child, r)
		}
		child.End(trace.WithTimestamp(step.Began.Add(step.Took)))
	}
	if failed {
		blame(span, r)
	}
	span.End(trace.WithTimestamp(r.Accepted.Add(r.SetUp)))
}

// blame notes on span why there is no session.
func blame(span trace.Span, r *proxy.Record) {
	span.SetAttributes(attribute.String("error.type", string(r.Stage())))
	span.SetStatus(codes.Error, proxy.Printable(r.Err.Error()))
}

// attributes are what is known of a connection, by OpenTelemetry's conventions for databases.
//
// https://opentelemetry.io/docs/specs/semconv/database/database-spans/
func attributes(r *proxy.Record) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("dbvalet.session", r.ID),
		attribute.String("client.address", r.Client),
	}
	if host, port, err := net.SplitHostPort(r.Upstream); err == nil {
		attrs = append(attrs, attribute.String("server.address", host))
		if n, err := strconv.Atoi(port); err == nil {
			attrs = append(attrs, attribute.Int("server.port", n))
		}
	} else if r.Upstream != "" {
		attrs = append(attrs, attribute.String("server.address", r.Upstream))
	}
	if s := r.Session; s != nil {
		attrs = append(attrs, attribute.String("db.namespace", proxy.Printable(s.Database)), attribute.String("user.name", proxy.Printable(s.User)))
	}
	return attrs
}

// calm sends spans, and complains once when that begins to fail.
type calm struct {
	sdktrace.SpanExporter
	log   *slog.Logger
	host  string
	fails atomic.Bool
}

// ExportSpans sends spans; its failures are for the log, and nobody else.
func (c *calm) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		c.fails.Store(false)
	} else if !c.fails.Swap(true) {
		c.log.Warn("traces can't be sent", "collector", c.host, "err", err, "hint", "see that a collector takes OTLP over HTTP there; spans are lost until then")
	}
	return nil
}
