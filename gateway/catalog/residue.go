package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Residue is a blob that counts no more and is to be deleted. It is noted in the
// transaction after which the blob counts no more, and forgotten once the blob
// is gone; so whatever the store holds, a row knows of it.
type Residue struct {
	Blob    string
	Tenant  recording.Tenant
	Version recording.Version // that it was begun for
	Why     About
	Certain bool  // the store had said that it is there, so once deleted it stays so
	Tries   int64 // that failed, since the last that did not
	Locked  bool  // at the last try a lock of the store held it
	Late    bool  // it was noted so long ago that it cannot appear any more

	due int64 // what a claim compares
}

// About says why a blob counts no more.
type About string

// The reasons for a residue.
const (
	aboutAborted About = "aborted" // its intent
	aboutErased  About = "erased"  // its version
	aboutDropped About = "dropped" // an attempt at a part
	aboutRefiled About = "refiled" // a filing of its version
)

const (
	residueColumns = `v.blob, v.tenant, v.version, v.why, v.certain, v.tries, v.locked, v.due`
	selectResidue  = `SELECT ` + residueColumns + `, FALSE FROM residues v WHERE v.tenant = $1 AND v.blob = $2`
	selectResidues = `SELECT ` + residueColumns + `, FALSE FROM residues v WHERE v.tenant = $1 AND v.version = $2 ORDER BY v.blob`
	intoResidues   = `INSERT INTO residues (blob, tenant, version, why, certain, since, due, tries, locked) `
)

func (r *Residue) columns() []any {
	return []any{
		&r.Blob, fixed(r.Tenant[:]), fixed(r.Version[:]), &r.Why, &r.Certain, &r.Tries, &r.Locked, &r.due, &r.Late,
	}
}

// leaveBlob makes a residue of a whole version's blob.
func (d dialect) leaveBlob(ctx context.Context, tx *sql.Tx, version recording.Version, why About) error {
	_, err := tx.ExecContext(ctx, intoResidues+`SELECT blob, tenant, version, CAST($1 AS TEXT), state <> 'aborted', `+d.now+`, `+d.now+`, 0, FALSE
		FROM versions WHERE version = $2 AND blob <> '' ON CONFLICT DO NOTHING`, why, version[:])
	return err
}

// dropParts makes residues of the attempts that a condition on parts selects,
// and reports how many.
func (d dialect) dropParts(ctx context.Context, tx *sql.Tx, where string, args ...any) (int64, error) {
	_, err := tx.ExecContext(ctx, intoResidues+`SELECT blob, tenant, version, '`+string(aboutDropped)+`', stored_size > 0, `+d.now+`, `+d.now+`, 0, FALSE
		FROM parts WHERE `+where+` ON CONFLICT DO NOTHING`, args...)
	if err != nil {
		return 0, err
	}
	return change(ctx, tx, `DELETE FROM parts WHERE `+where, args...)
}

// endAborted makes residues of all that an intent, aborted in tx, has stored, and
// a scrap of its slot, and has nothing find it.
func (d dialect) endAborted(ctx context.Context, tx *sql.Tx, version recording.Version) error {
	if err := dropTerms(ctx, tx, version); err != nil {
		return err
	}
	if err := d.scrap(ctx, tx, `v.version = $1`, version[:]); err != nil {
		return err
	}
	if err := d.leaveBlob(ctx, tx, version, aboutAborted); err != nil {
		return err
	}
	return d.dropUpload(ctx, tx, version)
}

// Leave notes once more the blob of an attempt at a part that was swept, and
// perhaps forgotten, before its writer was done.
func (c *Catalog) Leave(ctx context.Context, p Part) error {
	return c.write(ctx, "Leave", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, intoResidues+`VALUES ($1, $2, $3, $4, FALSE, `+c.dialect.now+`, `+c.dialect.now+`, 0, FALSE)
			ON CONFLICT DO NOTHING`, p.Blob, p.Tenant[:], p.Version[:], aboutDropped)
		return err
	})
}

