package telemetry

import (
	"math"
	"slices"

	"github.com/lethe-vault/lethe/gateway"
)

// sweeping is what a process knows of its sweeps: nothing before the first.
var sweeping = slices.Concat(
	sweepOf("uploads", func(s gateway.SweepStatus) (int64, gateway.Swept) { return s.Backlog.Uploads, s.Done.Uploads }),
	sweepOf("puts", func(s gateway.SweepStatus) (int64, gateway.Swept) { return s.Backlog.Puts, s.Done.Puts }),
	sweepOf("parts", func(s gateway.SweepStatus) (int64, gateway.Swept) { return s.Backlog.Parts, s.Done.Parts }),
	sweepOf("blobs", func(s gateway.SweepStatus) (int64, gateway.Swept) { return s.Backlog.Due, s.Done.Blobs }),
	sweepOf("buckets", func(s gateway.SweepStatus) (int64, gateway.Swept) { return s.Backlog.Buckets, s.Done.Buckets }),
	[]statistic{
		gauge("lethe_sweep_waiting_blobs", "Blobs that sweep is to delete, or to look for again, later.", func(s gateway.Stats) float64 { return float64(s.Sweeps.Backlog.Waiting) }),
		gauge("lethe_sweep_locked_blobs", "Blobs that a lock of the store kept when their deletion was last tried.", func(s gateway.Stats) float64 { return float64(s.Sweeps.Backlog.Locked) }),
		gauge("lethe_sweep_held_uploads", "Uploads that are not judged, because the catalog is an older copy of itself or failed over.", func(s gateway.Stats) float64 { return float64(s.Sweeps.Backlog.Held) }),
		counter("lethe_sweeps_broken_off_total", "Sweeps that did not do all they could.", func(s gateway.Stats) float64 { return float64(s.Sweeps.Failures) }),
		gauge("lethe_sweep_completed_timestamp_seconds", "When the last sweep ended that did all it could, in Unix time.", completed),
		gauge("lethe_orphan_blobs", "Blobs that no row of the catalog knew of when they were last counted.", orphans),
	},
)

// sweepOf is what sweep has before it and has done of one kind of thing.
func sweepOf(kind string, of func(gateway.SweepStatus) (backlog int64, done gateway.Swept)) []statistic {
	const swept, sweptH = "lethe_swept_total", "What failed uploads and deletions left, by what came of it: done, or failed and to be tried again."
	return []statistic{
		gauge("lethe_sweep_backlog", "What the last sweep left to be done.", func(s gateway.Stats) float64 {
			n, _ := of(s.Sweeps)
			return float64(n)
		}, "kind", kind),
		counter(swept, sweptH, func(s gateway.Stats) float64 {
			_, done := of(s.Sweeps)
			return float64(done.Done)
		}, "kind", kind, "result", "done"),
		counter(swept, sweptH, func(s gateway.Stats) float64 {
			_, done := of(s.Sweeps)
			return float64(done.Failed)
		}, "kind", kind, "result", "failed"),
	}
}

func completed(s gateway.Stats) float64 {
	if s.Sweeps.Complete.IsZero() {
		return math.NaN()
	}
	return float64(s.Sweeps.Complete.Unix())
}

func orphans(s gateway.Stats) float64 {
	o := s.Sweeps.Orphans
	if o.At.IsZero() {
		return math.NaN()
	}
	return float64(o.Recordings + o.Tenants)
}
