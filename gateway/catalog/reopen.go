package catalog

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

const selectPuncturedSince = `SELECT p.tree, p.slot, p.erasure FROM punctures p
	WHERE p.tenant = $1 AND (p.epoch IS NULL OR p.epoch > $2) ORDER BY p.tree, p.slot`

// disownedAtOnce bounds the rows of a transaction.
const disownedAtOnce = 1000

// PuncturedSince gives a tenant's slots that have a tombstone and that no epoch up to
// the given one has punctured.
func (c *Catalog) PuncturedSince(ctx context.Context, tenant recording.Tenant, epoch int64) ([]Tombstone, error) {
	slots, err := all[Tombstone](ctx, c.read("PuncturedSince"), selectPuncturedSince, tenant[:], epoch)
	return slots, explain(ctx, err)
}

// Reopen has slots punctured once more: the epochs that did so are lost. Slots that
// have no tombstone get one. What is known of their erasures stays as it is.
func (c *Catalog) Reopen(ctx context.Context, tenant recording.Tenant, slots []Slot, events []audit.Record) error {
	slots = slices.Clone(slots)
	slices.SortFunc(slots, func(a, b Slot) int { return cmp.Or(cmp.Compare(a.Tree, b.Tree), cmp.Compare(a.Number, b.Number)) })
	return c.write(ctx, "Reopen", func(ctx context.Context, tx *sql.Tx) error {
		for some := range slices.Chunk(slices.Compact(slots), maxRows) {
			var args []any
			for _, s := range some {
				args = append(args, tenant[:], s.Tree, s.Number, s.Tree)
			}
			_, err := tx.ExecContext(ctx, intoPunctures+`VALUES `+values(len(some), "?", "?", "?", "NULL", "NULL", c.dialect.now, "?")+`
				ON CONFLICT (tenant, tree, slot) DO UPDATE SET epoch = NULL`, args...)
			if err != nil {
				return err
			}
		}
		return insertEvents(ctx, tx, events)
	})
}

// Undone has erasures begin again of which rows say falsely that slots are punctured:
// those slots are due, as theirs, and they are queued.
func (c *Catalog) Undone(ctx context.Context, tenant recording.Tenant, of []Tombstone) error {
	if len(of) == 0 {
		return nil
	}
	return c.write(ctx, "Undone", func(ctx context.Context, tx *sql.Tx) error {
		for i := range of {
			t := &of[i]
			_, err := tx.ExecContext(ctx, intoPunctures+`VALUES ($1, $2, $3, $4, NULL, `+c.dialect.now+`, $5)
				ON CONFLICT (tenant, tree, slot) DO UPDATE SET epoch = NULL, erasure = excluded.erasure`, tenant[:], t.Tree, t.Number, t.Erasure[:], t.Tree)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `UPDATE erasures SET state = 'queued', epoch = 0 WHERE tenant = $1 AND id = $2 AND state <> 'certified'`,
				tenant[:], t.Erasure[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// nobody is the erasure of tombstones that are none's.
var nobody = recording.ErasureID(bytes.Repeat([]byte{0xff}, len(recording.ErasureID{})))

// Disown takes tombstones that no epoch has punctured from their erasures, which did not
// ask for them and would have no end before they are: they stay, as nobody's.
func (c *Catalog) Disown(ctx context.Context, tenant recording.Tenant, all []Tombstone) error {
	for of := range slices.Chunk(all, disownedAtOnce) {
		err := c.write(ctx, "Disown", func(ctx context.Context, tx *sql.Tx) error {
			for i := range of {
				t := &of[i]
				_, err := tx.ExecContext(ctx, `UPDATE punctures SET erasure = $1 WHERE slot = $2 AND tree = $3 AND tenant = $4 AND erasure = $5 AND epoch IS NULL`,
					nobody[:], t.Number, t.Tree, tenant[:], t.Erasure[:])
				if err != nil {
					return err
				}
			}
			return c.dialect.advanceErasures(ctx, tx, "", tenant[:])
		})
		if err != nil {
			return err
		}
	}
	return nil
}
