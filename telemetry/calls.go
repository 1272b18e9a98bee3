package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-vault/lethe/observe"
)

// callSeconds are the bounds of how long a call takes: from a query of an
// embedded catalog to the longest that anything here waits.
var callSeconds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// callMetrics measure what Lethe stands on.
type callMetrics struct {
	vault, catalog, store, audit callVec
	known                        sync.Map // observe.Call → *callSeries
}

// callVec is how often a part was called, and how long it took.
type callVec struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	roles   bool
}

// callSeries are the metrics of one call, looked up once.
type callSeries struct {
	seconds  prometheus.Observer
	outcomes map[observe.Outcome]prometheus.Counter
}

var outcomes = []observe.Outcome{observe.OK, observe.Refused, observe.Unavailable, observe.Cancelled, observe.Failed}

func newCallMetrics(r *prometheus.Registry) *callMetrics {
	m := &callMetrics{
		vault: callVec{
			total: prometheus.NewCounterVec(prometheus.CounterOpts{
				Name: "lethe_vault_requests_total", Help: "HTTP requests to Vault, logins and renewals included."}, []string{"role", "operation", "outcome"}),
			seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
				Name: "lethe_vault_request_duration_seconds", Help: "From a request to Vault to the head of its answer.", Buckets: callSeconds}, []string{"role", "operation"}),
			roles: true,
		},
		catalog: callVec{
			total: prometheus.NewCounterVec(prometheus.CounterOpts{
				Name: "lethe_catalog_calls_total", Help: "Queries and transactions of the catalog."}, []string{"operation", "outcome"}),
			seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
				Name: "lethe_catalog_call_duration_seconds", Help: "Of a query or transaction, repetitions included.", Buckets: callSeconds}, []string{"operation"}),
		},
		store: callVec{
			total: prometheus.NewCounterVec(prometheus.CounterOpts{
				Name: "lethe_store_calls_total", Help: "Operations on the blob store."}, []string{"operation", "outcome"}),
			seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
				Name: "lethe_store_call_duration_seconds", Help: "Of an operation on the blob store. A create takes as long as the client sends.", Buckets: callSeconds}, []string{"operation"}),
		},
		audit: callVec{
			total: prometheus.NewCounterVec(prometheus.CounterOpts{
				Name: "lethe_audit_writes_total", Help: "Requests that waited for an event to be durable."}, []string{"operation", "outcome"}),
			seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
				Name: "lethe_audit_write_duration_seconds", Help: "From an event to its being durable, queue included.", Buckets: callSeconds}, []string{"operation"}),
		},
	}
	for _, v := range []callVec{m.vault, m.catalog, m.store, m.audit} {
		r.MustRegister(v.total, v.seconds)
	}
	return m
}

// Begin measures a call, and traces it if its request is traced.
func (t *Telemetry) Begin(ctx context.Context, c observe.Call) (context.Context, func(observe.Outcome)) {
	ctx, finish := t.callSpan(ctx, c)
	if c.Part == observe.Gateway {
		return ctx, finish
	}
	s, began := t.calls.series(c), time.Now()
	return ctx, func(o observe.Outcome) {
		s.seconds.Observe(time.Since(began).Seconds())
		s.outcomes[o].Inc()
		finish(o)
	}
}

func (m *callMetrics) series(c observe.Call) *callSeries {
	if s, ok := m.known.Load(c); ok {
		return s.(*callSeries)
	}
	s, _ := m.known.LoadOrStore(c, m.vec(c.Part).series(c))
	return s.(*callSeries)
}

func (m *callMetrics) vec(p observe.Part) callVec {
	switch p {
	case observe.Vault:
		return m.vault
	case observe.Catalog:
		return m.catalog
	case observe.Store:
		return m.store
	}
	return m.audit
}

func (v callVec) series(c observe.Call) *callSeries {
	labels := []string{c.Operation}
	if v.roles {
		labels = []string{c.Role, c.Operation}
	}
	s := &callSeries{seconds: v.seconds.WithLabelValues(labels...), outcomes: map[observe.Outcome]prometheus.Counter{}}
	for _, o := range outcomes {
		s.outcomes[o] = v.total.WithLabelValues(append(labels, string(o))...)
	}
	return s
}
