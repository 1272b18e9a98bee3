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

func (s *Slot) columns() []any { return []any{&s.Tree, &s.Number} }

// buried is the condition that a slot of a tenant, each a column or a
// parameter, has a tombstone.
func buried(tenant string, tree int, slot string) string {
	return `EXISTS (SELECT 1 FROM punctures x WHERE x.tenant = ` + tenant + ` AND x.tree = ` + strconv.Itoa(tree) + ` AND x.slot = ` + slot + `)`
}

// Conditions on a row of versions by its subject and its day. A tombstone of its
// own slot says nothing that its state does not say.
var (
	isBuried  = `(` + buried("v.tenant", TreeSubjects, "v.slot_subject") + ` OR ` + buried("v.tenant", TreeDays, "v.slot_day") + `)`
	notBuried = `NOT ` + buried("v.tenant", TreeSubjects, "v.slot_subject") + ` AND NOT ` + buried("v.tenant", TreeDays, "v.slot_day")
)

// anyBuried and noneBuried go by all three slots: what is still to be written
// may hang from none that has a tombstone.
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

const intoPunctures = `INSERT INTO punctures (tenant, tree, slot, erasure, epoch, since, settled) `

// scrap buries the own slots of the versions that a condition on v selects.
func (d dialect) scrap(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	_, err := tx.ExecContext(ctx, intoPunctures+`SELECT v.tenant, `+strconv.Itoa(TreeRecordings)+`, v.slot_recording, NULL, NULL, `+d.now+`, TRUE
		FROM versions v WHERE `+where+` ON CONFLICT DO NOTHING`, args...)
	return err
}

// bury writes tombstones of an erasure. A scrap becomes one; what is another
// erasure's stays that.
func (d dialect) bury(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, id recording.ErasureID, slots []Slot) error {
	for some := range slices.Chunk(slots, maxRows) {
		var args []any
		for _, s := range some {
			args = append(args, tenant[:], s.Tree, s.Number, id[:], s.Tree == TreeRecordings || s.Tree == TreeSystem)
		}
		_, err := tx.ExecContext(ctx, intoPunctures+`VALUES `+values(len(some), "?", "?", "?", "?", "NULL", d.now, "?")+`
			ON CONFLICT (tenant, tree, slot) DO UPDATE SET erasure = excluded.erasure WHERE punctures.erasure IS NULL`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
