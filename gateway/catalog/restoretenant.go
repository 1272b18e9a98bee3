package catalog

import (
	"context"
	"database/sql"

	"github.com/lethe-vault/lethe/recording"
)

// RestoreEnded writes an erasure that ended with its tenant, or before, as the store has it, and
// reports whether it was lost. One that is certified already keeps what it has.
func (c *Catalog) RestoreEnded(ctx context.Context, e ErasureRow) (lost bool, err error) {
	err = c.write(ctx, "RestoreEnded", func(ctx context.Context, tx *sql.Tx) error {
		lost, err = restoreEnded(ctx, tx, e)
		return err
	})
	return lost && err == nil, err
}

// RestoreErased makes a tenant an erased one, or one that is being erased, whatever this
// catalog had of it, and reports whether it was another: its head in the store says that
// it is erased, and its key is gone. One that has no row gets a name that tells what it
// was. With it comes its erasure, unless nothing is known of that.
func (c *Catalog) RestoreErased(ctx context.Context, t Tenant, erasure *ErasureRow) (changed bool, err error) {
	err = c.write(ctx, "RestoreErased", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `INSERT INTO tenants (id, name, state, epoch, head, journal, created_at)
			VALUES ($1, $2, $3, $4, $5, 0, $6)
			ON CONFLICT (id) DO UPDATE SET state = excluded.state, epoch = excluded.epoch, head = excluded.head WHERE tenants.state <> 'erased'`,
			t.ID[:], t.Name, t.State, t.Epoch, t.Head, t.CreatedAt.UnixMicro())
		if changed = n == 1; err != nil || erasure == nil {
			return err
		}
		_, err = restoreEnded(ctx, tx, *erasure)
		return err
	})
	return changed && err == nil, err
}

// restoreEnded writes an erasure that ended with its tenant, and reports whether it was
// lost.
func restoreEnded(ctx context.Context, tx *sql.Tx, e ErasureRow) (fresh bool, err error) {
	fresh, err = (NewErasure{ErasureRow: e}).insert(ctx, tx)
	if err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE erasures SET state = $1, record = $2, recorded = TRUE, versions = $3, certificate = $4, certified_at = $5, unlinkable_at = $6,
		epoch = CASE WHEN epoch = 0 THEN $7 ELSE epoch END WHERE id = $8 AND tenant = $9 AND state <> 'certified'`,
		e.State, e.Record, e.Versions, e.Certificate, microsOrNull(e.CertifiedAt), microsOrNull(e.UnlinkableAt), e.Epoch, e.ID[:], e.Tenant[:])
	return fresh, err
}

// Rebuilt notes that nothing which this catalog has open was settled in a later
// copy of it: the store was searched. From then on uploads are judged again, and
// the anchor to be written to the store is given, as by Advance. It is the last one
// if nothing was held.
func (c *Catalog) Rebuilt(ctx context.Context, stored Anchor, nonce [16]byte) (now Anchor, err error) {
	d := c.dialect
	err = c.write(ctx, "Rebuilt", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO anchors (id, number, nonce, not_before) VALUES (1, 0, $1, 0) ON CONFLICT DO NOTHING`, make([]byte, 16))
		if err != nil {
			return err
		}
		last, err := get[lastAnchor](ctx, tx, recording.ErrNotFound, d.selectLastAnchor())
		if now = last.Anchor; err != nil || now.Nonce == nonce || now.NotBefore == 0 && !last.olderThan(stored) {
			return err
		}
		now = Anchor{Number: max(last.Number, stored.Number) + 1, Nonce: nonce}
		_, err = tx.ExecContext(ctx, `UPDATE anchors SET number = $1, nonce = $2, timeline = `+d.timeline+`, not_before = 0 WHERE id = 1`,
			now.Number, nonce[:])
		return err
	})
	return now, err
}
