package catalogtest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// series puts versions of the vault's one recording under a name.
func (v *Vault) series(t *testing.T, name, term catalog.Index, how ...catalog.Overwrite) (out []catalog.Intent) {
	t.Helper()
	for _, overwrite := range how {
		in := v.Intend(t)
		cm := v.Commit(in, name)
		cm.Overwrite, cm.Terms = overwrite, []catalog.Index{term}
		must(t, v.Create(t.Context(), cm, nil))
		out = append(out, in)
	}
	return out
}

// target says what is to be erased of a recording; the zero version is all.
type target struct {
	Tenant    recording.Tenant
	Recording recording.ID
	Version   recording.Version
}

// erase queues an erasure, and gives what it makes unreadable.
func (v *Vault) erase(ctx context.Context, e target, events []audit.Record) ([]catalog.Version, error) {
	n := v.asked(catalog.ScopeVersion)
	n.Tenant, n.Recording, n.Version = e.Tenant, e.Recording, e.Version
	if e.Version == (recording.Version{}) {
		n.Scope = catalog.ScopeRecording
	}
	q, err := v.QueueErasure(ctx, n, events)
	return q.Gone, err
}

func (v *Vault) erasure(version recording.Version) target {
	return target{Tenant: v.Tenant, Recording: recording.ID(v.Bucket.ID), Version: version}
}

// wantErased checks that nothing of a version can be found but what forgets it.
func (v *Vault) wantErased(t *testing.T, name catalog.Index, in catalog.Intent) {
	t.Helper()
	got, err := v.Version(t.Context(), v.Tenant, in.Version)
	must(t, err)
	c := got.Content
	if got.State != catalog.Erased || got.Current || c.WrappedDEK != nil || c.SealedFacts != nil || c.SealedEnd != nil ||
		c.Name != (catalog.Index{}) || c.Directory != (catalog.Index{}) {
		t.Errorf("erased version = %+v", got)
	}
	wantEqual(t, "what is kept of an erased version", got.Intent, in)
	found, err := v.FindVersion(t.Context(), v.Tenant, v.Bucket.Index, name, in.Version)
	must(t, err)
	if found.Version != nil {
		t.Errorf("FindVersion(erased) = %+v", found.Version)
	}
}

func blobsOf(versions []catalog.Version) (blobs []string) {
	for _, v := range versions {
		blobs = append(blobs, v.Blob)
	}
	return blobs
}

func testErase(t *testing.T, v *Vault) {
	ctx := t.Context()
	name, term := Random(), Random()
	versions := v.series(t, name, term, catalog.Never, catalog.Replace, catalog.KeepVersions)
	erased := event(v.Tenant, now())
	want := []string{versions[2].Blob, versions[1].Blob, versions[0].Blob}
	for range 2 { // repeated
		gone, err := v.erase(ctx, v.erasure(recording.Version{}), []audit.Record{erased})
		must(t, err)
		wantEqual(t, "blobs that may go", blobsOf(gone), want)
		want = nil
	}
	for _, in := range versions {
		v.wantErased(t, name, in)
	}
	wantEqual(t, "current version", v.Current(t, name), recording.Version{})
	found, err := v.ByTerm(ctx, v.Tenant, term)
	must(t, err)
	wantEqual(t, "found by its term", len(found), 0)
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", events, []audit.Record{erased})

	cm := v.Commit(versions[2], name) // whose first COMMIT went unanswered
	must(t, v.Create(ctx, cm, nil))
	v.wantErased(t, name, versions[2])
	wantErr(t, "Abort(erased)", v.Abort(ctx, v.Tenant, versions[2].Version), catalog.ErrCommitted)

	fresh := v.Intent()
	fresh.Recording = recording.NewID()
	must(t, v.Begin(ctx, fresh, nil))
	must(t, v.Create(ctx, v.Commit(fresh, name), nil))
	wantEqual(t, "current version after the name was put again", v.Current(t, name), fresh.Version)
}

// The newest of what is left takes the place of the current version.
func testEraseVersions(t *testing.T, v *Vault) {
	ctx := t.Context()
	name := Random()
	const keep, replace = catalog.KeepVersions, catalog.Replace
	in := v.series(t, name, Random(), catalog.Never, keep, replace, keep, keep) // in[1] is replaced
	for _, step := range []struct {
		erase   int
		current recording.Version
		blobs   int
	}{
		{3, in[4].Version, 1},       // an old one
		{3, in[4].Version, 0},       // again
		{4, in[2].Version, 1},       // the current one
		{2, in[0].Version, 1},       // passes over what was replaced
		{0, recording.Version{}, 2}, // the last one, and what was replaced with it
		{1, recording.Version{}, 0}, // which went before
		{0, recording.Version{}, 0}, // and again
	} {
		gone, err := v.erase(ctx, v.erasure(in[step.erase].Version), nil)
		must(t, err)
		wantEqual(t, "number of blobs that may go", len(gone), step.blobs)
		wantEqual(t, "current version", v.Current(t, name), step.current)
		v.wantErased(t, name, in[step.erase])
	}
	v.wantErased(t, name, in[1])
}

