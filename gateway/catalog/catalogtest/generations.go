package catalogtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// indexSlot is that of the key of the vault's first generation of indexes.
const indexSlot = 3<<32 | 1

// next is an index by the next generation.
func next(i catalog.Index) catalog.Index {
	i[0] ^= 0xff
	return i
}

// announce begins the stage in which rows are to move.
func (v *Vault) announce(t testing.TB) {
	t.Helper()
	must(t, v.Next(t, catalog.Change{Announced: &catalog.Announced{Generation: 1, Slot: indexSlot, Journal: v.sequence + 1}}))
	v.stage++
}

// move is what ends the announcement.
func (v *Vault) move(t testing.TB) catalog.Move {
	t.Helper()
	m := catalog.Move{
		Tenant: v.Tenant, From: v.stage, To: v.stage + 1, Journal: v.sequence,
		Buckets: map[recording.BucketID]catalog.Index{v.Bucket.ID: next(v.Bucket.Index)}, Holds: map[recording.HoldID]catalog.Index{},
	}
	holds, err := v.Holds(t.Context(), v.Tenant)
	must(t, err)
	for _, h := range holds {
		if h.Subject != (catalog.Index{}) {
			m.Holds[h.ID] = next(h.Subject)
		}
	}
	return m
}

// beginMove announces, and has what is written be under the next generation.
func (v *Vault) beginMove(t testing.TB) {
	t.Helper()
	v.announce(t)
	begun, err := v.BeginMove(t.Context(), v.move(t))
	must(t, err)
	wantEqual(t, "begun", begun, true)
	v.stage++
	v.Bucket.Index = next(v.Bucket.Index)
}

// moveSome moves the next versions, at most so many, of which terms tells what the
// facts of each would, and reports how many there were.
func (v *Vault) moveSome(t testing.TB, limit int, terms map[recording.Version][]catalog.Index) int {
	t.Helper()
	step, n := v.step(t, limit, terms)
	if n > 0 {
		must(t, v.MoveVersions(t.Context(), step))
	}
	return n
}

func (v *Vault) step(t testing.TB, limit int, terms map[recording.Version][]catalog.Index) (catalog.Step, int) {
	t.Helper()
	all, err := v.Generations(t.Context(), v.Tenant)
	must(t, err)
	s := catalog.Step{Tenant: v.Tenant, Stage: v.stage, From: all[0].Reached}
	rows, reached, err := v.ToMove(t.Context(), v.Tenant, s.From, limit)
	must(t, err)
	s.Reached = reached
	for _, row := range rows {
		if row.State == catalog.Intended {
			s.Begun = append(s.Begun, catalog.Begun{Version: row.Version, Terms: nexts(terms[row.Version])})
			continue
		}
		if v.written[row.Version] {
			continue
		}
		m := catalog.Moved{Version: row.Version, Filed: row.Slots, Was: row.Name, Name: next(row.Name), Directory: next(row.Directory)}
		m.Directories = []catalog.Directory{{Index: m.Directory}}
		m.Terms = nexts(terms[row.Version])
		for _, term := range terms[row.Version] {
			m.Subjects = append(m.Subjects, v.moving(term))
		}
		s.Rows = append(s.Rows, m)
	}
	return s, len(rows)
}

// moving is an index as it is written while rows move.
func (v *Vault) moving(i catalog.Index) catalog.Indexed {
	return catalog.Indexed{Index: next(i), Older: i, Stage: v.stage}
}

// asMoved is a commit as it is while rows move.
func (v *Vault) asMoved(cm catalog.Commit) catalog.Commit {
	cm.Stage, cm.OlderName, v.written[cm.Version] = v.stage, cm.Content.Name, true
	cm.Content.Name, cm.Content.Directory = next(cm.Content.Name), next(cm.Content.Directory)
	cm.Terms = nexts(cm.Terms)
	return cm
}

func nexts(all []catalog.Index) (out []catalog.Index) {
	for _, i := range all {
		out = append(out, next(i))
	}
	return out
}

