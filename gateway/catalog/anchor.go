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

// lastAnchor is the last anchor, and whether the database is on another timeline
// since.
type lastAnchor struct {
	Anchor
	moved bool
}

func (l *lastAnchor) columns() []any { return append(l.Anchor.columns(), &l.moved) }

func (d dialect) selectLastAnchor() string {
	return `SELECT a.number, a.nonce, a.not_before, a.timeline NOT IN ('', ` + d.timeline + `) FROM anchors a WHERE a.id = 1`
}

// olderThan reports whether the catalog is an older copy of the one that a store
// with this newest anchor has seen, or may be one.
func (l lastAnchor) olderThan(stored Anchor) bool {
	return l.moved || stored.Number > l.Number || stored.Number == l.Number && stored.Nonce != l.Nonce
}

// latestSign is now or, if the clock was set back since, after the last sign of
// life of what is open, so that NotBefore is above them all.
func (d dialect) latestSign() string {
	return `(SELECT max(s.sign) FROM (SELECT ` + d.now + ` AS sign
		UNION ALL SELECT max(seen_at) + 1 FROM versions WHERE state = 'intent' AND blob <> ''
		UNION ALL SELECT max(seen_at) + 1 FROM uploads
		UNION ALL SELECT max(seen_at) + 1 FROM parts WHERE state = 'intent'
		UNION ALL SELECT not_before FROM anchors WHERE id = 1) s)`
}

// Advance puts an anchor with a fresh nonce in the place of the last, and gives
// it. stored is the newest that the store had, looked for before; the zero Anchor
// if it had none. Restored says that the catalog is an older copy of itself, or
// one that took over from another and may lack its last commits: from now on
// nothing is judged that showed its last sign of life before.
func (c *Catalog) Advance(ctx context.Context, stored Anchor, nonce [16]byte) (now Anchor, restored bool, err error) {
	d := c.dialect
	err = c.write(ctx, "Advance", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO anchors (id, number, nonce, not_before) VALUES (1, 0, $1, 0) ON CONFLICT DO NOTHING`, make([]byte, 16))
		if err != nil {
			return err
		}
		last, err := get[lastAnchor](ctx, tx, recording.ErrNotFound, d.selectLastAnchor())
		if err != nil {
			return err
		}
		if now = last.Anchor; now.Nonce == nonce { // committed, and not answered
			return nil
		}
		restored = last.olderThan(stored)
		_, err = tx.ExecContext(ctx, `UPDATE anchors SET number = $1, nonce = $2, timeline = `+d.timeline+`,
			not_before = CASE WHEN $3 THEN `+d.latestSign()+` ELSE not_before END WHERE id = 1`,
			max(last.Number, stored.Number)+1, nonce[:], restored)
		if err != nil {
			return err
		}
		now, err = get[Anchor](ctx, tx, recording.ErrNotFound, selectAnchor)
		return err
	})
	return now, restored, err
}

// judged is from which last sign of life on uploads are judged; NULL, so that
// none is, where the catalog has not the anchor whose number is $2 or a later one,
// or is on another timeline than its last. It is asked for in the statement that
// judges: a database can be replaced in the midst of a sweep.
func (d dialect) judged() string {
	return `(SELECT a.not_before FROM anchors a WHERE a.id = 1 AND a.number >= $2 AND a.timeline = ` + d.timeline + `)`
}
