package catalogtest

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// silence is longer than what is done in one breath on a busy machine.
const silence = time.Second

// testStalePuts: who shows that it lives is not stale, who is silent is aborted
// once, and its blob is a residue.
func testStalePuts(t *testing.T, v *Vault) {
	ctx, age := t.Context(), catalog.Age{Silent: silence}
	silent, alive := v.Intend(t), v.Intend(t)
	committed, err := v.Put(t, Random(), catalog.Never)
	must(t, err)
	v.upload(t) // has no blob, and is judged by its parts
	time.Sleep(2 * silence)
	must(t, v.Alive(ctx, v.Tenant, alive.Version))
	wantErr(t, "Alive(committed)", v.Alive(ctx, v.Tenant, committed.Version), catalog.ErrAborted)
	wantErr(t, "Alive(of another tenant)", v.Alive(ctx, recording.NewTenant(), alive.Version), catalog.ErrAborted)

	found, err := v.StalePuts(ctx, age, 10, 0)
	must(t, err)
	if len(found) != 1 || found[0].Version != silent.Version {
		t.Fatalf("StalePuts = %+v, want the silent one", found)
	}
	later := catalog.Age{Silent: silence, Anchor: 2} // of a catalog that was swept once more
	none, err := v.StalePuts(ctx, later, 10, 0)
	must(t, err)
	wantEqual(t, "StalePuts(not judged)", len(none), 0)
	spared, err := v.AbortPut(ctx, found[0], later, nil)
	must(t, err)
	wantEqual(t, "AbortPut(not judged)", spared, false)
	done := event(v.Tenant, now())
	for range 2 { // repeated
		aborted, err := v.AbortPut(ctx, found[0], age, []audit.Record{done})
		must(t, err)
		wantEqual(t, "AbortPut", aborted, true)
	}
	for _, in := range []catalog.Intent{alive, {Tenant: v.Tenant, Version: committed.Version}} {
		aborted, err := v.AbortPut(ctx, catalog.Version{Intent: in}, catalog.Age{Silent: time.Hour}, []audit.Record{event(v.Tenant, now())})
		must(t, err)
		wantEqual(t, "AbortPut(of what lives)", aborted, false)
	}
	wantErr(t, "Create(swept)", v.Create(ctx, v.Commit(silent, Random()), nil), catalog.ErrAborted)
	wantErr(t, "Alive(swept)", v.Alive(ctx, v.Tenant, silent.Version), catalog.ErrAborted)
	must(t, v.Create(ctx, v.Commit(alive, Random()), nil))
	v.wantResidues(t, silent.Version, catalog.Residue{Blob: silent.Blob, Tenant: v.Tenant, Version: silent.Version, Why: "aborted"})
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", len(events), 2) // of an upload, and of the abort
}

// testStaleParts: a silent attempt is dropped whatever becomes of its upload,
// which goes on.
func testStaleParts(t *testing.T, v *Vault) {
	ctx, age := t.Context(), catalog.Age{Silent: silence}
	u := v.upload(t)
	silent, alive := attempt(u, 1), attempt(u, 2)
	must(t, v.BeginPart(ctx, silent, nil))
	must(t, v.BeginPart(ctx, alive, nil))
	stored := v.part(t, u, 3)
	time.Sleep(2 * silence)
	must(t, v.PartAlive(ctx, v.Tenant, alive.Blob))
	wantErr(t, "PartAlive(stored)", v.PartAlive(ctx, v.Tenant, stored.Blob), catalog.ErrAborted)
	found, err := v.StaleParts(ctx, age, 10, 0)
	must(t, err)
	if len(found) != 1 || found[0].Blob != silent.Blob {
		t.Fatalf("StaleParts = %+v, want the silent one", found)
	}
	for range 2 { // repeated
		dropped, err := v.DropStale(ctx, found[0], age, nil)
		must(t, err)
		wantEqual(t, "DropStale", dropped, true)
	}
	dropped, err := v.DropStale(ctx, alive, catalog.Age{Anchor: 2}, nil)
	must(t, err)
	wantEqual(t, "DropStale(not judged)", dropped, false)
	dropped, err = v.DropStale(ctx, alive, catalog.Age{Silent: time.Hour}, nil)
	must(t, err)
	wantEqual(t, "DropStale(of what lives)", dropped, false)
	_, err = v.StorePart(ctx, silent)
	wantErr(t, "StorePart(swept)", err, catalog.ErrDropped)
	_, err = v.StorePart(ctx, alive)
	must(t, err)
	v.wantDropped(t, u, silent)
}

