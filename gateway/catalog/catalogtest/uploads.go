package catalogtest

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// upload begins an upload in parts.
func (v *Vault) upload(t testing.TB) catalog.Upload {
	t.Helper()
	u := catalog.Upload{Intent: v.Intent(), WrappedDEK: bytes(60), SealedFacts: bytes(300)}
	u.Blob, u.Recording = "", recording.NewID()
	must(t, v.BeginUpload(t.Context(), u, []audit.Record{event(v.Tenant, now())}))
	return u
}

// nameOf is the name that an upload is for.
func nameOf(u catalog.Upload) (name catalog.Index) {
	copy(name[:], u.Version[:])
	return name
}

// attempt draws an attempt at a part.
func attempt(u catalog.Upload, number int64) catalog.Part {
	return catalog.Part{Blob: "r/" + rand.Text(), Version: u.Version, Tenant: u.Tenant, Number: number, CreatedAt: now()}
}

// part stores a part.
func (v *Vault) part(t testing.TB, u catalog.Upload, number int64) catalog.Part {
	t.Helper()
	p := attempt(u, number)
	must(t, v.BeginPart(t.Context(), p, nil))
	p.StoredSize, p.Sealed = 5000+number, bytes(200)
	_, err := v.StorePart(t.Context(), p)
	must(t, err)
	return p
}

func (v *Vault) wantTooLate(t testing.TB, what string, p catalog.Part) {
	t.Helper()
	_, err := v.StorePart(t.Context(), p)
	wantErr(t, "StorePart("+what+")", err, catalog.ErrAborted)
}

const listNumber = 1<<32 - 1

// complete draws what turns u, with the parts given, into a recording.
func (v *Vault) complete(t testing.TB, u catalog.Upload, parts ...catalog.Part) catalog.Commit {
	t.Helper()
	list := attempt(u, listNumber)
	must(t, v.BeginPart(t.Context(), list, nil))
	cm := v.Commit(u.Intent, nameOf(u))
	cm.Content.Parts = int64(len(parts))
	cm.List = &catalog.PartList{Blob: list.Blob, StoredSize: 900, Sealed: bytes(500)}
	for _, p := range parts {
		cm.List.Parts = append(cm.List.Parts, p.Blob)
	}
	return cm
}

func (v *Vault) wantParts(t testing.TB, u catalog.Upload, want ...catalog.Part) {
	t.Helper()
	got, err := v.Parts(t.Context(), v.Tenant, u.Version)
	must(t, err)
	wantEqual(t, "Parts", got, want)
}

// wantDropped compares the blobs of dropped attempts.
func (v *Vault) wantDropped(t testing.TB, u catalog.Upload, want ...catalog.Part) {
	t.Helper()
	dropped, err := v.Residues(t.Context(), v.Tenant, u.Version)
	must(t, err)
	got := map[string]bool{}
	for _, r := range dropped {
		got[r.Blob] = true
	}
	for _, p := range want {
		if !got[p.Blob] {
			t.Errorf("part %d was not dropped", p.Number)
		}
	}
	wantEqual(t, "number of dropped parts", len(got), len(want))
}

func testUploads(t *testing.T, v *Vault) {
	ctx := t.Context()
	first, second := v.upload(t), v.upload(t)
	must(t, v.BeginUpload(ctx, first, nil)) // repeated
	got, err := v.Upload(ctx, v.Tenant, first.Version)
	must(t, err)
	wantEqual(t, "Upload", got, first)
	wantEqual(t, "state", v.State(t, first.Version), catalog.Intended)
	list, err := v.Uploads(ctx, v.Tenant, v.Bucket.ID)
	must(t, err)
	wantEqual(t, "Uploads", list, []catalog.Upload{first, second})
	_, err = v.Upload(ctx, recording.NewTenant(), first.Version)
	wantErr(t, "Upload(of another tenant)", err, recording.ErrNotFound)
	_, err = v.Upload(ctx, v.Tenant, v.Intend(t).Version)
	wantErr(t, "Upload(of a whole recording)", err, recording.ErrNotFound)
	list, err = v.Uploads(ctx, recording.NewTenant(), v.Bucket.ID)
	must(t, err)
	wantEqual(t, "Uploads(of another tenant)", list, []catalog.Upload(nil))

	v.testStaleUploads(t, first, second)
	must(t, v.Next(t, catalog.Change{State: catalog.TenantRevoked}))
	u := catalog.Upload{Intent: v.Intent(), WrappedDEK: bytes(60), SealedFacts: bytes(300)}
	wantErr(t, "BeginUpload(revoked)", v.BeginUpload(ctx, u, nil), recording.ErrTenantRevoked)
	wantErr(t, "BeginPart(revoked)", v.BeginPart(ctx, attempt(second, 1), nil), recording.ErrTenantRevoked)
}

