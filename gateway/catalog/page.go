package catalog

import (
	"context"
	"database/sql"
	"slices"

	"github.com/lethe-vault/lethe/recording"
)

// Page is a copy of a page of a tenant's key trees. Pages are sealed and never
// change, so a copy is right or opens not.
type Page struct {
	Tenant recording.Tenant
	Tree   int64
	Node   int64 // level << 40 | index
	Epoch  int64 // that wrote it
	Sealed []byte
}

func (p *Page) columns() []any {
	return []any{fixed(p.Tenant[:]), &p.Tree, &p.Node, &p.Epoch, &p.Sealed}
}

// PutPages keeps copies of pages, in the place of what was kept of the same
// nodes and epochs.
func (c *Catalog) PutPages(ctx context.Context, pages []Page) error {
	return c.write(ctx, "PutPages", func(ctx context.Context, tx *sql.Tx) error {
		for some := range slices.Chunk(pages, c.dialect.pages) {
			var args []any
			for i := range some {
				p := &some[i]
				args = append(args, p.Tenant[:], p.Tree, p.Node, p.Epoch, p.Sealed)
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO pages (tenant, tree, node, epoch, sealed)
				VALUES `+placeholders(len(some), 5)+`
				ON CONFLICT (tenant, tree, node, epoch) DO UPDATE SET sealed = excluded.sealed`, args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

const selectPages = `SELECT g.tenant, g.tree, g.node, g.epoch, g.sealed FROM pages g
	WHERE g.tenant = $1 AND g.tree = $2 AND g.node IN `

// Pages gives the copies there are of nodes of a tree, of every epoch, in no
// order.
func (c *Catalog) Pages(ctx context.Context, tenant recording.Tenant, tree int64, nodes []int64) ([]Page, error) {
	var out []Page
	for some := range slices.Chunk(nodes, maxRows) {
		args := []any{tenant[:], tree}
		for _, n := range some {
			args = append(args, n)
		}
		rows, err := all[Page](ctx, c.read("Pages"), selectPages+list(3, len(some)), args...)
		if err != nil {
			return nil, explain(ctx, err)
		}
		out = append(out, rows...)
	}
	return out, nil
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