// wantResidues compares the residues of a version.
func (v *Vault) wantResidues(t testing.TB, version recording.Version, want ...catalog.Residue) {
	t.Helper()
	got, err := v.Residues(t.Context(), v.Tenant, version)
	must(t, err)
	for i := range got {
		got[i] = bare(got[i])
	}
	wantEqual(t, "Residues", got, want)
}

// bare is a residue without what a claim compares.
func bare(r catalog.Residue) catalog.Residue {
	return catalog.Residue{Blob: r.Blob, Tenant: r.Tenant, Version: r.Version, Why: r.Why, Certain: r.Certain, Tries: r.Tries, Locked: r.Locked}
}

func (v *Vault) due(t testing.TB, late time.Duration) []catalog.Residue {
	t.Helper()
	due, err := v.DueResidues(t.Context(), late, 100)
	must(t, err)
	return due
}

// testResidues follows a blob that counts no more until it is forgotten.
func testResidues(t *testing.T, v *Vault) {
	ctx := t.Context()
	in := v.Intend(t)
	must(t, v.Abort(ctx, v.Tenant, in.Version))
	must(t, v.Abort(ctx, v.Tenant, in.Version)) // repeated
	put, err := v.Put(t, Random(), catalog.Never)
	must(t, err)
	_, err = v.erase(ctx, target{Tenant: v.Tenant, Recording: in.Recording, Version: put.Version}, nil)
	must(t, err)
	left, err := v.Residues(ctx, v.Tenant, put.Version)
	must(t, err)
	if len(left) != 1 || !left[0].Certain || left[0].Why != "erased" {
		t.Errorf("residues of an erased version = %+v", left)
	}
	time.Sleep(silence)
	due := v.due(t, time.Hour)
	wantEqual(t, "due", len(due), 2)
	for _, r := range due {
		wantEqual(t, "late", r.Late, false)
	}
	for _, r := range v.due(t, 0) {
		wantEqual(t, "late at once", r.Late, true)
	}

	claimed, odd, err := v.ClaimResidues(ctx, due, time.Hour)
	must(t, err)
	wantEqual(t, "claimed", len(claimed), 2)
	wantEqual(t, "contradicted", len(odd), 0)
	wantEqual(t, "due while claimed", len(v.due(t, 0)), 0)
	again, _, err := v.ClaimResidues(ctx, due, time.Hour)
	must(t, err)
	wantEqual(t, "claimed twice", len(again), 0)

	locked := claimed[0]
	locked.Locked = true
	must(t, v.Postpone(ctx, []catalog.Postponed{{Residue: locked, Failed: true}, {Residue: claimed[1], For: time.Hour}}))
	time.Sleep(silence)
	due = v.due(t, time.Hour)
	if len(due) != 1 || due[0].Blob != locked.Blob || !due[0].Locked || due[0].Tries != 1 {
		t.Errorf("due after a failure = %+v", due)
	}
	b, err := v.Backlog(ctx, time.Hour, time.Hour)
	must(t, err)
	wantEqual(t, "Backlog", b, catalog.Backlog{Due: 1, Waiting: 1, Locked: 1})
	gone := event(v.Tenant, now())
	for range 2 { // repeated
		must(t, v.Forget(ctx, claimed, []audit.Record{gone}))
	}
	b, err = v.Backlog(ctx, 0, 0)
	must(t, err)
	wantEqual(t, "Backlog(forgotten)", b, catalog.Backlog{})
}

