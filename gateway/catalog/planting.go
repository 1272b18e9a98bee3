package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// Planting is a new tenant that waits for its root.
type Planting struct {
	Tenant  recording.Tenant
	AskedAt time.Time
}

func (p *Planting) columns() []any { return []any{fixed(p.Tenant[:]), moment{&p.AskedAt}} }

// errNoPlanting never leaves the package.
var errNoPlanting = errors.New("catalog: no such planting")

const (
	selectPlanting  = `SELECT tenant, asked_at FROM plantings WHERE tenant = $1`
	selectPlantings = `SELECT tenant, asked_at FROM plantings ORDER BY asked_at, tenant LIMIT $1 OFFSET $2`
)

// AskPlanting asks for a new tenant's root.
func (c *Catalog) AskPlanting(ctx context.Context, p Planting) error {
	return c.write(ctx, "AskPlanting", func(ctx context.Context, tx *sql.Tx) error {
		return insert(ctx, tx, "plantings (tenant, asked_at)", [][]any{{p.Tenant[:], p.AskedAt.UnixMicro()}})
	})
}

// Plantings gives those that were asked for first, after passing over some, at
// most limit of them.
func (c *Catalog) Plantings(ctx context.Context, limit, over int) ([]Planting, error) {
	p, err := all[Planting](ctx, c.read("Plantings"), selectPlantings, limit, over)
	return p, explain(ctx, err)
}

// Planting reports whether a tenant still waits for its root.
func (c *Catalog) Planting(ctx context.Context, t recording.Tenant) (bool, error) {
	_, err := get[Planting](ctx, c.read("Planting"), errNoPlanting, selectPlanting, t[:])
	if err == errNoPlanting {
		return false, nil
	}
	return true, explain(ctx, err)
}

// EndPlanting takes back what was asked for, or has been done.
func (c *Catalog) EndPlanting(ctx context.Context, t recording.Tenant) error {
	return c.write(ctx, "EndPlanting", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM plantings WHERE tenant = $1`, t[:])
		return err
	})
}