// Residues gives those of one version.
func (c *Catalog) Residues(ctx context.Context, tenant recording.Tenant, version recording.Version) ([]Residue, error) {
	r, err := all[Residue](ctx, c.read("Residues"), selectResidues, tenant[:], version[:])
	return r, explain(ctx, err)
}

// DueResidues gives residues of all tenants whose turn it is, at most limit of
// them. Those noted before late ago are Late.
func (c *Catalog) DueResidues(ctx context.Context, late time.Duration, limit int) ([]Residue, error) {
	r, err := all[Residue](ctx, c.read("DueResidues"), `SELECT `+residueColumns+`, v.since < `+c.dialect.now+` - $1
		FROM residues v WHERE v.due <= `+c.dialect.now+` ORDER BY v.due LIMIT $2`, late.Microseconds(), limit)
	return r, explain(ctx, err)
}

// mayGo reports whether what is known of a residue's blob says that it may be
// deleted.
type mayGo struct{ bool }

func (m *mayGo) columns() []any { return []any{&m.bool} }

// selectMayGo: the version is known, and is not one that has the blob, nor is that
// where it is filed; no attempt has it. A row that is missing says nothing.
const selectMayGo = `SELECT (v.state IN ('aborted', 'erased') OR v.blob <> $1
		AND NOT EXISTS (SELECT 1 FROM filings f WHERE f.version = v.version AND f.blob = $1 AND f.state IN ('intended', 'current')))
	AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.blob = $2) FROM versions v WHERE v.tenant = $3 AND v.version = $4`

// ClaimResidues takes those that nobody has claimed since they were read: for
// the time of a hold nobody else is given them, so that whoever is killed loses
// nothing. Those whose blob may not go, whatever its residue says, are
// contradicted, and claimed too.
func (c *Catalog) ClaimResidues(ctx context.Context, due []Residue, hold time.Duration) (claimed, contradicted []Residue, err error) {
	err = c.write(ctx, "ClaimResidues", func(ctx context.Context, tx *sql.Tx) error {
		claimed, contradicted = nil, nil
		for _, r := range due {
			n, err := change(ctx, tx, `UPDATE residues SET tries = tries + 1, due = `+c.dialect.now+` + $1
				WHERE blob = $2 AND due = $3`, hold.Microseconds(), r.Blob, r.due)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			r.Tries++
			may, err := get[mayGo](ctx, tx, recording.ErrNotFound, selectMayGo, r.Blob, r.Blob, r.Tenant[:], r.Version[:])
			switch {
			case err == nil && may.bool:
				claimed = append(claimed, r)
			case err == nil || errors.Is(err, recording.ErrNotFound):
				contradicted = append(contradicted, r)
			default:
				return err
			}
		}
		return nil
	})
	return claimed, contradicted, err
}

// Forget removes residues whose blobs are gone and cannot appear any more, with
// the events that tell of it. Those that are forgotten already are success.
func (c *Catalog) Forget(ctx context.Context, gone []Residue, events []audit.Record) error {
	return c.write(ctx, "Forget", func(ctx context.Context, tx *sql.Tx) error {
		for _, r := range gone {
			if _, err := tx.ExecContext(ctx, `DELETE FROM residues WHERE tenant = $1 AND blob = $2`, r.Tenant[:], r.Blob); err != nil {
				return err
			}
		}
		return insertEvents(ctx, tx, events)
	})
}

// Postponed is a residue that must be tried again.
type Postponed struct {
	Residue
	For    time.Duration // before it is due again
	Failed bool          // its blob may still be there
}

// Postpone settles when residues are due again.
func (c *Catalog) Postpone(ctx context.Context, later []Postponed) error {
	return c.write(ctx, "Postpone", func(ctx context.Context, tx *sql.Tx) error {
		for _, p := range later {
			_, err := tx.ExecContext(ctx, `UPDATE residues SET due = `+c.dialect.now+` + $1, locked = $2,
				tries = CASE WHEN $3 THEN tries ELSE 0 END WHERE tenant = $4 AND blob = $5`,
				p.For.Microseconds(), p.Locked, p.Failed, p.Tenant[:], p.Blob)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
