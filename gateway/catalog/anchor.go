package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lethe-vault/lethe/recording"
)

// Anchor ties the catalog to its store: each is written here before it is
// written there, so a store that has another, or a later one, tells that this
// catalog is an older copy. The zero Anchor is that of a catalog that was never swept.
type Anchor struct {
	Number    int64
	Nonce     [16]byte
	NotBefore int64 // by the database's clock: what showed its last sign of life before was perhaps settled in a later copy
}

func (a *Anchor) columns() []any { return []any{&a.Number, fixed(a.Nonce[:]), &a.NotBefore} }

const selectAnchor = `SELECT a.number, a.nonce, a.not_before FROM anchors a WHERE a.id = 1`

// Anchor gives the last one.
func (c *Catalog) Anchor(ctx context.Context) (Anchor, error) {
	a, err := get[Anchor](ctx, c.read("Anchor"), recording.ErrNotFound, selectAnchor)
	if errors.Is(err, recording.ErrNotFound) {
		return Anchor{}, nil
	}
	return a, explain(ctx, err)
}

// Advance puts next in the place of last, and gives it as it is now. Restored
// says that the catalog was found to be an older copy: from now on nothing is
// judged that showed its last sign of life before. ErrBehind: last is not the last.
func (c *Catalog) Advance(ctx context.Context, last, next Anchor, restored bool) (Anchor, error) {
	var now Anchor
	err := c.write(ctx, "Advance", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO anchors (id, number, nonce, not_before) VALUES (1, 0, $1, 0) ON CONFLICT DO NOTHING`, make([]byte, 16))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE anchors SET number = $1, nonce = $2,
			not_before = CASE WHEN $3 THEN `+c.dialect.now+` ELSE not_before END WHERE id = 1 AND number = $4 AND nonce = $5`,
			next.Number, next.Nonce[:], restored, last.Number, last.Nonce[:])
		if err != nil {
			return err
		}
		now, err = get[Anchor](ctx, tx, recording.ErrNotFound, selectAnchor)
		if err == nil && (now.Number != next.Number || now.Nonce != next.Nonce) {
			err = ErrBehind
		}
		return err
	})
	return now, err
}
