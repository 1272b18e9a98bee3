package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// RestoreErasure writes an erasure that the store has the record of and this
// catalog lost: its row, as queued; tombstones of its slots; and its versions are
// erased, with what lies at its slots of the recordings tree. From there it goes on
// by what is known of its slots and their epochs. It reports whether the erasure was
// lost; one that was not is left as it is, and one whose slots are all another's is
// not written.
func (c *Catalog) RestoreErasure(ctx context.Context, e ErasureRow, slots []Slot, versions []recording.Version, events []audit.Record) (lost bool, err error) {
	err = c.write(ctx, "RestoreErasure", func(ctx context.Context, tx *sql.Tx) error {
		r := restoring{dialect: c.dialect, tx: tx, ErasureRow: e}
		var err error
		if lost, err = r.restore(ctx, slots, versions); err != nil || !lost {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
	return lost && err == nil, err
}

// restoring is a lost erasure on its way back.
type restoring struct {
	dialect
	tx *sql.Tx
	ErasureRow
}

func (r *restoring) restore(ctx context.Context, slots []Slot, versions []recording.Version) (lost bool, err error) {
	added, err := change(ctx, r.tx, `INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, asked_at,
		base, record, recorded, versions, refiled, epoch, generation)
		VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, TRUE, $10, $11, 0, 0) ON CONFLICT DO NOTHING`,
		r.ID[:], r.Tenant[:], r.Scope, r.Who, r.Reason, r.Commitment, r.AskedAt.UnixMicro(), r.Base, r.Record, len(versions), r.Refiled)
	if err != nil || added == 0 {
		return false, err
	}
	if err := r.eraseVersions(ctx, versions); err != nil {
		return false, err
	}
	if _, err := r.bury(ctx, r.tx, r.Tenant, r.ID, slots); err != nil {
		return false, err
	}
	own, err := get[yes](ctx, r.tx, recording.ErrNotFound, `SELECT EXISTS (SELECT 1 FROM punctures p WHERE p.erasure = $1)`, r.ID[:])
	if err != nil {
		return false, err
	}
	if !own.bool {
		_, err := r.tx.ExecContext(ctx, `DELETE FROM erasures WHERE id = $1`, r.ID[:])
		return false, err
	}
	if err := r.eraseFiled(ctx, slots); err != nil {
		return false, err
	}
	return true, r.advanceErasures(ctx, r.tx, ` AND id = $2`, r.Tenant[:], r.ID[:])
}

// eraseVersions erases those of some versions that have a row and could be read,
// as the erasure did: what is left of their recordings takes their place.
func (r *restoring) eraseVersions(ctx context.Context, versions []recording.Version) error {
	takes := map[recording.Version]bool{}
	for _, v := range versions {
		takes[v] = true
	}
	for _, version := range versions {
		v, err := get[Version](ctx, r.tx, recording.ErrNotFound, selectVersion, r.Tenant[:], version[:])
		if errors.Is(err, recording.ErrNotFound) || err == nil && v.State != Committed && v.State != Replaced {
			continue
		}
		if err != nil {
			return err
		}
		stored, err := r.stored(ctx, r.tx, r.Tenant, v.Recording)
		if err != nil {
			return err
		}
		if _, err := r.take(ctx, r.tx, stored, func(v Version) bool { return takes[v.Version] }); err != nil {
			return err
		}
	}
	return nil
}

// eraseFiled erases what lies at the slots of the recordings tree of an erasure of a
// subject or a day: what lay below when it was erased, and lies in this catalog where it
// had been before. The record does not name it, and tombstones of those slots are settled,
// so nothing else would. It counts as what is settled does.
func (r *restoring) eraseFiled(ctx context.Context, slots []Slot) error {
	if !slices.ContainsFunc(slots, func(s Slot) bool { return s.many() != nil }) {
		return nil
	}
	slots = slices.DeleteFunc(slices.Clone(slots), func(s Slot) bool { return s.Tree != TreeRecordings })
	for some := range slices.Chunk(slots, maxRows) {
		args := []any{r.Tenant[:]}
		for _, s := range some {
			args = append(args, s.Number)
		}
		there, err := all[Version](ctx, r.tx, below+`v.slot_recording IN `+list(2, len(some))+` AND EXISTS (SELECT 1 FROM punctures x
			WHERE x.tenant = v.tenant AND x.tree = 1 AND x.slot = v.slot_recording AND x.erasure = $`+number(len(some)+2)+`)`, append(args, r.ID[:])...)
		if err != nil {
			return err
		}
		if err := r.erase(ctx, r.tx, there); err != nil {
			return err
		}
		if _, err := r.tx.ExecContext(ctx, updateVersionsOf, len(there), r.ID[:]); err != nil {
			return err
		}
	}
	return nil
}

// DateRestored says of a tenant's restored erasures that they were asked for while a
// generation was written, or one before.
func (c *Catalog) DateRestored(ctx context.Context, tenant recording.Tenant, generation uint32) error {
	return c.write(ctx, "DateRestored", func(ctx context.Context, tx *sql.Tx) error { return dateRestored(ctx, tx, tenant, generation) })
}

func dateRestored(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, generation uint32) error {
	_, err := tx.ExecContext(ctx, `UPDATE erasures SET generation = $1 WHERE generation = 0 AND tenant = $2`, generation, tenant[:])
	return err
}

// RestoreCertificate ends an erasure, all of which is punctured, with the
// certificate that the store has of it. What it does not know the epoch of was
// punctured by the one that is given, at the latest.
func (c *Catalog) RestoreCertificate(ctx context.Context, e ErasureRow, epoch int64) error {
	return c.write(ctx, "RestoreCertificate", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE punctures SET epoch = $1 WHERE erasure = $2 AND tenant = $3 AND epoch IS NULL`, epoch, e.ID[:], e.Tenant[:])
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE erasures SET state = 'certified', certificate = $1, certified_at = $2, unlinkable_at = $3,
			epoch = CASE WHEN epoch = 0 THEN $4 ELSE epoch END WHERE id = $5 AND tenant = $6`,
			e.Certificate, e.CertifiedAt.UnixMicro(), microsOrNull(e.UnlinkableAt), epoch, e.ID[:], e.Tenant[:])
		return err
	})
}

// Uncertified gives the erasures of a tenant that have no certificate yet.
func (c *Catalog) Uncertified(ctx context.Context, tenant recording.Tenant) ([]ErasureRow, error) {
	e, err := all[ErasureRow](ctx, c.read("Uncertified"), selectErasures+` AND e.state <> 'certified' ORDER BY e.asked_at, e.id`, tenant[:])
	return e, explain(ctx, err)
}

// KnownErasures gives those of some erasures that have a row.
func (c *Catalog) KnownErasures(ctx context.Context, tenant recording.Tenant, ids []recording.ErasureID) (out []recording.ErasureID, err error) {
	for some := range slices.Chunk(ids, maxRows) {
		args := []any{tenant[:]}
		for i := range some {
			args = append(args, some[i][:])
		}
		rows, err := all[erasureID](ctx, c.read("KnownErasures"), `SELECT e.id FROM erasures e WHERE e.tenant = $1 AND e.id IN `+list(2, len(some)), args...)
		if err != nil {
			return nil, explain(ctx, err)
		}
		for _, r := range rows {
			out = append(out, r.ErasureID)
		}
	}
	return out, nil
}

type erasureID struct{ recording.ErasureID }

func (r *erasureID) columns() []any { return []any{fixed(r.ErasureID[:])} }
