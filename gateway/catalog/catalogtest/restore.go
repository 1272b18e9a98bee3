package catalogtest

import (
	"slices"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// restored draws a version that was found in the store.
func (v *Vault) restored(name catalog.Index, current bool) catalog.Restored {
	in := v.Intent()
	return catalog.Restored{
		Version: catalog.Version{Intent: in, State: catalog.Committed, Current: current, Content: v.Commit(in, name).Content},
		Terms:   []catalog.Index{Random()},
	}
}

func (v *Vault) restore(t *testing.T, others []catalog.Placed, all ...catalog.Restored) {
	t.Helper()
	must(t, v.RestoreVersions(t.Context(), all, others))
}

// testRestore writes what was found, once, and moves what has a row.
func testRestore(t *testing.T, v *Vault) {
	ctx, name := t.Context(), Random()
	first, second, third := v.restored(name, true), v.restored(name, true), v.restored(name, false)
	subject := Random()
	first.Subject = &subject
	v.restore(t, nil, first)
	v.restore(t, nil, first)
	got, err := v.Version(ctx, v.Tenant, first.Version.Version)
	must(t, err)
	wantEqual(t, "restored", got, first.Version)
	found, err := v.ByTerm(ctx, v.Tenant, first.Terms[0])
	must(t, err)
	wantEqual(t, "found by its term", len(found), 1)
	slot, there, err := v.LookupSubject(ctx, v.Tenant, subject)
	must(t, err)
	wantEqual(t, "subject", []any{slot, there}, []any{first.Slots.Subject, true})

	// Another takes its name, and a third is replaced from the start.
	third.State = catalog.Replaced
	v.restore(t, []catalog.Placed{{Version: first.Version.Version, State: catalog.Replaced}}, second, third)
	wantEqual(t, "current", v.Current(t, name), second.Version.Version)
	wantEqual(t, "the first", v.State(t, first.Version.Version), catalog.Replaced)
	all, err := v.Namesakes(ctx, v.Tenant, []catalog.Index{Random(), name})
	must(t, err)
	wantEqual(t, "namesakes", len(all), 3)
	buried, err := v.Tombstones(ctx, v.Tenant, []catalog.Slot{
		{Tree: catalog.TreeRecordings, Number: first.Slots.Recording}, {Tree: catalog.TreeRecordings, Number: second.Slots.Recording},
		{Tree: catalog.TreeRecordings, Number: third.Slots.Recording}, {Tree: catalog.TreeSubjects, Number: 2}, {Tree: catalog.TreeDays, Number: 3},
	})
	must(t, err)
	wantEqual(t, "tombstones", len(buried), 2)
	rows, err := v.VersionsOf(ctx, v.Tenant, []recording.Version{recording.NewVersion(), second.Version.Version})
	must(t, err)
	wantEqual(t, "versions", len(rows), 1)
}

// testRestoreIntents commits what this catalog knows of as begun, and nothing that it
// knows the end of.
func testRestoreIntents(t *testing.T, v *Vault) {
	ctx := t.Context()
	of := func(in catalog.Intent, name catalog.Index) catalog.Restored {
		r := v.restored(name, true)
		r.Intent = in
		return r
	}
	begun, aborted, name := v.Intend(t), v.Intend(t), Random()
	must(t, v.Abort(ctx, v.Tenant, aborted.Version))
	v.restore(t, nil, of(begun, name), of(aborted, Random()))
	wantEqual(t, "begun", v.Current(t, name), begun.Version)
	wantEqual(t, "aborted", v.State(t, aborted.Version), catalog.Aborted)

	u := v.upload(t)
	kept, dropped := v.part(t, u, 1), v.part(t, u, 2)
	list := catalog.Part{Blob: "r/list", Version: u.Version, Tenant: v.Tenant, Number: 1<<32 - 1, StoredSize: 10, CreatedAt: now()}
	r := of(u.Intent, Random())
	r.Parts, r.List = 1, &catalog.PartList{Blob: list.Blob, Sealed: []byte("list"), StoredSize: 10}
	r.Listed = []catalog.Part{kept, list}
	v.restore(t, nil, r)
	parts, err := v.Parts(ctx, v.Tenant, u.Version)
	must(t, err)
	wantEqual(t, "parts", []string{parts[0].Blob, parts[1].Blob}, []string{kept.Blob, list.Blob})
	left, err := v.Residues(ctx, v.Tenant, u.Version)
	must(t, err)
	wantEqual(t, "residues", []any{len(left), left[0].Blob}, []any{1, dropped.Blob})
	_, err = v.Upload(ctx, v.Tenant, u.Version)
	wantErr(t, "Upload", err, recording.ErrNotFound)
	again := r
	again.Relist, again.List = true, &catalog.PartList{Blob: "r/later", Sealed: []byte("later"), StoredSize: 10}
	again.Listed = []catalog.Part{kept, {Blob: "r/later", Number: list.Number, StoredSize: 10, CreatedAt: now()}}
	v.restore(t, nil, again)
	sealed, err := v.PartList(ctx, v.Tenant, u.Version)
	must(t, err)
	wantEqual(t, "list", string(sealed), "later")
}

// testRestoreLost makes residues that a sweep may delete.
func testRestoreLost(t *testing.T, v *Vault) {
	ctx := t.Context()
	erased, aborted, part := v.Intent(), v.Intent(), v.Intent()
	part.Blob = ""
	lost := []catalog.Lost{
		{Intent: erased, State: catalog.Erased, Key: erased.Blob}, {Intent: aborted, State: catalog.Aborted, Key: aborted.Blob},
		{Intent: part, State: catalog.Aborted, Part: true, Key: "r/part 1"}, {Intent: part, State: catalog.Aborted, Part: true, Key: "r/part 2"},
	}
	must(t, v.RestoreLost(ctx, lost))
	must(t, v.RestoreLost(ctx, lost))
	due, err := v.DueResidues(ctx, 0, 10)
	must(t, err)
	claimed, odd, err := v.ClaimResidues(ctx, due, time.Hour)
	must(t, err)
	wantEqual(t, "claimed, contradicted", []int{len(claimed), len(odd)}, []int{4, 0})
	wantEqual(t, "states", []catalog.VersionState{v.State(t, erased.Version), v.State(t, part.Version)}, []catalog.VersionState{catalog.Erased, catalog.Aborted})
	open, _, _, err := v.ToPuncture(ctx, v.Tenant, 10)
	must(t, err)
	wantEqual(t, "slots to puncture", len(open), 2)
}

// testRestoreErasure queues a lost erasure again: nothing reads what it erased, and
// it goes on from what is punctured.
func testRestoreErasure(t *testing.T, v *Vault) {
	ctx, name := t.Context(), Random()
	versions := v.series(t, name, Random(), catalog.Never, catalog.KeepVersions)
	gone := versions[1]
	slot := catalog.Slot{Tree: catalog.TreeRecordings, Number: gone.Slots.Recording}
	row := catalog.ErasureRow{
		ID: recording.NewErasureID(), Tenant: v.Tenant, Scope: catalog.ScopeVersion, Who: "owner", Reason: "asked for",
		Commitment: bytes(32), AskedAt: now(), Base: 1, Record: []byte("record"),
	}
	restore := func(r catalog.ErasureRow) bool {
		t.Helper()
		lost, err := v.RestoreErasure(ctx, r, []catalog.Slot{slot}, []recording.Version{gone.Version, recording.NewVersion()}, nil)
		must(t, err)
		return lost
	}
	wantEqual(t, "lost", []bool{restore(row), restore(row)}, []bool{true, false})
	other := row
	other.ID = recording.NewErasureID()
	wantEqual(t, "one whose slot is another's", restore(other), false)
	known, err := v.KnownErasures(ctx, v.Tenant, []recording.ErasureID{other.ID, row.ID})
	must(t, err)
	wantEqual(t, "known", known, []recording.ErasureID{row.ID})
	wantEqual(t, "erased", v.State(t, gone.Version), catalog.Erased)
	wantEqual(t, "what takes its place", v.Current(t, name), versions[0].Version)

	got, err := v.Erasure(ctx, v.Tenant, row.ID)
	must(t, err)
	wantEqual(t, "state", []any{got.State, got.Recorded, got.Versions}, []any{catalog.ErasureQueued, true, int64(2)})
	must(t, v.FollowHead(ctx, catalog.Follow{
		Tenant: v.Tenant, From: 1, Head: catalog.Head{Epoch: 2, Bytes: []byte("head 2")}, Version: 2, Slots: []catalog.Slot{slot}, At: now(),
	}))
	open, err := v.Uncertified(ctx, v.Tenant)
	must(t, err)
	wantEqual(t, "uncertified", len(open), 1)
	row.Certificate, row.CertifiedAt = []byte("certificate"), now()
	must(t, v.RestoreCertificate(ctx, row, 5))
	got, err = v.Erasure(ctx, v.Tenant, row.ID)
	must(t, err)
	wantEqual(t, "state", []any{got.State, string(got.Certificate), got.Epoch}, []any{catalog.ErasureCertified, "certificate", int64(2)})

	// One whose epoch nobody knows any more.
	row.ID, slot.Number = recording.NewErasureID(), 1<<39
	wantEqual(t, "lost", restore(row), true)
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{slot})
	must(t, v.RestoreCertificate(ctx, row, 5))
	got, err = v.Erasure(ctx, v.Tenant, row.ID)
	must(t, err)
	wantEqual(t, "state", []any{got.State, got.Epoch}, []any{catalog.ErasureCertified, int64(5)})
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 0)
}

