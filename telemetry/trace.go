package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/recording"
)

// Traces say where spans go.
type Traces struct {
	Endpoint string       // URL of an OTLP/HTTP receiver; "" traces nothing
	Ratio    float64      // of requests that are traced, 0 to 1
	Log      *slog.Logger // of spans that could not be sent; required with Endpoint
}

var errEndpoint = errors.New("the endpoint of traces is not a URL such as http://127.0.0.1:4318/v1/traces")

// Check reports whether spans could be sent so.
func (c Traces) Check() error {
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errEndpoint // the cause quotes it, and it may hold a password
	}
	if c.Ratio < 0 || c.Ratio > 1 {
		return errors.New("the ratio of requests to trace is not between 0 and 1")
	}
	return nil
}

// exportWithin bounds one sending of spans.
const exportWithin = 10 * time.Second

const scope = "github.com/lethe-vault/lethe"

// trace starts to trace. Which requests are traced is decided here alone: at
// random, by an identity that is drawn here too. What a client says in its
// traceparent is linked to and decides nothing, for whoever may choose a trace's
// identity, or set its flag, could have every request of theirs recorded.
func (t *Telemetry) trace(b Build, c Traces) error {
	t.shutdown = func(context.Context) error { return nil }
	if c.Endpoint == "" {
		t.tracer = noop.NewTracerProvider().Tracer(scope)
		return nil
	}
	if err := c.Check(); err != nil {
		return err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { // the error may quote the receiver's answer
		c.Log.Warn("spans could not be sent; those that do not fit into memory are dropped")
	}))
	exporter, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(c.Endpoint), otlptracehttp.WithTimeout(exportWithin))
	if err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter), // drops spans rather than hold more than 2048
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Ratio))),
		sdk.WithResource(describeProcess(b)),
	)
	t.tracer, t.traced, t.shutdown = provider.Tracer(scope), true, provider.Shutdown
	return nil
}

// describeProcess says which process a span is of, and nothing of its machine
// or its command line.
func describeProcess(b Build) *resource.Resource {
	var instance [8]byte
	rand.Read(instance[:]) // never fails: crypto/rand ends the program instead
	return resource.NewSchemaless(
		attribute.String("service.name", "lethe"),
		attribute.String("service.version", b.Version),
		attribute.String("service.instance.id", hex.EncodeToString(instance[:])),
	)
}

// requestSpan begins the span of a request.
func (t *Telemetry) requestSpan(ctx context.Context, a accesslog.Arrival) (context.Context, func(accesslog.Answer)) {
	if !t.traced {
		return ctx, func(accesslog.Answer) {}
	}
	ctx, span := t.tracer.Start(ctx, a.Front, trace.WithNewRoot(), trace.WithSpanKind(trace.SpanKindServer), trace.WithLinks(link(a.Traceparent)...))
	return ctx, func(answer accesslog.Answer) {
		if span.IsRecording() {
			span.SetName(a.Front + " " + answer.Operation)
			span.SetAttributes(answerAttributes(a, answer)...)
			if answer.Status >= http.StatusInternalServerError || answer.Cut {
				span.SetStatus(codes.Error, "")
			}
		}
		span.End()
	}
}

func answerAttributes(a accesslog.Arrival, answer accesslog.Answer) []attribute.KeyValue {
	out := []attribute.KeyValue{
		attribute.String("lethe.request_id", a.ID),
		attribute.String("lethe.operation", answer.Operation),
		attribute.Int("http.response.status_code", answer.Status),
		attribute.Int64("http.request.body.size", answer.Received),
		attribute.Int64("http.response.body.size", answer.Sent),
	}
	if answer.Tenant != (recording.Tenant{}) {
		out = append(out, attribute.String("lethe.tenant", answer.Tenant.String()))
	}
	if answer.Recording != (recording.ID{}) {
		out = append(out, attribute.String("lethe.recording", answer.Recording.String()))
	}
	return out
}

// link is to the client's own span, if it named one. Of its tracestate, in which
// anything may stand, nothing is kept.
func link(traceparent string) []trace.Link {
	if traceparent == "" {
		return nil
	}
	of := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	remote := trace.SpanContextFromContext(of)
	if !remote.IsValid() {
		return nil
	}
	return []trace.Link{{SpanContext: remote}}
}

// callSpan begins the span of a call, below that of the request it is for. A
// call that is for none is not traced.
func (t *Telemetry) callSpan(ctx context.Context, c observe.Call) (context.Context, func(observe.Outcome)) {
	if !t.traced || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, untraced
	}
	ctx, span := t.tracer.Start(ctx, string(c.Part)+" "+c.Operation, trace.WithSpanKind(kind(c.Part)))
	return ctx, func(o observe.Outcome) {
		span.SetAttributes(attribute.String("lethe.outcome", string(o)))
		if c.Role != "" {
			span.SetAttributes(attribute.String("lethe.vault.role", c.Role))
		}
		if o == observe.Unavailable || o == observe.Failed {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

func untraced(observe.Outcome) {}

func kind(p observe.Part) trace.SpanKind {
	if p == observe.Gateway || p == observe.Audit {
		return trace.SpanKindInternal
	}
	return trace.SpanKindClient
}
