package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// scope is a tenant as one request sees it: its row, and the keys under its
// newest head for as long as the lease lasts.
type scope struct {
	tenant catalog.Tenant
	keys   *keytree.Keys
	index  keytree.Key // of the blind indexes' generation
}

// indexGeneration is the generation of blind indexes in use. Re-indexing,
// which makes others, comes with erasure.
const indexGeneration = 1

// enter opens a tenant for a request: only an active one has keys to give.
func (g *Gateway) enter(ctx context.Context, t catalog.Tenant) (scope, error) {
	if err := t.State.Err(); err != nil {
		return scope{}, err
	}
	return g.unlock(ctx, t)
}

// unlock leases a tenant's keys whatever its state, for what must be written
// about a tenant that is revoked.
func (g *Gateway) unlock(ctx context.Context, t catalog.Tenant) (scope, error) {
	if err := g.catchUp(ctx, &t); err != nil {
		return scope{}, err
	}
	keys, err := g.keys(ctx, t)
	if err != nil {
		return scope{}, err
	}
	index, err := keys.System(ctx, keytree.IndexSlot(indexGeneration))
	if err != nil {
		return scope{}, err
	}
	return scope{tenant: t, keys: keys, index: index}, nil
}

// keys leases the root under the tenant's head. A provider that says the key
// is gone is not believed: nothing was erased, so it is an incident.
func (g *Gateway) keys(ctx context.Context, t catalog.Tenant) (*keytree.Keys, error) {
	head, err := keytree.ParseHead(t.Head)
	if err != nil {
		return nil, fmt.Errorf("head of %v: %w", t.ID, err)
	}
	keys, err := g.leases.Keys(ctx, head)
	switch {
	case err == nil:
		return keys, nil
	case errors.Is(err, keytree.ErrErased):
		return nil, recording.ErrTenantErased
	case errors.Is(err, keytree.ErrForgotten), errors.Is(err, keytree.ErrRolledBack), errors.Is(err, keytree.ErrBind):
		g.log.Error("tenant's key is not what its head says, and it was not erased", "tenant", t.ID.String(), "error", err)
		return nil, fmt.Errorf("%w: %w", recording.ErrIncident, err)
	}
	return nil, unavailable(err)
}

// seal readies an event about a tenant for the log.
func (s scope) seal(ctx context.Context, e audit.Event) (audit.Record, error) {
	if s.keys == nil {
		return audit.Seal(keytree.Key{}, e)
	}
	key, err := s.keys.System(ctx, keytree.AuditSlot(e.At))
	if err != nil {
		return audit.Record{}, err
	}
	return audit.Seal(key, e)
}

// catchUp proves, once for each tenant and process, that the catalog is not
// behind what the store holds durably, and rolls it forward where it is.
func (g *Gateway) catchUp(ctx context.Context, t *catalog.Tenant) error {
	if _, seen := g.current.Load(t.ID); seen {
		return nil
	}
	if err := g.catchUpHead(ctx, t); err != nil {
		return err
	}
	if err := g.rollForward(ctx, t); err != nil {
		return err
	}
	g.current.Store(t.ID, struct{}{})
	return nil
}

// catchUpHead follows a head in the store that the catalog does not know.
func (g *Gateway) catchUpHead(ctx context.Context, t *catalog.Tenant) error {
	next, err := keytree.ReadHead(ctx, g.blobs, t.ID, uint64(t.Epoch)+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unavailable(err)
	}
	if next.Kind == keytree.HeadErased {
		return recording.ErrTenantErased
	}
	return fmt.Errorf("%w: the catalog of %v is behind the store's heads", recording.ErrIncident, t.ID)
}

// now is the time as the catalog keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