// testRestoreErasureOfFiled restores an erasure of a subject, below which there were
// versions that this catalog has where they had been before.
func testRestoreErasureOfFiled(t *testing.T, v *Vault) {
	ctx := t.Context()
	slots := []catalog.Slot{{Tree: catalog.TreeSubjects, Number: 1 << 39}}
	var filed []recording.Version
	for range 150 { // more than are read at once
		was := v.series(t, Random(), Random(), catalog.Never)[0]
		filed, slots = append(filed, was.Version), append(slots, catalog.Slot{Tree: catalog.TreeRecordings, Number: was.Slots.Recording})
	}
	stays := v.series(t, Random(), Random(), catalog.Never)[0]
	row := catalog.ErasureRow{
		ID: recording.NewErasureID(), Tenant: v.Tenant, Scope: catalog.ScopeSubject, Who: "owner", Reason: "asked for",
		Commitment: bytes(32), AskedAt: now(), Base: 1, Record: []byte("record"),
	}
	_, err := v.RestoreErasure(ctx, row, slots, nil, nil)
	must(t, err)
	for _, version := range filed {
		wantEqual(t, "state", v.State(t, version), catalog.Erased)
	}
	wantEqual(t, "state of another", v.State(t, stays.Version), catalog.Committed)
	n, err := v.Unreadable(ctx, v.Tenant, row.ID)
	must(t, err)
	wantEqual(t, "unreadable", n, int64(len(filed)))
}