// testGenerations is the way of a tenant from one generation of indexes to the next.
func testGenerations(t *testing.T, v *Vault) {
	ctx, subject, scope := t.Context(), Random(), Random()
	_, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	_, err = v.SubjectSlot(ctx, v.Tenant, Random(), 71) // nothing tells of them
	must(t, err)
	in, cm := v.under(t, 70, 5, subject)
	n := v.askedDay(9)
	n.Index.Index = scope
	asked := v.queue(t, n).Erasure
	wantEqual(t, "generation of an erasure", asked.Generation, uint32(1))
	due, err := v.TenantsToReindex(ctx, time.Hour)
	must(t, err)
	wantEqual(t, "due too early", len(due), 0)
	due, err = v.TenantsToReindex(ctx, -time.Hour)
	must(t, err)
	wantEqual(t, "due", due, []recording.Tenant{v.Tenant})

	for range 2 { // the second is known already
		v.announce(t)
		v.stage = 1
		wantEqual(t, "stage", v.row(t).Stage, catalog.Stage(1))
	}
	n = v.askedDay(10)
	n.Index.Stage = v.stage
	wantEqual(t, "generation of an erasure once the next is announced", v.queue(t, n).Erasure.Generation, uint32(2))
	due, err = v.TenantsToReindex(ctx, -time.Hour)
	must(t, err)
	wantEqual(t, "due while it is under way", len(due), 0)
	early := v.move(t)
	early.After = time.Hour
	begun, err := v.BeginMove(ctx, early)
	must(t, err)
	wantEqual(t, "begun too early", begun, false)
	late := v.move(t)
	late.Journal--
	_, err = v.BeginMove(ctx, late)
	wantErr(t, "BeginMove(of other settings)", err, catalog.ErrStage)
	begun, err = v.BeginMove(ctx, v.move(t))
	must(t, err)
	wantEqual(t, "begun", begun, true)
	_, err = v.BeginMove(ctx, v.move(t))
	wantErr(t, "BeginMove(again)", err, catalog.ErrStage)
	v.stage, v.Bucket.Index = 2, next(v.Bucket.Index)

	step, _ := v.step(t, 10, map[recording.Version][]catalog.Index{in.Version: {subject}})
	must(t, v.MoveVersions(ctx, step))
	wantErr(t, "MoveVersions(again)", v.MoveVersions(ctx, step), catalog.ErrBehind)
	wantEqual(t, "what else is to move", v.moveSome(t, 10, nil), 0)
	wantEqual(t, "by its name", v.Current(t, next(cm.Content.Name)), in.Version)
	wantEqual(t, "by its older name", v.Current(t, cm.Content.Name), recording.Version{})
	found, err := v.ByTerm(ctx, v.Tenant, next(subject))
	must(t, err)
	wantEqual(t, "by its term", len(found), 1)
	ids, err := v.VersionsIn(ctx, v.Tenant, next(cm.Content.Directory))
	must(t, err)
	wantEqual(t, "by its directory", ids, []recording.Version{in.Version})
	slot, known, err := v.LookupSubject(ctx, v.Tenant, next(subject))
	must(t, err)
	wantEqual(t, "slot of its subject", []any{slot, known}, []any{int64(70), true})

	moved := event(v.Tenant, now())
	for range 2 {
		must(t, v.EndMove(ctx, v.Tenant, v.stage, []audit.Record{moved}))
	}
	v.stage++
	all, err := v.OpenGenerations(ctx)
	must(t, err)
	of := all[0]
	wantEqual(t, "moved", []any{len(all), of.Moved, of.MovedAt.IsZero(), of.Buried}, []any{1, int64(1), false, false})
	for more := true; more; {
		more, err = v.DropLeft(ctx, of, 1)
		must(t, err)
	}
	for at := (&catalog.ErasureCursor{}); at != nil; {
		at, err = v.ForgetScopes(ctx, of, *at, 1)
		must(t, err)
	}
	_, err = v.ErasureByScope(ctx, v.Tenant, scope)
	wantErr(t, "ErasureByScope(forgotten)", err, recording.ErrNoErasure)
	v.wantNoLeftOvers(t, 1)

	must(t, v.BuryGeneration(ctx, of, time.Hour))
	own := catalog.Slot{Tree: catalog.TreeSystem, Number: indexSlot}
	wantEqual(t, "buried too early", slices.Contains(v.toPuncture(t), own), false)
	must(t, v.BuryGeneration(ctx, of, 0))
	wantEqual(t, "buried", v.toPuncture(t)[0], own)
	forget := func() bool {
		t.Helper()
		forgotten, err := v.ForgetGeneration(ctx, of, 0)
		must(t, err)
		return forgotten
	}
	wantEqual(t, "forgotten before any epoch", forget(), false)
	must(t, v.FollowHead(ctx, catalog.Follow{
		Tenant: v.Tenant, From: 1, Head: catalog.Head{Epoch: 2, Bytes: []byte("head 2")}, Version: 2, Slots: []catalog.Slot{own}, At: now(),
	}))
	wantEqual(t, "forgotten before the epoch is effective", forget(), false)
	must(t, v.EpochEffective(ctx, catalog.EpochRow{Tenant: v.Tenant, Epoch: 2, EffectiveAt: now()}))
	wantEqual(t, "forgotten", forget(), true)
	all, err = v.OpenGenerations(ctx)
	must(t, err)
	wantEqual(t, "generations to be forgotten", len(all), 0)
	alike := v.Intent() // a recording whose slot has the number of one of the system tree
	alike.Slots = catalog.Slots{Recording: indexSlot + 1, Day: 5}
	must(t, v.Begin(ctx, alike, nil))
	alikeCommit := v.Commit(alike, Random())
	alikeCommit.Stage = v.stage
	must(t, v.Create(ctx, alikeCommit, nil))
	must(t, v.FollowHead(ctx, catalog.Follow{ // of which this catalog knew nothing
		Tenant: v.Tenant, From: 2, Head: catalog.Head{Epoch: 3, Bytes: []byte("head 3")}, Version: 3,
		Slots: []catalog.Slot{{Tree: catalog.TreeSystem, Number: indexSlot + 1}}, At: now(),
	}))
	unsettled, err := v.TenantsToSettle(ctx)
	must(t, err)
	wantEqual(t, "to settle but for the day", len(unsettled), 1)
	_, more, err := v.SettleTombstoned(ctx, v.Tenant, 10)
	must(t, err)
	unsettled, err = v.TenantsToSettle(ctx)
	must(t, err)
	wantEqual(t, "to settle", []any{more, len(unsettled)}, []any{false, 0})
	v.wantReadable(t, "recording", alikeCommit)
}

