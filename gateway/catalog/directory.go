package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/recording"
)

// Directory is a directory in use, by the blind indexes of bucket and path. A
// bucket's root is a directory like others, whose parent is the zero Index.
type Directory struct{ Index, Parent Index }

func insertDirectories(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, bucket recording.BucketID, generation uint32, dirs []Directory) error {
	var rows [][]any
	for _, d := range dirs {
		rows = append(rows, []any{tenant[:], d.Index[:], d.Parent[:], bucket[:], generation})
	}
	return insert(ctx, tx, intoDirectories, rows)
}

const intoDirectories = `directories (tenant, dir_index, parent_index, bucket, generation)`

var selectDirectory = `SELECT ` + versionColumns + ` FROM versions v
	WHERE v.tenant = $1 AND v.dir_index = $2 AND ` + isCurrent + ` AND ` + notBuried

// selectVersionsIn gathers a tenant's tombstones once, since it may go through a
// hundred thousand versions. It is completed by the directory's index.
var selectVersionsIn = `SELECT v.version FROM versions v
	WHERE v.tenant = $1 AND v.dir_index $DIR AND ` + isCurrent + `
	AND v.slot_subject NOT IN ` + unsettledOf("$1", TreeSubjects) + `
	AND v.slot_day NOT IN ` + unsettledOf("$1", TreeDays) + `
	AND v.slot_recording NOT IN ` + unsettledOf("$1", TreeRecordings)

// VersionsIn names the current versions directly in a directory, of one moment.
// It reads no row to find them, only an index, and names neighbours in the table
// one after the other where it can: their names, which are sealed, have another
// order. While rows move the directory has two indexes.
func (c *Catalog) VersionsIn(ctx context.Context, tenant recording.Tenant, dir ...Index) ([]recording.Version, error) {
	is, args := `= $2`, []any{tenant[:]}
	if len(dir) > 1 {
		is = `IN ` + list(2, len(dir))
	}
	for i := range dir {
		args = append(args, dir[i][:])
	}
	rows, err := all[versionRow](ctx, c.read("VersionsIn"), strings.ReplaceAll(selectVersionsIn, `$DIR`, is), args...)
	ids := make([]recording.Version, len(rows))
	for i, r := range rows {
		ids[i] = r.version
	}
	return ids, explain(ctx, err)
}

type versionRow struct{ version recording.Version }

func (r *versionRow) columns() []any { return []any{fixed(r.version[:])} }

// selectVersions ends in the versions' placeholders.
var selectVersions = `SELECT ` + versionColumns + ` FROM versions v
	WHERE v.tenant = $1 AND v.state IN ('committed', 'replaced') AND ` + notBuried + ` AND v.version IN `

// Versions gives those of the versions asked for that exist, or existed until
// another took their name, in no order.
func (c *Catalog) Versions(ctx context.Context, tenant recording.Tenant, ids []recording.Version) ([]Version, error) {
	var out []Version
	for some := range slices.Chunk(ids, maxRows) {
		args := []any{tenant[:]}
		for i := range some {
			args = append(args, some[i][:])
		}
		rows, err := all[Version](ctx, c.read("Versions"), selectVersions+list(2, len(some)), args...)
		if err != nil {
			return nil, explain(ctx, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

// AnyIn gives one of the current versions directly in a directory, nil if
// there is none.
func (c *Catalog) AnyIn(ctx context.Context, tenant recording.Tenant, dir Index) (*Version, error) {
	v, err := get[Version](ctx, c.read("AnyIn"), recording.ErrNotFound, selectDirectory+` LIMIT 1`, tenant[:], dir[:])
	if errors.Is(err, recording.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(ctx, err)
	}
	return &v, nil
}

func (i *Index) columns() []any { return []any{fixed(i[:])} }

// Subdirectory is a directory directly in another. Filled says that current
// versions lie directly in it; others may lie deeper.
type Subdirectory struct {
	Index  Index
	Filled bool
}

func (s *Subdirectory) columns() []any { return []any{fixed(s.Index[:]), orZero(&s.Filled)} }

var selectInside = `SELECT d.dir_index, EXISTS (SELECT 1 FROM versions v
	WHERE v.tenant = d.tenant AND v.dir_index = d.dir_index AND ` + isCurrent + ` AND ` + notBuried + `)
	FROM directories d WHERE d.tenant = $1 AND d.parent_index = $2`

// Inside gives the directories directly in a directory, and which of them
// hold recordings, in no order.
func (c *Catalog) Inside(ctx context.Context, tenant recording.Tenant, parent Index) ([]Subdirectory, error) {
	s, err := all[Subdirectory](ctx, c.read("Inside"), selectInside, tenant[:], parent[:])
	return s, explain(ctx, err)
}

// Subdirectories gives the directories directly in a directory, in no order.
// One that is in use no more may be among them.
func (c *Catalog) Subdirectories(ctx context.Context, tenant recording.Tenant, parent Index) ([]Index, error) {
	i, err := all[Index](ctx, c.read("Subdirectories"),
		`SELECT dir_index FROM directories WHERE tenant = $1 AND parent_index = $2`, tenant[:], parent[:])
	return i, explain(ctx, err)
}
