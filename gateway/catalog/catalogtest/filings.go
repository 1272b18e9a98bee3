package catalogtest

import (
	"crypto/rand"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// refiling draws a refiling of a version, to another day.
func (v *Vault) refiling(in catalog.Intent, day int64) catalog.Refiling {
	to := catalog.Slots{Recording: 1<<39 + v.slots.Add(1), Subject: in.Slots.Subject, Day: day}
	return catalog.Refiling{Tenant: v.Tenant, Version: in.Version, From: in.Slots, To: to, Blob: "refiled/" + rand.Text()}
}

func refiled() catalog.Refiled {
	return catalog.Refiled{WrappedDEK: bytes(60), SealedFacts: bytes(300)}
}

// refile files a version under another day.
func (v *Vault) refile(t testing.TB, in catalog.Intent, day int64) catalog.Refiling {
	t.Helper()
	r := v.refiling(in, day)
	must(t, v.IntendFiling(t.Context(), r))
	must(t, v.Refile(t.Context(), r, refiled(), nil))
	return r
}

func recordingSlot(n int64) catalog.Slot {
	return catalog.Slot{Tree: catalog.TreeRecordings, Number: n}
}

func testRefile(t *testing.T, v *Vault) {
	ctx := t.Context()
	in, cm := v.under(t, 0, 5)
	r, as, told := v.refiling(in, 6), refiled(), event(v.Tenant, now())
	for range 2 { // repeated
		must(t, v.IntendFiling(ctx, r))
	}
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 0)
	for range 2 {
		must(t, v.Refile(ctx, r, as, []audit.Record{told}))
	}
	got, err := v.Version(ctx, v.Tenant, in.Version)
	must(t, err)
	wantEqual(t, "slots", got.Slots, r.To)
	wantEqual(t, "wrapped", got.WrappedDEK, as.WrappedDEK)
	wantEqual(t, "facts", got.SealedFacts, as.SealedFacts)
	wantEqual(t, "state", got.State, catalog.Committed)
	v.wantReadable(t, "what was filed anew", cm)
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{own(in)})
	known, err := v.KnownFilings(ctx, v.Tenant, []int64{in.Slots.Recording, r.To.Recording, 1 << 39})
	must(t, err)
	wantEqual(t, "known filings", known, map[int64]bool{in.Slots.Recording: true, r.To.Recording: true})
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", events, []audit.Record{told})

	in.Slots = r.To
	second := v.refile(t, in, 7)
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 2)
	left, err := v.Residues(ctx, v.Tenant, in.Version)
	must(t, err)
	if len(left) != 1 || left[0].Blob != r.Blob || !left[0].Certain {
		t.Errorf("residues: %+v, want that of the first filing", left)
	}
	must(t, v.Refile(ctx, r, as, nil)) // whose first COMMIT went unanswered
	got, err = v.Version(ctx, v.Tenant, in.Version)
	must(t, err)
	wantEqual(t, "slots", got.Slots, second.To)
}

// What is corrected is found by what it tells of now, and is not where a hold would
// lose it.
func testCorrect(t *testing.T, v *Vault) {
	ctx := t.Context()
	wrong, right, also := Random(), Random(), Random()
	in, _ := v.under(t, 70, 5, wrong, also)
	as := refiled()
	as.Terms = []catalog.Index{right, also}
	r := v.refiling(in, 5)
	r.Permit = func(holds []catalog.Hold) error {
		if len(holds) > 0 {
			return recording.ErrHeld
		}
		return nil
	}
	must(t, v.IntendFiling(ctx, r))
	h := v.hold(t, recording.ID{}, wrong)
	wantErr(t, "Refile(out of a hold)", v.Refile(ctx, r, as, nil), recording.ErrHeld)
	late := v.refiling(in, 5)
	late.Permit = r.Permit
	wantErr(t, "IntendFiling(out of a hold)", v.IntendFiling(ctx, late), recording.ErrHeld)
	v.release(t, h)
	must(t, v.Refile(ctx, r, as, nil))
	for term, want := range map[catalog.Index]int{wrong: 0, right: 1, also: 1} {
		found, err := v.ByTerm(ctx, v.Tenant, term)
		must(t, err)
		wantEqual(t, "versions that tell of it", len(found), want)
	}
}