// wantNoLeftOvers checks that nothing is to be dropped of a generation.
func (v *Vault) wantNoLeftOvers(t testing.TB, generation uint32) {
	t.Helper()
	more, err := v.DropLeft(t.Context(), catalog.Generation{Tenant: v.Tenant, Generation: generation}, 1)
	must(t, err)
	wantEqual(t, "left of the generation", more, false)
}

// testStages: whoever knew another stage writes nothing.
func testStages(t *testing.T, v *Vault) {
	ctx, subject := t.Context(), Random()
	refuse := func(stage catalog.Stage) {
		t.Helper()
		cm := v.Commit(v.Intend(t), Random())
		cm.Stage = stage
		for _, cm.Overwrite = range []catalog.Overwrite{catalog.Never, catalog.KeepVersions} {
			wantErr(t, "Create", v.Create(ctx, cm, nil), catalog.ErrStage)
		}
		wantEqual(t, "state", v.State(t, cm.Version), catalog.Intended)
		in := v.Intent()
		in.Stage = stage
		wantErr(t, "Begin", v.Begin(ctx, in, nil), catalog.ErrStage)
		_, err := v.Version(ctx, v.Tenant, in.Version)
		wantErr(t, "Version", err, recording.ErrNotFound)
		_, err = v.Catalog.SubjectSlot(ctx, v.Tenant, catalog.Indexed{Index: subject, Stage: stage}, 70)
		wantErr(t, "SubjectSlot", err, catalog.ErrStage)
		n := v.askedDay(9)
		n.Index.Stage = stage
		_, err = v.QueueErasure(ctx, n, nil)
		wantErr(t, "QueueErasure", err, catalog.ErrStage)
		_, err = v.Erasure(ctx, v.Tenant, n.ID)
		wantErr(t, "Erasure", err, recording.ErrNoErasure)
		b := catalog.Bucket{ID: recording.NewBucketID(), Index: Random(), Sealed: []byte("settings"), CreatedAt: now()}
		wantErr(t, "Apply", v.Apply(ctx, catalog.Change{Tenant: v.Tenant, Sequence: v.sequence + 1, Stage: stage, Bucket: &b}), catalog.ErrStage)
		_, err = v.Catalog.Bucket(ctx, v.Tenant, b.Index)
		wantErr(t, "Bucket", err, recording.ErrNoBucket)
	}
	refuse(1)
	v.announce(t)
	refuse(0)
	refuse(2)
	_, err := v.BeginMove(ctx, v.move(t))
	must(t, err)
	v.stage++
	refuse(1)
	wantErr(t, "EndMove(of another)", v.EndMove(ctx, v.Tenant, 5, nil), catalog.ErrStage)
	must(t, v.EndMove(ctx, v.Tenant, 2, nil))
	v.stage++
	refuse(2)
	wantErr(t, "MoveVersions(after the end)", v.MoveVersions(ctx, catalog.Step{Tenant: v.Tenant, Stage: 2}), catalog.ErrBehind)
}

