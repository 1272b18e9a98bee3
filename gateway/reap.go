package gateway

import (
	"context"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
)

// DefaultStaleUpload is how long an upload may go without a part. It outlasts
// any call.
const DefaultStaleUpload = 24 * time.Hour

const (
	reapMost    = 100              // uploads in one go
	reapAtMost  = 10 * time.Minute // between two looks
	reapTimeout = time.Minute
)

// reap gives up, until the gateway is closed, uploads that got no part for long.
func (g *Gateway) reap() {
	tick := time.NewTicker(min(reapAtMost, max(g.stale/4, time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-g.life.Done():
			return
		case <-tick.C:
		}
		if err := g.reapOnce(g.life); err != nil && g.life.Err() == nil {
			g.log.Warn("stale uploads left", "error", err)
		}
	}
}

func (g *Gateway) reapOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reapTimeout)
	defer cancel()
	then := now().Add(-g.stale)
	stale, err := g.catalog.StaleUploads(ctx, then, reapMost)
	if err != nil {
		return err
	}
	for _, up := range stale {
		if err := g.reapUpload(ctx, up, then); err != nil {
			return err
		}
	}
	return nil
}

// reapUpload gives up one upload, unless it got a part or an end meanwhile. Its
// tenant's keys are not asked for: they may be away, and the event says nothing
// that is sealed.
func (g *Gateway) reapUpload(ctx context.Context, up catalog.Upload, then time.Time) error {
	record, err := scope{}.seal(ctx, audit.Event{
		Tenant: up.Tenant, At: now(), Who: "lethe", Action: string(policy.PutAbort), Outcome: audit.Allowed,
		Reason: "stale", Bucket: up.Bucket, Recording: up.Recording, Version: up.Version,
	})
	if err != nil {
		return err
	}
	aborted, err := g.catalog.AbortStale(ctx, up, then, []audit.Record{record})
	if aborted {
		g.dropParts(ctx, up.Tenant, up.Version)
	}
	return err
}
