package catalog

import (
	"context"
	"database/sql"
	"slices"

	"github.com/lethe-vault/lethe/recording"
)

// Restored is a version that was found whole in the store and has no row, or one
// of an intent whose commit this catalog lacks.
type Restored struct {
	Version     // Committed or Replaced
	Directories []Directory
	Terms       []Index
	Subject     *Index // whose slot it hangs from; nil for nobody's
	Generation  uint32 // of the indexes

	// Of a recording that came in parts.
	List   *PartList
	Listed []Part // those on the list, stored
	Relist bool   // the list takes the place of one that was restored before

	Refiled *Refiling // from where its blob says to where it is; nil if it is there
}

// Placed is where a version that has a row stands from now on.
type Placed struct {
	Version recording.Version
	State   VersionState // Committed or Replaced
	Current bool
}

// RestoreVersions writes rows of recordings that the store has, and says anew
// where others of their names stand, in one transaction. What was replaced has its
// slot buried. A version whose row says that it was committed, aborted or erased
// keeps that row, unless Relist says otherwise.
//
// It decides nothing: whoever calls it knows which version a name stands for, and
// that nothing else writes the catalog.
func (c *Catalog) RestoreVersions(ctx context.Context, all []Restored, others []Placed) error {
	return c.write(ctx, "RestoreVersions", func(ctx context.Context, tx *sql.Tx) error {
		for _, current := range []bool{false, true} { // a name is left before it is taken
			for _, s := range others {
				if s.Current != current {
					continue
				}
				if err := c.dialect.stand(ctx, tx, s); err != nil {
					return err
				}
			}
			for _, r := range all {
				if r.Current != current {
					continue
				}
				if err := c.dialect.restore(ctx, tx, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// stand moves a version that could be read.
func (d dialect) stand(ctx context.Context, tx *sql.Tx, s Placed) error {
	moved, err := change(ctx, tx, `UPDATE versions SET state = $1, is_current = $2
		WHERE version = $3 AND state IN ('committed', 'replaced')`, s.State, s.Current, s.Version[:])
	if err != nil || moved == 0 || s.State != Replaced {
		return err
	}
	return d.scrap(ctx, tx, `v.version = $1`, s.Version[:])
}

const (
	intoRestored = `INSERT INTO versions (version, tenant, bucket, recording, state, is_current, blob,
		slot_recording, slot_subject, slot_day, created_at, committed_at, name_index, dir_index,
		size, stored_size, class, wrapped_dek, sealed_facts, sealed_end, parts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
		ON CONFLICT (version) DO UPDATE SET state = excluded.state, is_current = excluded.is_current,
		bucket = excluded.bucket, slot_recording = excluded.slot_recording, slot_subject = excluded.slot_subject, slot_day = excluded.slot_day,
		committed_at = excluded.committed_at, name_index = excluded.name_index, dir_index = excluded.dir_index,
		size = excluded.size, stored_size = excluded.stored_size, class = excluded.class, wrapped_dek = excluded.wrapped_dek,
		sealed_facts = excluded.sealed_facts, sealed_end = excluded.sealed_end, parts = excluded.parts
		WHERE versions.tenant = excluded.tenant AND `
	overIntent = `versions.state = 'intent' AND versions.blob = excluded.blob`
	overList   = `versions.state IN ('committed', 'replaced') AND versions.parts > 0`
)

func (r Restored) args() []any {
	v := r.Version
	return []any{v.Version[:], v.Tenant[:], v.Bucket[:], v.Recording[:], v.State, v.Current, v.Blob,
		v.Slots.Recording, v.Slots.Subject, v.Slots.Day, v.CreatedAt.UnixMicro(), v.CommittedAt.UnixMicro(), v.Name[:], v.Directory[:],
		v.Size, v.StoredSize, v.Class, v.WrappedDEK, v.SealedFacts, v.SealedEnd, v.Parts}
}

func (d dialect) restore(ctx context.Context, tx *sql.Tx, r Restored) error {
	over := overIntent
	if r.Relist {
		over = overList
	}
	written, err := change(ctx, tx, intoRestored+over, r.args()...)
	if err != nil || written == 0 {
		return err
	}
	if err := insertDirectories(ctx, tx, r.Tenant, r.Bucket, r.Generation, r.Directories); err != nil {
		return err
	}
	v := r.Version.Version
	if err := insertTerms(ctx, tx, r.Tenant, v, r.Terms); err != nil {
		return err
	}
	if r.Subject != nil {
		_, err := tx.ExecContext(ctx, `INSERT INTO subjects (tenant, subject_index, slot, generation) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
			r.Tenant[:], r.Subject[:], r.Slots.Subject, r.Generation)
		if err != nil {
			return err
		}
	}
	if r.State == Replaced {
		if err := d.scrap(ctx, tx, `v.version = $1`, v[:]); err != nil {
			return err
		}
	}
	if r.Refiled != nil {
		if err := d.fileAs(ctx, tx, *r.Refiled); err != nil {
			return err
		}
	}
	return d.restoreParts(ctx, tx, r)
}

// fileAs notes that a version was filed anew: whatever erases it takes every slot it
// hung from. That where it was is a scrap.
func (d dialect) fileAs(ctx context.Context, tx *sql.Tx, r Refiling) error {
	for _, row := range []struct {
		at          Slots
		state, blob string
	}{{r.From, "former", ""}, {r.To, "current", r.Blob}} {
		_, err := tx.ExecContext(ctx, `INSERT INTO filings (tenant, version, slot_recording, slot_subject, slot_day, state, blob, since)
			VALUES ($1, $2, $3, $4, $5, $6, $7, `+d.now+`) ON CONFLICT DO NOTHING`,
			r.Tenant[:], r.Version[:], row.at.Recording, row.at.Subject, row.at.Day, row.state, row.blob)
		if err != nil {
			return err
		}
	}
	return d.dropFilings(ctx, tx, `f.version = $1 AND f.slot_recording <> $2`, r.Version[:], r.To.Recording)
}

// restoreParts makes a recording's parts those on its list: others are dropped.
func (d dialect) restoreParts(ctx context.Context, tx *sql.Tx, r Restored) error {
	if r.List == nil {
		return nil
	}
	v := r.Version.Version
	if err := d.dropOthers(ctx, tx, r); err != nil {
		return err
	}
	var rows [][]any
	for _, p := range r.Listed {
		rows = append(rows, []any{p.Blob, v[:], r.Tenant[:], p.Number, storedPart, p.StoredSize, p.CreatedAt.UnixMicro()})
	}
	for some := range slices.Chunk(rows, maxRows) {
		_, err := tx.ExecContext(ctx, `INSERT INTO parts (blob, version, tenant, number, state, stored_size, created_at)
			VALUES `+placeholders(len(some), len(some[0]))+`
			ON CONFLICT (blob) DO UPDATE SET state = 'stored', stored_size = excluded.stored_size, sealed = NULL
			WHERE parts.version = excluded.version`, slices.Concat(some...)...)
		if err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO part_lists (version, tenant, sealed) VALUES ($1, $2, $3)
		ON CONFLICT (version) DO UPDATE SET sealed = excluded.sealed`, v[:], r.Tenant[:], r.List.Sealed)
	if err != nil {
		return err
	}
	return endUpload(ctx, tx, v)
}

func (d dialect) dropOthers(ctx context.Context, tx *sql.Tx, r Restored) error {
	v := r.Version.Version
	known, err := all[Part](ctx, tx, `SELECT `+partColumns+` FROM parts v WHERE v.version = $1`, v[:])
	if err != nil {
		return err
	}
	listed := make(map[string]bool, len(r.Listed))
	for _, p := range r.Listed {
		listed[p.Blob] = true
	}
	for _, p := range known {
		if listed[p.Blob] {
			continue
		}
		if _, err := d.dropParts(ctx, tx, `blob = $1`, p.Blob); err != nil {
			return err
		}
	}
	return nil
}

// Lost is a blob in the store that is no recording's any more, or never became one.
type Lost struct {
	Intent              // of its version; as far as it is known, if that has no row
	State  VersionState // Erased or Aborted
	Part   bool         // it is one of several
	Key    string       // of the blob
}

// RestoreLost makes residues of blobs, so that a sweep deletes them, and rows of
// their versions where there are none. Those of an aborted version have their slot
// buried. A version that has a row keeps it.
func (c *Catalog) RestoreLost(ctx context.Context, lost []Lost) error {
	return c.write(ctx, "RestoreLost", func(ctx context.Context, tx *sql.Tx) error {
		for _, l := range lost {
			if err := c.dialect.lose(ctx, tx, l); err != nil {
				return err
			}
		}
		return nil
	})
}

func (d dialect) lose(ctx context.Context, tx *sql.Tx, l Lost) error {
	why := aboutErased
	switch {
	case l.State == Aborted && l.Part:
		why = aboutDropped
	case l.State == Aborted:
		why = aboutAborted
	}
	added, err := change(ctx, tx, `INSERT INTO versions (version, tenant, bucket, recording, state, is_current, blob,
		slot_recording, slot_subject, slot_day, created_at) VALUES ($1, $2, $3, $4, $5, FALSE, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		l.Version[:], l.Tenant[:], l.Bucket[:], l.Recording[:], l.State, l.Blob,
		l.Slots.Recording, l.Slots.Subject, l.Slots.Day, l.CreatedAt.UnixMicro())
	if err != nil {
		return err
	}
	if added == 1 && l.State == Aborted {
		if err := d.scrap(ctx, tx, `v.version = $1`, l.Version[:]); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, intoResidues+`VALUES ($1, $2, $3, $4, TRUE, `+d.now+`, `+d.now+`, 0, FALSE) ON CONFLICT DO NOTHING`,
		l.Key, l.Tenant[:], l.Version[:], why)
	return err
}

// VersionsOf gives those of some versions that have a row, in any state, as they
// were written.
func (c *Catalog) VersionsOf(ctx context.Context, tenant recording.Tenant, versions []recording.Version) (out []Version, err error) {
	for some := range slices.Chunk(versions, maxRows) {
		args := []any{tenant[:]}
		for i := range some {
			args = append(args, some[i][:])
		}
		rows, err := all[Version](ctx, c.read("VersionsOf"), `SELECT `+versionColumns+` FROM versions v
			WHERE v.tenant = $1 AND v.version IN `+list(2, len(some)), args...)
		if err != nil {
			return nil, explain(ctx, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

// Namesakes gives the versions that have or had some names and could be read.
func (c *Catalog) Namesakes(ctx context.Context, tenant recording.Tenant, names []Index) (out []Version, err error) {
	for some := range slices.Chunk(names, maxRows) {
		var args []any
		for i := range some {
			args = append(args, some[i][:])
		}
		in := ` FROM versions v WHERE v.name_index IN ` + list(1, len(some)) + ` AND v.tenant = $` // twice: each has its index
		for _, of := range []string{isCurrent, `v.name_index IS NOT NULL AND NOT v.is_current AND v.state IN ('committed', 'replaced')`} {
			rows, err := all[Version](ctx, c.read("Namesakes"), `SELECT `+versionColumns+in+number(len(some)+1)+` AND `+of, append(slices.Clone(args), tenant[:])...)
			if err != nil {
				return nil, explain(ctx, err)
			}
			out = append(out, rows...)
		}
	}
	return out, nil
}

// Tombstones gives those of some slots that have a tombstone.
func (c *Catalog) Tombstones(ctx context.Context, tenant recording.Tenant, slots []Slot) (out []Slot, err error) {
	for _, tree := range []int64{TreeRecordings, TreeSubjects, TreeDays} {
		var args []any
		for _, s := range slots {
			if s.Tree == tree {
				args = append(args, s.Number)
			}
		}
		for some := range slices.Chunk(args, maxRows) {
			rows, err := all[Slot](ctx, c.read("Tombstones"), `SELECT p.tree, p.slot FROM punctures p WHERE p.slot IN `+list(1, len(some))+`
				AND p.tree = $`+number(len(some)+1)+` AND p.tenant = $`+number(len(some)+2), append(slices.Clone(some), tree, tenant[:])...)
			if err != nil {
				return nil, explain(ctx, err)
			}
			out = append(out, rows...)
		}
	}
	return out, nil
}

// Punctured reports whether an epoch is said to have punctured any of a version's
// slots.
func (c *Catalog) Punctured(ctx context.Context, tenant recording.Tenant, s Slots) (bool, error) {
	is, err := get[yes](ctx, c.read("Punctured"), recording.ErrNotFound, `SELECT EXISTS (SELECT 1 FROM punctures p WHERE p.tenant = $1 AND p.epoch IS NOT NULL AND
		(p.tree = 1 AND p.slot = $2 OR p.tree = 2 AND p.slot = $3 OR p.tree = 3 AND p.slot = $4))`, tenant[:], s.Recording, s.Subject, s.Day)
	return is.bool, explain(ctx, err)
}
