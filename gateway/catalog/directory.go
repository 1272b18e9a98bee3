package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lethe-vault/lethe/recording"
)

// Directory is a directory in use, by the blind indexes of bucket and path. A
// bucket's root is a directory like others, whose parent is the zero Index.
type Directory struct{ Index, Parent Index }

func insertDirectories(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, bucket recording.BucketID, dirs []Directory) error {
	var rows [][]any
	for _, d := range dirs {
		rows = append(rows, []any{tenant[:], d.Index[:], d.Parent[:], bucket[:]})
	}
	return insert(ctx, tx, `directories (tenant, dir_index, parent_index, bucket)`, rows)
}

const selectDirectory = `SELECT ` + versionColumns + ` FROM versions v
	WHERE v.tenant = $1 AND v.dir_index = $2 AND ` + isCurrent

// Directory gives the current versions directly in a directory, in no order:
// theirs is that of their names, which are sealed. They are of one moment.
func (c *Catalog) Directory(ctx context.Context, tenant recording.Tenant, dir Index) ([]Version, error) {
	v, err := all[Version](ctx, c.reader, selectDirectory, tenant[:], dir[:])
	return v, explain(ctx, err)
}

// AnyIn gives one of the current versions directly in a directory, nil if
// there is none.
func (c *Catalog) AnyIn(ctx context.Context, tenant recording.Tenant, dir Index) (*Version, error) {
	v, err := get[Version](ctx, c.reader, recording.ErrNotFound, selectDirectory+` LIMIT 1`, tenant[:], dir[:])
	if errors.Is(err, recording.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(ctx, err)
	}
	return &v, nil
}

func (i *Index) columns() []any { return []any{fixed(i[:])} }

// Subdirectories gives the directories directly in a directory, in no order.
// One that is in use no more may be among them.
func (c *Catalog) Subdirectories(ctx context.Context, tenant recording.Tenant, parent Index) ([]Index, error) {
	i, err := all[Index](ctx, c.reader,
		`SELECT dir_index FROM directories WHERE tenant = $1 AND parent_index = $2`, tenant[:], parent[:])
	return i, explain(ctx, err)
}
