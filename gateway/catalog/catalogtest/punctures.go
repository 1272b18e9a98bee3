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

// asked draws an erasure of a scope.
func (v *Vault) asked(scope string) catalog.NewErasure {
	n := catalog.NewErasure{ErasureRow: catalog.ErasureRow{
		ID: recording.NewErasureID(), Tenant: v.Tenant, Scope: scope, Who: "AK1", Reason: "request",
		Commitment: bytes(32), AskedAt: now(),
	}}
	n.Record = func(int64, []catalog.Slot, []recording.Version) ([]byte, error) { return []byte("record"), nil }
	n.Erasable = func(holds []catalog.Hold) error {
		if len(holds) > 0 {
			return recording.ErrHeld
		}
		return nil
	}
	return n
}

func (v *Vault) askedOf(id recording.ID) catalog.NewErasure {
	n := v.asked(catalog.ScopeRecording)
	n.Recording = id
	return n
}

func (v *Vault) askedSubject(subject catalog.Index) catalog.NewErasure {
	n := v.asked(catalog.ScopeSubject)
	n.Subject = &catalog.Indexed{Index: subject}
	return n
}

func (v *Vault) askedDay(day int64) catalog.NewErasure {
	n := v.asked(catalog.ScopeDay)
	n.Day = day
	return n
}

// queue queues an erasure.
func (v *Vault) queue(t testing.TB, n catalog.NewErasure) catalog.Queued {
	t.Helper()
	q, err := v.QueueErasure(t.Context(), n, nil)
	must(t, err)
	return q
}

// under begins and creates a recording of its own under a subject's slot and a
// day's, with terms.
func (v *Vault) under(t testing.TB, subject, day int64, terms ...catalog.Index) (catalog.Intent, catalog.Commit) {
	t.Helper()
	in := v.Intent()
	in.Recording, in.Slots.Subject, in.Slots.Day = recording.NewID(), subject, day
	must(t, v.Begin(t.Context(), in, nil))
	cm := v.Commit(in, Random())
	cm.Terms = terms
	cm.Directories = []catalog.Directory{{Index: cm.Content.Directory, Parent: Random()}}
	must(t, v.Create(t.Context(), cm, nil))
	return in, cm
}

// toPuncture gives the slots that wait for an epoch.
func (v *Vault) toPuncture(t testing.TB) []catalog.Slot {
	t.Helper()
	rows, _, more, err := v.ToPuncture(t.Context(), v.Tenant, 1000)
	must(t, err)
	wantEqual(t, "more to puncture", more, false)
	slots := make([]catalog.Slot, len(rows))
	for i, row := range rows {
		slots[i] = row.Slot
	}
	return slots
}

func own(in catalog.Intent) catalog.Slot {
	return catalog.Slot{Tree: catalog.TreeRecordings, Number: in.Slots.Recording}
}

// wantUnread checks that no query gives a version, and that its state is Erased.
func (v *Vault) wantUnread(t testing.TB, in catalog.Intent, cm catalog.Commit, terms ...catalog.Index) {
	t.Helper()
	ctx := t.Context()
	wantEqual(t, "current version", v.Current(t, cm.Content.Name), recording.Version{})
	found, err := v.FindVersion(ctx, v.Tenant, v.Bucket.Index, cm.Content.Name, in.Version)
	must(t, err)
	if found.Version != nil {
		t.Errorf("FindVersion = %+v", found.Version)
	}
	got, err := v.Version(ctx, v.Tenant, in.Version)
	must(t, err)
	c := got.Content
	if got.State != catalog.Erased || got.Current || c.WrappedDEK != nil || c.SealedFacts != nil || c.SealedEnd != nil ||
		c.Name != (catalog.Index{}) || c.Directory != (catalog.Index{}) {
		t.Errorf("Version = %+v, want that of one erased", got)
	}
	named, err := v.VersionsIn(ctx, v.Tenant, cm.Content.Directory)
	must(t, err)
	wantEqual(t, "VersionsIn", len(named), 0)
	rows, err := v.Versions(ctx, v.Tenant, []recording.Version{in.Version})
	must(t, err)
	wantEqual(t, "Versions", len(rows), 0)
	one, err := v.AnyIn(ctx, v.Tenant, cm.Content.Directory)
	must(t, err)
	if one != nil {
		t.Errorf("AnyIn = %v", one.Version)
	}
	for _, d := range cm.Directories {
		inside, err := v.Inside(ctx, v.Tenant, d.Parent)
		must(t, err)
		wantEqual(t, "Inside", inside, []catalog.Subdirectory{{Index: d.Index}})
	}
	for _, term := range terms {
		rows, err := v.ByTerm(ctx, v.Tenant, term)
		must(t, err)
		wantEqual(t, "ByTerm", len(rows), 0)
	}
}

