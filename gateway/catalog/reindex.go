package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Announced is that rows are to leave a generation for the next one.
type Announced struct {
	Generation uint32 // that they leave
	Slot       int64  // of its key, in the system tree
	Journal    int64  // the entry that says so
}

// announce begins the stage in which readers look under the next generation too. One
// that was announced before, or in a copy of this catalog that is later than it, only
// is known of.
func (d dialect) announce(ctx context.Context, tx *sql.Tx, ch Change) error {
	if ch.Announced == nil {
		return nil
	}
	if err := d.putGeneration(ctx, tx, ch.Tenant, *ch.Announced); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE tenants SET index_stage = index_stage + 1 WHERE id = $1 AND index_stage = $2`,
		ch.Tenant[:], SettledUnder(ch.Announced.Generation))
	return err
}

// putGeneration makes the row of a generation that is to be forgotten. If the tenant
// is settled under a later one no row is under it.
func (d dialect) putGeneration(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, a Announced) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO generations (tenant, generation, slot, journal, announced_at, moved_at)
		SELECT t.id, CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS BIGINT), `+d.now+`, CASE WHEN t.index_stage >= $4 THEN `+d.now+` END
		FROM tenants t WHERE t.id = $5 ON CONFLICT DO NOTHING`, a.Generation, a.Slot, a.Journal, SettledUnder(a.Generation+1), tenant[:])
	return err
}

const selectOpenGenerations = `SELECT ` + generationColumns + ` FROM generations g JOIN tenants t ON t.id = g.tenant
	WHERE t.state = 'active' AND g.forgotten_at IS NULL ORDER BY g.tenant, g.generation`

// OpenGenerations gives the generations of active tenants that are to be forgotten, and
// are not yet.
func (c *Catalog) OpenGenerations(ctx context.Context) ([]Generation, error) {
	g, err := all[Generation](ctx, c.read("OpenGenerations"), selectOpenGenerations)
	return g, explain(ctx, err)
}

func (d dialect) selectToReindex() string {
	return `SELECT t.id FROM tenants t WHERE t.state = 'active' AND t.index_stage % 3 = 0
		AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.tenant = t.id AND g.forgotten_at IS NULL)
		AND EXISTS (SELECT 1 FROM erasures e WHERE e.generation IN (0, t.index_stage / 3 + 1) AND e.tenant = t.id AND e.asked_at < ` + d.now + ` - $1)`
}

// TenantsToReindex gives the active tenants whose rows are under one generation, in
// which something was erased so long ago.
func (c *Catalog) TenantsToReindex(ctx context.Context, ago time.Duration) ([]recording.Tenant, error) {
	rows, err := all[tenantRow](ctx, c.read("TenantsToReindex"), c.dialect.selectToReindex(), ago.Microseconds())
	return tenantsOf(rows), explain(ctx, err)
}

const selectLinkable = `SELECT EXISTS (SELECT 1 FROM erasures e WHERE e.generation = 0 AND e.tenant = $1)
	OR EXISTS (SELECT 1 FROM erasures e WHERE e.generation = $2 AND e.tenant = $3)`

// Linkable reports whether something was erased while a generation was written.
func (c *Catalog) Linkable(ctx context.Context, tenant recording.Tenant, generation uint32) (bool, error) {
	is, err := get[yes](ctx, c.read("Linkable"), recording.ErrNotFound, selectLinkable, tenant[:], generation, tenant[:])
	return is.bool, explain(ctx, err)
}

// LeaseGeneration gives the moving of a generation's rows to a holder for a time, by
// the database's clock, and reports whether it did. The same holder renews.
func (c *Catalog) LeaseGeneration(ctx context.Context, g Generation, holder [16]byte, d time.Duration) (leased bool, err error) {
	now := c.dialect.now
	err = c.write(ctx, "LeaseGeneration", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `UPDATE generations SET holder = $1, ends = `+now+` + $2 WHERE tenant = $3 AND generation = $4
			AND (ends <= `+now+` OR holder = $5)`, holder[:], d.Microseconds(), g.Tenant[:], g.Generation, holder[:])
		leased = n == 1
		return err
	})
	return leased && err == nil, err
}

