package catalogtest

import (
	"errors"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// hold puts a hold on a recording, or on a subject if that is not zero.
func (v *Vault) hold(t testing.TB, of recording.ID, subject catalog.Index) catalog.Hold {
	t.Helper()
	h := catalog.Hold{
		ID: recording.NewHoldID(), Recording: of, Subject: subject, Slot: v.slots.Add(1),
		Sealed: bytes(40), Who: "admin", CreatedAt: now(),
	}
	must(t, v.Next(t, catalog.Change{Hold: &h}))
	return h
}

func (v *Vault) release(t testing.TB, h catalog.Hold) {
	t.Helper()
	must(t, v.Next(t, catalog.Change{Released: &h.ID}))
}

func (v *Vault) wantReadable(t testing.TB, what string, cm catalog.Commit) {
	t.Helper()
	wantEqual(t, what, v.Current(t, cm.Content.Name), cm.Version)
}

func testHolds(t *testing.T, v *Vault) {
	ctx := t.Context()
	first, second := v.hold(t, recording.NewID(), catalog.Index{}), v.hold(t, recording.ID{}, Random())
	for _, h := range []catalog.Hold{first, second} {
		got, err := v.Hold(ctx, v.Tenant, h.ID)
		must(t, err)
		wantEqual(t, "Hold", got, h)
	}
	_, err := v.Hold(ctx, recording.NewTenant(), first.ID)
	wantErr(t, "Hold(other tenant)", err, recording.ErrNoHold)
	list, err := v.Holds(ctx, v.Tenant)
	must(t, err)
	wantEqual(t, "Holds", list, []catalog.Hold{first, second})

	for range 2 { // there, and not there
		v.release(t, first)
		list, err = v.Holds(ctx, v.Tenant)
		must(t, err)
		wantEqual(t, "Holds", list, []catalog.Hold{second})
		wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{{Tree: catalog.TreeRecordings, Number: first.Slot}})
	}
}

// A held recording, and one that tells of a held subject, whoever else it tells of
// and whenever it came, are erased neither by themselves nor with the subject.
func testHoldsRefuse(t *testing.T, v *Vault) {
	ctx := t.Context()
	subject, second := Random(), Random()
	slot, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	single, singleCommit := v.under(t, 0, 5)
	told, toldCommit := v.under(t, slot, 5, subject, second)
	holds := []catalog.Hold{v.hold(t, single.Recording, catalog.Index{}), v.hold(t, recording.ID{}, second), v.hold(t, recording.ID{}, subject)}
	later, laterCommit := v.under(t, 0, 5, second)
	erasures := map[string]catalog.NewErasure{
		"recording":          v.askedOf(single.Recording),
		"version":            v.askedVersion(single),
		"subject":            v.askedSubject(subject),
		"second subject":     v.askedSubject(second),
		"subject's":          v.askedOf(told.Recording),
		"second subject's":   v.askedOf(later.Recording),
		"a version of these": v.askedVersion(later),
	}
	for what, n := range erasures {
		var on []catalog.Hold
		n.Erasable = func(holds []catalog.Hold) error {
			on = holds
			return map[bool]error{true: recording.ErrHeld}[len(holds) > 0]
		}
		_, err := v.QueueErasure(ctx, n, nil)
		wantErr(t, what, err, recording.ErrHeld)
		if len(on) == 0 {
			t.Errorf("%s: no hold was asked about", what)
		}
		_, err = v.Erasure(ctx, v.Tenant, n.ID)
		wantErr(t, "erasure of "+what, err, recording.ErrNoErasure)
	}
	for what, cm := range map[string]catalog.Commit{"single": singleCommit, "told": toldCommit, "later": laterCommit} {
		v.wantReadable(t, what, cm)
	}
	for _, h := range holds {
		v.release(t, h)
	}
	for what, n := range erasures {
		if _, err := v.QueueErasure(ctx, n, nil); err != nil {
			t.Errorf("%s, held no more: %v", what, err)
		}
	}
	v.wantUnread(t, single, singleCommit)
	v.wantUnread(t, told, toldCommit, subject, second)
	v.wantUnread(t, later, laterCommit, second)
}

