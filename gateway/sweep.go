package gateway

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
)

// SweepConfig says when what failed uploads and deletions leave is swept up.
// Zero fields mean the defaults. Lease must be the same in all processes.
type SweepConfig struct {
	Period time.Duration // between two sweeps; 0 is DefaultSweepPeriod, or less if uploads grow stale faster
	Lease  time.Duration // how long an upload may show no sign of life before it is given up; 0 is DefaultSweepLease
	Late   time.Duration // how long after a request the store may still come to have its blob; 0 is DefaultSweepLate
}

// The defaults of SweepConfig and Config.StaleUpload, which is how long an
// upload in parts may go without a part: that outlasts any call.
const (
	DefaultSweepPeriod = 10 * time.Minute
	DefaultSweepLease  = time.Hour
	DefaultSweepLate   = 24 * time.Hour
	DefaultStaleUpload = 24 * time.Hour
)

// The bounds of one sweep. What is left then comes with the next.
const (
	sweepBatch   = 100              // rows of one query
	sweepBatches = 200              // queries of one step
	sweepTimeout = 20 * time.Minute // of one sweep
	stepTimeout  = 5 * time.Minute  // of one step of it
)

// Swept counts one kind of thing that was left behind.
type Swept struct {
	Found  int64
	Done   int64
	Failed int64 // to be tried again
	Locked int64 // of blobs: held by a lock of the store, to be tried again
}

// SweepReport says what a sweep found and did.
type SweepReport struct {
	Uploads  Swept // in parts that got no part for long
	Puts     Swept // whole uploads whose writers are gone
	Parts    Swept // attempts at parts whose writers are gone
	Blobs    Swept // of all these and of erased recordings
	Buckets  Swept // whose deletion was interrupted
	Waiting  int64 // blobs that are to be deleted, or looked for again, later
	Held     int64 // uploads that are not judged, because the catalog is an older copy of itself or failed over
	Restored bool  // this sweep found it to be one
	Orphans  *Orphans
}

// SweepStatus is what a process knows of its sweeps.
type SweepStatus struct {
	Complete time.Time // when the last sweep ended that did all it could; zero if none did
	Backlog  catalog.Backlog
	Done     SweepReport // summed up over this process's life, without Waiting, Held and Orphans
	Failures int64       // sweeps that were broken off
	Orphans  Orphans     // of the last census; its At is zero if there was none
}

// sweeps is what a gateway keeps of its sweeps.
type sweeps struct {
	config SweepConfig
	mu     sync.Mutex // guards status
	status SweepStatus
}

func newSweeps(c Config) *sweeps {
	s := c.Sweep
	s.Lease, s.Late = cmp.Or(s.Lease, DefaultSweepLease), cmp.Or(s.Late, DefaultSweepLate)
	often := max(cmp.Or(c.StaleUpload, DefaultStaleUpload)/4, time.Millisecond)
	s.Period = cmp.Or(s.Period, min(DefaultSweepPeriod, often))
	return &sweeps{config: s}
}

// SweepStatus gives what this process knows of its sweeps, for metrics.
func (g *Gateway) SweepStatus() SweepStatus {
	g.sweeps.mu.Lock()
	defer g.sweeps.mu.Unlock()
	return g.sweeps.status
}

// Sweep sweeps now, for the operator. A dry one changes nothing, and counts what
// there is to do and which blobs no row knows of; those are never deleted.
func (g *Gateway) Sweep(ctx context.Context, c Caller, dry bool) (SweepReport, error) {
	grant, err := g.permit(ctx, c, policy.Sweep, policy.Target{})
	if err != nil {
		return SweepReport{}, err
	}
	if err := g.explain(ctx, scope{}, grant.event); err != nil {
		return SweepReport{}, err
	}
	if dry {
		r, err := g.lookOver(ctx)
		return r, unavailable(err)
	}
	r, err := g.sweep(ctx)
	if err != nil && r.found() > 0 { // the report says what failed
		g.log.Warn("sweep broken off; the next goes on", "error", err)
		return r, nil
	}
	return r, unavailable(err)
}

// found counts what a sweep came across.
func (r SweepReport) found() int64 {
	return r.Uploads.Found + r.Puts.Found + r.Parts.Found + r.Blobs.Found + r.Buckets.Found
}

// lookOver is a sweep that changes nothing.
func (g *Gateway) lookOver(ctx context.Context) (SweepReport, error) {
	b, err := g.backlog(ctx)
	if err != nil {
		return SweepReport{}, err
	}
	r := SweepReport{
		Uploads: Swept{Found: b.Uploads}, Puts: Swept{Found: b.Puts}, Parts: Swept{Found: b.Parts},
		Blobs: Swept{Found: b.Due, Locked: b.Locked}, Buckets: Swept{Found: b.Buckets}, Waiting: b.Waiting, Held: b.Held,
	}
	r.Orphans, err = g.census(ctx)
	return r, err
}

// sweepAlways sweeps until the gateway is closed. Many may do so at once: what
// each does is claimed in the catalog, or decided by it.
func (g *Gateway) sweepAlways() {
	tick := time.NewTicker(g.sweeps.config.Period)
	defer tick.Stop()
	for {
		select {
		case <-g.life.Done():
			return
		case <-tick.C:
		}
		if _, err := g.sweep(g.life); err != nil && g.life.Err() == nil {
			g.log.Warn("sweep broken off; the next goes on", "error", err)
		}
	}
}

// sweep does what there is to do, in bounded batches. Nothing of it is in
// memory alone: killed at any instant, the next goes on. First comes what makes
// residues of what was lost, then the residues.
func (g *Gateway) sweep(ctx context.Context) (SweepReport, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	var r SweepReport
	anchor, restored, err := g.anchor(ctx)
	r.Restored = restored
	if err == nil { // else who is lost cannot be told, and what is decided can be done all the same
		err = g.abortStale(ctx, anchor, &r)
	}
	err = errors.Join(err, g.settleErased(ctx), g.sweepBlobs(ctx, &r.Blobs), g.finishBuckets(ctx, &r.Buckets))
	return r, g.note(ctx, &r, err)
}

// backlog counts what there is to do.
func (g *Gateway) backlog(ctx context.Context) (catalog.Backlog, error) {
	return g.catalog.Backlog(ctx, g.stale, g.sweeps.config.Lease)
}

// note keeps what a sweep has done.
func (g *Gateway) note(ctx context.Context, r *SweepReport, err error) error {
	left, unread := g.backlog(ctx)
	err = errors.Join(err, unread)
	r.Waiting, r.Held = left.Waiting, left.Held
	s := g.sweeps
	s.mu.Lock()
	defer s.mu.Unlock()
	for to, from := range map[*Swept]Swept{
		&s.status.Done.Uploads: r.Uploads, &s.status.Done.Puts: r.Puts, &s.status.Done.Parts: r.Parts,
		&s.status.Done.Blobs: r.Blobs, &s.status.Done.Buckets: r.Buckets,
	} {
		to.Found, to.Done, to.Failed, to.Locked = to.Found+from.Found, to.Done+from.Done, to.Failed+from.Failed, to.Locked+from.Locked
	}
	if unread == nil {
		s.status.Backlog = left
	}
	if err != nil {
		s.status.Failures++
		return err
	}
	s.status.Complete = now()
	return nil
}