// testNamesWhileMoving: what has a name has it whichever generation it is under.
func testNamesWhileMoving(t *testing.T, v *Vault) {
	ctx, never, kept, replaced := t.Context(), Random(), Random(), Random()
	for _, name := range []catalog.Index{never, kept, replaced} {
		_, err := v.Put(t, name, catalog.Never)
		must(t, err)
	}
	v.beginMove(t)
	put := func(name catalog.Index, how catalog.Overwrite) (catalog.Commit, error) {
		cm := v.asMoved(v.Commit(v.Intend(t), name))
		cm.Overwrite = how
		return cm, v.Create(ctx, cm, nil)
	}
	_, err := put(never, catalog.Never)
	wantErr(t, "Create under a name that is taken", err, recording.ErrExists)
	for name, how := range map[catalog.Index]catalog.Overwrite{kept: catalog.KeepVersions, replaced: catalog.Replace} {
		cm, err := put(name, how)
		must(t, err)
		wantEqual(t, "current", v.Current(t, next(name)), cm.Version)
		wantEqual(t, "current by the older index", v.Current(t, name), recording.Version{})
		again, err := put(name, catalog.Never)
		wantErr(t, "Create under it", err, recording.ErrExists)
		must(t, v.Abort(ctx, v.Tenant, again.Version))
		names, err := v.Namesakes(ctx, v.Tenant, []catalog.Index{next(name)})
		must(t, err)
		wantEqual(t, "versions of the name", len(names), 2)
	}
	for v.moveSome(t, 1, nil) > 0 {
	}
	if v.Current(t, next(never)) == (recording.Version{}) {
		t.Error("what was not written anew has not moved")
	}
}

// testRaceForNameWhileMoving: of many who want one name, and what has it moving
// meanwhile, one gets it.
func testRaceForNameWhileMoving(t *testing.T, v *Vault) {
	name, taken := Random(), Random()
	holder, err := v.Put(t, taken, catalog.Never)
	must(t, err)
	cms := v.commits(t, func() catalog.Index { return name }, catalog.Never)
	v.beginMove(t)
	wantEqual(t, "under way", v.moveSome(t, 100, nil), len(cms))
	step, _ := v.step(t, 100, nil)
	var winners []recording.Version
	for i := range cms {
		if i%2 == 0 {
			cms[i].Content.Name = taken
		}
		cms[i] = v.asMoved(cms[i])
	}
	errs := race(func(i int) error {
		if i == racers/2+1 {
			return v.MoveVersions(t.Context(), step)
		}
		return v.Create(t.Context(), cms[i], nil)
	})
	for i, err := range errs {
		switch {
		case err == nil && i != racers/2+1:
			winners = append(winners, cms[i].Version)
		case err != nil && !errors.Is(err, recording.ErrExists):
			t.Errorf("racer %d: %v", i, err)
		}
	}
	wantEqual(t, "winners", winners, []recording.Version{v.Current(t, next(name))})
	wantEqual(t, "what had the other name", v.Current(t, next(taken)), holder.Version)
}

