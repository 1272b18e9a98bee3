package catalog

import (
	"context"
	"database/sql"
	"slices"
	"strconv"

	"github.com/lethe-vault/lethe/recording"
)

// The key trees of a tenant.
const (
	TreeRecordings = 1
	TreeSubjects   = 2
	TreeDays       = 3
	TreeSystem     = 4
)

// Slot is a place in one of a tenant's key trees. From the commit of its
// tombstone on, which is a row of punctures, no query gives what lies below it.
type Slot struct{ Tree, Number int64 }

// many is the tree of a slot below which versions lie that are not told one by
// one, and else NULL.
func (s Slot) many() any {
	if s.Tree == TreeSubjects || s.Tree == TreeDays {
		return s.Tree
	}
	return nil
}

func (s *Slot) columns() []any { return []any{&s.Tree, &s.Number} }

// buried is the condition that a slot of a tenant, each a column or a
// parameter, has a tombstone.
func buried(tenant string, tree int, slot string) string {
	return `EXISTS (SELECT 1 FROM punctures x WHERE x.tenant = ` + tenant + ` AND x.tree = ` + strconv.Itoa(tree) + ` AND x.slot = ` + slot + `)`
}

// unsettled is buried by a tombstone below which there may be versions still. It
// is all that reads have to ask: below others every row says itself that it is
// erased, and Create puts none there.
func unsettled(tree int, slot string) string {
	return `EXISTS (SELECT 1 FROM punctures x WHERE x.tenant = v.tenant AND x.unsettled = ` + strconv.Itoa(tree) + ` AND x.slot = ` + slot + `)`
}

// unsettledOf are the slots of a tenant's tree of which unsettled tells.
func unsettledOf(tenant string, tree int) string {
	return `(SELECT x.slot FROM punctures x WHERE x.tenant = ` + tenant + ` AND x.unsettled = ` + strconv.Itoa(tree) + `)`
}

// Conditions on a row of versions. The tombstones of what was replaced, or erased
// by itself, are settled from the start.
var (
	isBuried = `(` + unsettled(TreeSubjects, "v.slot_subject") + ` OR ` + unsettled(TreeDays, "v.slot_day") + `
		OR ` + unsettled(TreeRecordings, "v.slot_recording") + `)`
	notBuried = `NOT ` + unsettled(TreeSubjects, "v.slot_subject") + ` AND NOT ` + unsettled(TreeDays, "v.slot_day") + `
		AND NOT ` + unsettled(TreeRecordings, "v.slot_recording")
)

// anyBuried and noneBuried go by every tombstone: what is still to be written
// may hang from no slot that has one.
func anyBuried(tenant, recording, subject, day string) string {
	return `(` + buried(tenant, TreeRecordings, recording) + ` OR ` + buried(tenant, TreeSubjects, subject) + ` OR ` + buried(tenant, TreeDays, day) + `)`
}

func noneBuried(tenant, recording, subject, day string) string {
	return `NOT ` + buried(tenant, TreeRecordings, recording) + ` AND NOT ` + buried(tenant, TreeSubjects, subject) + ` AND NOT ` + buried(tenant, TreeDays, day)
}

// yes reads one condition.
type yes struct{ bool }

func (y *yes) columns() []any { return []any{&y.bool} }

// seen is a version as readers see it: below a tombstone it is erased.
type seen struct {
	Version
	buried bool
}

func (s *seen) columns() []any { return append(s.Version.columns(), &s.buried) }

// version is the row as it is once it is settled.
func (s seen) version() Version {
	v := s.Version
	if s.buried && (v.State == Committed || v.State == Replaced) {
		v.State, v.Current = Erased, false
		v.Name, v.Directory = Index{}, Index{}
		v.WrappedDEK, v.SealedFacts, v.SealedEnd = nil, nil, nil
	}
	return v
}

const intoPunctures = `INSERT INTO punctures (tenant, tree, slot, erasure, epoch, since, unsettled) `

// scrap buries the own slots of the versions that a condition on v selects.
func (d dialect) scrap(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	_, err := tx.ExecContext(ctx, intoPunctures+`SELECT v.tenant, `+strconv.Itoa(TreeRecordings)+`, v.slot_recording, NULL, NULL, `+d.now+`, NULL
		FROM versions v WHERE `+where+` ON CONFLICT DO NOTHING`, args...)
	return err
}

// bury writes tombstones of an erasure. A scrap becomes one; what is another
// erasure's stays that. It reports whether an epoch has punctured one that was a scrap.
func (d dialect) bury(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, id recording.ErasureID, slots []Slot) (late bool, err error) {
	for some := range slices.Chunk(slots, maxRows) {
		var args []any
		for _, s := range some {
			args = append(args, tenant[:], s.Tree, s.Number, id[:], s.many())
		}
		rows, err := all[yes](ctx, tx, intoPunctures+`VALUES `+values(len(some), "?", "?", "?", "?", "NULL", d.now, "?")+`
			ON CONFLICT (tenant, tree, slot) DO UPDATE SET erasure = excluded.erasure WHERE punctures.erasure IS NULL
			RETURNING epoch IS NOT NULL`, args...)
		if err != nil {
			return late, err
		}
		late = late || slices.Contains(rows, yes{true})
	}
	return late, nil
}