// The parts of an erased recording are dropped, and with it goes what it took
// the name from, though that was another recording.
func testEraseParts(t *testing.T, v *Vault) {
	ctx := t.Context()
	before, err := v.Put(t, Random(), catalog.Never)
	must(t, err)
	u := v.upload(t)
	part := v.part(t, u, 1)
	cm := v.complete(t, u, part)
	cm.Content.Name, cm.Overwrite = before.Content.Name, catalog.KeepVersions
	must(t, v.Create(ctx, cm, nil))
	gone, err := v.erase(ctx, target{Tenant: v.Tenant, Recording: u.Recording}, nil)
	must(t, err)
	if len(gone) != 2 || gone[0].Version != u.Version || gone[1].Version != before.Version {
		t.Errorf("%d versions are gone, want that in parts and the one before", len(gone))
	}
	v.wantErased(t, before.Content.Name, u.Intent)
	v.wantParts(t, u)
	list := part
	list.Blob = cm.List.Blob
	v.wantDropped(t, u, part, list)
	_, err = v.PartList(ctx, v.Tenant, u.Version)
	wantErr(t, "PartList(erased)", err, recording.ErrNotFound)
}

// An upload in parts took the name of another recording. Each version of that
// can be erased by itself, and what stands under the name stays.
func testEraseWhatLostItsName(t *testing.T, v *Vault) {
	ctx := t.Context()
	name := Random()
	before := v.series(t, name, Random(), catalog.Never, catalog.Replace, catalog.KeepVersions, catalog.KeepVersions)
	u := v.takeName(t, name, catalog.KeepVersions)
	for i, blobs := range []int{0, 1, 1, 1} { // the first was replaced, and goes last
		if i == 0 {
			continue
		}
		gone, err := v.erase(ctx, v.erasure(before[i].Version), nil)
		must(t, err)
		wantEqual(t, "number of blobs that may go", len(gone), blobs)
		wantEqual(t, "current version", v.Current(t, name), u.Version)
		v.wantErased(t, name, before[i])
	}
	_, err := v.erase(ctx, target{Tenant: v.Tenant, Recording: u.Recording, Version: u.Version}, nil)
	must(t, err)
	v.wantErased(t, name, before[0])
	must(t, v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, nil))
}

// What an upload in parts replaced goes with it, though that was another
// recording: nothing else would ever name it.
func testEraseWhatWasReplaced(t *testing.T, v *Vault) {
	ctx := t.Context()
	name := Random()
	before := v.series(t, name, Random(), catalog.Never, catalog.KeepVersions)
	u := v.takeName(t, name, catalog.Replace)
	wantEqual(t, "state of what was replaced", v.State(t, before[1].Version), catalog.Replaced)
	gone, err := v.erase(ctx, target{Tenant: v.Tenant, Recording: u.Recording}, nil)
	must(t, err)
	wantEqual(t, "number of blobs that may go", len(gone), 3)
	for _, in := range before {
		v.wantErased(t, name, in)
	}
	must(t, v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, nil))
}

// takeName completes an upload in parts under a name that another recording has.
func (v *Vault) takeName(t *testing.T, name catalog.Index, how catalog.Overwrite) catalog.Upload {
	t.Helper()
	u := v.upload(t)
	cm := v.complete(t, u, v.part(t, u, 1))
	cm.Content.Name, cm.Overwrite = name, how
	must(t, v.Create(t.Context(), cm, nil))
	return u
}

func testFindVersion(t *testing.T, v *Vault) {
	ctx := t.Context()
	name := Random()
	in := v.series(t, name, Random(), catalog.Never, catalog.KeepVersions, catalog.Replace)
	for i, want := range []catalog.VersionState{catalog.Committed, catalog.Replaced, catalog.Committed} {
		found, err := v.FindVersion(ctx, v.Tenant, v.Bucket.Index, name, in[i].Version)
		must(t, err)
		if found.Version == nil || found.Version.Version != in[i].Version || found.Version.State != want {
			t.Errorf("FindVersion(%d) = %+v, want it %s", i, found.Version, want)
		}
	}
	open := v.Intend(t)
	for what, find := range map[string]func() (catalog.Found, error){
		"another name": func() (catalog.Found, error) {
			return v.FindVersion(ctx, v.Tenant, v.Bucket.Index, Random(), in[0].Version)
		},
		"unknown": func() (catalog.Found, error) {
			return v.FindVersion(ctx, v.Tenant, v.Bucket.Index, name, recording.NewVersion())
		},
		"intent": func() (catalog.Found, error) { return v.FindVersion(ctx, v.Tenant, v.Bucket.Index, name, open.Version) },
	} {
		if found, err := find(); err != nil || found.Version != nil {
			t.Errorf("FindVersion(%s) = %+v, %v", what, found.Version, err)
		}
	}
	_, err := v.FindVersion(ctx, v.Tenant, Random(), name, in[0].Version)
	wantErr(t, "FindVersion(in no bucket)", err, recording.ErrNoBucket)
	_, err = v.FindVersion(ctx, recording.NewTenant(), v.Bucket.Index, name, in[0].Version)
	wantErr(t, "FindVersion(of another tenant)", err, recording.ErrNoBucket)
}

