package catalog

import (
	"context"
	"strings"

	"github.com/lethe-vault/lethe/recording"
)

// blobsPage is how many blobs one query names.
const blobsPage = 5000

// blobRow is a blob, and the key of its row.
type blobRow struct{ key, blob string }

func (r *blobRow) columns() []any { return []any{&r.key, &r.blob} }

// CountBlobs counts the blobs of recordings that rows know of, and may take minutes.
func (c *Catalog) CountBlobs(ctx context.Context) (int64, error) {
	n, err := getWithin[count](ctx, countFor, c.read("CountBlobs"), recording.ErrNotFound, `SELECT (SELECT count(*) FROM versions)
		+ (SELECT count(*) FROM parts) + (SELECT count(*) FROM residues)`)
	return n.int64, explain(ctx, err)
}

type count struct{ int64 }

func (n *count) columns() []any { return []any{&n.int64} }

// EachBlob names every blob of a recording that a row knows of, perhaps more
// than once. One that is known for as long as this runs is among them: rows go
// from parts to residues, which is why those come last. It reads whole tables,
// in pages.
func (c *Catalog) EachBlob(ctx context.Context, visit func(blob string)) error {
	return c.eachOf(ctx, visit,
		`SELECT blob, blob FROM parts WHERE blob > $1 ORDER BY blob LIMIT $2`,
		`SELECT version, blob FROM versions WHERE version > $1 ORDER BY version LIMIT $2`,
		`SELECT blob, blob FROM residues WHERE blob > $1 ORDER BY blob LIMIT $2`)
}

// EachSettledBlob is EachBlob without those whose blob would decide what became of
// them: whole uploads and lists of parts that are open.
func (c *Catalog) EachSettledBlob(ctx context.Context, visit func(blob string)) error {
	return c.eachOf(ctx, visit,
		`SELECT blob, CASE WHEN state = 'intent' AND number > 10000 THEN '' ELSE blob END FROM parts WHERE blob > $1 ORDER BY parts.blob LIMIT $2`,
		`SELECT version, CASE WHEN state = 'intent' THEN '' ELSE blob END FROM versions WHERE version > $1 ORDER BY version LIMIT $2`,
		`SELECT blob, blob FROM residues WHERE blob > $1 ORDER BY blob LIMIT $2`)
}

func (c *Catalog) eachOf(ctx context.Context, visit func(blob string), queries ...string) error {
	for _, query := range queries {
		if err := c.eachBlob(ctx, query, visit); err != nil {
			return explain(ctx, err)
		}
	}
	return nil
}

func (c *Catalog) eachBlob(ctx context.Context, query string, visit func(blob string)) error {
	var last any = ""
	binary := strings.Contains(query, "FROM versions")
	if binary {
		last = []byte{}
	}
	for {
		rows, err := all[blobRow](ctx, c.read("eachBlob"), query, last, blobsPage)
		if err != nil {
			return err
		}
		for _, r := range rows {
			visit(r.blob)
		}
		if len(rows) < blobsPage {
			return nil
		}
		if last = rows[len(rows)-1].key; binary {
			last = []byte(rows[len(rows)-1].key)
		}
	}
}
