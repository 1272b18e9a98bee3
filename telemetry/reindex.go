package telemetry

import "github.com/lethe-vault/lethe/gateway"

// reindexing is what a process knows of the rows that it moves from one generation of
// blind indexes to the next.
var reindexing = []statistic{
	counter("lethe_reindex_moved_total", "Versions whose rows were moved to the next generation of indexes.", func(s gateway.Stats) float64 { return float64(s.Reindex.Moved) }),
	counter("lethe_reindex_damaged_total", "Versions that did not open, and so were not moved.", func(s gateway.Stats) float64 { return float64(s.Reindex.Damaged) }),
	counter("lethe_reindex_broken_off_total", "Times that a tenant's moving did not do all it could.", func(s gateway.Stats) float64 { return float64(s.Reindex.Failures) }),
	gauge("lethe_reindex_running", "Generations of indexes that are to be forgotten, and are not yet.", func(s gateway.Stats) float64 { return float64(s.Reindex.Running) }),
	gauge("lethe_reindex_oldest_seconds", "How long ago the first of these was announced; 0 if there is none.", func(s gateway.Stats) float64 { return s.Reindex.Oldest.Seconds() }),
}
