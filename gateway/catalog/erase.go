package catalog

import (
	"context"
	"database/sql"
	"slices"

	"github.com/lethe-vault/lethe/recording"
)

// activeTenant is the tenant, if anything may be erased of it by a caller who knows all
// of the store on a timeline: see still.
func (d dialect) activeTenant(ctx context.Context, tx *sql.Tx, id recording.Tenant, known Timeline) (Tenant, error) {
	t, err := get[tenantOn](ctx, tx, recording.ErrNoTenant, `SELECT `+tenantColumns+`, `+d.timelineNow()+` FROM tenants t WHERE t.id = $1`, id[:])
	if err == nil {
		err = t.State.Err()
	}
	if err == nil && known != "" && t.on != known {
		err = ErrTimeline
	}
	return t.Tenant, err
}

// tenantOn is a tenant, and the timeline that the catalog is on.
type tenantOn struct {
	Tenant
	on Timeline
}

func (t *tenantOn) columns() []any { return append(t.Tenant.columns(), &t.on) }

// stored is a version of what an erasure may take.
type stored struct {
	seen
	held  bool // a hold bears on it
	filed bool // it has filings
}

func (s *stored) columns() []any { return append(s.seen.columns(), &s.held, &s.filed) }

// stored gives the versions that an erasure of a recording may take or must
// know of, newest first, and keeps others from changing them.
func (d dialect) stored(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, id recording.ID) ([]stored, error) {
	return all[stored](ctx, tx, selectStored+d.forUpdate, tenant[:], id[:])
}

// take erases those of a recording's versions that it is told to, and what goes
// with them, which it gives, and makes the newest that is left current.
func (d dialect) take(ctx context.Context, tx *sql.Tx, from []stored, takes func(Version) bool) (gone []stored, err error) {
	gone, left := divide(from, takes)
	var versions, filed []Version
	for _, s := range gone {
		versions = append(versions, s.Version)
		if s.filed {
			filed = append(filed, s.Version)
		}
	}
	if err := d.eraseBoth(ctx, tx, versions, filed); err != nil {
		return nil, err
	}
	return gone, promote(ctx, tx, left)
}

// selectStored finds the versions of a recording, and those of others that have
// or had its name, whose place an upload in parts took.
var selectStored = `SELECT ` + versionColumns + `, ` + isBuried + `, ` + isHeld + `,
	EXISTS (SELECT 1 FROM filings f WHERE f.version = v.version) FROM versions v
	WHERE v.tenant = $1 AND v.state IN ('committed', 'replaced') AND v.version IN (
		SELECT c.version FROM versions c WHERE c.recording = $2
		UNION ALL SELECT o.version FROM versions c JOIN versions o ON o.name_index = c.name_index AND o.tenant = c.tenant
			AND o.name_index IS NOT NULL AND NOT o.is_current WHERE c.recording = $2
		UNION ALL SELECT o.version FROM versions c JOIN versions o ON o.name_index = c.name_index AND o.tenant = c.tenant
			AND o.state = 'committed' AND o.is_current WHERE c.recording = $2)
	ORDER BY v.committed_at DESC, v.version DESC`

// divide tells what goes from what is left, both newest first.
func divide(from []stored, takes func(Version) bool) (gone, left []stored) {
	readable := false
	for _, s := range from {
		if s.buried || takes(s.Version) {
			gone = append(gone, s)
			continue
		}
		left = append(left, s)
		readable = readable || s.State == Committed
	}
	if !readable && len(gone) > 0 {
		return from, nil
	}
	return gone, left
}

// takes reports whether v is one of those to erase. What stands under the name
// and is of another recording was put after the erasure was asked for.
func (n NewErasure) takes(v Version) bool {
	if n.Version != (recording.Version{}) {
		return v.Version == n.Version
	}
	return v.Recording == n.Recording || !v.Current
}

// erase flips versions to erased: their blobs and parts become residues, and
// nothing finds them any more.
func (d dialect) erase(ctx context.Context, tx *sql.Tx, versions []Version) error {
	return d.eraseBoth(ctx, tx, versions, versions)
}

// eraseBoth is erase of versions of which it is known which have filings.
func (d dialect) eraseBoth(ctx context.Context, tx *sql.Tx, versions, filed []Version) error {
	for some := range slices.Chunk(versions, maxRows) {
		if err := d.eraseSome(ctx, tx, some); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(filed, maxRows) {
		in, args := versionList(some)
		if err := d.endFilings(ctx, tx, in, args...); err != nil {
			return err
		}
	}
	return nil
}

func (d dialect) eraseSome(ctx context.Context, tx *sql.Tx, versions []Version) error {
	in, args := versionList(versions)
	statements := []string{
		intoResidues + `SELECT blob, tenant, version, '` + string(aboutErased) + `', TRUE, ` + d.now + `, ` + d.now + `, 0, FALSE
			FROM versions WHERE blob <> '' AND version IN ` + in + ` ON CONFLICT DO NOTHING`,
		`UPDATE versions SET state = 'erased', is_current = FALSE,
			name_index = NULL, dir_index = NULL, wrapped_dek = NULL, sealed_facts = NULL, sealed_end = NULL WHERE version IN ` + in,
		`DELETE FROM terms WHERE version IN ` + in,
	}
	inParts := slices.ContainsFunc(versions, func(v Version) bool { return v.Parts > 0 })
	if inParts {
		statements = append(statements, `DELETE FROM part_lists WHERE version IN `+in, `DELETE FROM uploads WHERE version IN `+in)
	}
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s, args...); err != nil {
			return err
		}
	}
	if !inParts {
		return nil
	}
	_, err := d.dropParts(ctx, tx, `state = 'stored' AND version IN `+in, args...)
	return err
}

// versionList gives "($1, $2)" and what it stands for.
func versionList(versions []Version) (in string, args []any) {
	for i := range versions {
		args = append(args, versions[i].Version[:])
	}
	return list(1, len(versions)), args
}

// promote makes the newest of what is left current, unless one is.
func promote(ctx context.Context, tx *sql.Tx, left []stored) error {
	var next *stored
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
	_, err := tx.ExecContext(ctx, `UPDATE versions SET is_current = TRUE WHERE version = $1`, next.Version.Version[:])
	return err
}

var selectFoundVersion = selectFoundColumns + `
	LEFT JOIN versions v ON v.tenant = b.tenant AND v.bucket = b.bucket AND v.name_index = $1 AND v.version = $2
		AND v.state IN ('committed', 'replaced') AND ` + notBuried + `
	WHERE b.tenant = $3 AND b.bucket_index = $4 AND NOT b.closing`

// FindVersion looks up one version of a name in one query, current or not. A
// replaced one is found too: its State says so. ErrNoBucket: there is no such
// bucket.
func (c *Catalog) FindVersion(ctx context.Context, tenant recording.Tenant, bucket, name Index, version recording.Version) (Found, error) {
	return c.found(ctx, "FindVersion", selectFoundVersion, name[:], version[:], tenant[:], bucket[:])
}
