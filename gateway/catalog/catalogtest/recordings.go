package catalogtest

import (
	"slices"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

func testRecording(t *testing.T, v *Vault) {
	ctx := t.Context()
	name := Random()
	in := v.Intend(t)
	must(t, v.Begin(ctx, in, nil)) // repeated
	got, err := v.Version(ctx, v.Tenant, in.Version)
	must(t, err)
	wantEqual(t, "Version(intent)", got, catalog.Version{Intent: in, State: catalog.Intended})

	found, err := v.Find(ctx, v.Tenant, v.Bucket.Index, name)
	must(t, err)
	if found.Version != nil || found.Tenant.ID != v.Tenant || found.Bucket.ID != v.Bucket.ID {
		t.Errorf("Find(nothing yet) = %+v", found)
	}
	cm := v.Commit(in, name)
	for range 2 { // repeated
		must(t, v.Create(ctx, cm, nil))
		want := catalog.Version{Intent: in, State: catalog.Committed, Current: true, Content: cm.Content}
		found, err = v.Find(ctx, v.Tenant, v.Bucket.Index, name)
		must(t, err)
		wantEqual(t, "Find", found.Version, &want)
		got, err = v.Version(ctx, v.Tenant, in.Version)
		must(t, err)
		wantEqual(t, "Version", got, want)
	}
	_, err = v.Find(ctx, v.Tenant, Random(), name)
	wantErr(t, "Find(in no bucket)", err, recording.ErrNoBucket)
	_, err = v.Version(ctx, recording.NewTenant(), in.Version)
	wantErr(t, "Version(of another tenant)", err, recording.ErrNotFound)
}

func testOverwrite(t *testing.T, v *Vault) {
	name := Random()
	var last recording.Version
	for _, step := range []struct {
		how  catalog.Overwrite
		err  error
		last catalog.VersionState // of the version before
	}{
		{catalog.Never, nil, ""},
		{catalog.Never, recording.ErrExists, catalog.Committed},
		{catalog.KeepVersions, nil, catalog.Committed},
		{catalog.Replace, nil, catalog.Replaced},
		{catalog.Replace, nil, catalog.Replaced},
		{catalog.KeepVersions, nil, catalog.Committed},
		{catalog.Never, recording.ErrExists, catalog.Committed},
	} {
		cm, err := v.Put(t, name, step.how)
		wantErr(t, "Create("+string(step.how)+")", err, step.err)
		if last != (recording.Version{}) {
			wantEqual(t, "state of the version before", v.State(t, last), step.last)
		}
		if step.err == nil {
			last = cm.Version
		} else {
			wantEqual(t, "state of a refused version", v.State(t, cm.Version), catalog.Intended)
		}
		wantEqual(t, "current version", v.Current(t, name), last)
	}
	for _, how := range []catalog.Overwrite{catalog.KeepVersions, catalog.Replace} {
		other := v.Intent()
		other.Recording = recording.NewID()
		must(t, v.Begin(t.Context(), other, nil))
		cm := v.Commit(other, name)
		cm.Overwrite = how
		wantErr(t, "Create("+string(how)+" of another recording)", v.Create(t.Context(), cm, nil), catalog.ErrMoved)
		wantEqual(t, "current version", v.Current(t, name), last)
	}
	cm, err := v.Put(t, Random(), "sometimes")
	if err == nil {
		t.Errorf("Create(%q) = nil, want an error", cm.Overwrite)
	}
}

func testCreateRefuses(t *testing.T, v *Vault) {
	ctx := t.Context()
	nowhere := v.Intent()
	nowhere.Bucket = recording.NewBucketID()
	wantErr(t, "Begin(no bucket)", v.Begin(ctx, nowhere, nil), recording.ErrNoBucket)

	unknown := v.Commit(v.Intent(), Random())
	wantErr(t, "Create(no intent)", v.Create(ctx, unknown, nil), catalog.ErrAborted)

	open, done := v.Intend(t), v.Commit(v.Intend(t), Random())
	must(t, v.Create(ctx, done, nil))
	refused := []audit.Record{event(v.Tenant, now())}
	for _, step := range []struct {
		state catalog.TenantState
		err   error
	}{
		{catalog.TenantRevoked, recording.ErrTenantRevoked},
		{catalog.TenantErasing, recording.ErrTenantErased},
		{catalog.TenantErased, recording.ErrTenantErased},
	} {
		must(t, v.Next(t, catalog.Change{State: step.state}))
		wantErr(t, "Begin", v.Begin(ctx, v.Intent(), refused), step.err)
		wantErr(t, "Create", v.Create(ctx, v.Commit(open, Random()), refused), step.err)
		must(t, v.Create(ctx, done, nil)) // it was done before
	}
	stranger := v.Intent()
	stranger.Tenant = recording.NewTenant()
	wantErr(t, "Begin(no tenant)", v.Begin(ctx, stranger, nil), recording.ErrNoTenant)
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events of refused writes", len(events), 0)
}

func testAbort(t *testing.T, v *Vault) {
	ctx := t.Context()
	in := v.Intent()
	in.Wrapped, in.Facts = []byte("wrap"), []byte("facts")
	must(t, v.Begin(ctx, in, nil))
	sealed := func(what string, want ...string) {
		t.Helper()
		row, err := v.Version(ctx, v.Tenant, in.Version)
		must(t, err)
		wantEqual(t, what, []string{string(row.WrappedDEK), string(row.SealedFacts)}, want)
	}
	sealed("what opens an intent", "wrap", "facts")
	must(t, v.Abort(ctx, v.Tenant, in.Version))
	sealed("what opens what was aborted", "", "")
	must(t, v.Abort(ctx, v.Tenant, in.Version)) // repeated
	wantErr(t, "Create(aborted)", v.Create(ctx, v.Commit(in, Random()), nil), catalog.ErrAborted)
	wantEqual(t, "state", v.State(t, in.Version), catalog.Aborted)

	name := Random()
	cm, err := v.Put(t, name, catalog.Never)
	must(t, err)
	wantErr(t, "Abort(committed)", v.Abort(ctx, v.Tenant, cm.Version), catalog.ErrCommitted)
	wantEqual(t, "current version", v.Current(t, name), cm.Version)
	wantErr(t, "Abort(unknown)", v.Abort(ctx, v.Tenant, recording.NewVersion()), recording.ErrNotFound)
	wantErr(t, "Abort(of another tenant)", v.Abort(ctx, recording.NewTenant(), cm.Version), recording.ErrNotFound)
}

func testDirectories(t *testing.T, v *Vault) {
	root, calls, day := Random(), Random(), Random()
	path := []catalog.Directory{{Index: root}, {Index: calls, Parent: root}, {Index: day, Parent: calls}}
	put := func(dirs []catalog.Directory, how catalog.Overwrite, name catalog.Index) recording.Version {
		cm := v.Commit(v.Intend(t), name)
		cm.Directories, cm.Content.Directory, cm.Overwrite = dirs, dirs[len(dirs)-1].Index, how
		must(t, v.Create(t.Context(), cm, nil))
		return cm.Version
	}
	name := Random()
	put(path, catalog.Never, name)
	a, b := put(path, catalog.Replace, name), put(path, catalog.Never, Random())
	c := put(path[:1], catalog.Never, Random())
	v.Intend(t)

	v.wantDirectory(t, catalog.Index{}, nil, []catalog.Subdirectory{{Index: root, Filled: true}})
	v.wantDirectory(t, root, []recording.Version{c}, []catalog.Subdirectory{{Index: calls}})
	v.wantDirectory(t, calls, nil, []catalog.Subdirectory{{Index: day, Filled: true}})
	v.wantDirectory(t, day, []recording.Version{a, b}, nil)
}

func testVersions(t *testing.T, v *Vault) {
	name := Random()
	kept, err := v.Put(t, name, catalog.Never)
	must(t, err)
	replaced, err := v.Put(t, name, catalog.KeepVersions)
	must(t, err)
	last, err := v.Put(t, name, catalog.Replace)
	must(t, err)
	want := []recording.Version{kept.Version, replaced.Version, last.Version}
	ask := append(slices.Clone(want), v.Intend(t).Version, recording.NewVersion())
	for range 250 { // more than one query
		cm, err := v.Put(t, Random(), catalog.Never)
		must(t, err)
		ask, want = append(ask, cm.Version), append(want, cm.Version)
	}
	rows, err := v.Versions(t.Context(), v.Tenant, ask)
	must(t, err)
	wantEqual(t, "Versions", ids(rows), sorted(want))
	rows, err = v.Versions(t.Context(), recording.NewTenant(), ask)
	must(t, err)
	wantEqual(t, "Versions(of another tenant)", len(rows), 0)
	rows, err = v.Versions(t.Context(), v.Tenant, nil)
	must(t, err)
	wantEqual(t, "Versions(none)", len(rows), 0)
}

// ids names versions, sorted.
func ids(versions []catalog.Version) []recording.Version {
	var out []recording.Version
	for _, v := range versions {
		out = append(out, v.Version)
	}
	return sorted(out)
}

func sorted(ids []recording.Version) []recording.Version {
	return slices.SortedFunc(slices.Values(ids), func(a, b recording.Version) int { return slices.Compare(a[:], b[:]) })
}

func (v *Vault) wantDirectory(t *testing.T, dir catalog.Index, want []recording.Version, wantSubs []catalog.Subdirectory) {
	t.Helper()
	named, err := v.VersionsIn(t.Context(), v.Tenant, dir)
	must(t, err)
	if !slices.Equal(sorted(named), sorted(want)) {
		t.Errorf("VersionsIn = %v, want %v", named, sorted(want))
	}
	one, err := v.AnyIn(t.Context(), v.Tenant, dir)
	must(t, err)
	if (one == nil) != (want == nil) || one != nil && !slices.Contains(want, one.Version) {
		t.Errorf("AnyIn = %v, want one of %v", one, want)
	}
	inside, err := v.Inside(t.Context(), v.Tenant, dir)
	must(t, err)
	wantEqual(t, "Inside", inside, wantSubs)
	subs, err := v.Subdirectories(t.Context(), v.Tenant, dir)
	must(t, err)
	wantEqual(t, "Subdirectories", len(subs), len(wantSubs))
	for i, sub := range subs {
		wantEqual(t, "Subdirectories", sub, wantSubs[i].Index)
	}
}

func testTerms(t *testing.T, v *Vault) {
	caller, agent := Random(), Random()
	put := func(terms ...catalog.Index) recording.Version {
		cm := v.Commit(v.Intend(t), Random())
		cm.Terms = terms
		must(t, v.Create(t.Context(), cm, nil))
		return cm.Version
	}
	first, second := put(caller, agent), put(agent, agent)
	for term, want := range map[catalog.Index][]recording.Version{caller: {first}, agent: {first, second}, Random(): nil} {
		versions, err := v.ByTerm(t.Context(), v.Tenant, term)
		must(t, err)
		var got []recording.Version
		for _, in := range versions {
			got = append(got, in.Version)
		}
		wantEqual(t, "ByTerm", got, want)
	}
}

func testEvents(t *testing.T, v *Vault) {
	ctx := t.Context()
	at := now()
	var records []audit.Record
	for i := range 250 { // more than one INSERT
		records = append(records, event(v.Tenant, at.Add(time.Duration(i)*time.Microsecond)))
	}
	records[7].Sealed = nil // the tenant's key was away
	other := event(recording.NewTenant(), at)
	must(t, v.AppendEvents(ctx, append(slices.Clone(records), other)))
	must(t, v.AppendEvents(ctx, records[3:5])) // repeated
	must(t, v.AppendEvents(ctx, nil))

	got, err := v.Events(ctx, v.Tenant, at, at.Add(time.Second), 1000)
	must(t, err)
	wantEqual(t, "Events", got, records)
	got, err = v.Events(ctx, v.Tenant, at.Add(10*time.Microsecond), at.Add(20*time.Microsecond), 5)
	must(t, err)
	wantEqual(t, "Events(window, limit)", got, records[10:15])

	begun, put := event(v.Tenant, at.Add(time.Minute)), event(v.Tenant, at.Add(2*time.Minute))
	in := v.Intent()
	must(t, v.Begin(ctx, in, []audit.Record{begun}))
	must(t, v.Create(ctx, v.Commit(in, Random()), []audit.Record{put}))
	got, err = v.Events(ctx, v.Tenant, at.Add(time.Minute), at.Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "Events(of a put)", got, []audit.Record{begun, put})
}
