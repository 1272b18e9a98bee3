package gateway

import (
	"context"
	"errors"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// abortStale gives up what has shown no sign of life for long.
func (g *Gateway) abortStale(ctx context.Context, a catalog.Anchor, r *SweepReport) error {
	uploads, attempts := g.ages(a)
	return errors.Join(
		repeat(ctx, &r.Uploads, func(ctx context.Context, over int) ([]catalog.Upload, error) {
			return g.catalog.StaleUploads(ctx, uploads, sweepBatch, over)
		}, func(ctx context.Context, up catalog.Upload) (bool, error) {
			return g.catalog.AbortStale(ctx, up, uploads, stale(up.Tenant, up.Bucket, up.Recording, up.Version))
		}),
		repeat(ctx, &r.Puts, func(ctx context.Context, over int) ([]catalog.Version, error) {
			return g.catalog.StalePuts(ctx, attempts, sweepBatch, over)
		}, func(ctx context.Context, v catalog.Version) (bool, error) {
			return g.catalog.AbortPut(ctx, v, attempts, stale(v.Tenant, v.Bucket, v.Recording, v.Version))
		}),
		repeat(ctx, &r.Parts, func(ctx context.Context, over int) ([]catalog.Part, error) {
			return g.catalog.StaleParts(ctx, attempts, sweepBatch, over)
		}, func(ctx context.Context, p catalog.Part) (bool, error) {
			return g.catalog.DropStale(ctx, p, attempts, nil)
		}),
		g.abandonFilings(ctx, attempts),
	)
}

// abandonFilings gives up what was to be filed anew by a process that is gone: it is
// filed where it was.
func (g *Gateway) abandonFilings(ctx context.Context, age catalog.Age) error {
	for range sweepBatches {
		if n, err := g.catalog.AbandonFilings(ctx, age, sweepBatch); err != nil || n < sweepBatch {
			return err
		}
	}
	return nil
}

// ages says who counts as lost.
func (g *Gateway) ages(a catalog.Anchor) (uploads, attempts catalog.Age) {
	return catalog.Age{Silent: g.stale, Anchor: a.Number}, catalog.Age{Silent: g.sweeps.config.Lease, Anchor: a.Number}
}

// repeat finds rows and acts on each, until there are none or the step's bounds
// are reached. act reports whether there was something to do after all. What
// fails does not keep the rest from being done, unless all of a batch fails.
func repeat[T any](ctx context.Context, count *Swept, find func(ctx context.Context, over int) ([]T, error), act func(context.Context, T) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for range sweepBatches {
		rows, err := find(ctx, int(count.Failed))
		if err != nil {
			return err
		}
		failures, last := 0, error(nil)
		for _, row := range rows {
			did, err := act(ctx, row)
			if count.add(did, err); err != nil {
				failures, last = failures+1, err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if failures == len(rows) || len(rows) < sweepBatch {
			return last
		}
	}
	return nil
}

func (s *Swept) add(did bool, err error) {
	switch {
	case err != nil:
		s.Found++
		s.Failed++
	case did:
		s.Found++
		s.Done++
	}
}

// stale is the event of an upload that was given up. The tenant's keys are not
// asked for: they may be away, and it says nothing that is sealed.
func stale(t recording.Tenant, b recording.BucketID, id recording.ID, v recording.Version) []audit.Record {
	r, _ := audit.Seal(noKey, audit.Event{ // fails only where it seals
		Tenant: t, At: now(), Who: sweeper, Action: string(policy.PutAbort), Outcome: audit.Allowed,
		Reason: "stale", Bucket: b, Recording: id, Version: v,
	})
	return []audit.Record{r}
}