func testRefileRefuses(t *testing.T, v *Vault) {
	ctx := t.Context()
	in, _ := v.under(t, 70, 5)
	wrong := v.refiling(in, 6)
	wrong.From.Day = 4
	wantErr(t, "IntendFiling(from elsewhere)", v.IntendFiling(ctx, wrong), catalog.ErrMisfiled)
	must(t, func() error { _, err := v.QueueErasure(ctx, v.askedDay(9), nil); return err }())
	wantErr(t, "IntendFiling(under an erased day)", v.IntendFiling(ctx, v.refiling(in, 9)), catalog.ErrTombstoned)
	wantErr(t, "Refile(not intended)", v.Refile(ctx, v.refiling(in, 6), refiled(), nil), catalog.ErrMisfiled)
	begun := v.Intend(t)
	wantErr(t, "IntendFiling(intent)", v.IntendFiling(ctx, v.refiling(begun, 6)), catalog.ErrMisfiled)

	// Of two, one does it, and the other's slot is a scrap.
	first, second := v.refiling(in, 6), v.refiling(in, 7)
	must(t, v.IntendFiling(ctx, first))
	must(t, v.IntendFiling(ctx, second))
	must(t, v.Refile(ctx, second, refiled(), nil))
	wantErr(t, "Refile(the slower)", v.Refile(ctx, first, refiled(), nil), catalog.ErrMisfiled)
	wantEqual(t, "slots to puncture", sortedSlots(v.toPuncture(t))[:2], sortedSlots([]catalog.Slot{own(in), recordingSlot(first.To.Recording)}))

	// Nor out of what is erased.
	below, _ := v.under(t, 70, 8)
	r := v.refiling(below, 6)
	must(t, v.IntendFiling(ctx, r))
	v.queue(t, v.askedDay(8))
	wantErr(t, "Refile(out of an erased day)", v.Refile(ctx, r, refiled(), nil), catalog.ErrMisfiled)
	wantEqual(t, "state", v.State(t, below.Version), catalog.Erased)
}

// With a recording go all slots that it ever hung from, or might have come to.
func testEraseRefiled(t *testing.T, v *Vault) {
	in, cm := v.under(t, 0, 5)
	first := v.refile(t, in, 6)
	must(t, v.FollowHead(t.Context(), v.follow(1, own(in)))) // the first is punctured
	again := in
	again.Slots = first.To
	second := v.refile(t, again, 7)
	again.Slots = second.To
	open := v.refiling(again, 8)
	must(t, v.IntendFiling(t.Context(), open))

	n := v.askedOf(in.Recording)
	var recorded []catalog.Slot
	record := n.Record
	n.Record = func(base int64, slots []catalog.Slot, versions []recording.Version) ([]byte, error) {
		recorded = slots
		return record(base, slots, versions)
	}
	q := v.queue(t, n)
	want := []catalog.Slot{own(in), recordingSlot(first.To.Recording), recordingSlot(second.To.Recording), recordingSlot(open.To.Recording)}
	wantEqual(t, "slots recorded", sortedSlots(recorded), sortedSlots(want))
	wantEqual(t, "slots to puncture", sortedSlots(v.toPuncture(t)), sortedSlots(want[1:]))
	wantEqual(t, "versions", q.Erasure.Versions, int64(1))
	v.wantUnread(t, in, cm)
	wantErr(t, "Refile(erased)", v.Refile(t.Context(), open, refiled(), nil), catalog.ErrMisfiled)
	left, err := v.Residues(t.Context(), v.Tenant, in.Version)
	must(t, err)
	var blobs []string
	for _, r := range left {
		blobs = append(blobs, r.Blob)
		wantEqual(t, "certain", r.Certain, r.Blob != open.Blob)
	}
	for _, blob := range []string{in.Blob, first.Blob, second.Blob, open.Blob} {
		if !slices.Contains(blobs, blob) {
			t.Errorf("%s is no residue", blob)
		}
	}
	must(t, v.FollowHead(t.Context(), v.follow(2, want[1:3]...)))
	v.wantState(t, q.Erasure.ID, catalog.ErasureQueued, 0) // while one slot is left
	must(t, v.FollowHead(t.Context(), v.follow(3, want[3])))
	v.wantState(t, q.Erasure.ID, catalog.ErasurePunctured, 4)
}

// A day takes the open and the former slots of what is filed below it, and not of
// what moved out of it, which it counts.
func testEraseDayRefiled(t *testing.T, v *Vault) {
	ctx := t.Context()
	intended, _ := v.under(t, 0, 5)
	open := v.refiling(intended, 6)
	must(t, v.IntendFiling(ctx, open))
	into, _ := v.under(t, 0, 4)
	v.refile(t, into, 5)
	out, outCommit := v.under(t, 0, 5)
	moved := v.refile(t, out, 6)
	q := v.queue(t, v.askedDay(5))
	wantEqual(t, "refiled", q.Erasure.Refiled, int64(1))
	v.wantReadable(t, "what moved out", outCommit)
	wantEqual(t, "slots to puncture", sortedSlots(v.toPuncture(t)), sortedSlots([]catalog.Slot{
		{Tree: catalog.TreeDays, Number: 5}, own(out), own(into), recordingSlot(open.To.Recording),
	}))
	must(t, v.FollowHead(ctx, v.follow(1, catalog.Slot{Tree: catalog.TreeDays, Number: 5}, own(out))))
	v.wantState(t, q.Erasure.ID, catalog.ErasureQueued, 0) // what moved into it can still be opened where it was
	must(t, v.FollowHead(ctx, v.follow(2, own(into), recordingSlot(open.To.Recording))))
	v.wantState(t, q.Erasure.ID, catalog.ErasurePunctured, 3)
	for _, gone := range v.settle(t, 1) {
		if gone.Version == out.Version {
			t.Error("what moved out was settled")
		}
	}
	out.Slots = moved.To
	q = v.queue(t, v.askedOf(out.Recording))
	wantEqual(t, "versions", q.Erasure.Versions, int64(1))
}