// testRestoreErased makes a tenant erased whatever it was.
func testRestoreErased(t *testing.T, v *Vault) {
	ctx := t.Context()
	for _, id := range []recording.Tenant{v.Tenant, recording.NewTenant()} {
		erasure := catalog.ErasureRow{
			ID: recording.ErasureOf(id), Tenant: id, Scope: catalog.ScopeTenant, State: catalog.ErasureQueued, Who: "owner", Reason: "asked",
			Commitment: []byte("commitment"), AskedAt: now(), Record: []byte("record"), Versions: 3,
		}
		row := catalog.Tenant{ID: id, Name: id.String(), State: catalog.TenantErasing, Epoch: 6, Head: []byte("before"), CreatedAt: now()}
		for _, want := range []struct {
			state       catalog.TenantState
			certificate string
			changed     bool
		}{
			{catalog.TenantErasing, "", true},
			{catalog.TenantErased, "certificate", true},
			{catalog.TenantErased, "another", false},
		} {
			if row.State = want.state; want.certificate != "" {
				row.Epoch, row.Head = 7, []byte("erased")
				erasure.State, erasure.Certificate, erasure.CertifiedAt = catalog.ErasureCertified, []byte(want.certificate), now()
			}
			changed, err := v.RestoreErased(ctx, row, &erasure)
			must(t, err)
			wantEqual(t, "changed", changed, want.changed)
		}
		is, err := v.Erasure(ctx, id, erasure.ID)
		must(t, err)
		wantEqual(t, "its erasure", []any{is.State, string(is.Certificate), string(is.Record), is.Versions},
			[]any{catalog.ErasureCertified, "certificate", "record", int64(3)})
		got, err := v.Catalog.Tenant(ctx, id)
		must(t, err)
		wantEqual(t, "tenant", []any{got.State, got.Epoch}, []any{catalog.TenantErased, int64(7)})
	}
	found, err := v.TenantByName(ctx, "acme")
	must(t, err)
	wantEqual(t, "keeps its name", found.ID, v.Tenant)
}

