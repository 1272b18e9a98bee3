package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// FindErasure finds an erasure of whichever tenant. ErrNoErasure: there is none.
func (c *Catalog) FindErasure(ctx context.Context, id recording.ErasureID) (ErasureRow, error) {
	e, err := get[ErasureRow](ctx, c.read("FindErasure"), recording.ErrNoErasure, `SELECT `+erasureColumns+` FROM erasures e WHERE e.id = $1`, id[:])
	return e, explain(ctx, err)
}

type ageRow struct{ age int64 }

func (r *ageRow) columns() []any { return []any{orZero(&r.age)} }

// OldestErasure is how long ago the oldest erasure was asked for, by the database's
// clock, whose keys are not destroyed yet; 0 if there is none.
func (c *Catalog) OldestErasure(ctx context.Context) (time.Duration, error) {
	r, err := get[ageRow](ctx, c.read("OldestErasure"), recording.ErrNoErasure, `SELECT `+c.dialect.now+` - min(e.asked_at) FROM erasures e
		JOIN tenants t ON t.id = e.tenant WHERE e.state <> 'certified' AND e.state <> 'effective' AND t.state IN ('active', 'revoked')`)
	return max(time.Duration(r.age)*time.Microsecond, 0), explain(ctx, err)
}

// EpochsOf gives the epochs that punctured an erasure's slots, in their order.
func (c *Catalog) EpochsOf(ctx context.Context, tenant recording.Tenant, id recording.ErasureID) ([]EpochRow, error) {
	e, err := all[EpochRow](ctx, c.read("EpochsOf"), selectEpochs+` AND o.epoch IN (
		SELECT p.epoch FROM punctures p WHERE p.erasure = $2) ORDER BY o.epoch`, tenant[:], id[:])
	return e, explain(ctx, err)
}

// DropOlderPages removes what is kept of the same nodes from earlier epochs.
func (c *Catalog) DropOlderPages(ctx context.Context, pages []Page) error {
	return c.write(ctx, "DropOlderPages", func(ctx context.Context, tx *sql.Tx) error {
		for rest := pages; len(rest) > 0; {
			first, nodes := rest[0], []any{}
			for len(rest) > 0 && len(nodes) < maxRows && rest[0].besides(first) {
				nodes, rest = append(nodes, rest[0].Node), rest[1:]
			}
			_, err := tx.ExecContext(ctx, deleteOlderPages+list(4, len(nodes)),
				append([]any{first.Tenant[:], first.Tree, first.Epoch}, nodes...)...)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

const deleteOlderPages = `DELETE FROM pages WHERE tenant = $1 AND tree = $2 AND epoch < $3 AND node IN `

// besides reports whether one epoch wrote both pages in one tree.
func (p Page) besides(o Page) bool {
	return p.Tenant == o.Tenant && p.Tree == o.Tree && p.Epoch == o.Epoch
}
