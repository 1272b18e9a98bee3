// Package telemetry measures and traces what the parts of Lethe say they do:
// Prometheus metrics from a registry of its own, and OpenTelemetry traces. No
// part knows of it: they tell an observe.Observer, the fronts an
// accesslog.Observer, and what the gateway counts of itself is read when it is
// asked for. docs/metrics.md says what each metric means.
package telemetry

import (
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/observe"
)

// Telemetry observes a whole process. Close ends it.
type Telemetry struct {
	registry *prometheus.Registry
	requests *requestMetrics
	calls    *callMetrics
	tracer   trace.Tracer
	traced   bool // false: nothing is traced, and no span is made
	shutdown func(context.Context) error
}

var (
	_ observe.Observer   = (*Telemetry)(nil)
	_ accesslog.Observer = (*Telemetry)(nil)
)

// Build says which program this is.
type Build struct{ Version, Revision, Go string }

// New starts to measure, and to trace if c says where to.
func New(b Build, c Traces) (*Telemetry, error) {
	t := &Telemetry{registry: prometheus.NewRegistry()}
	t.requests, t.calls = newRequestMetrics(t.registry), newCallMetrics(t.registry)
	t.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(b),
	)
	return t, t.trace(b, c)
}

func buildInfo(b Build) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "lethe_build_info",
		Help:        "Always 1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
	}, func() float64 { return 1 })
}

// Handler shows the metrics.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{})
}

// Registry is where the metrics are.
func (t *Telemetry) Registry() *prometheus.Registry { return t.registry }

// Close sends the spans that have ended, until ctx ends.
func (t *Telemetry) Close(ctx context.Context) error {
	err := t.shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("telemetry: the last spans could not be sent in time")
	}
	return err
}
