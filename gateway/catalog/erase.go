package catalog

import (
	"context"
	"database/sql"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// An Erasure says what is to be erased of a recording.
type Erasure struct {
	Tenant    recording.Tenant
	Recording recording.ID
	Version   recording.Version // the one to erase; zero erases all there are
}

// Erase makes versions of a recording unreadable, with the events that explain
// it, in one transaction: from its commit on no query finds them. Their rows
// keep slots and blob key, by which their keys can be forgotten later, and lose
// everything that opens the recording, finds it or tells of it. If the
// current version goes, the newest that is left takes its place; with the last
// that could be opened go those that were replaced.
//
// It gives the versions whose blobs may be deleted now, as they were; their
// blobs and parts are residues. What is erased already, or never was,
// is success, and its events are written too. ErrNoTenant, ErrTenantRevoked,
// ErrTenantErased: nothing may be erased.
func (c *Catalog) Erase(ctx context.Context, e Erasure, events []audit.Record) (gone []Version, err error) {
	err = c.write(ctx, "Erase", func(ctx context.Context, tx *sql.Tx) error {
		all, err := all[Version](ctx, tx, selectStored+c.dialect.forUpdate, e.Tenant[:], e.Recording[:])
		if err != nil {
			return err
		}
		t, err := get[Tenant](ctx, tx, recording.ErrNoTenant, selectTenant, e.Tenant[:])
		if err != nil {
			return err
		}
		if err := t.State.Err(); err != nil {
			return err
		}
		var left []Version
		gone, left = e.divide(all)
		for _, v := range gone {
			if err := v.erase(ctx, tx, c.dialect); err != nil {
				return err
			}
		}
		if err := promote(ctx, tx, left); err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
	return gone, err
}

// selectStored finds the versions of a recording, and those of others that have
// or had its name, whose place an upload in parts took.
const selectStored = `SELECT ` + versionColumns + ` FROM versions v
	WHERE v.tenant = $1 AND v.state IN ('committed', 'replaced') AND v.version IN (
		SELECT c.version FROM versions c WHERE c.recording = $2
		UNION ALL SELECT o.version FROM versions c JOIN versions o ON o.name_index = c.name_index AND o.tenant = c.tenant
			AND o.name_index IS NOT NULL AND NOT o.is_current WHERE c.recording = $2
		UNION ALL SELECT o.version FROM versions c JOIN versions o ON o.name_index = c.name_index AND o.tenant = c.tenant
			AND o.state = 'committed' AND o.is_current WHERE c.recording = $2)
	ORDER BY v.committed_at DESC, v.version DESC`

// divide tells what goes from what is left, both newest first.
func (e Erasure) divide(all []Version) (gone, left []Version) {
	readable := false
	for _, v := range all {
		if e.takes(v) {
			gone = append(gone, v)
			continue
		}
		left = append(left, v)
		readable = readable || v.State == Committed
	}
	if !readable && len(gone) > 0 {
		return all, nil
	}
	return gone, left
}

// takes reports whether v is one of those to erase. What stands under the name
// and is of another recording was put after the erasure was asked for.
func (e Erasure) takes(v Version) bool {
	if e.Version != (recording.Version{}) {
		return v.Version == e.Version
	}
	return v.Recording == e.Recording || !v.Current
}

func (v Version) erase(ctx context.Context, tx *sql.Tx, d dialect) error {
	if err := d.leaveBlob(ctx, tx, v.Version, aboutErased); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE versions SET state = 'erased', is_current = FALSE,
		name_index = NULL, dir_index = NULL, wrapped_dek = NULL, sealed_facts = NULL, sealed_end = NULL
		WHERE version = $1`, v.Version[:])
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM terms WHERE version = $1`, v.Version[:])
	if err != nil || v.Parts == 0 {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM part_lists WHERE version = $1`, v.Version[:])
	if err != nil {
		return err
	}
	return d.dropUpload(ctx, tx, v.Version)
}

// promote makes the newest of what is left current, unless one is.
func promote(ctx context.Context, tx *sql.Tx, left []Version) error {
	var next *Version
	for i, v := range left {
		if v.Current {
			return nil
		}
		if next == nil && v.State == Committed {
			next = &left[i]
		}
	}
	if next == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE versions SET is_current = TRUE WHERE version = $1`, next.Version[:])
	return err
}

const selectFoundVersion = selectFoundColumns + `
	LEFT JOIN versions v ON v.tenant = b.tenant AND v.bucket = b.bucket AND v.name_index = $1 AND v.version = $2
		AND v.state IN ('committed', 'replaced')
	WHERE b.tenant = $3 AND b.bucket_index = $4 AND NOT b.closing`

// FindVersion looks up one version of a name in one query, current or not. A
// replaced one is found too: its State says so. ErrNoBucket: there is no such
// bucket.
func (c *Catalog) FindVersion(ctx context.Context, tenant recording.Tenant, bucket, name Index, version recording.Version) (Found, error) {
	return c.found(ctx, "FindVersion", selectFoundVersion, name[:], version[:], tenant[:], bucket[:])
}
