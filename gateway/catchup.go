package gateway

import (
	"context"
	"errors"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// catchUp proves, once for each tenant and process, that the catalog is not
// behind what the store holds durably, and rolls it forward where it is.
func (g *Gateway) catchUp(ctx context.Context, t *catalog.Tenant) error {
	if _, seen := g.current.Load(t.ID); seen {
		return nil
	}
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
	if err != nil {
		return err
	}
	g.current.Store(t.ID, struct{}{})
	return nil
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
		err := g.catchUp(g.life, &t)
		if err != nil && !errors.Is(err, recording.ErrTenantErased) && g.life.Err() == nil {
			g.log.Warn("tenant not caught up yet", "tenant", t.ID.String(), "error", err)
		}
	}
}
