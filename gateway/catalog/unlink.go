package catalog

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// linkable is what an erasure has whose certificate does not say yet from when on it is
// unlinkable, in the words of the index.
const linkable = `e.unlinkable_at IS NULL AND e.state = 'certified'`

// isUnlinkable asks for each generation by a value, as updatePunctured does.
const isUnlinkable = `g.forgotten_at IS NOT NULL AND (
	SELECT min(e.asked_at) FROM erasures e WHERE e.tenant = g.tenant AND e.generation = g.generation AND ` + linkable + `) IS NOT NULL`

// TenantsToUnlink gives the tenants with certificates that lack the date from which the
// erasure is unlinkable, though its generation of blind indexes is forgotten.
func (c *Catalog) TenantsToUnlink(ctx context.Context) ([]recording.Tenant, error) {
	rows, err := all[tenantRow](ctx, c.read("TenantsToUnlink"), `SELECT DISTINCT g.tenant FROM generations g JOIN tenants t ON t.id = g.tenant
		WHERE t.state IN ('active', 'revoked') AND `+isUnlinkable)
	return tenantsOf(rows), explain(ctx, err)
}

// Unlinkable gives the generations of a tenant that are forgotten and of which there are
// such certificates, the oldest first.
func (c *Catalog) Unlinkable(ctx context.Context, tenant recording.Tenant) ([]Generation, error) {
	g, err := all[Generation](ctx, c.read("Unlinkable"), selectGenerations+` AND `+isUnlinkable+` ORDER BY g.generation`, tenant[:])
	return g, explain(ctx, err)
}

const selectToUnlink = selectErasures + ` AND e.generation = $2 AND ` + linkable + `
	AND e.asked_at >= $3 AND (e.asked_at > $4 OR e.id > $5) ORDER BY e.asked_at, e.id LIMIT $6`

// ToUnlink gives erasures of a generation whose certificates lack that date, oldest
// first, those after one, at most limit of them.
func (c *Catalog) ToUnlink(ctx context.Context, tenant recording.Tenant, generation uint32, after ErasureCursor, limit int) ([]ErasureRow, error) {
	at := after.micros()
	e, err := all[ErasureRow](ctx, c.read("ToUnlink"), selectToUnlink, tenant[:], generation, at, at, after.ID[:], limit)
	return e, explain(ctx, err)
}

// Unlink gives erasures that are certified their second certificates, which say from
// when on they are unlinkable. One that has it already keeps it. ErrNoErasure: there is
// none such. ErrTransition: one is not certified. In either case nothing is changed.
func (c *Catalog) Unlink(ctx context.Context, tenant recording.Tenant, at time.Time, all []Certificate) error {
	return c.write(ctx, "Unlink", func(ctx context.Context, tx *sql.Tx) error {
		return certify(ctx, tx, tenant, all, `unlinkable_at = `+strconv.FormatInt(at.UnixMicro(), 10), `state = 'certified' AND unlinkable_at IS NULL`)
	})
}
