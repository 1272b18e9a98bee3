package catalog

import (
	"context"
	"database/sql"

	"github.com/lethe-vault/lethe/recording"
)

// Erased ends the erasure of a tenant with the head that says so. No journal
// record goes with it: the key that would seal one is gone, and the head in
// the store is what rebuilds it. Repeating it has no effect.
//
// ErrNoTenant: there is none. ErrTransition: its erasure was never begun.
func (c *Catalog) Erased(ctx context.Context, id recording.Tenant, head Head) error {
	return c.write(ctx, "Erased", func(ctx context.Context, tx *sql.Tx) error {
		t, err := get[Tenant](ctx, tx, recording.ErrNoTenant, selectTenant, id[:])
		switch {
		case err != nil:
			return err
		case t.State == TenantErased:
			return nil
		case t.State != TenantErasing:
			return ErrTransition
		}
		_, err = tx.ExecContext(ctx, `UPDATE tenants SET state = 'erased', epoch = $1, head = $2 WHERE id = $3`,
			head.Epoch, head.Bytes, id[:])
		return err
	})
}