// askedVersion is an erasure of one version.
func (v *Vault) askedVersion(in catalog.Intent) catalog.NewErasure {
	n := v.asked(catalog.ScopeVersion)
	n.Recording, n.Version = in.Recording, in.Version
	return n
}

func testHeldSecond(t *testing.T, v *Vault) {
	subject := Random()
	gone, goneCommit := v.under(t, 0, 5, subject)
	kept, keptCommit := v.under(t, 0, 5, subject)
	v.hold(t, kept.Recording, catalog.Index{})
	q := v.queue(t, v.askedSubject(subject))
	v.wantUnread(t, gone, goneCommit)
	v.wantReadable(t, "what is held", keptCommit)
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{own(gone)})
	wantEqual(t, "kept", q.Erasure.Refiled, int64(1))
	wantEqual(t, "versions", q.Erasure.Versions, int64(1))
}

// A put that would replace what is held keeps it as a version.
func testHeldReplaced(t *testing.T, v *Vault) {
	name, subject := Random(), Random()
	versions := v.series(t, name, subject, catalog.Never)
	h := v.hold(t, recording.ID{}, subject)
	versions = append(versions, v.series(t, name, Random(), catalog.Replace, catalog.Replace)...)
	wantEqual(t, "state of what is held", v.State(t, versions[0].Version), catalog.Committed)
	wantEqual(t, "state of what is not", v.State(t, versions[1].Version), catalog.Replaced)
	wantEqual(t, "current version", v.Current(t, name), versions[2].Version)
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{own(versions[1])})
	_, err := v.QueueErasure(t.Context(), v.askedOf(versions[0].Recording), nil)
	wantErr(t, "erasure of all", err, recording.ErrHeld)
	v.release(t, h)
	q := v.queue(t, v.askedOf(versions[0].Recording))
	wantEqual(t, "versions", q.Erasure.Versions, int64(3))
}

func testHeldBelow(t *testing.T, v *Vault) {
	ctx := t.Context()
	subject := Random()
	_, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	single, _ := v.under(t, 70, 5, subject)
	told, _ := v.under(t, 0, 5, Random())
	v.under(t, 70, 5, subject)
	v.under(t, 0, 6, Random())
	day, of := catalog.Slot{Tree: catalog.TreeDays, Number: 5}, catalog.Slot{Tree: catalog.TreeSubjects, Number: 70}
	v.hold(t, single.Recording, catalog.Index{})
	v.hold(t, single.Recording, catalog.Index{}) // twice
	v.hold(t, told.Recording, catalog.Index{})
	for slot, want := range map[catalog.Slot]int{day: 2, of: 1, {Tree: catalog.TreeDays, Number: 7}: 0} {
		held, err := v.HeldBelow(ctx, v.Tenant, slot, 10)
		must(t, err)
		wantEqual(t, "held below", len(held), want)
	}
	one, err := v.HeldBelow(ctx, v.Tenant, day, 1)
	must(t, err)
	wantEqual(t, "held below, at most one", len(one), 1)
	for _, n := range []catalog.NewErasure{v.askedDay(5), v.askedSubject(subject)} {
		_, err := v.QueueErasure(ctx, n, nil)
		wantErr(t, n.Scope, err, catalog.ErrHeldBelow)
	}
	v.queue(t, v.askedDay(6))
}

// A hold that is there before an erasure is refuses it; one that comes later finds
// nothing. Never is something erased that a hold was acknowledged for before the
// erasure began, nor does either fail.
func testRaceToHold(t *testing.T, v *Vault) {
	for range 10 {
		subject := Random()
		in, cm := v.under(t, 0, 5, subject)
		var held, erased error
		var wg sync.WaitGroup
		h := catalog.Hold{ID: recording.NewHoldID(), Subject: subject, Slot: v.slots.Add(1), Sealed: bytes(40), Who: "admin", CreatedAt: now()}
		wg.Go(func() { held = v.Next(t, catalog.Change{Hold: &h}) })
		wg.Go(func() { _, erased = v.QueueErasure(t.Context(), v.askedOf(in.Recording), nil) })
		wg.Wait()
		must(t, held)
		if errors.Is(erased, recording.ErrHeld) {
			v.wantReadable(t, "what is held", cm)
			continue
		}
		must(t, erased)
		v.wantUnread(t, in, cm, subject)
	}
}