// testHoldsWhileMoving: a hold of a subject bears on what has moved and what has not.
func testHoldsWhileMoving(t *testing.T, v *Vault) {
	ctx, subject := t.Context(), Random()
	slot, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	before := v.hold(t, recording.ID{}, subject)
	terms := map[recording.Version][]catalog.Index{}
	var all []catalog.Intent
	for range 2 {
		in, _ := v.under(t, slot, 5, subject)
		all, terms[in.Version] = append(all, in), []catalog.Index{subject}
	}
	v.beginMove(t)
	wantEqual(t, "moved", v.moveSome(t, 1, terms), 1)
	in := v.Intent()
	in.Recording, in.Slots.Subject, in.Slots.Day = recording.NewID(), slot, 5
	must(t, v.Begin(ctx, in, nil))
	cm := v.Commit(in, Random())
	cm.Terms = []catalog.Index{subject}
	must(t, v.Create(ctx, v.asMoved(cm), nil))
	all = append(all, in)
	held := func(what string, want error) {
		t.Helper()
		for _, in := range all {
			n := v.askedOf(in.Recording)
			n.Index.Stage = v.stage
			err := v.tryErasure(t, n)
			wantErr(t, what, err, want)
		}
		below, err := v.HeldBelow(ctx, v.Tenant, catalog.Slot{Tree: catalog.TreeDays, Number: 5}, 10)
		must(t, err)
		wantEqual(t, what+": held below the day", len(below), map[bool]int{true: 3}[want != nil])
	}
	held("erasure of what is held", recording.ErrHeld)
	v.release(t, before)
	held("erasure of what is held no more", nil)

	after := catalog.Hold{ID: recording.NewHoldID(), Subject: next(subject), Older: subject, Slot: v.slots.Add(1), Sealed: bytes(40), Who: "admin", CreatedAt: now()}
	must(t, v.Next(t, catalog.Change{Hold: &after}))
	held("erasure of what is held since", recording.ErrHeld)
	n := v.askedSubject(subject)
	moving := v.moving(subject)
	n.Subject, n.Index.Stage = &moving, v.stage
	wantErr(t, "erasure of the subject", v.tryErasure(t, n), recording.ErrHeld)
	for v.moveSome(t, 1, terms) > 0 {
	}
	held("erasure of what has moved", recording.ErrHeld)
	must(t, v.EndMove(ctx, v.Tenant, v.stage, nil))
	v.stage++
	held("erasure of what is settled", recording.ErrHeld)
	got, err := v.Hold(ctx, v.Tenant, after.ID)
	must(t, err)
	after.Older = catalog.Index{}
	wantEqual(t, "the hold", got, after)
}

// errUndone ends a transaction that would have succeeded.
var errUndone = errors.New("undone")

// tryErasure finds out whether something may be erased, and leaves it as it is.
func (v *Vault) tryErasure(t testing.TB, n catalog.NewErasure) error {
	t.Helper()
	n.Record = func(int64, []catalog.Slot, []recording.Version) ([]byte, error) { return nil, errUndone }
	_, err := v.QueueErasure(t.Context(), n, nil)
	if errors.Is(err, errUndone) {
		return nil
	}
	return err
}

