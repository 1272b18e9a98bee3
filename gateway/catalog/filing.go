package catalog

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// A filing is a place in the key trees where a version's data key is, was, or may
// come to be wrapped:
//
//	intended → current → former
//	intended → abandoned
//
// Only versions that were filed anew have rows of it. Every slot of the recordings
// tree that a data key ever hung from is punctured with its version.

// Refiling is a stored version on its way to other slots.
type Refiling struct {
	Tenant   recording.Tenant
	Version  recording.Version
	From, To Slots
	Blob     string // that is to hold the wrap under To

	// Permit decides on the holds that bear on the version: an error is that of
	// whatever was asked, and nothing is changed. It may run more than once. Nil
	// permits it whatever is held.
	Permit   func([]Hold) error
	Timeline Timeline // on which the catalog has every hold that the store has
}

// Refiled is what a version's row has once it is filed anew.
type Refiled struct {
	WrappedDEK  []byte
	SealedFacts []byte
	Terms       []Index // nil leaves those it has
	Stage       Stage   // of the terms
}

var (
	// filedThere selects the version if it can be read where the refiling found it,
	// and may be filed where it is to be.
	filedThere = `v.tenant = $5 AND v.version = $6 AND v.state = 'committed'
		AND v.slot_recording = $7 AND v.slot_subject = $8 AND v.slot_day = $9 AND ` + notBuried + ` AND ` + noneBuried("v.tenant", "$1", "$2", "$3")

	intendFiling = `INSERT INTO filings (tenant, version, slot_recording, slot_subject, slot_day, state, blob, since)
		SELECT v.tenant, v.version, $1, $2, $3, 'intended', $4, `
	intendThere = ` FROM versions v WHERE ` + filedThere + ` ON CONFLICT DO NOTHING`

	moveFiling = `UPDATE versions AS v SET slot_recording = $1, slot_subject = $2, slot_day = $3, wrapped_dek = $4
		WHERE ` + filedThere
)

const (
	filedOwn     = ` WHERE tenant = $1 AND version = $2 AND slot_recording = $3`
	selectFiling = `SELECT f.state FROM filings f` + filedOwn
	takeFiling   = `UPDATE filings SET state = 'current'` + filedOwn + ` AND state = 'intended'`
)

type filingState struct{ state string }

func (f *filingState) columns() []any { return []any{&f.state} }

func (r Refiling) own() []any { return []any{r.Tenant[:], r.Version[:], r.To.Recording} }

// args are those of a statement with filedThere, which sets what to the place.
func (r Refiling) args(what any) []any {
	return []any{r.To.Recording, r.To.Subject, r.To.Day, what, r.Tenant[:], r.Version[:], r.From.Recording, r.From.Subject, r.From.Day}
}

// IntendFiling notes where a version is to be filed, before anything is wrapped
// there: from its commit on whatever erases the version takes that slot too.
// ErrMisfiled: it is not filed, or not to be read, where it was found.
// ErrTombstoned: what it is to be filed under is erased.
func (c *Catalog) IntendFiling(ctx context.Context, r Refiling) error {
	return c.write(ctx, "IntendFiling", func(ctx context.Context, tx *sql.Tx) error {
		if err := r.permitted(ctx, tx, c.dialect); err != nil {
			return err
		}
		added, err := change(ctx, tx, intendFiling+c.dialect.now+intendThere, r.args(r.Blob)...)
		if err != nil || added == 1 {
			return err
		}
		dead, err := get[yes](ctx, tx, recording.ErrNotFound, selectBuried, r.Tenant[:], r.To.Recording, r.To.Subject, r.To.Day)
		if err != nil {
			return err
		}
		if dead.bool {
			return ErrTombstoned
		}
		was, err := get[filingState](ctx, tx, ErrMisfiled, selectFiling, r.own()...)
		if err == nil && was.state != "intended" {
			err = ErrMisfiled
		}
		return err
	})
}

func (r Refiling) permitted(ctx context.Context, tx *sql.Tx, d dialect) error {
	if r.Permit == nil {
		return nil
	}
	if err := d.still(ctx, tx, r.Timeline); err != nil {
		return err
	}
	holds, err := d.holdsOn(ctx, tx, []Version{{Intent: Intent{Version: r.Version}}})
	if err != nil {
		return err
	}
	return r.Permit(holds)
}

