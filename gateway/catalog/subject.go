package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lethe-vault/lethe/recording"
)

var selectSubject = `SELECT s.slot FROM subjects s WHERE s.tenant = $1 AND s.subject_index = $2 AND NOT ` + buried("s.tenant", TreeSubjects, "s.slot")

// SubjectSlot gives the slot of a data subject, which is proposed if the
// subject has none yet. Whoever asks gets the same slot until the subject is
// erased, and then another. ErrTombstoned: the proposed one was used before.
func (c *Catalog) SubjectSlot(ctx context.Context, tenant recording.Tenant, subject Index, proposed int64) (int64, error) {
	if slot, found, err := c.LookupSubject(ctx, tenant, subject); err != nil || found {
		return slot, err
	}
	var slot int64
	err := c.write(ctx, "SubjectSlot", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO subjects (tenant, subject_index, slot)
			VALUES ($1, $2, $3)
			ON CONFLICT (tenant, subject_index) DO UPDATE SET slot = excluded.slot WHERE `+buried("subjects.tenant", TreeSubjects, "subjects.slot"),
			tenant[:], subject[:], proposed)
		if err != nil {
			return err
		}
		r, err := get[slotRow](ctx, tx, ErrTombstoned, selectSubject, tenant[:], subject[:])
		slot = r.slot
		return err
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
