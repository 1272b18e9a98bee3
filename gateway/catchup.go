package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// catchUp proves, once for each tenant and process, that the catalog is not
// behind what the store holds durably, and rolls it forward where it is.
func (g *Gateway) catchUp(ctx context.Context, t *catalog.Tenant) error {
	if _, seen := g.current.Load(t.ID); seen {
		return nil
	}
	erased, err := g.erasedInStore(ctx, *t)
	if err != nil {
		return err
	}
	err = g.rollForward(ctx, t)
	if erased {
		return recording.ErrTenantErased // whether or not its key is left to read why
	}
	if err != nil {
		return err
	}
	g.current.Store(t.ID, struct{}{})
	return nil
}

// erasedInStore looks for a head that the catalog does not know. One that says
// erased refuses the tenant and does no more: only the entry of the journal
// that asked for the erasure, which no one forges, goes on with it.
func (g *Gateway) erasedInStore(ctx context.Context, t catalog.Tenant) (bool, error) {
	next, err := keytree.ReadHead(ctx, g.blobs, t.ID, uint64(t.Epoch)+1)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, unavailable(err)
	}
	if next.Kind != keytree.HeadErased {
		return false, fmt.Errorf("%w: the catalog of %v is behind the store's heads", recording.ErrIncident, t.ID)
	}
	return true, nil
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