// testStaleUploads aborts the first upload, which is stale, and not the second,
// which got a part.
func (v *Vault) testStaleUploads(t *testing.T, first, second catalog.Upload) {
	t.Helper()
	ctx := t.Context()
	part := v.part(t, first, 1)
	const margin = 2 * time.Second // for what is done in one breath on a busy machine
	time.Sleep(margin + silence)
	began := time.Now()
	must(t, v.BeginPart(ctx, attempt(second, 1), nil))
	for what, c := range map[string]struct {
		age  catalog.Age
		want []catalog.Upload
	}{
		"long":           {catalog.Age{Silent: time.Hour}, nil},
		"since the part": {catalog.Age{Silent: time.Since(began) + margin}, []catalog.Upload{first}},
		"not judged":     {catalog.Age{Anchor: 2}, nil},
	} {
		list, err := v.StaleUploads(ctx, c.age, 10, 0)
		must(t, err)
		wantEqual(t, "StaleUploads: "+what, list, c.want)
	}
	time.Sleep(2 * time.Millisecond)
	for over, want := range [][]catalog.Upload{{first, second}, {second}, nil} {
		list, err := v.StaleUploads(ctx, catalog.Age{}, 10, over)
		must(t, err)
		wantEqual(t, "StaleUploads", list, want)
	}
	age := catalog.Age{Silent: time.Since(began) + margin}
	done := event(v.Tenant, now())
	for range 2 { // repeated
		aborted, err := v.AbortStale(ctx, first, age, []audit.Record{done})
		must(t, err)
		wantEqual(t, "AbortStale", aborted, true)
	}
	wantEqual(t, "state", v.State(t, first.Version), catalog.Aborted)
	v.wantDropped(t, first, part)
	aborted, err := v.AbortStale(ctx, second, catalog.Age{Silent: time.Hour}, []audit.Record{event(v.Tenant, now())})
	must(t, err)
	wantEqual(t, "AbortStale(that got a part)", aborted, false)
	wantEqual(t, "state", v.State(t, second.Version), catalog.Intended)
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", len(events), 3) // two uploads were begun, and one aborted
}

func testParts(t *testing.T, v *Vault) {
	ctx := t.Context()
	u := v.upload(t)
	third, first := v.part(t, u, 3), v.part(t, u, 1)
	must(t, v.BeginPart(ctx, first, nil)) // repeated
	_, err := v.StorePart(ctx, first)
	must(t, err)
	v.wantParts(t, u, first, third)
	again := attempt(u, 3)
	must(t, v.BeginPart(ctx, again, nil))
	again.StoredSize, again.Sealed = 77, bytes(20)
	replaced, err := v.StorePart(ctx, again)
	must(t, err)
	wantEqual(t, "StorePart(again)", replaced, true)
	v.wantParts(t, u, first, again)
	v.wantDropped(t, u, third)
	v.wantTooLate(t, "dropped", third)
	wantErr(t, "DropPart(stored)", v.DropPart(ctx, v.Tenant, again.Blob), catalog.ErrCommitted)

	lost := attempt(u, 1)
	must(t, v.BeginPart(ctx, lost, nil))
	must(t, v.DropPart(ctx, v.Tenant, lost.Blob))
	must(t, v.DropPart(ctx, v.Tenant, lost.Blob)) // repeated
	v.wantTooLate(t, "given up", lost)
	wantErr(t, "DropPart(unknown)", v.DropPart(ctx, v.Tenant, "r/none"), recording.ErrNotFound)
	wantErr(t, "DropPart(of another tenant)", v.DropPart(ctx, recording.NewTenant(), again.Blob), recording.ErrNotFound)
	v.wantParts(t, u, first, again)
	v.wantDropped(t, u, third, lost)
	must(t, v.Forget(ctx, []catalog.Residue{{Tenant: v.Tenant, Blob: third.Blob}}, nil))
	must(t, v.Forget(ctx, []catalog.Residue{{Tenant: v.Tenant, Blob: again.Blob}}, nil)) // it is stored, and stays
	v.wantParts(t, u, first, again)
	v.wantDropped(t, u, lost)

	whole := catalog.Upload{Intent: v.Intent()}
	wantErr(t, "BeginPart(of no upload)", v.BeginPart(ctx, attempt(whole, 1), nil), catalog.ErrAborted)
	v.wantTooLate(t, "not begun", attempt(u, 9))
}