// settle settles all there is, a few at a time.
func (v *Vault) settle(t testing.TB, limit int) (gone []catalog.Version) {
	t.Helper()
	for range 1000 {
		some, more, err := v.SettleTombstoned(t.Context(), v.Tenant, limit)
		must(t, err)
		if len(some) > limit {
			t.Fatalf("%d are settled at once, want at most %d", len(some), limit)
		}
		if gone = append(gone, some...); !more {
			return gone
		}
	}
	t.Fatal("settling does not end")
	return nil
}

func testQueueRecording(t *testing.T, v *Vault) {
	ctx := t.Context()
	name, term := Random(), Random()
	versions := v.series(t, name, term, catalog.Never, catalog.KeepVersions)
	erased := event(v.Tenant, now())
	n := v.askedOf(recording.ID(v.Bucket.ID))
	var slots []catalog.Slot
	var of []recording.Version
	n.Record = func(base int64, s []catalog.Slot, v []recording.Version) ([]byte, error) {
		wantEqual(t, "base", base, int64(1))
		slots, of = s, v
		return []byte("sealed"), nil
	}
	want := n.ErasureRow
	want.State, want.Base, want.Record, want.Versions, want.Generation = catalog.ErasureQueued, 1, []byte("sealed"), 2, 1
	for i := range 2 { // repeated
		q, err := v.QueueErasure(ctx, n, []audit.Record{erased})
		must(t, err)
		wantEqual(t, "erasure", q.Erasure, want)
		wantEqual(t, "erased before", q.Again, false)
		if i == 0 {
			wantEqual(t, "blobs that may go", blobsOf(q.Gone), []string{versions[1].Blob, versions[0].Blob})
		}
	}
	wantEqual(t, "slots of the record", slots, []catalog.Slot{own(versions[1]), own(versions[0])})
	wantEqual(t, "versions of the record", of, []recording.Version{versions[1].Version, versions[0].Version})
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{own(versions[0]), own(versions[1])})
	for _, in := range versions {
		v.wantErased(t, name, in)
		v.wantResidues(t, in.Version, catalog.Residue{Blob: in.Blob, Tenant: v.Tenant, Version: in.Version, Why: "erased", Certain: true})
	}

	again := v.askedOf(recording.ID(v.Bucket.ID))
	once := event(v.Tenant, now())
	q, err := v.QueueErasure(ctx, again, []audit.Record{once})
	must(t, err)
	wantEqual(t, "erased again", q, catalog.Queued{Erasure: want, Again: true})
	_, err = v.Erasure(ctx, v.Tenant, again.ID)
	wantErr(t, "Erasure(of what was erased before)", err, recording.ErrNoErasure)
	q = v.queue(t, v.askedOf(recording.NewID()))
	wantEqual(t, "erasure of what never was", q, catalog.Queued{Again: true})
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "number of events", len(events), 2)
}