// Move is the end of an announcement: what buckets and holds are found by under the
// generation that is written from then on. There are few of both.
type Move struct {
	Tenant  recording.Tenant
	From    Stage // announced; any of a catalog that is rebuilt
	To      Stage // moving
	Journal int64 // of the tenant, when they were read
	After   time.Duration
	Left    []Announced // generations that the catalog may not know of, since it is rebuilt
	Buckets map[recording.BucketID]Index
	Holds   map[recording.HoldID]Index
}

// BeginMove ends the announcement of a generation that was announced so long ago: from
// then on the next one is written. It reports whether it did; not if it is too early.
// ErrStage: it was done before, or buckets or holds are others by now.
func (c *Catalog) BeginMove(ctx context.Context, m Move) (begun bool, err error) {
	now := c.dialect.now
	err = c.write(ctx, "BeginMove", func(ctx context.Context, tx *sql.Tx) error {
		for _, a := range m.Left {
			if err := c.dialect.putGeneration(ctx, tx, m.Tenant, a); err != nil {
				return err
			}
		}
		n, err := change(ctx, tx, `UPDATE generations SET moving_at = `+now+`, reached = NULL, moved_at = NULL
			WHERE tenant = $1 AND generation = $2 AND announced_at <= `+now+` - $3`,
			m.Tenant[:], m.To.Older(), m.After.Microseconds())
		if begun = n == 1; err != nil || !begun {
			return err
		}
		n, err = change(ctx, tx, `UPDATE tenants SET index_stage = $1 WHERE id = $2 AND index_stage = $3 AND journal = $4`,
			m.To, m.Tenant[:], m.From, m.Journal)
		if err == nil && n == 0 {
			err = ErrStage
		}
		if err != nil {
			return err
		}
		if err := dateRestored(ctx, tx, m.Tenant, m.To.Newer()); err != nil {
			return err
		}
		for id, index := range m.Buckets {
			if _, err := tx.ExecContext(ctx, `UPDATE buckets SET bucket_index = $1 WHERE tenant = $2 AND bucket = $3`, index[:], m.Tenant[:], id[:]); err != nil {
				return err
			}
		}
		for id, index := range m.Holds {
			_, err := tx.ExecContext(ctx, `UPDATE holds SET older_index = subject_index, subject_index = $1 WHERE tenant = $2 AND id = $3`,
				index[:], m.Tenant[:], id[:])
			if err != nil {
				return err
			}
		}
		return nil
	})
	return begun && err == nil, err
}

// Moved is a version by the indexes of the generation that rows move to.
type Moved struct {
	Version     recording.Version
	Filed       Slots // where it was when its facts were read
	Was         Index // of its name, in its row
	Name        Index
	Directory   Index
	Directories []Directory
	Terms       []Index
	Subjects    []Indexed // among the terms
	Subject     *Index    // of the slot that it hangs from, where its older index is not known
	Mended      *Version  // whose slots, wrap and facts its row is to have, which was damaged; nil if it was not
}

// Begun is an intent by the terms of the generation that rows move to.
type Begun struct {
	Version recording.Version
	Terms   []Index // none if nobody can complete it
}

// Step is some of the versions of a tenant on their way to the next generation.
type Step struct {
	Tenant  recording.Tenant
	Stage   Stage  // moving
	From    []byte // what was reached before; nil at first
	Reached []byte
	Rows    []Moved
	Begun   []Begun
	Dead    []Version // replaced ones, whose keys are gone
	Damaged int64     // that do not open, and so stay
}

// MoveVersions moves versions, and all that have one of their names, with their terms,
// directories and subjects. What is erased meanwhile is passed over. Of those whose
// keys are gone the terms go, and the row too if no other version keeps its name.
// ErrStage: rows do not move now. ErrBehind: another has moved these, or filed one anew.
func (c *Catalog) MoveVersions(ctx context.Context, s Step) error {
	return c.write(ctx, "MoveVersions", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `UPDATE generations SET reached = $1, moved = moved + $2, damaged = damaged + $3
			WHERE tenant = $4 AND generation = $5 AND moved_at IS NULL AND reached IS NOT DISTINCT FROM $6`,
			s.Reached, len(s.Rows), s.Damaged, s.Tenant[:], s.Stage.Older(), s.From)
		if err == nil && n == 0 {
			err = ErrBehind
		}
		if err == nil {
			err = s.Stage.still(ctx, tx, s.Tenant)
		}
		if err != nil {
			return err
		}
		rows, err := c.dialect.movable(ctx, tx, s)
		if err != nil {
			return err
		}
		if err := s.move(ctx, tx, rows); err != nil {
			return err
		}
		if err := c.dialect.moveBegun(ctx, tx, s); err != nil {
			return err
		}
		return c.dialect.leaveDead(ctx, tx, s)
	})
}

