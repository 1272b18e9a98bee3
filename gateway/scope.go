package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// scope is a tenant as one request sees it: its row, and the keys under its
// newest head for as long as the lease lasts.
type scope struct {
	tenant catalog.Tenant
	keys   *keytree.Keys
	index  keytree.Key // of the generation of blind indexes that is written
	beside keytree.Key // of the other one that rows may be under, if they move
	lost   bool        // that is not known, as the catalog is rebuilt

	timeline catalog.Timeline // on which it was caught up
}

// enter opens a tenant for a request: only an active one has keys to give.
// The caller ends the scope.
func (g *Gateway) enter(ctx context.Context, t catalog.Tenant) (scope, error) {
	if err := t.State.Err(); err != nil {
		return scope{}, err
	}
	if time.Since(t.ReadAt) > g.reindexes.view {
		return g.reenter(ctx, t.ID)
	}
	s, err := g.unlock(ctx, t)
	if err != nil {
		return scope{}, err
	}
	if err := s.tenant.State.Err(); err != nil { // catching up has changed it
		s.end()
		return scope{}, err
	}
	return s, nil
}

// reenter opens a tenant again after a body, which may have outlasted the
// lease, the tenant's state and its epoch.
func (g *Gateway) reenter(ctx context.Context, id recording.Tenant) (scope, error) {
	t, err := g.catalog.Tenant(ctx, id)
	if err != nil {
		return scope{}, unavailable(err)
	}
	return g.enter(ctx, t)
}

// unlock leases the keys of a tenant that is active or revoked, for what must
// be written about one that is. The caller ends the scope.
func (g *Gateway) unlock(ctx context.Context, t catalog.Tenant) (scope, error) {
	timeline, err := g.catchUp(ctx, &t)
	if err != nil {
		return scope{}, err
	}
	if t.State.Err() == recording.ErrTenantErased {
		return scope{}, recording.ErrTenantErased
	}
	keys, err := g.keys(ctx, &t)
	if err != nil {
		return scope{}, err
	}
	s, err := g.indexed(ctx, t, keys)
	s.timeline = timeline
	return s, err
}

// indexed gives the scope of a tenant whose keys are at hand. A generation that is
// forgotten while rows are under it says that the catalog is an older copy of itself.
func (g *Gateway) indexed(ctx context.Context, t catalog.Tenant, keys *keytree.Keys) (s scope, err error) {
	s = scope{tenant: t, keys: keys}
	beside := t.Stage.Newer()
	if t.Stage.Moving() {
		beside = t.Stage.Older()
	}
	if s.index, err = keys.System(ctx, keytree.IndexSlot(t.Stage.Written())); err == nil && !t.Stage.Settled() {
		s.beside, err = keys.System(ctx, keytree.IndexSlot(beside))
	}
	if errors.Is(err, keytree.ErrPunctured) {
		g.log.Error("the catalog's indexes are under a key that is forgotten: it is an older copy of itself, and the tenant is refused",
			"tenant", t.ID.String(), "do", "stop all servers and run lethe rebuild")
		err = fmt.Errorf("%w: the catalog's indexes of %v are under a key that is forgotten", recording.ErrIncident, t.ID)
	}
	if err != nil {
		keys.Clear()
	}
	return s, err
}

// end clears the scope's copy of the root.
func (s scope) end() { s.keys.Clear() }

// keys leases the root under the tenant's head. A tenant that has moved to another
// epoch since t was read is read again.
func (g *Gateway) keys(ctx context.Context, t *catalog.Tenant) (*keytree.Keys, error) {
	for {
		head, err := keytree.ParseHead(t.Head)
		if err != nil || head.Tenant != t.ID {
			return nil, fmt.Errorf("%w: the catalog's head of %v is not one of its own", recording.ErrIncident, t.ID)
		}
		keys, err := g.leases.Keys(ctx, head)
		switch {
		case err == nil:
			return keys, nil
		case errors.Is(err, keytree.ErrErased):
			return nil, recording.ErrTenantErased
		case errors.Is(err, keytree.ErrForgotten), errors.Is(err, keytree.ErrRolledBack), errors.Is(err, keytree.ErrBind):
			if err := g.lost(ctx, t, err); err != nil {
				return nil, err
			}
		default:
			return nil, unavailable(err)
		}
	}
}

// lost judges a provider's word that a key is gone or another. It is not believed:
// that the tenant has moved on since t was read stands in the catalog or in the
// store, and t is that then; an erasure stands in the catalog; without either it is
// an incident.
func (g *Gateway) lost(ctx context.Context, t *catalog.Tenant, said error) error {
	was := t.Epoch
	fresh, err := g.catalog.Tenant(ctx, t.ID)
	if err != nil && !errors.Is(err, recording.ErrNoTenant) {
		return unavailable(err)
	}
	if err == nil {
		if fresh.State.Err() == recording.ErrTenantErased {
			return recording.ErrTenantErased
		}
		*t = fresh
		if t.Epoch == was {
			if err := g.following().Follow(ctx, t); err != nil {
				return unavailable(err)
			}
		}
		if t.Epoch > was {
			return nil
		}
	}
	g.log.Error("tenant's key is not what its head says, and it was not erased; the tenant is refused", "tenant", t.ID.String(), "error", said,
		"do", "was the key provider restored from a copy? Then stop the erasers and run lethe recover vault")
	return fmt.Errorf("%w: %w", recording.ErrIncident, said)
}

func (g *Gateway) following() eraser.Following {
	return eraser.Following{
		Blobs: g.blobs, Catalog: g.catalog, Keys: g.provider, Pages: g.eraser.Pages, Logger: g.log, Restored: g.restored, Told: g.told,
	}
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

// now is the time as the catalog keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