func testComplete(t *testing.T, v *Vault) {
	ctx := t.Context()
	u := v.upload(t)
	one, two, three := v.part(t, u, 1), v.part(t, u, 2), v.part(t, u, 3)
	late := attempt(u, 4)
	must(t, v.BeginPart(ctx, late, nil))

	missing := v.complete(t, u, one, attempt(u, 2))
	wantErr(t, "Create(of a part that is not stored)", v.Create(ctx, missing, nil), catalog.ErrParts)
	unlisted := v.complete(t, u, one)
	unlisted.List.Blob = "r/none"
	wantErr(t, "Create(of a list that was not begun)", v.Create(ctx, unlisted, nil), catalog.ErrParts)
	v.wantParts(t, u, one, two, three)

	cm := v.complete(t, u, one, three)
	for range 2 { // repeated
		must(t, v.Create(ctx, cm, nil))
	}
	found, err := v.Find(ctx, v.Tenant, v.Bucket.Index, nameOf(u))
	must(t, err)
	wantEqual(t, "Find", found.Version, &catalog.Version{Intent: u.Intent, State: catalog.Committed, Current: true, Content: cm.Content})
	list, err := v.PartList(ctx, v.Tenant, u.Version)
	must(t, err)
	wantEqual(t, "PartList", list, cm.List.Sealed)
	kept := catalog.Part{Blob: cm.List.Blob, Version: u.Version, Tenant: u.Tenant, Number: listNumber, StoredSize: 900}
	one.Sealed, three.Sealed = nil, nil
	stored, err := v.Parts(ctx, v.Tenant, u.Version)
	must(t, err)
	kept.CreatedAt = stored[len(stored)-1].CreatedAt
	wantEqual(t, "Parts(complete)", stored, []catalog.Part{one, three, kept})
	v.wantDropped(t, u, two)

	other := v.upload(t)
	rival := cm
	rival.List = &catalog.PartList{Blob: v.part(t, other, 1).Blob + "x", Parts: cm.List.Parts}
	wantErr(t, "Create(complete, with another list)", v.Create(ctx, rival, nil), catalog.ErrAborted)
	_, err = v.Upload(ctx, v.Tenant, u.Version)
	wantErr(t, "Upload(complete)", err, recording.ErrNotFound)
	v.wantTooLate(t, "complete", late)
	wantErr(t, "BeginPart(complete)", v.BeginPart(ctx, attempt(u, 5), nil), catalog.ErrAborted)
	wantErr(t, "Abort(complete)", v.Abort(ctx, v.Tenant, u.Version), catalog.ErrCommitted)
	_, err = v.PartList(ctx, recording.NewTenant(), u.Version)
	wantErr(t, "PartList(of another tenant)", err, recording.ErrNotFound)

	again := v.complete(t, other, v.part(t, other, 1))
	again.Content.Name = nameOf(u)
	wantErr(t, "Create(name taken)", v.Create(ctx, again, nil), recording.ErrExists)
	if _, err := v.Upload(ctx, v.Tenant, other.Version); err != nil {
		t.Errorf("an upload whose name was taken is not open any more: %v", err)
	}
	stranger := v.upload(t)
	takes := v.complete(t, stranger, v.part(t, stranger, 1))
	takes.Content.Name, takes.Overwrite = nameOf(u), catalog.KeepVersions
	must(t, v.Create(ctx, takes, nil))
	wantEqual(t, "current version", v.Current(t, nameOf(u)), stranger.Version)
}