// testEnded ends erasures with the tenant, whose own is another matter.
func testEnded(t *testing.T, v *Vault) {
	ctx := t.Context()
	var want []recording.ErasureID
	for i := range 3 {
		e := catalog.ErasureRow{
			ID: recording.NewErasureID(), Tenant: v.Tenant, Scope: catalog.ScopeSubject, State: catalog.ErasureQueued, Who: "owner", Reason: "asked",
			Commitment: []byte("commitment"), AskedAt: now().Add(time.Duration(i) * time.Second), Record: []byte("record"), Versions: 3,
		}
		want = append(want, e.ID)
		for _, lost := range []bool{true, false} {
			was, err := v.RestoreEnded(ctx, e)
			must(t, err)
			wantEqual(t, "lost", was, lost)
		}
	}
	one := v.certificate(want[1], "certificate")
	wantErr(t, "CertifyEnded(of a tenant that lives)", v.CertifyEnded(ctx, v.Tenant, []catalog.Certificate{one}), catalog.ErrTransition)
	own := catalog.ErasureRow{
		ID: recording.ErasureOf(v.Tenant), Tenant: v.Tenant, Scope: catalog.ScopeTenant, State: catalog.ErasureQueued, Commitment: []byte{}, AskedAt: now(), Record: []byte{},
	}
	_, err := v.RestoreErased(ctx, catalog.Tenant{ID: v.Tenant, Name: "acme", State: catalog.TenantErasing, Head: []byte("head"), CreatedAt: now()}, &own)
	must(t, err)
	v.wantToEnd(t, want...)
	wantErr(t, "CertifyEnded(unknown)", v.CertifyEnded(ctx, v.Tenant, []catalog.Certificate{v.certificate(recording.NewErasureID(), "c")}), recording.ErrNoErasure)
	for _, c := range []catalog.Certificate{one, v.certificate(want[1], "another")} {
		must(t, v.CertifyEnded(ctx, v.Tenant, []catalog.Certificate{c}))
	}
	is, err := v.Erasure(ctx, v.Tenant, want[1])
	must(t, err)
	wantEqual(t, "its certificate", []any{is.State, string(is.Certificate)}, []any{catalog.ErasureCertified, "certificate"})
	v.wantToEnd(t, want[0], want[2])
}

func (v *Vault) wantToEnd(t testing.TB, want ...recording.ErasureID) {
	t.Helper()
	var after catalog.ErasureCursor
	var got []recording.ErasureID
	for {
		some, err := v.ToEnd(t.Context(), v.Tenant, after, 1)
		must(t, err)
		if len(some) == 0 {
			break
		}
		got, after = append(got, some[0].ID), some[0].Cursor()
	}
	wantEqual(t, "ToEnd", got, want)
}

// testRebuilt lets uploads be judged again that an older copy of the catalog has open.
func testRebuilt(t *testing.T, v *Vault) {
	ctx := t.Context()
	own, err := v.Anchor(ctx)
	must(t, err)
	same, err := v.Rebuilt(ctx, own, nonce())
	must(t, err)
	wantEqual(t, "anchor of a catalog that is not behind", same, own)
	later := catalog.Anchor{Number: own.Number + 5, Nonce: nonce()}
	_, restored, err := v.Advance(ctx, later, nonce())
	must(t, err)
	wantEqual(t, "restored", restored, true)
	now, err := v.Rebuilt(ctx, later, nonce())
	must(t, err)
	if now.NotBefore != 0 || now.Number <= later.Number {
		t.Errorf("Rebuilt() = %+v after %+v", now, later)
	}
	kept, err := v.Anchor(ctx)
	must(t, err)
	wantEqual(t, "anchor", kept, now)
	_, restored, err = v.Advance(ctx, now, nonce())
	must(t, err)
	wantEqual(t, "restored", restored, false)
}

// testSettledBlobs leaves out what its blob decides.
func testSettledBlobs(t *testing.T, v *Vault) {
	begun, u := v.Intend(t), v.upload(t)
	part := v.part(t, u, 1)
	list := attempt(u, 1<<32-1)
	must(t, v.BeginPart(t.Context(), list, nil))
	put, err := v.Put(t, Random(), catalog.Never)
	must(t, err)
	var got []string
	must(t, v.EachSettledBlob(t.Context(), func(blob string) { got = append(got, blob) }))
	row, err := v.Version(t.Context(), v.Tenant, put.Version)
	if err != nil || !slices.Contains(got, part.Blob) || !slices.Contains(got, row.Blob) || slices.Contains(got, begun.Blob) || slices.Contains(got, list.Blob) {
		t.Errorf("settled blobs are %v, of %q %q and not %q %q", got, part.Blob, row.Blob, begun.Blob, list.Blob)
	}
}