// The erasure of a version leaves the others, and a recording that is erased
// version by version was erased by the last of them.
func testQueueVersions(t *testing.T, v *Vault) {
	name := Random()
	in := v.series(t, name, Random(), catalog.Never, catalog.Replace, catalog.KeepVersions)
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{own(in[0])}) // what was replaced is a scrap
	n := v.asked(catalog.ScopeVersion)
	n.Recording, n.Version = in[2].Recording, in[2].Version
	first := v.queue(t, n)
	wantEqual(t, "blobs that may go", blobsOf(first.Gone), []string{in[2].Blob})
	wantEqual(t, "current version", v.Current(t, name), in[1].Version)
	n.ID, n.Version = recording.NewErasureID(), in[1].Version
	second := v.queue(t, n)
	wantEqual(t, "blobs that may go", blobsOf(second.Gone), []string{in[1].Blob, in[0].Blob})
	wantEqual(t, "versions", second.Erasure.Versions, int64(2))
	for i, want := range []recording.ErasureID{second.Erasure.ID, second.Erasure.ID, first.Erasure.ID} {
		n.ID, n.Version = recording.NewErasureID(), in[i].Version
		q := v.queue(t, n)
		wantEqual(t, "erased again", q.Again, true)
		wantEqual(t, "by", q.Erasure.ID, want)
	}
}

func testQueueSubject(t *testing.T, v *Vault) {
	ctx := t.Context()
	anna, bert := Random(), Random()
	slot, err := v.SubjectSlot(ctx, v.Tenant, anna, 70)
	must(t, err)
	_, err = v.SubjectSlot(ctx, v.Tenant, bert, 71)
	must(t, err)
	hers, hersC := v.under(t, 70, 5, anna, bert)
	his, hisC := v.under(t, 71, 5, bert, anna)
	other, otherC := v.under(t, 71, 5, bert)
	open := v.Intent()
	open.Slots.Subject = 70
	must(t, v.Begin(ctx, open, nil))

	n := v.askedSubject(anna)
	var slots []catalog.Slot
	n.Record = func(_ int64, s []catalog.Slot, of []recording.Version) ([]byte, error) {
		slots = s
		wantEqual(t, "versions of the record", of, []recording.Version{his.Version})
		return []byte("sealed"), nil
	}
	q := v.queue(t, n)
	wantEqual(t, "blobs that may go", blobsOf(q.Gone), []string{his.Blob})
	wantEqual(t, "slots", slots, []catalog.Slot{{Tree: catalog.TreeSubjects, Number: slot}, own(his)})
	v.wantUnread(t, hers, hersC, anna)
	v.wantErased(t, hisC.Content.Name, his)
	wantEqual(t, "another's", v.Current(t, otherC.Content.Name), other.Version)
	wantErr(t, "Create(under an erased subject)", v.Create(ctx, v.Commit(open, Random()), nil), catalog.ErrTombstoned)
	late := v.Intent()
	late.Slots.Subject = 70
	wantErr(t, "Begin(under an erased subject)", v.Begin(ctx, late, nil), catalog.ErrTombstoned)
	wantErr(t, "Begin(under an erased subject)", v.Begin(ctx, late, nil), recording.ErrUnavailable)
	must(t, v.Begin(ctx, open, nil)) // it was begun before

	_, found, err := v.LookupSubject(ctx, v.Tenant, anna)
	must(t, err)
	wantEqual(t, "LookupSubject(erased)", found, false)
	_, err = v.SubjectSlot(ctx, v.Tenant, anna, 70)
	wantErr(t, "SubjectSlot(that was used)", err, catalog.ErrTombstoned)
	slot, err = v.SubjectSlot(ctx, v.Tenant, anna, 72)
	must(t, err)
	wantEqual(t, "SubjectSlot", slot, int64(72))
	again, againC := v.under(t, 72, 5, anna)
	wantEqual(t, "her next call", v.Current(t, againC.Content.Name), again.Version)
	wantEqual(t, "erasure of a stranger", v.queue(t, v.askedSubject(Random())), catalog.Queued{Again: true})

	wantEqual(t, "settled", blobsOf(v.settle(t, 10)), []string{hers.Blob})
	v.wantErased(t, hersC.Content.Name, hers)
	got, err := v.Erasure(ctx, v.Tenant, n.ID)
	must(t, err)
	wantEqual(t, "versions", got.Versions, int64(2))
}