func testEraseRefuses(t *testing.T, v *Vault) {
	ctx := t.Context()
	name := Random()
	in := v.series(t, name, Random(), catalog.Never)
	stranger := v.erasure(recording.Version{})
	stranger.Tenant = recording.NewTenant()
	_, err := v.erase(ctx, stranger, nil)
	wantErr(t, "Erase(of another tenant)", err, recording.ErrNoTenant)
	must(t, v.Next(t, catalog.Change{State: catalog.TenantRevoked}))
	_, err = v.erase(ctx, v.erasure(in[0].Version), nil)
	wantErr(t, "Erase(of a revoked tenant)", err, recording.ErrTenantRevoked)
	wantEqual(t, "state", v.State(t, in[0].Version), catalog.Committed)
}

func testCloseBucket(t *testing.T, v *Vault) {
	ctx := t.Context()
	name := Random()
	in := v.series(t, name, Random(), catalog.Never)
	wantErr(t, "CloseBucket(with a recording)", v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, nil), recording.ErrBucketNotEmpty)
	open := v.Intend(t) // that is not refused after it was
	_, err := v.erase(ctx, v.erasure(in[0].Version), nil)
	must(t, err)
	closed := event(v.Tenant, now())
	for range 2 { // repeated
		must(t, v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, []audit.Record{closed}))
	}
	wantErr(t, "Begin(closing)", v.Begin(ctx, v.Intent(), nil), recording.ErrNoBucket)
	wantErr(t, "Create(closing)", v.Create(ctx, v.Commit(open, name), nil), recording.ErrNoBucket)
	_, err = v.Find(ctx, v.Tenant, v.Bucket.Index, name)
	wantErr(t, "Find(closing)", err, recording.ErrNoBucket)
	b, err := v.Catalog.Bucket(ctx, v.Tenant, v.Bucket.Index)
	must(t, err)
	wantEqual(t, "closing", b.Closing, true)

	deletion := catalog.Change{Deleted: &v.Bucket.ID, Events: []audit.Record{closed}}
	must(t, v.Next(t, deletion))
	must(t, v.Next(t, deletion)) // by another replica that did not know
	_, err = v.Catalog.Bucket(ctx, v.Tenant, v.Bucket.Index)
	wantErr(t, "Bucket(deleted)", err, recording.ErrNoBucket)
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", events, []audit.Record{closed})

	again := v.Bucket
	again.ID = recording.NewBucketID()
	must(t, v.Next(t, catalog.Change{Bucket: &again})) // the name is free
}

// A bucket is never closed over a recording.
func testRaceToCloseBucket(t *testing.T, v *Vault) {
	for range 10 {
		bucket := catalog.Bucket{ID: recording.NewBucketID(), Index: Random(), Sealed: []byte("s"), CreatedAt: now()}
		must(t, v.Next(t, catalog.Change{Bucket: &bucket}))
		in := v.Intent()
		in.Bucket, in.Recording = bucket.ID, recording.NewID()
		must(t, v.Begin(t.Context(), in, nil))
		var created, closed error
		var wg sync.WaitGroup
		wg.Go(func() { created = v.Create(t.Context(), v.Commit(in, Random()), nil) })
		wg.Go(func() { closed = v.CloseBucket(t.Context(), v.Tenant, bucket.ID, nil) })
		wg.Wait()
		switch {
		case created == nil && errors.Is(closed, recording.ErrBucketNotEmpty):
		case closed == nil && errors.Is(created, recording.ErrNoBucket):
		default:
			t.Errorf("Create = %v, CloseBucket = %v; want that one refuses the other", created, closed)
		}
	}
}

// Of an erasure and the next version one is first: what is current was put
// after the erasure, and never is there more than one.
func testRaceToErase(t *testing.T, v *Vault) {
	for range 10 {
		name := Random()
		id := recording.NewID()
		put := func(how catalog.Overwrite) (catalog.Intent, error) {
			in := v.Intent()
			in.Recording = id
			must(t, v.Begin(t.Context(), in, nil))
			cm := v.Commit(in, name)
			cm.Overwrite = how
			return in, v.Create(t.Context(), cm, nil)
		}
		first, err := put(catalog.Never)
		must(t, err)
		var next catalog.Intent
		var created, erased error
		var wg sync.WaitGroup
		wg.Go(func() { next, created = put(catalog.KeepVersions) })
		wg.Go(func() { _, erased = v.erase(t.Context(), target{Tenant: v.Tenant, Recording: id}, nil) })
		wg.Wait()
		must(t, errors.Join(created, erased))
		v.wantErased(t, name, first)
		current := v.Current(t, name)
		if alive := v.State(t, next.Version) == catalog.Committed; alive != (current == next.Version) {
			t.Errorf("the next version lives: %t, and the current one is %v", alive, current)
		}
	}
}
