package gateway

import (
	"context"
	"errors"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// catchUp proves, once for each tenant and process, that the catalog is not
// behind what the store holds durably, and rolls it forward where it is. It gives the
// timeline of which that holds.
func (g *Gateway) catchUp(ctx context.Context, t *catalog.Tenant) (catalog.Timeline, error) {
	if seen, ok := g.current.Load(t.ID); ok {
		return seen.(catalog.Timeline), nil
	}
	timeline, err := g.catalog.Timeline(ctx)
	if err != nil {
		return "", unavailable(err)
	}
	if err := g.catchUpNow(ctx, t); err != nil {
		return "", err
	}
	g.current.Store(t.ID, timeline)
	return timeline, nil
}

// outdated has a tenant caught up anew if what was tried in a scope failed because
// another server took over.
func (g *Gateway) outdated(s scope, err error) {
	if errors.Is(err, catalog.ErrTimeline) {
		g.current.CompareAndDelete(s.tenant.ID, s.timeline)
	}
}

func (g *Gateway) catchUpNow(ctx context.Context, t *catalog.Tenant) error {
	was := t.Epoch
	err := g.following().Follow(ctx, t)
	if t.Epoch != was {
		g.leases.Drop(t.ID)
	}
	erased := errors.Is(err, recording.ErrTenantErased)
	if err != nil && !erased {
		return unavailable(err)
	}
	err = g.rollForward(ctx, t)
	if erased { // whether or not its key is left to read why
		return recording.ErrTenantErased
	}
	if err == nil {
		err = g.learn(ctx, t)
	}
	return err
}

// learn restores the filings that the catalog lacks, so that what erases a recording
// takes all its slots, and the erasures of the tenant's epoch that it lacks.
func (g *Gateway) learn(ctx context.Context, t *catalog.Tenant) error {
	if t.State.Err() == recording.ErrTenantErased {
		return nil
	}
	keys, err := g.keys(ctx, t)
	if err != nil {
		return err
	}
	defer keys.Clear()
	err = g.following().RefileUnknown(ctx, t.ID, keys)
	if err == nil {
		_, err = g.following().Requeue(ctx, t.ID, keys, t.Epoch)
	}
	return unavailable(err)
}

// restored tells of erasures that the catalog had lost. That can only be because it
// is an older copy of itself, or took over from another: then it lacks recordings too.
func (g *Gateway) restored(t recording.Tenant, lost []recording.ErasureID) {
	g.eraser.Nudge()
	g.log.Error("the catalog lacked erasures that the store has; they are queued again. It is an older copy of itself, or took over from another, "+
		"and recordings that were put since are perhaps missing too: stop all servers and run lethe rebuild", "tenant", t.String(), "erasures", len(lost))
}

// catchUpAll does for every tenant, when a server starts, what its first
// request would do, so that what was asked for before a crash is not left
// until someone comes by. What fails here refuses that tenant's requests.
func (g *Gateway) catchUpAll() {
	tenants, err := g.catalog.Tenants(g.life)
	if err != nil {
		g.log.Warn("tenants not caught up yet", "error", err)
		return
	}
	for _, t := range tenants {
		if t.State.Err() == recording.ErrTenantErased {
			continue
		}
		_, err := g.catchUp(g.life, &t)
		if err != nil && !errors.Is(err, recording.ErrTenantErased) && g.life.Err() == nil {
			g.log.Warn("tenant not caught up yet", "tenant", t.ID.String(), "error", err)
		}
	}
}