// testResidueInUse: no residue makes a blob go that a row has, nor one of which
// no row knows anything.
func testResidueInUse(t *testing.T, v *Vault) {
	ctx := t.Context()
	cm, err := v.Put(t, Random(), catalog.Never)
	must(t, err)
	row, err := v.Version(ctx, v.Tenant, cm.Version)
	must(t, err)
	u := v.upload(t)
	part := v.part(t, u, 1)
	for _, r := range []catalog.Residue{
		{Blob: row.Blob, Version: cm.Version}, {Blob: part.Blob, Version: u.Version}, {Blob: "r/unknown", Version: recording.NewVersion()},
	} {
		r.Tenant = v.Tenant
		v.litter(t, r)
	}
	claimed, odd, err := v.ClaimResidues(ctx, v.due(t, 0), time.Hour)
	must(t, err)
	wantEqual(t, "claimed", len(claimed), 0)
	wantEqual(t, "contradicted", len(odd), 3)
}

// litter notes a residue behind the catalog's back.
func (v *Vault) litter(t testing.TB, r catalog.Residue) {
	t.Helper()
	v.behind(t, `INSERT INTO residues (blob, tenant, version, why, certain, since, due, tries, locked)
		VALUES ($1, $2, $3, 'aborted', TRUE, 0, 0, 0, FALSE)`, r.Blob, r.Tenant[:], r.Version[:])
}

// behind executes a statement behind the catalog's back.
func (v *Vault) behind(t testing.TB, query string, args ...any) {
	t.Helper()
	db := v.database(t)
	defer db.Close()
	_, err := db.ExecContext(t.Context(), query, args...)
	must(t, err)
}

// database opens the vault's database beside the catalog.
func (v *Vault) database(t testing.TB) *sql.DB {
	t.Helper()
	driver, dsn := "pgx", v.DSN
	if path, ok := strings.CutPrefix(v.DSN, "sqlite:"); ok {
		driver, dsn = "sqlite3", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, dsn)
	must(t, err)
	return db
}

// testRaceToClaim: each residue is claimed by one of many sweepers.
func testRaceToClaim(t *testing.T, v *Vault) {
	const residues = 20
	for range residues {
		must(t, v.Abort(t.Context(), v.Tenant, v.Intend(t).Version))
	}
	time.Sleep(silence)
	var mu sync.Mutex // guards claimed
	claimed := map[string]int{}
	for _, err := range race(func(int) error {
		due, err := v.DueResidues(t.Context(), 0, residues)
		if err != nil {
			return err
		}
		got, _, err := v.ClaimResidues(t.Context(), due, time.Hour)
		mu.Lock()
		defer mu.Unlock()
		for _, r := range got {
			claimed[r.Blob]++
		}
		return err
	}) {
		if err != nil && !errors.Is(err, catalog.ErrUnavailable) { // met others too often
			t.Errorf("claim: %v", err)
		}
	}
	for blob, n := range claimed {
		if n != 1 {
			t.Errorf("%s was claimed %d times", blob, n)
		}
	}
	wantEqual(t, "claimed", len(claimed), residues)
}

// testRaceToSweep: of a commit and a sweep of the same intent one comes first.
func testRaceToSweep(t *testing.T, v *Vault) {
	for range 10 {
		in := v.Intend(t)
		time.Sleep(2 * time.Millisecond)
		var created, failed error
		var aborted bool
		var both sync.WaitGroup
		both.Go(func() { created = v.Create(t.Context(), v.Commit(in, Random()), nil) })
		both.Go(func() {
			aborted, failed = v.AbortPut(t.Context(), catalog.Version{Intent: in}, catalog.Age{}, nil)
		})
		both.Wait()
		must(t, failed)
		if aborted != errors.Is(created, catalog.ErrAborted) || !aborted && created != nil {
			t.Errorf("Create = %v, aborted = %t", created, aborted)
		}
	}
}

