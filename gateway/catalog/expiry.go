package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// Clock is the time of the database.
func (c *Catalog) Clock(ctx context.Context) (time.Time, error) {
	n, err := get[count](ctx, c.read("Clock"), recording.ErrNotFound, `SELECT `+c.dialect.now)
	return time.UnixMicro(n.int64).UTC(), explain(ctx, err)
}

// selectPassed leaps over the index of days, from one that has passed to the next in
// use, and from one that has not to the next class: what it costs grows with the
// days and not with what expires on them. A day's slot is class << 16 | day.
var selectPassed = `WITH RECURSIVE d(slot) AS (
	SELECT min(v.slot_day) FROM versions v WHERE v.state IN ('committed', 'replaced') AND v.slot_day >= 65536
	UNION ALL SELECT (SELECT min(v.slot_day) FROM versions v WHERE v.state IN ('committed', 'replaced')
		AND v.slot_day > CASE WHEN d.slot % 65536 >= $1 THEN (d.slot / 65536) * 65536 + 65535 ELSE d.slot END)
		FROM d WHERE d.slot IS NOT NULL)
	SELECT d.slot FROM d WHERE d.slot % 65536 <= $1 AND EXISTS (SELECT 1 FROM versions v
		WHERE v.slot_day = d.slot AND v.tenant = $2 AND v.state IN ('committed', 'replaced'))
		AND NOT ` + buried("$2", TreeDays, "d.slot") + ` ORDER BY d.slot`

// PassedDays gives the slots of a tenant's retention days in use that have passed on
// a day, counted from 1970, and are not erased.
func (c *Catalog) PassedDays(ctx context.Context, tenant recording.Tenant, today int64) ([]int64, error) {
	rows, err := all[slotRow](ctx, c.read("PassedDays"), selectPassed, today, tenant[:])
	days := make([]int64, len(rows))
	for i, r := range rows {
		days[i] = r.slot
	}
	return days, explain(ctx, err)
}

// TenantsToExpire gives the active tenants of which it is not noted that on a day, or
// a later one, all was erased that had passed.
func (c *Catalog) TenantsToExpire(ctx context.Context, day int64) ([]recording.Tenant, error) {
	rows, err := all[tenantRow](ctx, c.read("TenantsToExpire"), `SELECT t.id FROM tenants t
		LEFT JOIN expiries e ON e.tenant = t.id WHERE t.state = 'active' AND (e.day IS NULL OR e.day < $1) ORDER BY t.id`, day)
	return tenantsOf(rows), explain(ctx, err)
}

// Expired notes that on a day all of a tenant was erased that had passed.
func (c *Catalog) Expired(ctx context.Context, tenant recording.Tenant, day int64) error {
	return c.write(ctx, "Expired", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO expiries (tenant, day) VALUES ($1, $2)
			ON CONFLICT (tenant) DO UPDATE SET day = excluded.day WHERE expiries.day < excluded.day`, tenant[:], day)
		return err
	})
}
