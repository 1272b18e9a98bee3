package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-vault/lethe/gateway/accesslog"
)

// requestSeconds are the bounds of how long requests take: from a HEAD of a
// few milliseconds to an upload that lasts as long as a call.
var requestSeconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// requestMetrics measure the fronts: rate, errors and duration.
type requestMetrics struct {
	total     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	received  *prometheus.CounterVec
	sent      *prometheus.CounterVec
	inFlight  *prometheus.GaugeVec
	panics    *prometheus.CounterVec
	unaudited prometheus.Counter

	known sync.Map // requestLabels → *requestSeries: of those the fronts have words for
}

type requestLabels struct{ front, operation, status string }

// requestSeries are the metrics of one row of labels, looked up once.
type requestSeries struct {
	total, received, sent prometheus.Counter
	seconds               prometheus.Observer
}

func newRequestMetrics(r *prometheus.Registry) *requestMetrics {
	operation := []string{"front", "operation"}
	status := []string{"front", "operation", "status"}
	m := &requestMetrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_requests_total", Help: "Requests that were answered."}, status),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "lethe_request_duration_seconds", Help: "From a request's head to the end of its answer, bodies included.",
			Buckets: requestSeconds}, status),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_request_received_bytes_total", Help: "Bytes of bodies that clients sent."}, operation),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_request_sent_bytes_total", Help: "Bytes of bodies that clients were sent."}, operation),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lethe_requests_in_flight", Help: "Requests being served now."}, []string{"front"}),
		panics: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lethe_panics_total", Help: "Requests that met a fault of the program and were answered with an error."}, []string{"front"}),
		unaudited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "lethe_unaudited_total", Help: "Requests that were served without a durable event that explains them. Must stay 0."}),
	}
	r.MustRegister(m.total, m.seconds, m.received, m.sent, m.inFlight, m.panics, m.unaudited)
	for _, front := range []string{"s3", "api"} {
		m.inFlight.WithLabelValues(front)
		m.panics.WithLabelValues(front)
	}
	return m
}

// Arrive counts a request, and traces it if it is one of those that are.
func (t *Telemetry) Arrive(ctx context.Context, a accesslog.Arrival) (context.Context, func(accesslog.Answer)) {
	inFlight := t.requests.inFlight.WithLabelValues(a.Front)
	inFlight.Inc()
	ctx, finish := t.requestSpan(ctx, a)
	return ctx, func(answer accesslog.Answer) {
		inFlight.Dec()
		t.requests.count(a.Front, answer)
		finish(answer)
	}
}

func (m *requestMetrics) count(front string, a accesslog.Answer) {
	s := m.series(requestLabels{front, a.Operation, statusClass(a)})
	s.total.Inc()
	s.seconds.Observe(a.Took.Seconds())
	s.received.Add(float64(a.Received))
	s.sent.Add(float64(a.Sent))
	if a.Panicked {
		m.panics.WithLabelValues(front).Inc()
	}
	if a.Unaudited {
		m.unaudited.Inc()
	}
}

func (m *requestMetrics) series(l requestLabels) *requestSeries {
	if s, ok := m.known.Load(l); ok {
		return s.(*requestSeries)
	}
	s, _ := m.known.LoadOrStore(l, &requestSeries{
		total:    m.total.WithLabelValues(l.front, l.operation, l.status),
		seconds:  m.seconds.WithLabelValues(l.front, l.operation, l.status),
		received: m.received.WithLabelValues(l.front, l.operation),
		sent:     m.sent.WithLabelValues(l.front, l.operation),
	})
	return s.(*requestSeries)
}

// statusClass is "2xx" to "5xx", or "cut" for an answer that was broken off.
func statusClass(a accesslog.Answer) string {
	if a.Cut || a.Status < http.StatusContinue || a.Status > 599 {
		return "cut"
	}
	return strconv.Itoa(a.Status/100) + "xx"
}