// Refile files a version where it was intended to be, once the wrap there is
// durable in the store, with the events that explain it: its row has the new slots,
// and the recording slot that it had is a scrap, with those of other intents. A
// version that was filed there before is success.
// ErrMisfiled: it is not filed, or not to be read, where it was found, or may not
// be filed there any more; ErrStage, ErrTimeline: its terms are not of the stage that the tenant is
// in. Nothing was changed.
func (c *Catalog) Refile(ctx context.Context, r Refiling, as Refiled, events []audit.Record) error {
	return c.write(ctx, "Refile", func(ctx context.Context, tx *sql.Tx) error {
		taken, err := change(ctx, tx, takeFiling, r.own()...)
		if err != nil {
			return err
		}
		if taken == 0 {
			was, err := get[filingState](ctx, tx, ErrMisfiled, selectFiling, r.own()...)
			if err == nil && was.state != "current" && was.state != "former" {
				err = ErrMisfiled
			}
			return err
		}
		if err := r.permitted(ctx, tx, c.dialect); err != nil {
			return err
		}
		moved, err := change(ctx, tx, moveFiling, r.args(as.WrappedDEK)...)
		if err == nil && moved != 1 {
			err = ErrMisfiled
		}
		if err == nil {
			err = as.tell(ctx, tx, r)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO filings (tenant, version, slot_recording, slot_subject, slot_day, state, blob, since)
			VALUES ($1, $2, $3, $4, $5, 'former', '', `+c.dialect.now+`)
			ON CONFLICT (slot_recording, tenant) DO UPDATE SET state = 'former'`,
			r.Tenant[:], r.Version[:], r.From.Recording, r.From.Subject, r.From.Day)
		if err != nil {
			return err
		}
		if err := c.dialect.dropFilings(ctx, tx, `f.version = $1 AND f.slot_recording <> $2`, r.Version[:], r.To.Recording); err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}

// KnownFilings tells of which slots of the recordings tree the catalog knows that a
// version is, was or may come to be filed there.
func (c *Catalog) KnownFilings(ctx context.Context, tenant recording.Tenant, slots []int64) (map[int64]bool, error) {
	known := map[int64]bool{}
	for some := range slices.Chunk(slots, maxRows) {
		var args []any
		for _, slot := range some {
			args = append(args, slot)
		}
		rows, err := all[slotRow](ctx, c.read("KnownFilings"), `SELECT f.slot_recording FROM filings f
			WHERE f.slot_recording IN `+list(1, len(some))+` AND f.tenant = $`+number(len(some)+1), append(args, tenant[:])...)
		if err != nil {
			return nil, explain(ctx, err)
		}
		for _, r := range rows {
			known[r.slot] = true
		}
	}
	return known, nil
}

// tell has a version's row say what its facts say now.
func (as Refiled) tell(ctx context.Context, tx *sql.Tx, r Refiling) error {
	_, err := tx.ExecContext(ctx, `UPDATE versions SET sealed_facts = $1 WHERE version = $2`, as.SealedFacts, r.Version[:])
	if err != nil || as.Terms == nil {
		return err
	}
	if err := as.Stage.still(ctx, tx, r.Tenant); err != nil {
		return err
	}
	return replaceTerms(ctx, tx, r.Tenant, r.Version, as.Terms)
}

// ScrapFilings makes scraps of slots that a version was filed under, as the store says,
// if its row says that it was erased or replaced: the catalog may have lacked these
// filings when it was. Not if the version only lies below a tombstone.
func (c *Catalog) ScrapFilings(ctx context.Context, tenant recording.Tenant, version recording.Version, slots []int64) error {
	if len(slots) == 0 {
		return nil
	}
	return c.write(ctx, "ScrapFilings", func(ctx context.Context, tx *sql.Tx) error {
		for _, slot := range slots {
			_, err := tx.ExecContext(ctx, intoPunctures+`SELECT v.tenant, 1, CAST($1 AS BIGINT), NULL, NULL, `+c.dialect.now+`, NULL
				FROM versions v WHERE v.tenant = $2 AND v.version = $3 AND v.state IN ('erased', 'replaced') ON CONFLICT DO NOTHING`,
				slot, tenant[:], version[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// dropFilings makes scraps of the slots of filings that a condition on f selects,
// residues of their blobs, and lets none of them come to be.
func (d dialect) dropFilings(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	for _, statement := range []string{
		intoPunctures + `SELECT f.tenant, 1, f.slot_recording, NULL, NULL, ` + d.now + `, NULL FROM filings f WHERE ` + where + ` ON CONFLICT DO NOTHING`,
		d.residuesOfFilings(where),
		`UPDATE filings AS f SET state = 'abandoned' WHERE ` + where + ` AND f.state = 'intended'`,
	} {
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return err
		}
	}
	return nil
}

func (d dialect) residuesOfFilings(where string) string {
	return intoResidues + `SELECT f.blob, f.tenant, f.version, '` + string(aboutRefiled) + `', f.state <> 'intended', ` + d.now + `, ` + d.now + `, 0, FALSE
		FROM filings f WHERE f.blob <> '' AND ` + where + ` ON CONFLICT DO NOTHING`
}

// endFilings makes residues of all filings of versions that are erased. Their slots
// are for who erases them.
func (d dialect) endFilings(ctx context.Context, tx *sql.Tx, in string, args ...any) error {
	which := `f.version IN ` + in
	if _, err := tx.ExecContext(ctx, d.residuesOfFilings(which), args...); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE filings AS f SET state = 'abandoned' WHERE `+which+` AND f.state = 'intended'`, args...)
	return err
}

// wasFiled is a slot of the recordings tree that a data key hung from, and whether
// an epoch has punctured it.
type wasFiled struct {
	slot      int64
	punctured bool
}

func (w *wasFiled) columns() []any { return []any{&w.slot, &w.punctured} }

// filedSlot selects as wasFiled what is filed as f. A subquery of one value is asked
// by the index, whatever a planner believes of the table.
const filedSlot = `SELECT DISTINCT f.slot_recording, COALESCE((SELECT x.epoch FROM punctures x
	WHERE x.slot = f.slot_recording AND x.tree = 1 AND x.tenant = f.tenant), 0) > 0 FROM `

const (
	// Of versions, all slots but those they have now.
	selectFilingsOf = filedSlot + `filings f JOIN versions v ON v.version = f.version
		WHERE f.version IN $IN AND f.slot_recording <> v.slot_recording ORDER BY 1`
	// Of what is filed below a slot, all slots of the recordings tree but those it has now.
	selectFilingsBelow = filedSlot + `filings c CROSS JOIN filings f
		WHERE c.tenant = $1 AND c.state = 'current' AND c.$COLUMN = $2 AND f.version = c.version AND f.state <> 'current'
		UNION ` + filedSlot + `filings f CROSS JOIN versions v
		WHERE f.tenant = $1 AND f.state = 'intended' AND v.version = f.version AND v.$COLUMN = $2 ORDER BY 1`
	// What was filed below a day, and is filed elsewhere now.
	countMovedOut = `SELECT count(DISTINCT f.version) FROM filings f CROSS JOIN versions v
		WHERE f.tenant = $1 AND f.slot_day = $2 AND f.state = 'former' AND v.version = f.version AND v.state = 'committed' AND v.slot_day <> $2`
)

// columned completes a query for the column of a tree.
func columned(query string, tree int64) string {
	column := "slot_day"
	if tree == TreeSubjects {
		column = "slot_subject"
	}
	return strings.ReplaceAll(query, "$COLUMN", column)
}

// takeFilings buries what the erased hung from before, or may come to hang from.
// The record names what was punctured already too: it would be alive again in a
// snapshot of the provider from before.
func (w *taking) takeFilings(ctx context.Context, filed []wasFiled) error {
	var open []Slot
	for _, f := range filed {
		s := Slot{TreeRecordings, f.slot}
		w.slots = append(w.slots, s)
		if !f.punctured {
			open = append(open, s)
		}
	}
	return w.bury(ctx, open)
}

// takeFilingsBelow takes filings of what lies below a slot, and counts what moved out
// of a day.
func (w *taking) takeFilingsBelow(ctx context.Context, s Slot) error {
	filed, err := all[wasFiled](ctx, w.tx, columned(selectFilingsBelow, s.Tree), w.Tenant[:], s.Number)
	if err != nil {
		return err
	}
	if s.Tree == TreeDays { // what moved out of a subject's is found by its terms
		moved, err := get[count](ctx, w.tx, recording.ErrNotFound, countMovedOut, w.Tenant[:], s.Number)
		if err != nil {
			return err
		}
		w.kept += moved.int64
	}
	return w.takeFilings(ctx, filed)
}

// takeFilingsOf takes filings of versions.
func (w *taking) takeFilingsOf(ctx context.Context, versions []Version) error {
	for len(versions) > 0 {
		some := versions[:min(len(versions), maxRows)]
		versions = versions[len(some):]
		in, args := versionList(some)
		filed, err := all[wasFiled](ctx, w.tx, strings.ReplaceAll(selectFilingsOf, "$IN", in), args...)
		if err != nil {
			return err
		}
		if err := w.takeFilings(ctx, filed); err != nil {
			return err
		}
	}
	return nil
}

// AbandonFilings gives up, at most limit of them, what was intended long ago, by
// whoever was to file it and was killed. It reports how many it has given up.
func (c *Catalog) AbandonFilings(ctx context.Context, age Age, limit int) (n int, err error) {
	err = c.write(ctx, "AbandonFilings", func(ctx context.Context, tx *sql.Tx) error {
		lost, err := all[wasFiled](ctx, tx, c.dialect.selectStaleFilings(), age.args(limit)...)
		if err != nil {
			return err
		}
		n = len(lost)
		for _, f := range lost {
			if err := c.dialect.dropFilings(ctx, tx, `f.slot_recording = $1 AND f.state = 'intended' AND f.since < `+c.dialect.now+` - $2`,
				f.slot, age.Silent.Microseconds()); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func (d dialect) selectStaleFilings() string {
	return `SELECT f.slot_recording, FALSE FROM filings f WHERE f.state = 'intended' AND f.since < ` + d.now + ` - $1 AND f.since >= ` + d.judged() + `
		ORDER BY f.since LIMIT $3`
}
