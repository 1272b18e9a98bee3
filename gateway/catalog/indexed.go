package catalog

import (
	"context"
	"database/sql"

	"github.com/lethe-vault/lethe/recording"
)

// Indexed is a blind index of something that is to be written, in the stage in which
// its writer saw the tenant.
type Indexed struct {
	Index
	Older Index // by the generation that rows leave; zero if there is nothing to find by it
	Stage Stage
}

// all are the indexes under which rows may be found, in a transaction in which the
// tenant is in that stage.
func (i Indexed) all() []Index {
	if i.Older != (Index{}) {
		return []Index{i.Older, i.Index}
	}
	return []Index{i.Index}
}

// still reports ErrStage unless a tenant is in the stage that a writer knew. Whatever
// writes an index asks in its transaction: so nothing comes under a generation that
// rows have begun to leave.
func (s Stage) still(ctx context.Context, tx *sql.Tx, tenant recording.Tenant) error {
	other, err := get[yes](ctx, tx, recording.ErrNoTenant, `SELECT EXISTS (SELECT 1 FROM tenants t WHERE t.id = $1 AND t.index_stage <> $2)`, tenant[:], s)
	if err == nil && other.bool {
		err = ErrStage
	}
	return err
}

// Each of the partial indexes of names serves its own.
var named = []string{isCurrent, `v.name_index IS NOT NULL AND NOT v.is_current`}

// adoptName brings all versions of a name from the generation that rows leave to the
// one that is written, since uniqueness and erasure go by one index. What lies below
// a tombstone stays where nothing finds it.
func adoptName(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, older, name, directory Index) error {
	for _, which := range named {
		if _, err := tx.ExecContext(ctx, updateName(which), name[:], directory[:], older[:], tenant[:]); err != nil {
			return err
		}
	}
	return nil
}

func updateName(which string) string {
	return `UPDATE versions AS v SET name_index = $1, dir_index = $2 WHERE v.name_index = $3 AND v.tenant = $4 AND ` + which + ` AND ` + notBuried
}
