package gateway

import (
	"context"
	"errors"
	"io"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/recording"
)

// Stats is what a gateway counts of itself. Counts grow from its start; what is
// said to be now may go up and down.
type Stats struct {
	Leases    keytree.LeaseStats
	Shelves   ShelfStats
	Audit     audit.Stats
	Retries   uint64 // transactions of the catalog that were run again
	Sessions  int    // access sessions, now
	Erasures  int    // of tenants, driven by this process now
	Sweeps    SweepStatus
	Retention RetentionStatus
	Reindex   ReindexStatus
	Epochs    eraser.Status
}

// Stats gives a snapshot. It asks nothing of catalog, store or provider.
func (g *Gateway) Stats() Stats {
	s := Stats{
		Leases: g.leases.Stats(), Shelves: g.shelves.stats(), Audit: g.audit.Stats(),
		Retries: g.catalog.Retries(), Sessions: g.sessions.count(), Sweeps: g.SweepStatus(), Retention: g.retention.stats(),
		Reindex: g.reindexes.stats(), Epochs: g.eraser.Status(),
	}
	g.erasures.Range(func(any, any) bool {
		s.Erasures++
		return true
	})
	return s
}

// refusals are the errors by which a step ends as it should.
var refusals = []error{
	recording.ErrDenied, recording.ErrNoBucket, recording.ErrNotFound, recording.ErrTenantRevoked,
	recording.ErrTenantErased, recording.ErrErased, recording.ErrBadDigest, recording.ErrShortBody, blob.ErrExists,
}

// step tells the observer that a step of the gateway's own begins.
func (g *Gateway) step(ctx context.Context, name string) (context.Context, func(error)) {
	within, end := g.observer.Begin(ctx, observe.Call{Part: observe.Gateway, Operation: name})
	return within, func(err error) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		end(observe.OutcomeOf(err, []error{recording.ErrUnavailable, blob.ErrUnavailable}, refusals))
	}
}
