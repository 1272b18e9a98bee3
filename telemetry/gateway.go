package telemetry

import (
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lethe-vault/lethe/gateway"
)

// statistic is one number of gateway.Stats as a metric.
type statistic struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(gateway.Stats) float64 // NaN: not known yet
}

func counter(name, help string, read func(gateway.Stats) float64, labels ...string) statistic {
	return statistic{describe(name, help, labels), prometheus.CounterValue, read}
}

func gauge(name, help string, read func(gateway.Stats) float64, labels ...string) statistic {
	return statistic{describe(name, help, labels), prometheus.GaugeValue, read}
}

// describe takes constant labels as name and value in turn.
func describe(name, help string, labels []string) *prometheus.Desc {
	constant := prometheus.Labels{}
	for i := 0; i < len(labels); i += 2 {
		constant[labels[i]] = labels[i+1]
	}
	return prometheus.NewDesc(name, help, nil, constant)
}

const (
	leases  = "lethe_lease_lookups_total"
	leasesH = "Times that a tenant's root was asked for: a hit had it at hand, a miss asked the key provider."
	shelves = "lethe_listing_cache_lookups_total"
	shelfH  = "Directories that listings looked at: a hit had been seen before."
	events  = "lethe_audit_events_total"
	eventsH = "Events given to the log by themselves, not with a change of the catalog: made durable, or not."
)

// statistics is everything that is read of a gateway when it is asked for.
var statistics = append(slices.Concat(sweeping, retaining, reindexing), []statistic{
	counter(leases, leasesH, func(s gateway.Stats) float64 { return float64(s.Leases.Hits) }, "result", "hit"),
	counter(leases, leasesH, func(s gateway.Stats) float64 { return float64(s.Leases.Misses) }, "result", "miss"),
	gauge("lethe_leases", "Roots of tenants that are in memory now.", func(s gateway.Stats) float64 { return float64(s.Leases.Held) }),
	counter(shelves, shelfH, func(s gateway.Stats) float64 { return float64(s.Shelves.Hits) }, "result", "hit"),
	counter(shelves, shelfH, func(s gateway.Stats) float64 { return float64(s.Shelves.Misses) }, "result", "miss"),
	gauge("lethe_listing_cache_bytes", "Memory that remembered directories take.", func(s gateway.Stats) float64 { return float64(s.Shelves.Bytes) }),
	counter(events, eventsH, func(s gateway.Stats) float64 { return float64(s.Audit.Written) }, "result", "durable"),
	counter(events, eventsH, func(s gateway.Stats) float64 { return float64(s.Audit.Failed) }, "result", "failed"),
	gauge("lethe_audit_waiting", "Requests that wait now for their event to be durable.", func(s gateway.Stats) float64 { return float64(s.Audit.Waiting) }),
	counter("lethe_catalog_retries_total", "Transactions that met another and were run again.", func(s gateway.Stats) float64 { return float64(s.Retries) }),
	gauge("lethe_access_sessions", "Sessions in which someone may read a recording now.", func(s gateway.Stats) float64 { return float64(s.Sessions) }),
	counter("lethe_epochs_total", "Epochs that this process has committed, each of one tenant.", func(s gateway.Stats) float64 { return float64(s.Epochs.Epochs) }),
	counter("lethe_epoch_slots_total", "Keys that those have forgotten.", func(s gateway.Stats) float64 { return float64(s.Epochs.Slots) }),
	counter("lethe_epoch_unasked_slots_total", "Tombstones of the catalog that nobody asked for, passed over, in every pass.", func(s gateway.Stats) float64 { return float64(s.Epochs.Unasked) }),
	counter("lethe_certificates_total", "Certificates of erasure that this process has issued.", func(s gateway.Stats) float64 { return float64(s.Epochs.Certificates) }),
	counter("lethe_epoch_failures_total", "Passes over a tenant's erasures that were broken off, and are made again.", func(s gateway.Stats) float64 { return float64(s.Epochs.Failures) }),
	counter("lethe_roots_revived_total", "Tenants of which destroyed versions of the root were at the provider again, and were destroyed again.", func(s gateway.Stats) float64 { return float64(s.Epochs.Revived) }),
	gauge("lethe_erasure_oldest_seconds", "Since the oldest erasure was asked for whose keys are not destroyed yet; 0 if there is none.", func(s gateway.Stats) float64 { return s.Epochs.Oldest.Seconds() }),
	gauge("lethe_tenant_erasures_in_progress", "Erasures of tenants that this process drives now.", func(s gateway.Stats) float64 { return float64(s.Erasures) }),
}...)

// Gateway adds what g counts of itself.
func (t *Telemetry) Gateway(g *gateway.Gateway) { t.registry.MustRegister(gatewayCollector{g.Stats}) }

type gatewayCollector struct{ stats func() gateway.Stats }

func (c gatewayCollector) Describe(out chan<- *prometheus.Desc) {
	for _, s := range statistics {
		out <- s.desc
	}
}

func (c gatewayCollector) Collect(out chan<- prometheus.Metric) {
	now := c.stats()
	for _, s := range statistics {
		if v := s.read(now); !math.IsNaN(v) {
			out <- prometheus.MustNewConstMetric(s.desc, s.kind, v)
		}
	}
}

// Ready shows what the checks of readiness said when they were last asked.
func (t *Telemetry) Ready(last func() map[string]bool) {
	t.registry.MustRegister(readyCollector(last))
}

type readyCollector func() map[string]bool

var readyDesc = prometheus.NewDesc("lethe_ready", "1 if the check passed when /readyz last asked it, else 0.", []string{"check"}, nil)

func (readyCollector) Describe(out chan<- *prometheus.Desc) { out <- readyDesc }

func (c readyCollector) Collect(out chan<- prometheus.Metric) {
	for name, ok := range c() {
		value := 0.0
		if ok {
			value = 1
		}
		out <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, value, name)
	}
}
