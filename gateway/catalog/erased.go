package catalog

import (
	"context"
	"database/sql"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// CountReadable counts the versions of a tenant that can be read, and may take minutes.
func (c *Catalog) CountReadable(ctx context.Context, id recording.Tenant) (int64, error) {
	n, err := getWithin[count](ctx, countFor, c.read("CountReadable"), recording.ErrNoTenant,
		`SELECT count(*) FROM versions v WHERE v.tenant = $1 AND v.state IN ('committed', 'replaced') AND `+notBuried, id[:])
	return n.int64, explain(ctx, err)
}

// RecordedTenant notes that the store has the record of a tenant's own erasure, and
// how many versions it made unreadable. ErrNoErasure: there is none.
func (c *Catalog) RecordedTenant(ctx context.Context, id recording.Tenant, record []byte, versions int64) error {
	erasure := recording.ErasureOf(id)
	return c.write(ctx, "RecordedTenant", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `UPDATE erasures SET recorded = TRUE, record = $1, versions = $2 WHERE id = $3`, record, versions, erasure[:])
		if err == nil && n == 0 {
			err = recording.ErrNoErasure
		}
		return err
	})
}

// selectToEnd goes by those that have no certificate: see selectUnrecorded.
const selectToEnd = selectErasures + ` AND e.` + openErasure + `e.state IN ('queued', 'punctured', 'effective')
	AND e.scope <> 'tenant' AND e.asked_at + 0 >= $2 AND (e.asked_at + 0 > $3 OR e.id > $4) ORDER BY e.asked_at + 0, e.id LIMIT $5`

// ToEnd gives the erasures of a tenant that have no certificate, but for the tenant's own,
// oldest first, those after one, at most limit of them.
func (c *Catalog) ToEnd(ctx context.Context, id recording.Tenant, after ErasureCursor, limit int) ([]ErasureRow, error) {
	at := after.micros()
	e, err := all[ErasureRow](ctx, c.read("ToEnd"), selectToEnd, id[:], at, at, after.ID[:], limit)
	return e, explain(ctx, err)
}

// CertifyEnded ends erasures that end with their tenant with their certificates. One that
// is certified already keeps the certificate it has. ErrNoErasure: there is none such.
// ErrTransition: the tenant is not being erased. In either case nothing is changed.
func (c *Catalog) CertifyEnded(ctx context.Context, id recording.Tenant, all []Certificate) error {
	return c.write(ctx, "CertifyEnded", func(ctx context.Context, tx *sql.Tx) error {
		t, err := get[Tenant](ctx, tx, recording.ErrNoTenant, selectTenant, id[:])
		if err == nil && t.State.Err() != recording.ErrTenantErased {
			err = ErrTransition
		}
		if err != nil {
			return err
		}
		return certify(ctx, tx, id, all, `state = 'certified', certified_at = `+c.dialect.now, `state <> 'certified'`)
	})
}

// Erased ends the erasure of a tenant with the head that says so, and with the
// certificate and the events that tell of it, if there is one. No journal record
// goes with it: the key that would seal one is gone, and the head in the store is
// what rebuilds it. Repeating it has no effect.
//
// ErrNoTenant: there is none. ErrTransition: its erasure was never begun.
func (c *Catalog) Erased(ctx context.Context, id recording.Tenant, head Head, certificate []byte, events []audit.Record) error {
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
		if err != nil || certificate == nil {
			return err
		}
		erasure := recording.ErasureOf(id)
		_, err = tx.ExecContext(ctx, `UPDATE erasures SET state = 'certified', certificate = $1, certified_at = `+c.dialect.now+` WHERE id = $2`,
			certificate, erasure[:])
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}