// A second subject who is the first of none, or is erased with a day, has only
// recordings of others.
func testQueueSecondSubject(t *testing.T, v *Vault) {
	second := Random()
	in, cm := v.under(t, 70, 5, Random(), second)
	gone, _ := v.under(t, 70, 6, Random(), second)
	v.queue(t, v.askedDay(6))
	q := v.queue(t, v.askedSubject(second))
	wantEqual(t, "blobs that may go", blobsOf(q.Gone), []string{in.Blob})
	v.wantErased(t, cm.Content.Name, in)
	wantEqual(t, "settled", blobsOf(v.settle(t, 10)), []string{gone.Blob})
}

// testQueueBegun: what is under way and tells of several goes with each of them, unless it
// is held.
func testQueueBegun(t *testing.T, v *Vault) {
	ctx, first, second, held := t.Context(), Random(), Random(), Random()
	v.hold(t, recording.ID{}, held)
	begin := func(terms ...catalog.Index) catalog.Intent {
		in := v.Intent()
		in.Slots.Subject, in.Terms = 70, terms
		must(t, v.Begin(ctx, in, nil))
		return in
	}
	gone, alone, stays := begin(first, second), begin(), begin(first, second, held)
	u := catalog.Upload{Intent: v.Intent(), WrappedDEK: bytes(60), SealedFacts: bytes(300)}
	u.Blob, u.Slots.Subject, u.Terms = "", 70, []catalog.Index{first, second}
	must(t, v.BeginUpload(ctx, u, nil))

	n := v.askedSubject(second)
	var slots []catalog.Slot
	n.Record = func(_ int64, s []catalog.Slot, of []recording.Version) ([]byte, error) {
		slots = s
		wantEqual(t, "versions of the record", len(of), 0)
		return []byte("sealed"), nil
	}
	q := v.queue(t, n)
	wantEqual(t, "queued again", q.Again, false)
	wantEqual(t, "slots", len(slots), 2)
	for _, in := range []catalog.Intent{gone, u.Intent} {
		wantEqual(t, "slot is among them", slices.Contains(slots, own(in)), true)
	}
	wantEqual(t, "kept", q.Erasure.Refiled, int64(1))
	wantEqual(t, "erased again", v.queue(t, v.askedSubject(second)).Again, true)
	wantErr(t, "Create(that tells of who is erased)", v.Create(ctx, v.Commit(gone, Random()), nil), catalog.ErrTombstoned)
	_, err := v.Upload(ctx, v.Tenant, u.Version)
	wantErr(t, "Upload(that tells of who is erased)", err, recording.ErrNotFound)
	for _, in := range []catalog.Intent{alone, stays} {
		must(t, v.Create(ctx, v.Commit(in, Random()), nil))
	}
	for _, in := range []catalog.Intent{gone, u.Intent} {
		must(t, v.Abort(ctx, v.Tenant, in.Version))
	}
	wantEqual(t, "rows of the first's term", v.countTerms(t, first), 1)
}

func testQueueDay(t *testing.T, v *Vault) {
	ctx := t.Context()
	in, cm := v.under(t, 0, 7)
	other, otherC := v.under(t, 0, 8)
	u := v.upload(t) // of day 3
	part := v.part(t, u, 1)
	q := v.queue(t, v.askedDay(7))
	wantEqual(t, "blobs that may go", len(q.Gone), 0)
	v.wantUnread(t, in, cm)
	wantEqual(t, "another day's", v.Current(t, otherC.Content.Name), other.Version)
	again := v.queue(t, v.askedDay(7))
	wantEqual(t, "erased again", again, catalog.Queued{Erasure: q.Erasure, Again: true})
	late := v.Intent()
	late.Slots.Day = 7
	wantErr(t, "Begin(under an erased day)", v.Begin(ctx, late, nil), catalog.ErrDayTombstoned)
	late.Slots.Day = 8
	must(t, v.Begin(ctx, late, nil))

	v.queue(t, v.askedDay(3))
	_, err := v.Upload(ctx, v.Tenant, u.Version)
	wantErr(t, "Upload(of an erased day)", err, recording.ErrNotFound)
	open, err := v.Uploads(ctx, v.Tenant, v.Bucket.ID)
	must(t, err)
	wantEqual(t, "Uploads", len(open), 0)
	wantErr(t, "BeginPart(of an erased day)", v.BeginPart(ctx, attempt(u, 2), nil), catalog.ErrTombstoned)
	_, err = v.StorePart(ctx, part) // which it is
	must(t, err)
	must(t, v.Abort(ctx, v.Tenant, u.Version))
	v.wantDropped(t, u, part)
}