// testEraseSubjectWhileMoving: the erasure of a subject takes what has moved and what
// has not, whether it hangs from their slot or another's.
func testEraseSubjectWhileMoving(t *testing.T, v *Vault) {
	ctx, subject, other := t.Context(), Random(), Random()
	slot, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	second, err := v.SubjectSlot(ctx, v.Tenant, other, 71)
	must(t, err)
	unmoved := Random()
	_, err = v.SubjectSlot(ctx, v.Tenant, unmoved, 72)
	must(t, err)
	terms := map[recording.Version][]catalog.Index{}
	var gone []catalog.Intent
	for i := range 8 { // of which some of six have moved when five have, and some not
		hangs, tells := second, []catalog.Index{other, subject}
		if i >= 6 {
			hangs, tells = slot, []catalog.Index{subject}
		}
		in, _ := v.under(t, hangs, 5, tells...)
		gone, terms[in.Version] = append(gone, in), tells
	}
	stays, cm := v.under(t, second, 5, other)
	terms[stays.Version] = []catalog.Index{other}
	v.beginMove(t)
	wantEqual(t, "moved", v.moveSome(t, 5, terms), 5)
	for of, want := range map[catalog.Index]int64{subject: slot, unmoved: 72} {
		same, err := v.Catalog.SubjectSlot(ctx, v.Tenant, v.moving(of), 99)
		must(t, err)
		wantEqual(t, "slot while rows move", same, want)
	}

	n := v.askedSubject(subject)
	moving := v.moving(subject)
	n.Subject, n.Index.Stage = &moving, v.stage
	e := v.queue(t, n).Erasure
	wantEqual(t, "generation of the erasure", e.Generation, uint32(2))
	for _, in := range gone {
		wantEqual(t, "erased", v.State(t, in.Version), catalog.Erased)
	}
	for v.moveSome(t, 1, terms) > 0 {
	}
	for _, in := range gone {
		wantEqual(t, "erased", v.State(t, in.Version), catalog.Erased)
	}
	for _, term := range []catalog.Index{subject, next(subject)} {
		found, err := v.ByTerm(ctx, v.Tenant, term)
		must(t, err)
		wantEqual(t, "by the subject", len(found), 0)
	}
	wantEqual(t, "another's", v.Current(t, next(cm.Content.Name)), stays.Version)
	fresh, err := v.Catalog.SubjectSlot(ctx, v.Tenant, v.moving(subject), 73)
	must(t, err)
	wantEqual(t, "slot of the next call", fresh, int64(73))
}

// testEraseBegunWhileMoving: what is under way goes with whomever it tells of, before and
// after it has moved. What has come to an end meanwhile has its own terms.
func testEraseBegunWhileMoving(t *testing.T, v *Vault) {
	ctx, first, second, third := t.Context(), Random(), Random(), Random()
	terms := map[recording.Version][]catalog.Index{}
	begin := func(of ...catalog.Index) catalog.Intent {
		in := v.Intent()
		in.Recording, in.Slots.Subject, in.Terms, terms[in.Version] = recording.NewID(), 70, of, of
		must(t, v.Begin(ctx, in, nil))
		return in
	}
	gone := []catalog.Intent{begin(first, second), begin(first, second)}
	left, done := begin(first, third), begin(first, third)
	v.beginMove(t)
	wantEqual(t, "moved", v.moveSome(t, 1, terms), 1)
	step, n := v.step(t, 3, terms)
	wantEqual(t, "moved with the rest", n, 3)
	cm := v.Commit(done, Random())
	cm.Terms = []catalog.Index{first, second, third}
	must(t, v.Create(ctx, v.asMoved(cm), nil))
	must(t, v.MoveVersions(ctx, step))
	for term, want := range map[catalog.Index]int{next(first): 4, next(second): 3, next(third): 2} {
		wantEqual(t, "rows of a term", v.countTerms(t, term), want)
	}
	must(t, v.Abort(ctx, v.Tenant, left.Version))
	wantEqual(t, "rows of what tells of whom is aborted", v.countTerms(t, next(third)), 1)

	n2, moving := v.askedSubject(second), v.moving(second)
	n2.Subject, n2.Index.Stage = &moving, v.stage
	v.queue(t, n2)
	wantEqual(t, "erased", v.State(t, done.Version), catalog.Erased)
	for _, in := range gone {
		wantErr(t, "Create(that tells of who is erased)", v.Create(ctx, v.asMoved(v.Commit(in, Random())), nil), catalog.ErrTombstoned)
	}
}