var selectIntended = `SELECT ` + mayBeCompleted + ` FROM versions v WHERE v.version = $1 AND v.tenant = $2 AND v.state = 'intent'`

// moveBegun moves the terms of intents, and drops those of what cannot be completed. What
// came to an end meanwhile has others.
func (d dialect) moveBegun(ctx context.Context, tx *sql.Tx, s Step) error {
	for _, b := range s.Begun {
		open, err := get[yes](ctx, tx, recording.ErrNotFound, selectIntended+d.forUpdate, b.Version[:], s.Tenant[:])
		if errors.Is(err, recording.ErrNotFound) {
			continue
		}
		if !open.bool {
			b.Terms = nil
		}
		if err == nil {
			err = replaceTerms(ctx, tx, s.Tenant, b.Version, b.Terms)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var selectMovable = `SELECT ` + versionColumns + ` FROM versions v WHERE v.tenant = $1 AND v.state IN ('committed', 'replaced') AND ` + notBuried + ` AND v.version IN `

// moving is one of a step's rows, which is there still.
type moving struct {
	Moved
	bucket recording.BucketID
	slots  Slots
}

// movable gives those of a step that are to be found again, and keeps others from
// changing them.
func (d dialect) movable(ctx context.Context, tx *sql.Tx, s Step) (out []moving, err error) {
	for some := range slices.Chunk(s.Rows, maxRows) {
		args, of := []any{s.Tenant[:]}, map[recording.Version]Moved{}
		for i := range some {
			args = append(args, some[i].Version[:])
			of[some[i].Version] = some[i]
		}
		there, err := all[Version](ctx, tx, selectMovable+list(2, len(some))+d.forUpdate, args...)
		if err != nil {
			return nil, err
		}
		for _, r := range there {
			m := moving{of[r.Version], r.Bucket, r.Slots}
			if m.Filed != m.slots { // and may tell of others now
				return nil, ErrBehind
			}
			if m.Mended != nil {
				m.slots = m.Mended.Slots
				if err := m.Mended.mend(ctx, tx); err != nil {
					return nil, err
				}
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// mend has a version's row say what opens.
func (v Version) mend(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE versions SET slot_recording = $1, slot_subject = $2, slot_day = $3, wrapped_dek = $4, sealed_facts = $5
		WHERE version = $6`, v.Slots.Recording, v.Slots.Subject, v.Slots.Day, v.WrappedDEK, v.SealedFacts, v.Version[:])
	return err
}

// move moves rows that are there, by few statements.
func (s Step) move(ctx context.Context, tx *sql.Tx, rows []moving) error {
	var versions []any
	var directories, terms, hanging [][]any
	made, subjects, generation := map[Index]bool{}, map[Index]Indexed{}, s.Stage.Written()
	for _, m := range rows {
		if m.Was != m.Name {
			if err := adoptName(ctx, tx, s.Tenant, m.Was, m.Name, m.Directory); err != nil {
				return err
			}
		}
		for _, d := range m.Directories {
			if !made[d.Index] {
				directories = append(directories, []any{s.Tenant[:], d.Index[:], d.Parent[:], m.bucket[:], generation})
			}
			made[d.Index] = true
		}
		versions = append(versions, m.Version[:])
		for _, term := range m.Terms {
			terms = append(terms, []any{s.Tenant[:], term[:], m.Version[:]})
		}
		for _, subject := range m.Subjects {
			subjects[subject.Index] = subject
		}
		if m.Subject != nil {
			hanging = append(hanging, []any{s.Tenant[:], m.Subject[:], m.slots.Subject, generation})
		}
	}
	for some := range slices.Chunk(versions, maxRows) {
		if _, err := tx.ExecContext(ctx, `DELETE FROM terms WHERE version IN `+list(1, len(some)), some...); err != nil {
			return err
		}
	}
	for _, subject := range subjects {
		if err := subject.move(ctx, tx, s.Tenant); err != nil {
			return err
		}
	}
	for _, of := range []struct {
		into string
		rows [][]any
	}{{intoDirectories, directories}, {intoTerms, terms}, {intoSubjects, hanging}} {
		if err := insert(ctx, tx, of.into, of.rows); err != nil {
			return err
		}
	}
	return nil
}

const intoSubjects = `subjects (tenant, subject_index, slot, generation)`

var selectOrphan = `SELECT ` + versionColumns + ` FROM versions v WHERE v.tenant = $1 AND v.version = $2 AND v.state = 'replaced'
	AND NOT EXISTS (SELECT 1 FROM versions o WHERE o.name_index = v.name_index AND o.tenant = v.tenant AND o.state = 'committed' AND o.is_current)
	AND NOT EXISTS (SELECT 1 FROM versions o WHERE o.name_index = v.name_index AND o.tenant = v.tenant AND o.state = 'committed'
		AND o.name_index IS NOT NULL AND NOT o.is_current)`

// leaveDead forgets what finds versions whose keys are gone.
func (d dialect) leaveDead(ctx context.Context, tx *sql.Tx, s Step) error {
	for _, v := range s.Dead {
		if err := dropTerms(ctx, tx, v.Version); err != nil {
			return err
		}
		orphans, err := all[Version](ctx, tx, selectOrphan, s.Tenant[:], v.Version[:])
		if err == nil {
			err = d.erase(ctx, tx, orphans)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// EndMove settles a tenant under the generation that its rows have moved to, with the
// events that tell of it. One that is settled there is success. ErrStage: it is not
// moving there.
func (c *Catalog) EndMove(ctx context.Context, tenant recording.Tenant, s Stage, events []audit.Record) error {
	return c.write(ctx, "EndMove", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `UPDATE tenants SET index_stage = index_stage + 1 WHERE id = $1 AND index_stage = $2`, tenant[:], s)
		if err != nil {
			return err
		}
		if n == 0 {
			return (s + 1).still(ctx, tx, tenant)
		}
		_, err = tx.ExecContext(ctx, `UPDATE holds SET older_index = NULL WHERE tenant = $1 AND older_index IS NOT NULL`, tenant[:])
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE generations SET moved_at = `+c.dialect.now+` WHERE tenant = $1 AND generation <= $2 AND moved_at IS NULL`,
			tenant[:], s.Older())
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}

// What is left of a generation once its rows have moved, each $3 rows at a time.
var leftOvers = []string{
	`DELETE FROM directories WHERE tenant = $1 AND dir_index IN (
		SELECT d.dir_index FROM directories d WHERE d.generation = $2 AND d.tenant = $1 LIMIT $3)`,
	`DELETE FROM subjects WHERE tenant = $1 AND subject_index IN (
		SELECT s.subject_index FROM subjects s WHERE s.generation = $2 AND s.tenant = $1 LIMIT $3)`,
}

// DropLeft deletes directories and subjects that no row has any more, at most limit of
// each, of a generation that all rows have left, and reports whether there may be more.
func (c *Catalog) DropLeft(ctx context.Context, g Generation, limit int) (more bool, err error) {
	err = c.write(ctx, "DropLeft", func(ctx context.Context, tx *sql.Tx) error {
		more = false
		for _, statement := range leftOvers {
			n, err := change(ctx, tx, statement, g.Tenant[:], g.Generation, limit)
			if err != nil {
				return err
			}
			more = more || n == int64(limit)
		}
		return nil
	})
	return more, err
}

// ForgetScopes has erasures of a generation be found by what they were asked for no more, at
// most limit of them after one, and gives the last of them; nil if that was all.
func (c *Catalog) ForgetScopes(ctx context.Context, g Generation, after ErasureCursor, limit int) (last *ErasureCursor, err error) {
	err = c.write(ctx, "ForgetScopes", func(ctx context.Context, tx *sql.Tx) error {
		last = nil
		some, err := all[ErasureRow](ctx, tx, selectOfGeneration, g.Generation, g.Tenant[:], after.AskedAt.UnixMicro(), after.ID[:], limit)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, e := range some {
			if _, err := tx.ExecContext(ctx, `UPDATE erasures SET scope_index = NULL WHERE id = $1`, e.ID[:]); err != nil {
				return err
			}
		}
		if len(some) == limit {
			at := some[limit-1].Cursor()
			last = &at
		}
		return nil
	})
	return last, err
}

const selectOfGeneration = `SELECT ` + erasureColumns + ` FROM erasures e WHERE e.generation = $1 AND e.tenant = $2
	AND (e.asked_at, e.id) > ($3, $4) ORDER BY e.asked_at, e.id LIMIT $5`

// BuryGeneration has the next epoch puncture the key of a generation that rows left so
// long ago.
func (c *Catalog) BuryGeneration(ctx context.Context, g Generation, ago time.Duration) error {
	return c.write(ctx, "BuryGeneration", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, intoPunctures+`SELECT g.tenant, 4, g.slot, NULL, NULL, 0, NULL FROM generations g
			WHERE g.tenant = $1 AND g.generation = $2 AND g.moved_at <= `+c.dialect.now+` - $3 ON CONFLICT DO NOTHING`,
			g.Tenant[:], g.Generation, ago.Microseconds())
		return err
	})
}

// ForgetGeneration notes that the key of a generation is forgotten, if an epoch that
// punctured it has been effective for so long, and reports whether it is.
func (c *Catalog) ForgetGeneration(ctx context.Context, g Generation, drained time.Duration) (forgotten bool, err error) {
	now := c.dialect.now
	err = c.write(ctx, "ForgetGeneration", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `UPDATE generations SET forgotten_at = COALESCE(forgotten_at, `+now+`) WHERE tenant = $1 AND generation = $2
			AND EXISTS (SELECT 1 FROM punctures p JOIN epochs o ON o.tenant = p.tenant AND o.epoch = p.epoch
			WHERE p.slot = generations.slot AND p.tree = 4 AND p.tenant = generations.tenant AND o.seen_at <= `+now+` - $3)`,
			g.Tenant[:], g.Generation, drained.Microseconds())
		forgotten = n == 1
		return err
	})
	return forgotten && err == nil, err
}

// place is how far the versions of a tenant have moved: up to one of a bucket and state,
// each state after that which becomes it.
type place struct {
	bucket  recording.BucketID
	state   byte // of moveStates
	version recording.Version
}

var moveStates = []VersionState{Intended, Committed, Replaced}

func (p place) bytes() []byte {
	return slices.Concat(p.bucket[:], []byte{p.state}, p.version[:])
}

func placeOf(b []byte) (p place) {
	if len(b) == len(p.bucket)+1+len(p.version) && int(b[len(p.bucket)]) < len(moveStates) {
		copy(p.bucket[:], b)
		copy(p.version[:], b[len(p.bucket)+1:])
		p.state = b[len(p.bucket)]
	}
	return p
}

const (
	selectToMove = `SELECT ` + versionColumns + ` FROM versions v
		WHERE v.bucket = $1 AND v.state = $2 AND v.version > $3 AND v.tenant = $4 ORDER BY v.version LIMIT $5`
	selectNextBucket = `SELECT ` + bucketColumns + ` FROM buckets b WHERE b.tenant = $1 AND b.bucket > $2 ORDER BY b.bucket LIMIT 1`
)

// ToMove gives versions of a tenant in the order in which they move, after what was
// reached, at most limit of them, and what is reached with them; none if that was all.
// It looks in a serializable transaction, which a Begin or a Create does not survive that
// saw no move begin, and is not seen here.
func (c *Catalog) ToMove(ctx context.Context, tenant recording.Tenant, reached []byte, limit int) (rows []Version, to []byte, err error) {
	err = c.write(ctx, "ToMove", func(ctx context.Context, tx *sql.Tx) error {
		var failed error
		rows, to, failed = toMove(ctx, tx, tenant, placeOf(reached), limit)
		return failed
	})
	return rows, to, err
}

func toMove(ctx context.Context, tx *sql.Tx, tenant recording.Tenant, at place, limit int) ([]Version, []byte, error) {
	for {
		rows, err := all[Version](ctx, tx, selectToMove, at.bucket[:], moveStates[at.state], at.version[:], tenant[:], limit)
		if err != nil {
			return nil, nil, err
		}
		if n := len(rows); n > 0 {
			at.version = rows[n-1].Version
			return rows, at.bytes(), nil
		}
		if int(at.state) < len(moveStates)-1 {
			at = place{bucket: at.bucket, state: at.state + 1}
			continue
		}
		next, err := all[Bucket](ctx, tx, selectNextBucket, tenant[:], at.bucket[:])
		if err != nil || len(next) == 0 {
			return nil, nil, err
		}
		at = place{bucket: next[0].ID}
	}
}