func testStaleFilings(t *testing.T, v *Vault) {
	ctx := t.Context()
	in, cm := v.under(t, 0, 5)
	r := v.refiling(in, 6)
	must(t, v.IntendFiling(ctx, r))
	a, err := v.Anchor(ctx)
	must(t, err)
	for _, step := range []struct {
		age  catalog.Age
		want int
	}{
		{catalog.Age{Silent: time.Hour, Anchor: a.Number}, 0},
		{catalog.Age{Anchor: a.Number + 1}, 0}, // an older copy of the catalog
		{catalog.Age{Anchor: a.Number}, 1},
		{catalog.Age{Anchor: a.Number}, 0},
	} {
		time.Sleep(2 * time.Millisecond)
		n, err := v.AbandonFilings(ctx, step.age, 10)
		must(t, err)
		wantEqual(t, "abandoned", n, step.want)
	}
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{recordingSlot(r.To.Recording)})
	wantErr(t, "Refile(abandoned)", v.Refile(ctx, r, refiled(), nil), catalog.ErrMisfiled)
	v.wantReadable(t, "what was not filed anew", cm)
	left, err := v.Residues(ctx, v.Tenant, in.Version)
	must(t, err)
	if len(left) != 1 || left[0].Blob != r.Blob || left[0].Certain {
		t.Errorf("residues: %+v, want one that may yet appear", left)
	}
}

// Slots of filings that this catalog lacks are scraps once their version is erased, and
// not before.
func testScrapFilings(t *testing.T, v *Vault) {
	ctx := t.Context()
	in, cm := v.under(t, 0, 5)
	unknown := []int64{v.slots.Add(1), v.slots.Add(1)}
	must(t, v.ScrapFilings(ctx, v.Tenant, in.Version, unknown))
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 0)
	v.wantReadable(t, "what is not erased", cm)
	v.queue(t, v.askedOf(in.Recording))
	for range 2 {
		must(t, v.ScrapFilings(ctx, v.Tenant, in.Version, unknown))
	}
	want := []catalog.Slot{own(in), recordingSlot(unknown[0]), recordingSlot(unknown[1])}
	wantEqual(t, "slots to puncture", sortedSlots(v.toPuncture(t)), sortedSlots(want))
}

// A residue that names where a version is filed is contradicted.
func testResidueOfFiling(t *testing.T, v *Vault) {
	in, _ := v.under(t, 0, 5)
	r := v.refile(t, in, 6)
	v.litter(t, catalog.Residue{Blob: r.Blob, Tenant: v.Tenant, Version: in.Version, Why: "refiled", Certain: true})
	claimed, contradicted, err := v.ClaimResidues(t.Context(), v.due(t, time.Hour), time.Minute)
	must(t, err)
	if len(claimed) != 0 || len(contradicted) != 1 {
		t.Errorf("%d claimed, %d contradicted; want the one in use kept", len(claimed), len(contradicted))
	}
}

// Whichever comes first, an erased recording leaves no slot that is not to be
// punctured; one that was filed elsewhere in time outlives its day.
func testRaceToRefile(t *testing.T, v *Vault) {
	for i := range 10 {
		day := int64(100 + i)
		in, cm := v.under(t, 0, day)
		r := v.refiling(in, 6)
		ask := v.askedDay(day)
		if i%2 == 0 {
			ask = v.askedOf(in.Recording)
		}
		var filed, erased error
		var wg sync.WaitGroup
		wg.Go(func() {
			if filed = v.IntendFiling(t.Context(), r); filed == nil {
				filed = v.Refile(t.Context(), r, refiled(), nil)
			}
		})
		wg.Go(func() { _, erased = v.QueueErasure(t.Context(), ask, nil) })
		wg.Wait()
		must(t, erased)
		if filed != nil {
			wantErr(t, "Refile", filed, catalog.ErrMisfiled)
		}
		open := v.toPuncture(t)
		has := func(n int64) bool { return slices.Contains(open, recordingSlot(n)) }
		if i%2 == 1 && filed == nil {
			v.wantReadable(t, "what was filed elsewhere in time", cm)
			wantEqual(t, "its old slot waits to be punctured", has(in.Slots.Recording), true)
			continue
		}
		v.wantUnread(t, in, cm)
		if i%2 == 0 && (!has(in.Slots.Recording) || filed == nil && !has(r.To.Recording)) {
			t.Errorf("a slot of what was erased does not wait to be punctured")
		}
	}
}