// testAnchors: a catalog that has every anchor of its store goes on; one that
// lacks one judges nothing of what it had then.
func testAnchors(t *testing.T, v *Vault) {
	ctx := t.Context()
	first, err := v.Anchor(ctx) // the vault's
	must(t, err)
	wantEqual(t, "number", first.Number, int64(1))
	own := nonce()
	var second catalog.Anchor
	for range 2 { // repeated
		var restored bool
		second, restored, err = v.Advance(ctx, first, own)
		must(t, err)
		wantEqual(t, "Advance", second, catalog.Anchor{Number: 2, Nonce: own})
		wantEqual(t, "restored", restored, false)
	}
	_, restored, err := v.Advance(ctx, first, nonce()) // another sweeper was about it
	must(t, err)
	wantEqual(t, "restored by another's", restored, false)

	in := v.Intend(t)
	before := time.Now().Add(-time.Second).UnixMicro()
	for _, stored := range []catalog.Anchor{
		{Number: 9, Nonce: nonce()},  // a later one
		{Number: 10, Nonce: nonce()}, // another in the place of the last
	} {
		got, restored, err := v.Advance(ctx, stored, nonce())
		must(t, err)
		if !restored || got.NotBefore < before || got.Number != stored.Number+1 {
			t.Errorf("Advance(%d) = %+v, %t", stored.Number, got, restored)
		}
		before = got.NotBefore
	}
	time.Sleep(2 * time.Millisecond)
	aborted, err := v.AbortPut(ctx, catalog.Version{Intent: in}, catalog.Age{Anchor: second.Number}, nil)
	must(t, err)
	wantEqual(t, "AbortPut(by a sweep that began before)", aborted, false)
}

// testAnchorOfAClockSetBack: what a copy has open is spared also where its clock
// is behind that of the database it was copied from.
func testAnchorOfAClockSetBack(t *testing.T, v *Vault) {
	ctx, in := t.Context(), v.Intend(t)
	u := v.upload(t)
	v.behind(t, `UPDATE versions SET seen_at = seen_at + 3000000`)
	v.behind(t, `UPDATE uploads SET seen_at = seen_at + 3000000`)
	_, restored, err := v.Advance(ctx, catalog.Anchor{Number: 9, Nonce: nonce()}, nonce())
	must(t, err)
	wantEqual(t, "restored", restored, true)
	time.Sleep(3*time.Second + silence)
	aborted, err := v.AbortPut(ctx, catalog.Version{Intent: in}, catalog.Age{}, nil)
	must(t, err)
	wantEqual(t, "AbortPut", aborted, false)
	aborted, err = v.AbortStale(ctx, u, catalog.Age{}, nil)
	must(t, err)
	wantEqual(t, "AbortStale", aborted, false)
	b, err := v.Backlog(ctx, 0, 0)
	must(t, err)
	wantEqual(t, "Backlog", b, catalog.Backlog{Held: 2})
}

// testEachBlob names what rows know of, wherever that is.
func testEachBlob(t *testing.T, v *Vault) {
	in, u := v.Intend(t), v.upload(t)
	first := v.part(t, u, 1)
	second := v.part(t, u, 1)
	got := map[string]bool{}
	must(t, v.EachBlob(t.Context(), func(blob string) { got[blob] = true }))
	delete(got, "") // an upload in parts has none of its own
	wantEqual(t, "blobs", got, map[string]bool{in.Blob: true, first.Blob: true, second.Blob: true})
	n, err := v.CountBlobs(t.Context())
	must(t, err)
	wantEqual(t, "CountBlobs", n, int64(4))
}

func testClosingBuckets(t *testing.T, v *Vault) {
	ctx := t.Context()
	closing := func(ago time.Duration) []catalog.ClosingBucket {
		t.Helper()
		got, err := v.ClosingBuckets(ctx, ago, 10, 0)
		must(t, err)
		return got
	}
	wantEqual(t, "closing", len(closing(0)), 0)
	must(t, v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, nil))
	time.Sleep(2 * silence)
	must(t, v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, nil)) // repeated: it closes since then
	wantEqual(t, "closing", closing(silence), []catalog.ClosingBucket{{Tenant: v.Tenant, Bucket: v.Bucket.ID}})
	wantEqual(t, "closing for an hour", len(closing(time.Hour)), 0)
	must(t, v.Next(t, catalog.Change{State: catalog.TenantRevoked}))
	wantEqual(t, "closing of a revoked tenant", len(closing(0)), 0)
}