func testAbortUpload(t *testing.T, v *Vault) {
	ctx := t.Context()
	u := v.upload(t)
	stored, running := v.part(t, u, 1), attempt(u, 2)
	must(t, v.BeginPart(ctx, running, nil))
	must(t, v.Abort(ctx, v.Tenant, u.Version))
	must(t, v.Abort(ctx, v.Tenant, u.Version)) // repeated
	_, err := v.Upload(ctx, v.Tenant, u.Version)
	wantErr(t, "Upload(aborted)", err, recording.ErrNotFound)
	v.wantTooLate(t, "aborted", running)
	v.wantParts(t, u)
	v.wantDropped(t, u, stored) // the other attempt's own end drops it
	must(t, v.DropPart(ctx, v.Tenant, running.Blob))
	v.wantDropped(t, u, stored, running)
	cm := v.Commit(u.Intent, nameOf(u))
	wantErr(t, "Create(aborted)", v.Create(ctx, cm, nil), catalog.ErrAborted)
}

func testRaceForPart(t *testing.T, v *Vault) {
	u := v.upload(t)
	const attempts = 12
	var all sync.WaitGroup
	for range attempts {
		all.Go(func() {
			p := attempt(u, 1)
			err := v.BeginPart(t.Context(), p, nil)
			if err == nil {
				p.StoredSize, p.Sealed = 1, bytes(8)
				_, err = v.StorePart(t.Context(), p)
			}
			if err != nil {
				t.Errorf("attempt: %v", err)
			}
		})
	}
	all.Wait()
	parts, err := v.Parts(t.Context(), v.Tenant, u.Version)
	must(t, err)
	dropped, err := v.Residues(t.Context(), v.Tenant, u.Version)
	must(t, err)
	if len(parts) != 1 || len(dropped) != attempts-1 {
		t.Errorf("%d attempts are the part and %d are dropped, want 1 and %d", len(parts), len(dropped), attempts-1)
	}
}

// A part that is stored while its upload ends is in time for the list or too
// late: never stored beside it.
func testRaceWithComplete(t *testing.T, v *Vault) {
	for range 10 {
		u := v.upload(t)
		cm := v.complete(t, u, v.part(t, u, 1))
		p := attempt(u, 2)
		must(t, v.BeginPart(t.Context(), p, nil))
		var stored, created error
		var both sync.WaitGroup
		both.Go(func() { _, stored = v.StorePart(t.Context(), p) })
		both.Go(func() { created = v.Create(t.Context(), cm, nil) })
		both.Wait()
		must(t, created)
		if stored != nil && !errors.Is(stored, catalog.ErrAborted) {
			t.Errorf("StorePart = %v", stored)
		}
		parts, err := v.Parts(t.Context(), v.Tenant, u.Version)
		must(t, err)
		if len(parts) != 2 || parts[1].Number != listNumber {
			t.Errorf("%d parts are stored beside the list", len(parts)-1)
		}
	}
}

// Of a part and the end of its upload as stale one comes first: an upload that
// has got a part is not stale.
func testRaceWithReaper(t *testing.T, v *Vault) {
	uploads := make([]catalog.Upload, 10)
	for i := range uploads {
		uploads[i] = v.upload(t)
	}
	const stale = 4 * time.Second // and not the parts
	time.Sleep(stale)
	for _, u := range uploads {
		var begun, failed error
		var aborted bool
		var both sync.WaitGroup
		both.Go(func() { begun = v.BeginPart(t.Context(), attempt(u, 1), nil) })
		both.Go(func() { aborted, failed = v.AbortStale(t.Context(), u, catalog.Age{Silent: stale}, nil) })
		both.Wait()
		must(t, failed)
		if aborted != errors.Is(begun, catalog.ErrAborted) || !aborted && begun != nil {
			t.Errorf("BeginPart = %v, aborted = %t", begun, aborted)
		}
	}
}
