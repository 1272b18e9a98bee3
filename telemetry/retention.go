package telemetry

import (
	"math"

	"github.com/lethe-vault/lethe/gateway"
)

// retaining is what a process knows of the expiry that it sees to.
var retaining = []statistic{
	counter("lethe_retention_expired_total", "Retention days that were erased because they had passed.", func(s gateway.Stats) float64 { return float64(s.Retention.Days) }),
	counter("lethe_retention_broken_off_total", "Times that a tenant's expiry did not do all it could.", func(s gateway.Stats) float64 { return float64(s.Retention.Failures) }),
	gauge("lethe_retention_clocks_apart_seconds", "How far clocks are apart, if it is so far that nothing expires, and else 0.", func(s gateway.Stats) float64 { return s.Retention.Apart.Seconds() }),
	gauge("lethe_retention_completed_timestamp_seconds", "When what had passed was last erased of every tenant, in Unix time.", func(s gateway.Stats) float64 {
		if s.Retention.Complete.IsZero() {
			return math.NaN()
		}
		return float64(s.Retention.Complete.Unix())
	}),
}
