package catalog

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// ErasureState is where an erasure stands:
//
//	queued → punctured → effective → certified
type ErasureState string

// The states of an erasure.
const (
	ErasureQueued    ErasureState = "queued"    // nothing reads what is erased; its keys can still be derived
	ErasurePunctured ErasureState = "punctured" // the head of an epoch without them is durable
	ErasureEffective ErasureState = "effective" // what opened the heads before is destroyed
	ErasureCertified ErasureState = "certified" // no lease of an older root can be left; it is signed
)

// The scopes of an erasure.
const (
	ScopeRecording = "recording"
	ScopeVersion   = "version"
	ScopeSubject   = "subject"
	ScopeDay       = "day"
	ScopeTenant    = "tenant"
)

// ErasureRow is a request to erase something, and how far it is.
type ErasureRow struct {
	ID          recording.ErasureID
	Tenant      recording.Tenant
	Scope       string
	State       ErasureState
	Who         string // access key or admin
	Reason      string // of a closed form
	Commitment  []byte // of the scope
	AskedAt     time.Time
	Base        int64  // the tenant's epoch when it was asked: part of the record's key
	Record      []byte // sealed, as it goes to the store; of a tenant's erasure in clear
	Recorded    bool   // it is in the store
	Versions    int64  // whose rows it has flipped by now
	Refiled     int64
	Epoch       int64  // that punctured its slots; 0 before
	Generation  uint32 // of blind indexes, the newest that was announced when it was asked; 0 if it was restored, and none was announced since
	CertifiedAt time.Time
	Certificate []byte // the newest

	UnlinkableAt time.Time // as the newest says; zero before
}

const erasureColumns = `e.id, e.tenant, e.scope, e.state, e.who, e.reason, e.commitment, e.asked_at, e.base,
	e.record, e.recorded, e.versions, e.refiled, e.epoch, e.generation, e.certified_at, e.certificate, e.unlinkable_at`

func (e *ErasureRow) columns() []any {
	return []any{
		fixed(e.ID[:]), fixed(e.Tenant[:]), &e.Scope, &e.State, &e.Who, &e.Reason, &e.Commitment, moment{&e.AskedAt}, &e.Base,
		&e.Record, &e.Recorded, &e.Versions, &e.Refiled, &e.Epoch, &e.Generation, moment{&e.CertifiedAt}, &e.Certificate, moment{&e.UnlinkableAt},
	}
}

// NewErasure is a request to erase something.
type NewErasure struct {
	ErasureRow                   // ID, Tenant, Scope, Who, Reason, Commitment, AskedAt and Refiled
	Recording  recording.ID      // of scope recording and version
	Version    recording.Version // of scope version
	Subject    *Indexed          // of scope subject: its index, and its term
	Day        int64             // of scope day: its slot
	Index      Indexed           // of all that it is asked for, by which it is found again
	Timeline   Timeline          // on which the catalog has every hold and filing that the store has

	// Record seals what the store will hold of it: the slots it takes and the
	// versions whose own slots are among them. It may run more than once.
	Record func(base int64, slots []Slot, versions []recording.Version) ([]byte, error)

	// Erasable decides whether what these holds bear on may be erased: an error is
	// QueueErasure's, and nothing is changed. It may run more than once. What lies
	// below a day, or is a subject's beside others', is not asked about: it stays.
	Erasable func([]Hold) error
}

// Queued is what QueueErasure found.
type Queued struct {
	Erasure ErasureRow
	Gone    []Version // whose blobs may be deleted now, as they were: residues
	Again   bool      // nothing was left to erase: Erasure is the one that did it, zero if it is not known
}

