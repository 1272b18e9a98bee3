package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lethe-vault/lethe/recording"
)

const selectSubject = `SELECT slot FROM subjects WHERE tenant = $1 AND subject_index = $2`

// SubjectSlot gives the slot of a data subject, which is proposed if the
// subject has none yet. Whoever asks, at whatever time, gets the same slot.
func (c *Catalog) SubjectSlot(ctx context.Context, tenant recording.Tenant, subject Index, proposed int64) (int64, error) {
	if slot, found, err := c.LookupSubject(ctx, tenant, subject); err != nil || found {
		return slot, err
	}
	var slot int64
	err := c.write(ctx, "SubjectSlot", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO subjects (tenant, subject_index, slot)
			VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, tenant[:], subject[:], proposed)
		if err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, selectSubject, tenant[:], subject[:]).Scan(&slot)
	})
	return slot, err
}

// LookupSubject gives the slot of a data subject, and whether it has one.
func (c *Catalog) LookupSubject(ctx context.Context, tenant recording.Tenant, subject Index) (slot int64, found bool, err error) {
	r, err := get[slotRow](ctx, c.read("LookupSubject"), recording.ErrNotFound, selectSubject, tenant[:], subject[:])
	if errors.Is(err, recording.ErrNotFound) {
		return 0, false, nil
	}
	return r.slot, err == nil, explain(ctx, err)
}

type slotRow struct{ slot int64 }

func (r *slotRow) columns() []any { return []any{&r.slot} }
