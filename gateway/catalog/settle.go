package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lethe-vault/lethe/recording"
)

// tombstone is one below which versions may lie.
type tombstone struct {
	Slot
	erasure recording.ErasureID // zero: none is known
}

func (t *tombstone) columns() []any { return append(t.Slot.columns(), fixed(t.erasure[:])) }

const (
	selectUnsettled = `SELECT p.tree, p.slot, p.erasure FROM punctures p WHERE p.tenant = $1 AND p.unsettled IS NOT NULL
		ORDER BY p.tree DESC, p.slot LIMIT $2`
	selectTenantsToSettle = `SELECT DISTINCT p.tenant FROM punctures p WHERE p.unsettled IS NOT NULL ORDER BY p.tenant`

	below              = `SELECT ` + versionColumns + ` FROM versions v WHERE v.tenant = $1 AND v.state IN ('committed', 'replaced') AND `
	selectBelowSubject = below + `v.slot_subject = $2 LIMIT $3`
	selectBelowDay     = below + `v.slot_day = $2 LIMIT $3`
	selectBelowOwn     = below + `v.slot_recording = $2 LIMIT $3`
	settledAtOnce      = 100 // tombstones
	updateSettled      = `UPDATE punctures SET unsettled = NULL WHERE tenant = $1 AND tree = $2 AND slot = $3`
	updateVersionsOf   = `UPDATE erasures SET versions = versions + $1 WHERE id = $2`
)

// TenantsToSettle gives the tenants that SettleTombstoned has work for.
func (c *Catalog) TenantsToSettle(ctx context.Context) ([]recording.Tenant, error) {
	rows, err := all[tenantRow](ctx, c.read("TenantsToSettle"), selectTenantsToSettle)
	return tenantsOf(rows), explain(ctx, err)
}

// SettleTombstoned makes the rows of what lies below a tombstone those of an
// erased recording, at most limit of them: their blobs and parts are residues,
// and their names are free. Nothing takes the place of a current version. It
// gives them as they were, and whether there is more to do. Nothing reads them
// in any case, so it may take its time.
func (c *Catalog) SettleTombstoned(ctx context.Context, tenant recording.Tenant, limit int) (gone []Version, more bool, err error) {
	err = c.write(ctx, "SettleTombstoned", func(ctx context.Context, tx *sql.Tx) error {
		gone = nil
		open, err := all[tombstone](ctx, tx, selectUnsettled, tenant[:], settledAtOnce+1)
		if err != nil {
			return err
		}
		if more = len(open) > settledAtOnce; more {
			open = open[:settledAtOnce]
		}
		for _, t := range open {
			some, err := c.dialect.settle(ctx, tx, tenant, t, limit-len(gone))
			if err != nil {
				return err
			}
			if gone = append(gone, some...); len(gone) >= limit {
				more = true
				return nil
			}
		}
		return nil
	})
	return gone, more, err
}

// settle erases at most limit of what lies below a tombstone, and closes the
// tombstone if that was all. A version that another transaction is about to put
// there does not survive this one.
func (d dialect) settle(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, t tombstone, limit int) ([]Version, error) {
	query := selectBelowOwn
	switch t.Tree {
	case TreeSubjects:
		query = selectBelowSubject
	case TreeDays:
		query = selectBelowDay
	}
	some, err := all[Version](ctx, tx, query, tenant[:], t.Number, limit)
	if err != nil {
		return nil, err
	}
	if err := d.erase(ctx, tx, some); err != nil {
		return nil, err
	}
	if len(some) > 0 {
		if _, err := tx.ExecContext(ctx, updateVersionsOf, len(some), t.erasure[:]); err != nil {
			return nil, err
		}
	}
	if len(some) == limit {
		return some, nil
	}
	_, err = tx.ExecContext(ctx, updateSettled, tenant[:], t.Tree, t.Number)
	return some, err
}

// selectUnreadable is one statement, so that what is settled meanwhile counts once.
var selectUnreadable = fmt.Sprintf(`SELECT e.versions + (SELECT count(*) FROM `+unsettledBelow+`) + (SELECT count(*) FROM `+unsettledBelow+`)
	FROM erasures e WHERE e.tenant = $1 AND e.id = $2`, "subject", TreeSubjects, "day", TreeDays)

const unsettledBelow = `punctures p JOIN versions v ON v.slot_%s = p.slot AND v.tenant = p.tenant AND v.state IN ('committed', 'replaced')
	WHERE p.erasure = e.id AND p.tree = %d AND p.unsettled IS NOT NULL`

// Unreadable counts the versions that an erasure made unreadable: those whose rows
// say so by now, and those that lie below its tombstones still. It may take minutes. ErrNoErasure: there
// is none such.
func (c *Catalog) Unreadable(ctx context.Context, tenant recording.Tenant, id recording.ErasureID) (int64, error) {
	n, err := getWithin[count](ctx, countFor, c.read("Unreadable"), recording.ErrNoErasure, selectUnreadable, tenant[:], id[:])
	return n.int64, explain(ctx, err)
}
