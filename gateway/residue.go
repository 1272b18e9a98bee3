package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// How blobs are swept.
const (
	sweepWorkers  = 4                // deletions at a time
	blobsBatch    = 40               // residues claimed at a time
	deleteTimeout = 10 * time.Second // of one
	claimHold     = 2 * time.Minute  // a batch takes at most 100 s
	firstRetry    = 10 * time.Second // after a failure; doubled with each that follows
	lastRetry     = 10 * time.Minute
	lockedRetry   = 24 * time.Hour // at most, of what a lock holds
	oddRetry      = 24 * time.Hour // of a residue that other rows contradict
)

// sweeper is who the log says did what no caller asked for.
const sweeper = "lethe"

// noKey seals nothing: events of a sweep have no detail.
var noKey keytree.Key

// sweepBlobs deletes the blobs of residues whose turn it is.
func (g *Gateway) sweepBlobs(ctx context.Context, count *Swept) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for range sweepBatches {
		due, err := g.catalog.DueResidues(ctx, g.sweeps.config.Late, blobsBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		claimed, odd, err := g.catalog.ClaimResidues(ctx, due, claimHold)
		if err != nil {
			return err
		}
		done := g.deleteAll(ctx, claimed)
		if err := g.settle(ctx, count, done, odd); err != nil {
			return err
		}
		if away(done) {
			return fmt.Errorf("delete blobs: %w", blob.ErrUnavailable) // of each of them again would fill the log
		}
		if len(due) < blobsBatch {
			return nil
		}
	}
	return nil
}

// deletion is a residue, and what became of its blob.
type deletion struct {
	catalog.Residue
	err error
}

// away reports whether the store did none of the deletions, and not because of
// what they were.
func away(done []deletion) bool {
	for _, d := range done {
		if !errors.Is(d.err, blob.ErrUnavailable) && !errors.Is(d.err, context.DeadlineExceeded) {
			return false
		}
	}
	return len(done) > 0
}

// deleteAll deletes blobs, a few at a time.
func (g *Gateway) deleteAll(ctx context.Context, all []catalog.Residue) []deletion {
	out := make([]deletion, len(all))
	room := make(chan struct{}, sweepWorkers)
	var working sync.WaitGroup
	for i, r := range all {
		room <- struct{}{}
		working.Go(func() { // ends with its deletion
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
			defer cancel()
			// gofail: var sweepDelete string
			// out[i] = deletion{r, failpoint(sweepDelete)}
			// return
			out[i] = deletion{r, g.blobs.Delete(ctx, r.Blob)}
		})
	}
	working.Wait()
	return out
}

// settle notes what became of a batch: blobs that are gone for good are
// forgotten, and the log says so; the others come again.
func (g *Gateway) settle(ctx context.Context, count *Swept, done []deletion, odd []catalog.Residue) error {
	var gone []catalog.Residue
	var later []catalog.Postponed
	for _, d := range done {
		switch {
		case d.err != nil:
			later = append(later, g.failed(count, d))
		case d.Certain || d.Late:
			gone = append(gone, d.Residue)
		default: // it may yet appear
			later = append(later, catalog.Postponed{Residue: d.Residue, For: g.sweeps.config.Late/8 + time.Millisecond})
			count.add(true, nil)
		}
	}
	for _, r := range odd {
		g.log.Error("blob is to be deleted and in use; it is kept", "version", r.Version.String(), "tenant", r.Tenant.String())
		later = append(later, catalog.Postponed{Residue: r, For: oddRetry, Failed: true})
		count.add(false, recording.ErrIntegrity)
	}
	// gofail: var sweepForget string
	// return failpoint(sweepForget)
	err := g.catalog.Forget(ctx, gone, goneEvents(gone))
	if err == nil {
		count.Found, count.Done = count.Found+int64(len(gone)), count.Done+int64(len(gone))
	}
	return errors.Join(err, g.catalog.Postpone(ctx, later))
}

// failed says when a deletion that failed is tried again: soon if the store was
// away, after up to a day if a lock holds the blob.
func (g *Gateway) failed(count *Swept, d deletion) catalog.Postponed {
	p := catalog.Postponed{Residue: d.Residue, Failed: true, For: backOff(d.Tries, lastRetry)}
	p.Locked = errors.Is(d.err, blob.ErrLocked)
	if p.Locked {
		p.For = backOff(d.Tries, lockedRetry)
		count.Found, count.Locked = count.Found+1, count.Locked+1
		return p
	}
	count.add(false, d.err)
	if errors.Is(d.err, blob.ErrUnavailable) {
		return p
	}
	g.log.Warn("blob not deleted; tried again later", "version", d.Version.String(), "again", p.For, "error", d.err)
	return p
}

func backOff(tries int64, most time.Duration) time.Duration {
	return min(most, firstRetry<<min(max(tries-1, 0), 20))
}

// goneEvents explains blobs that are gone, one event for each version.
func goneEvents(gone []catalog.Residue) (out []audit.Record) {
	said := map[recording.Version]bool{}
	for _, r := range gone {
		if said[r.Version] {
			continue
		}
		said[r.Version] = true
		record, _ := audit.Seal(noKey, audit.Event{ // fails only where it seals
			Tenant: r.Tenant, At: now(), Who: sweeper, Action: "blob.delete", Outcome: audit.Allowed,
			Reason: string(r.Why), Version: r.Version,
		})
		out = append(out, record)
	}
	return out
}