// What came in parts and lies below a tombstone has neither list nor parts.
func testBuriedParts(t *testing.T, v *Vault) {
	ctx := t.Context()
	u := v.upload(t)
	part := v.part(t, u, 1)
	cm := v.complete(t, u, part)
	must(t, v.Create(ctx, cm, nil))
	v.queue(t, v.askedDay(u.Slots.Day))
	_, err := v.PartList(ctx, v.Tenant, u.Version)
	wantErr(t, "PartList(erased)", err, recording.ErrNotFound)
	v.wantParts(t, u)
	wantEqual(t, "settled", len(v.settle(t, 10)), 1)
	list := part
	list.Blob = cm.List.Blob
	v.wantDropped(t, u, part, list)
	v.wantErased(t, cm.Content.Name, u.Intent)
}

// A name that a version below a tombstone holds is free, whatever the new one
// does with what has its name.
func testBuriedName(t *testing.T, v *Vault) {
	ctx := t.Context()
	for day, how := range []catalog.Overwrite{catalog.Never, catalog.KeepVersions, catalog.Replace} {
		in, cm := v.under(t, 0, int64(100+day))
		v.queue(t, v.askedDay(int64(100+day)))
		next := v.Intent()
		next.Recording = recording.NewID()
		must(t, v.Begin(ctx, next, nil))
		again := v.Commit(next, cm.Content.Name)
		again.Overwrite = how
		for range 2 { // repeated
			must(t, v.Create(ctx, again, nil))
		}
		wantEqual(t, "current version", v.Current(t, cm.Content.Name), next.Version)
		v.wantErased(t, cm.Content.Name, in)
		v.wantResidues(t, in.Version, catalog.Residue{Blob: in.Blob, Tenant: v.Tenant, Version: in.Version, Why: "erased", Certain: true})
		wantErr(t, "Create(under a name that is held)", v.Create(ctx, v.Commit(v.Intend(t), cm.Content.Name), nil), recording.ErrExists)
	}
	for _, s := range v.toPuncture(t) {
		if s.Tree != catalog.TreeDays {
			t.Errorf("%+v waits to be punctured, want days alone", s)
		}
	}
	u := v.upload(t)
	in, cm := v.under(t, 0, 200)
	v.queue(t, v.askedDay(200))
	whole := v.complete(t, u, v.part(t, u, 1))
	whole.Content.Name = cm.Content.Name
	must(t, v.Create(ctx, whole, nil))
	wantEqual(t, "current version", v.Current(t, cm.Content.Name), u.Version)
	v.wantErased(t, cm.Content.Name, in)
}