// QueueErasure is the moment after which nothing reads what is erased, with the
// events that explain it: from its commit on no query finds it, and nothing can
// be written under its slots.
//
// Of a recording, or a version of it, the rows keep slots and blob key, and lose
// everything that opens it, finds it or tells of it; every slot that it hung from
// gets a tombstone. If the current version goes, the newest that is left takes its
// place; with the last that could be opened go those that were replaced, and in any
// case those whose subject or day is erased. Of a subject, the subject's slot gets one, so that
// the next call of that person takes another; of other recordings that tell of
// the subject the versions are erased by themselves. Of a day, the day's slot
// gets one. What lies below a subject or a day is settled later, by
// SettleTombstoned.
//
// An erasure that is queued already is success, and changes nothing.
// ErrHeldBelow: below the subject or the day lies what is held by itself.
// ErrTimeline: the catalog may lack holds.
// ErrNoTenant, ErrTenantRevoked, ErrTenantErased: nothing may be erased. ErrStage: the
// indexes are not those of the stage that the tenant is in.
func (c *Catalog) QueueErasure(ctx context.Context, n NewErasure, events []audit.Record) (q Queued, err error) {
	write := c.write
	if n.Scope == ScopeRecording || n.Scope == ScopeVersion { // which is soon done
		write = c.writeCrowded
	}
	err = write(ctx, "QueueErasure", func(ctx context.Context, tx *sql.Tx) error {
		q = Queued{}
		fresh, err := n.insert(ctx, tx)
		if err != nil {
			return err
		}
		if !fresh {
			q.Erasure, err = get[ErasureRow](ctx, tx, recording.ErrNoErasure, selectErasure, n.Tenant[:], n.ID[:])
			return err
		}
		t, err := c.dialect.activeTenant(ctx, tx, n.Tenant, n.Timeline)
		if err != nil {
			return err
		}
		if t.Stage != n.Index.Stage {
			return ErrStage
		}
		w := taking{dialect: c.dialect, tx: tx, NewErasure: n}
		if err := w.take(ctx); err != nil {
			return err
		}
		q.Gone, q.Again = w.gone, len(w.slots) == 0
		if q.Again {
			q.Erasure, err = w.forgo(ctx)
		} else {
			q.Erasure, err = w.queue(ctx, t.Epoch)
		}
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
	return q, err
}

// insert puts the row there that the other statements complete, and reports
// whether it is new.
func (n NewErasure) insert(ctx context.Context, tx *sql.Tx) (fresh bool, err error) {
	added, err := change(ctx, tx, `INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, scope_index, asked_at,
		base, record, recorded, versions, refiled, epoch, generation)
		VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, 0, $9, FALSE, 0, $10, 0, $11) ON CONFLICT DO NOTHING`,
		n.ID[:], n.Tenant[:], n.Scope, n.Who, n.Reason, n.Commitment, n.Index.orNull(), n.AskedAt.UnixMicro(), []byte{}, n.Refiled,
		n.Index.Stage.Newer())
	return added == 1, err
}

// orNull is an index for a column that may have none.
func (i Index) orNull() []byte {
	if i == (Index{}) {
		return nil
	}
	return i[:]
}

// taking is an erasure on its way.
type taking struct {
	dialect
	tx *sql.Tx
	NewErasure

	slots    []Slot              // that it takes
	versions []recording.Version // whose own slots are among them
	gone     []Version           // whose rows it flipped
	kept     int64               // that it would have taken, were they not held
	late     bool                // an epoch has punctured some slots already
}

// forgo takes the row back, and finds the erasure that did it before.
func (w *taking) forgo(ctx context.Context) (ErasureRow, error) {
	if _, err := w.tx.ExecContext(ctx, `DELETE FROM erasures WHERE id = $1`, w.ID[:]); err != nil {
		return ErasureRow{}, err
	}
	for _, index := range w.Index.all() {
		asked, err := all[ErasureRow](ctx, w.tx, selectErasureByScope+lastErasures("1"), index[:], w.Tenant[:])
		if err != nil || len(asked) > 0 {
			return append(asked, ErasureRow{})[0], err
		}
	}
	var query string
	args := []any{w.Tenant[:], w.Recording[:]}
	switch w.Scope {
	case ScopeRecording:
		query = selectEraserOf("")
	case ScopeVersion:
		query, args = selectEraserOf(` AND v.version = $3`), append(args, w.Version[:])
	case ScopeDay:
		query, args = selectErasureOfSlot, []any{w.Tenant[:], TreeDays, w.Day}
	default:
		return ErasureRow{}, nil // its row of subjects is gone with the slot
	}
	before, err := all[ErasureRow](ctx, w.tx, query, args...)
	if err != nil || len(before) == 0 {
		return ErasureRow{}, err
	}
	return before[0], nil
}

const selectErasureOfSlot = `SELECT ` + erasureColumns + ` FROM punctures p JOIN erasures e ON e.id = p.erasure
	WHERE p.tenant = $1 AND p.tree = $2 AND p.slot = $3`

// selectEraserOf finds the erasure that took a version of a recording: by its
// own slot if there is one, else with its subject or day.
func selectEraserOf(which string) string {
	from := `, p.erasure AS erasure FROM versions v JOIN punctures p ON p.tenant = v.tenant AND p.tree = `
	where := ` WHERE v.tenant = $1 AND v.recording = $2` + which
	return `SELECT ` + erasureColumns + ` FROM (
		SELECT 1 AS tree` + from + `1 AND p.slot = v.slot_recording` + where + `
		UNION ALL SELECT 2 AS tree` + from + `2 AND p.slot = v.slot_subject` + where + `
		UNION ALL SELECT 3 AS tree` + from + `3 AND p.slot = v.slot_day` + where + `) f
		JOIN erasures e ON e.id = f.erasure ORDER BY f.tree, e.asked_at DESC, e.id DESC LIMIT 1`
}

// queue completes the row.
func (w *taking) queue(ctx context.Context, base int64) (ErasureRow, error) {
	record, err := w.Record(base, w.slots, w.versions)
	if err != nil {
		return ErasureRow{}, err
	}
	_, err = w.tx.ExecContext(ctx, `UPDATE erasures SET base = $1, record = $2, versions = $3, refiled = refiled + $4 WHERE id = $5`,
		base, record, len(w.versions), w.kept, w.ID[:])
	if err != nil {
		return ErasureRow{}, err
	}
	if !w.late {
		row := w.ErasureRow
		row.State, row.Base, row.Record, row.Generation = ErasureQueued, base, record, w.Index.Stage.Newer()
		row.Versions, row.Refiled = int64(len(w.versions)), row.Refiled+w.kept
		return row, nil
	}
	if err := w.advanceErasures(ctx, w.tx, ` AND id = $2`, w.Tenant[:], w.ID[:]); err != nil {
		return ErasureRow{}, err
	}
	return get[ErasureRow](ctx, w.tx, recording.ErrNoErasure, selectErasure, w.Tenant[:], w.ID[:])
}

// take buries the slots, and flips the rows that have to be.
func (w *taking) take(ctx context.Context) error {
	switch w.Scope {
	case ScopeSubject:
		return w.takeSubject(ctx)
	case ScopeDay:
		return w.takeSlot(ctx, Slot{TreeDays, w.Day})
	}
	return w.takeRecording(ctx, w.Recording, w.takes)
}

// bury writes tombstones of slots.
func (w *taking) bury(ctx context.Context, slots []Slot) error {
	late, err := w.dialect.bury(ctx, w.tx, w.Tenant, w.ID, slots)
	w.late = w.late || late
	return err
}

// holds decides on the holds that bear on what stored holds and would go.
func (w *taking) holds(ctx context.Context, from []stored, takes func(Version) bool) error {
	gone, _ := divide(from, takes)
	var of []Version
	for _, s := range gone {
		if s.held && !s.buried && s.State == Committed { // else it is lost already
			of = append(of, s.Version)
		}
	}
	holds, err := w.holdsOn(ctx, w.tx, of)
	if err != nil {
		return err
	}
	return w.Erasable(holds)
}

// takeSlot buries a slot that stands for many versions.
func (w *taking) takeSlot(ctx context.Context, s Slot) error {
	there, err := get[yes](ctx, w.tx, recording.ErrNotFound, `SELECT `+buried("$1", int(s.Tree), "$2"), w.Tenant[:], s.Number)
	if err != nil || there.bool {
		return err
	}
	held, err := all[Version](ctx, w.tx, selectHeldBelow(s.Tree), w.Tenant[:], s.Number, 1)
	if err != nil {
		return err
	}
	if len(held) > 0 {
		return ErrHeldBelow
	}
	w.slots = append(w.slots, s)
	if err := w.bury(ctx, []Slot{s}); err != nil {
		return err
	}
	return w.takeFilingsBelow(ctx, s)
}

// takeRecording erases versions of a recording and buries their own slots. Those
// whose subject or day is erased need no tombstone.
func (w *taking) takeRecording(ctx context.Context, id recording.ID, takes func(Version) bool) error {
	stored, err := w.stored(ctx, w.tx, w.Tenant, id)
	if err != nil {
		return err
	}
	if err := w.holds(ctx, stored, takes); err != nil {
		return err
	}
	taken, err := w.dialect.take(ctx, w.tx, stored, takes)
	if err != nil {
		return err
	}
	var slots []Slot
	var own []Version // with filings, and not below a tombstone
	for _, s := range taken {
		w.gone = append(w.gone, s.Version)
		if s.buried {
			continue
		}
		slots = append(slots, Slot{TreeRecordings, s.Slots.Recording})
		w.versions = append(w.versions, s.Version.Version)
		if s.filed {
			own = append(own, s.Version)
		}
	}
	w.slots = append(w.slots, slots...)
	if err := w.bury(ctx, slots); err != nil {
		return err
	}
	return w.takeFilingsOf(ctx, own)
}

// selectAlso finds what tells of a subject and has another for its own.
var selectAlso = `SELECT v.version, v.recording, ` + isHeld + ` FROM terms s JOIN versions v ON v.version = s.version
	WHERE s.tenant = $1 AND s.term = $2 AND v.state IN ('committed', 'replaced') AND v.slot_subject <> $3 AND ` + notBuried + `
	ORDER BY v.recording`

// selectAlsoBegun finds what is under way, may be completed, and tells of a subject, among
// others.
var selectAlsoBegun = `SELECT v.slot_recording, ` + isHeld + ` FROM terms s JOIN versions v ON v.version = s.version
	WHERE s.tenant = $1 AND s.term = $2 AND v.state = 'intent' AND v.slot_subject <> $3 AND ` + mayBeCompleted

// noSlot is none of a subject.
const noSlot = -1

// takeSubject buries the subject's slot, and erases what tells of the subject
// under another's. What is held by itself stays.
func (w *taking) takeSubject(ctx context.Context) error {
	holds, err := all[Hold](ctx, w.tx, selectHoldsOfSubject, w.Subject.Index[:], w.Tenant[:])
	if err == nil {
		err = w.Erasable(holds)
	}
	if err != nil {
		return err
	}
	if err := w.Subject.adopt(ctx, w.tx, w.Tenant); err != nil {
		return err
	}
	of, err := all[slotRow](ctx, w.tx, selectSubject, w.Tenant[:], w.Subject.Index[:])
	if err != nil {
		return err
	}
	own := int64(noSlot)
	if len(of) > 0 {
		own = of[0].slot
		if err := w.takeSlot(ctx, Slot{TreeSubjects, own}); err != nil {
			return err
		}
	}
	_, err = w.tx.ExecContext(ctx, `DELETE FROM subjects WHERE tenant = $1 AND subject_index = $2`, w.Tenant[:], w.Subject.Index[:])
	if err != nil {
		return err
	}
	for _, term := range w.Subject.all() {
		if err := w.takeAlso(ctx, term, own); err != nil {
			return err
		}
		if err := w.takeAlsoBegun(ctx, term, own); err != nil {
			return err
		}
	}
	return nil
}

// takeAlsoBegun buries the slots of what is under way and tells of a subject, by a term,
// under another's slot: it can neither be completed nor opened, and a sweep ends it. What
// is held stays.
func (w *taking) takeAlsoBegun(ctx context.Context, term Index, own int64) error {
	also, err := all[alsoBegunRow](ctx, w.tx, selectAlsoBegun, w.Tenant[:], term[:], own)
	if err != nil {
		return err
	}
	var slots []Slot
	for _, of := range also {
		if of.held {
			w.kept++
			continue
		}
		slots = append(slots, Slot{TreeRecordings, of.slot})
	}
	w.slots = append(w.slots, slots...)
	return w.bury(ctx, slots)
}

// takeAlso erases what tells of a subject, by a term, under another's slot.
func (w *taking) takeAlso(ctx context.Context, term Index, own int64) error {
	also, err := all[alsoRow](ctx, w.tx, selectAlso, w.Tenant[:], term[:], own)
	if err != nil {
		return err
	}
	for len(also) > 0 {
		id, of := also[0].recording, map[recording.Version]bool{}
		for ; len(also) > 0 && also[0].recording == id; also = also[1:] {
			if also[0].held {
				w.kept++
				continue
			}
			of[also[0].version] = true
		}
		if len(of) == 0 {
			continue
		}
		if err := w.takeRecording(ctx, id, func(v Version) bool { return of[v.Version] }); err != nil {
			return err
		}
	}
	return nil
}

// alsoBegunRow is the slot of an intent, and whether a hold bears on it.
type alsoBegunRow struct {
	slot int64
	held bool
}

func (r *alsoBegunRow) columns() []any { return []any{&r.slot, &r.held} }

// alsoRow is a version, its recording, and whether a hold bears on it.
type alsoRow struct {
	version   recording.Version
	recording recording.ID
	held      bool
}

func (r *alsoRow) columns() []any {
	return []any{fixed(r.version[:]), fixed(r.recording[:]), &r.held}
}

const (
	selectErasures = `SELECT ` + erasureColumns + ` FROM erasures e WHERE e.tenant = $1`
	selectErasure  = selectErasures + ` AND e.id = $2`
)

const selectErasureByScope = `SELECT ` + erasureColumns + ` FROM erasures e WHERE e.scope_index = $1 AND e.tenant = $2`

// ErasureByScope finds the last erasure that asked for the same. ErrNoErasure: none
// did, or the index it would be found by is forgotten.
func (c *Catalog) ErasureByScope(ctx context.Context, tenant recording.Tenant, scope Index) (ErasureRow, error) {
	e, err := get[ErasureRow](ctx, c.read("ErasureByScope"), recording.ErrNoErasure, selectErasureByScope+lastErasures("1"), scope[:], tenant[:])
	return e, explain(ctx, err)
}

// FindErasure finds an erasure of whichever tenant. ErrNoErasure: there is none.
func (c *Catalog) FindErasure(ctx context.Context, id recording.ErasureID) (ErasureRow, error) {
	e, err := get[ErasureRow](ctx, c.read("FindErasure"), recording.ErrNoErasure, `SELECT `+erasureColumns+` FROM erasures e WHERE e.id = $1`, id[:])
	return e, explain(ctx, err)
}

type ageRow struct{ age int64 }

func (r *ageRow) columns() []any { return []any{orZero(&r.age)} }

// OldestErasure is how long ago the oldest erasure was asked for, by the database's
// clock, whose keys are not destroyed yet; 0 if there is none.
func (c *Catalog) OldestErasure(ctx context.Context) (time.Duration, error) {
	r, err := get[ageRow](ctx, c.read("OldestErasure"), recording.ErrNoErasure, `SELECT `+c.dialect.now+` - min(e.asked_at) FROM erasures e
		JOIN tenants t ON t.id = e.tenant WHERE e.state <> 'certified' AND e.state <> 'effective' AND t.state IN ('active', 'revoked')`)
	return max(time.Duration(r.age)*time.Microsecond, 0), explain(ctx, err)
}

// Erasure finds an erasure. ErrNoErasure: there is none.
func (c *Catalog) Erasure(ctx context.Context, tenant recording.Tenant, id recording.ErasureID) (ErasureRow, error) {
	e, err := get[ErasureRow](ctx, c.read("Erasure"), recording.ErrNoErasure, selectErasure, tenant[:], id[:])
	return e, explain(ctx, err)
}

// ErasureCursor is where a page of erasures ended. The zero cursor begins at the
// newest.
type ErasureCursor struct {
	AskedAt time.Time
	ID      recording.ErasureID
}

func (c ErasureCursor) micros() int64 {
	if c == (ErasureCursor{}) {
		return 0
	}
	return c.AskedAt.UnixMicro()
}

// Cursor is where a page ends whose last row e is.
func (e ErasureRow) Cursor() ErasureCursor { return ErasureCursor{e.AskedAt, e.ID} }

// Erasures gives a tenant's erasures that were asked for before one, newest
// first, at most limit of them.
func (c *Catalog) Erasures(ctx context.Context, tenant recording.Tenant, before ErasureCursor, limit int) ([]ErasureRow, error) {
	query, args := selectErasures, []any{tenant[:], limit}
	if before != (ErasureCursor{}) {
		query += ` AND e.asked_at <= $2 AND (e.asked_at < $2 OR e.id < $3)`
		args = []any{tenant[:], before.AskedAt.UnixMicro(), before.ID[:], limit}
	}
	e, err := all[ErasureRow](ctx, c.read("Erasures"), query+lastErasures("$"+strconv.Itoa(len(args))), args...)
	return e, explain(ctx, err)
}

func lastErasures(limit string) string { return ` ORDER BY e.asked_at DESC, e.id DESC LIMIT ` + limit }

// Recorded notes that the record of an erasure is in the store. ErrNoErasure:
// there is none.
func (c *Catalog) Recorded(ctx context.Context, tenant recording.Tenant, id recording.ErasureID) error {
	return c.write(ctx, "Recorded", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, `UPDATE erasures SET recorded = TRUE WHERE tenant = $1 AND id = $2`, tenant[:], id[:])
		if err == nil && n == 0 {
			err = recording.ErrNoErasure
		}
		return err
	})
}
