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
// ErrStage: the indexes are not those of the stage that the tenant is in.
func (c *Catalog) SubjectSlot(ctx context.Context, tenant recording.Tenant, subject Indexed, proposed int64) (int64, error) {
	if slot, found, err := c.LookupSubject(ctx, tenant, subject.Index); err != nil || found {
		return slot, err
	}
	var slot int64
	err := c.write(ctx, "SubjectSlot", func(ctx context.Context, tx *sql.Tx) error {
		if err := subject.adopt(ctx, tx, tenant); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO subjects (tenant, subject_index, slot, generation)
			VALUES ($1, $2, $3, $4)
			ON CONFLICT (tenant, subject_index) DO UPDATE SET slot = excluded.slot WHERE `+buried("subjects.tenant", TreeSubjects, "subjects.slot"),
			tenant[:], subject.Index[:], proposed, subject.Stage.Written())
		if err != nil {
			return err
		}
		r, err := get[slotRow](ctx, tx, ErrTombstoned, selectSubject, tenant[:], subject.Index[:])
		slot = r.slot
		return err
	})
	return slot, err
}

// adopt brings a subject to the generation that is written, if the tenant is in the
// stage that its writer knew.
func (i Indexed) adopt(ctx context.Context, tx *sql.Tx, tenant recording.Tenant) error {
	if err := i.Stage.still(ctx, tx, tenant); err != nil || !i.Stage.Moving() {
		return err
	}
	return i.move(ctx, tx, tenant)
}

// move brings a subject to the generation that is written, unless a rebuild that was
// killed has put them there: then what is left is dropped with the older one.
func (i Indexed) move(ctx context.Context, tx *sql.Tx, tenant recording.Tenant) error {
	_, err := tx.ExecContext(ctx, `UPDATE subjects SET subject_index = $1, generation = $2 WHERE tenant = $3 AND subject_index = $4
		AND NOT EXISTS (SELECT 1 FROM subjects n WHERE n.tenant = $5 AND n.subject_index = $6)`,
		i.Index[:], i.Stage.Written(), tenant[:], i.Older[:], tenant[:], i.Index[:])
	return err
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
