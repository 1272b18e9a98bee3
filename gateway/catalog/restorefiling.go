package catalog

import (
	"context"
	"database/sql"
	"slices"

	"github.com/lethe-vault/lethe/recording"
)

// KnownFilings gives those of some slots of the recordings tree under which a version
// is known to be filed, to have been, or to be intended.
func (c *Catalog) KnownFilings(ctx context.Context, tenant recording.Tenant, slots []int64) (out []int64, err error) {
	for some := range slices.Chunk(slots, maxRows) {
		var args []any
		for _, s := range some {
			args = append(args, s)
		}
		rows, err := all[slotRow](ctx, c.read("KnownFilings"), `SELECT f.slot_recording FROM filings f
			WHERE f.slot_recording IN `+list(1, len(some))+` AND f.tenant = $`+number(len(some)+1), append(args, tenant[:])...)
		if err != nil {
			return nil, explain(ctx, err)
		}
		for _, r := range rows {
			out = append(out, r.slot)
		}
	}
	return out, nil
}

// RestoreFiling files a version where the store has a wrap of it that this catalog
// lacks, whatever became since of the slots that the catalog has. A version that is
// not there, or not filed where it was found, is left as it is.
func (c *Catalog) RestoreFiling(ctx context.Context, r Refiling, wrapped []byte) error {
	return c.write(ctx, "RestoreFiling", func(ctx context.Context, tx *sql.Tx) error {
		moved, err := change(ctx, tx, `UPDATE versions SET slot_recording = $1, slot_subject = $2, slot_day = $3, wrapped_dek = $4
			WHERE tenant = $5 AND version = $6 AND slot_recording = $7 AND state IN ('committed', 'replaced')`,
			r.To.Recording, r.To.Subject, r.To.Day, wrapped, r.Tenant[:], r.Version[:], r.From.Recording)
		if err != nil || moved == 0 {
			return err
		}
		return c.dialect.fileAs(ctx, tx, r)
	})
}

// fileAs notes that a version was filed anew. Wherever else it was, nobody looks for
// it any more.
func (d dialect) fileAs(ctx context.Context, tx *sql.Tx, r Refiling) error {
	for _, row := range []struct {
		at          Slots
		state, blob string
	}{{r.From, "former", ""}, {r.To, "current", r.Blob}} {
		_, err := tx.ExecContext(ctx, `INSERT INTO filings (tenant, version, slot_recording, slot_subject, slot_day, state, blob, since)
			VALUES ($1, $2, $3, $4, $5, $6, $7, `+d.now+`) ON CONFLICT (slot_recording, tenant) DO UPDATE SET state = excluded.state`,
			r.Tenant[:], r.Version[:], row.at.Recording, row.at.Subject, row.at.Day, row.state, row.blob)
		if err != nil {
			return err
		}
	}
	return d.dropFilings(ctx, tx, `f.version = $1 AND f.slot_recording <> $2`, r.Version[:], r.To.Recording)
}