// countTerms counts the rows of a term, whatever becomes of their versions.
func (v *Vault) countTerms(t testing.TB, term catalog.Index) (n int) {
	t.Helper()
	db := v.database(t)
	defer db.Close()
	must(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM terms WHERE term = $1`, term[:]).Scan(&n))
	return n
}

// testMoveAfterRebuild: a rebuild that was killed while it moved rows, and knew no older
// index of theirs, has left a subject under both. Rows move on, and their erasure takes all.
func testMoveAfterRebuild(t *testing.T, v *Vault) {
	ctx, subject := t.Context(), Random()
	slot, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	terms := map[recording.Version][]catalog.Index{}
	var gone []catalog.Intent
	for range 2 {
		in, _ := v.under(t, slot, 5, subject)
		gone, terms[in.Version] = append(gone, in), []catalog.Index{subject}
	}
	v.beginMove(t)
	step, _ := v.step(t, 1, terms)
	known := next(subject)
	step.Rows[0].Subjects, step.Rows[0].Subject = nil, &known
	must(t, v.MoveVersions(ctx, step))
	for v.moveSome(t, 1, terms) > 0 {
	}
	n := v.askedSubject(subject)
	moving := v.moving(subject)
	n.Subject, n.Index.Stage = &moving, v.stage
	v.queue(t, n)
	for _, in := range gone {
		wantEqual(t, "erased", v.State(t, in.Version), catalog.Erased)
	}
}

// testMoveMeetsErasure: what was erased after a step was prepared is not found again,
// and what cannot be opened any more is found by nothing.
func testMoveMeetsErasure(t *testing.T, v *Vault) {
	ctx, term := t.Context(), Random()
	erased, cm := v.under(t, 0, 5, term)
	buried, buriedCommit := v.under(t, 0, 6, term)
	lonely := v.series(t, Random(), term, catalog.Never, catalog.Replace)
	over := v.Intent()
	over.Recording, over.Slots.Subject, over.Slots.Day = buried.Recording, 0, 5
	must(t, v.Begin(ctx, over, nil))
	overCommit := v.Commit(over, buriedCommit.Content.Name)
	overCommit.Overwrite = catalog.KeepVersions
	must(t, v.Create(ctx, overCommit, nil))
	v.beginMove(t)
	step, _ := v.step(t, 100, map[recording.Version][]catalog.Index{erased.Version: {term}, buried.Version: {term}})
	n := v.askedOf(erased.Recording)
	n.Index.Stage = v.stage
	v.queue(t, n)
	day := v.askedDay(6)
	day.Index.Stage = v.stage
	v.queue(t, day)
	must(t, v.MoveVersions(ctx, step))
	for of, want := range map[catalog.Index]int{cm.Content.Name: 0, buriedCommit.Content.Name: 1} { // what stands above it
		names, err := v.Namesakes(ctx, v.Tenant, []catalog.Index{next(of)})
		must(t, err)
		wantEqual(t, "by the next index", len(names), want)
	}
	wantEqual(t, "terms under the next generation", v.countTerms(t, next(term)), 0)
	wantEqual(t, "erased", []any{v.State(t, erased.Version), v.State(t, buried.Version)}, []any{catalog.Erased, catalog.Erased})

	dead, err := v.Catalog.Version(ctx, v.Tenant, lonely[0].Version)
	must(t, err)
	wantEqual(t, "replaced", dead.State, catalog.Replaced)
	die := catalog.Step{Tenant: v.Tenant, Stage: v.stage, From: step.Reached, Reached: append([]byte{1}, step.Reached...), Dead: []catalog.Version{dead}}
	must(t, v.MoveVersions(ctx, die))
	wantEqual(t, "replaced, beside what took its place", v.State(t, dead.Version), catalog.Replaced)
	n = v.askedVersion(lonely[1])
	n.Index.Stage = v.stage
	must(t, v.tryErasure(t, n))
}