// An erasure of a recording takes along what lies below a tombstone, so that
// what is left can be current.
func testEraseBesideBuried(t *testing.T, v *Vault) {
	name := Random()
	put := func(day int64, how catalog.Overwrite) catalog.Intent {
		in := v.Intent()
		in.Slots.Day = day
		must(t, v.Begin(t.Context(), in, nil))
		cm := v.Commit(in, name)
		cm.Overwrite = how
		must(t, v.Create(t.Context(), cm, nil))
		return in
	}
	first, second, third := put(10, catalog.Never), put(11, catalog.KeepVersions), put(12, catalog.KeepVersions)
	v.queue(t, v.askedDay(12))
	wantEqual(t, "current version", v.Current(t, name), recording.Version{})
	n := v.asked(catalog.ScopeVersion)
	n.Recording, n.Version = first.Recording, first.Version
	q := v.queue(t, n)
	wantEqual(t, "blobs that may go", blobsOf(q.Gone), []string{third.Blob, first.Blob})
	wantEqual(t, "versions", q.Erasure.Versions, int64(1))
	wantEqual(t, "current version", v.Current(t, name), second.Version)
	v.wantErased(t, name, third)
	n.ID, n.Version = recording.NewErasureID(), third.Version
	by := v.queue(t, n)
	if !by.Again || by.Erasure.Scope != catalog.ScopeDay {
		t.Errorf("erased again: %t, by an erasure of a %s", by.Again, by.Erasure.Scope)
	}
}

func testQueueRefuses(t *testing.T, v *Vault) {
	ctx := t.Context()
	in, cm := v.under(t, 0, 9)
	broken := v.askedDay(9)
	away := errors.New("key is away")
	broken.Record = func(int64, []catalog.Slot, []recording.Version) ([]byte, error) { return nil, away }
	_, err := v.QueueErasure(ctx, broken, []audit.Record{event(v.Tenant, now())})
	wantErr(t, "QueueErasure(that cannot be sealed)", err, away)
	stranger := v.askedDay(9)
	stranger.Tenant = recording.NewTenant()
	_, err = v.QueueErasure(ctx, stranger, nil)
	wantErr(t, "QueueErasure(of another tenant)", err, recording.ErrNoTenant)
	must(t, v.Next(t, catalog.Change{State: catalog.TenantRevoked}))
	_, err = v.QueueErasure(ctx, v.askedDay(9), []audit.Record{event(v.Tenant, now())})
	wantErr(t, "QueueErasure(of a revoked tenant)", err, recording.ErrTenantRevoked)
	wantEqual(t, "current version", v.Current(t, cm.Content.Name), in.Version)
	list, err := v.Erasures(ctx, v.Tenant, catalog.ErasureCursor{}, 10)
	must(t, err)
	wantEqual(t, "erasures", len(list), 0)
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", len(events), 0)
}

func testErasures(t *testing.T, v *Vault) {
	ctx := t.Context()
	at := now()
	var want []recording.ErasureID // newest first; the second and third at one time
	for i, ago := range []time.Duration{0, 1, 1, 2} {
		n := v.askedDay(int64(50 + i))
		n.AskedAt = at.Add(-ago * time.Second)
		n.ID = recording.ErasureID{byte(200 - i)}
		v.queue(t, n)
		want = append(want, n.ID)
	}
	must(t, v.Recorded(ctx, v.Tenant, want[1]))
	must(t, v.Recorded(ctx, v.Tenant, want[1])) // repeated
	wantErr(t, "Recorded(unknown)", v.Recorded(ctx, v.Tenant, recording.NewErasureID()), recording.ErrNoErasure)
	wantErr(t, "Recorded(of another tenant)", v.Recorded(ctx, recording.NewTenant(), want[0]), recording.ErrNoErasure)
	var got []recording.ErasureID
	var cursor catalog.ErasureCursor
	for {
		page, err := v.Erasures(ctx, v.Tenant, cursor, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got = append(got, e.ID)
			wantEqual(t, "recorded", e.Recorded, e.ID == want[1])
		}
		cursor = page[len(page)-1].Cursor()
	}
	wantEqual(t, "Erasures", got, want)
	_, unrecorded, more, err := v.ToPuncture(ctx, v.Tenant, 3)
	must(t, err)
	wantEqual(t, "more to puncture", more, true)
	wantEqual(t, "not in the store", len(unrecorded), 3)
	_, err = v.Erasure(ctx, recording.NewTenant(), want[0])
	wantErr(t, "Erasure(of another tenant)", err, recording.ErrNoErasure)
}
