// Package catalogtest holds what every database under a catalog must do, as
// one suite, and a real catalog for the tests of others.
package catalogtest

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// New opens an empty SQLite catalog that ends with t.
func New(t testing.TB) *catalog.Catalog {
	t.Helper()
	return Open(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
}

// Open opens the catalog at dsn until t ends.
func Open(t testing.TB, dsn string) *catalog.Catalog {
	t.Helper()
	cat, err := catalog.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cat.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return cat
}

// Run checks a database. fresh gives the address of an empty one.
func Run(t *testing.T, fresh func(testing.TB) string) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *Vault)
	}{
		{"tenants", testTenants},
		{"a tenant's life", testTransitions},
		{"an erasure ends", testErased},
		{"plantings", testPlantings},
		{"journal", testJournal},
		{"heads only advance", testHeads},
		{"credentials", testCredentials},
		{"buckets", testBuckets},
		{"subjects", testSubjects},
		{"recording", testRecording},
		{"overwrite", testOverwrite},
		{"create refuses", testCreateRefuses},
		{"abort", testAbort},
		{"uploads in parts", testUploads},
		{"parts sent again", testParts},
		{"completed uploads", testComplete},
		{"aborted uploads", testAbortUpload},
		{"one of many attempts is the part", testRaceForPart},
		{"a part meets the end of its upload", testRaceWithComplete},
		{"a part meets a sweep", testRaceWithReaper},
		{"puts that are silent", testStalePuts},
		{"parts that are silent", testStaleParts},
		{"residues", testResidues},
		{"residues of what is in use", testResidueInUse},
		{"a residue is claimed once", testRaceToClaim},
		{"a create meets a sweep", testRaceToSweep},
		{"anchors", testAnchors},
		{"anchors of a clock that was set back", testAnchorOfAClockSetBack},
		{"every blob", testEachBlob},
		{"buckets that are closing", testClosingBuckets},
		{"erase", testErase},
		{"erase versions", testEraseVersions},
		{"erase parts", testEraseParts},
		{"erase what lost its name", testEraseWhatLostItsName},
		{"erase what was replaced", testEraseWhatWasReplaced},
		{"erase refuses", testEraseRefuses},
		{"find a version", testFindVersion},
		{"close a bucket", testCloseBucket},
		{"close a bucket in a race", testRaceToCloseBucket},
		{"erase in a race", testRaceToErase},
		{"queue a recording's erasure", testQueueRecording},
		{"queue versions' erasures", testQueueVersions},
		{"queue a subject's erasure", testQueueSubject},
		{"queue a second subject's erasure", testQueueSecondSubject},
		{"erase what is under way with whomever it tells of", testQueueBegun},
		{"queue a day's erasure", testQueueDay},
		{"parts below a tombstone", testBuriedParts},
		{"a name below a tombstone", testBuriedName},
		{"erase beside a tombstone", testEraseBesideBuried},
		{"queue refuses", testQueueRefuses},
		{"holds", testHolds},
		{"holds refuse erasures", testHoldsRefuse},
		{"timelines", testTimelines},
		{"what is held stays when its second subject is erased", testHeldSecond},
		{"what is held is not replaced", testHeldReplaced},
		{"what is held below a slot", testHeldBelow},
		{"a hold meets an erasure", testRaceToHold},
		{"refiling", testRefile},
		{"corrected terms", testCorrect},
		{"refiling refuses", testRefileRefuses},
		{"erase what was filed anew", testEraseRefiled},
		{"erase a day with what was filed anew", testEraseDayRefiled},
		{"filings that are silent", testStaleFilings},
		{"filings it lacked", testScrapFilings},
		{"residues of filings", testResidueOfFiling},
		{"a refiling meets an erasure", testRaceToRefile},
		{"days that have passed", testPassedDays},
		{"erasures", testErasures},
		{"epochs", testEpochs},
		{"reopened slots", testReopen},
		{"undone", testUndone},
		{"erase scraps", testEraseScraps},
		{"scraps", testScraps},
		{"unlink", testUnlink},
		{"leases of epochs", testEpochLeases},
		{"pages", testPages},
		{"settle", testSettle},
		{"tombstones of a restored catalog", testRestoredTombstones},
		{"restore versions", testRestore},
		{"restore what was begun", testRestoreIntents},
		{"restore what is lost", testRestoreLost},
		{"restore an erasure", testRestoreErasure},
		{"restore an erasure of what was filed anew", testRestoreErasureOfFiled},
		{"restore an erased tenant", testRestoreErased},
		{"erasures that end with their tenant", testEnded},
		{"rebuilt", testRebuilt},
		{"blobs that are settled", testSettledBlobs},
		{"a create meets a tombstone", testRaceWithTombstone},
		{"one of many erasures does it", testRaceToQueue},
		{"one of many takes a name below a tombstone", testRaceForBuriedName},
		{"a slot is handed out while its subject is erased", testRaceForSlotOfErased},
		{"an erasure meets a replacement", testRaceToQueueAndReplace},
		{"generations", testGenerations},
		{"writers in another stage", testStages},
		{"names while rows move", testNamesWhileMoving},
		{"one of many takes a name while rows move", testRaceForNameWhileMoving},
		{"holds while rows move", testHoldsWhileMoving},
		{"erase a subject while rows move", testEraseSubjectWhileMoving},
		{"erase what is under way while rows move", testEraseBegunWhileMoving},
		{"a move meets an erasure", testMoveMeetsErasure},
		{"a move goes on after a rebuild", testMoveAfterRebuild},
		{"directories", testDirectories},
		{"versions", testVersions},
		{"terms", testTerms},
		{"events", testEvents},
		{"one of many wins a name", testRaceForName},
		{"the last of many replaces", testRaceToReplace},
		{"many names at once", testManyNames},
		{"one slot for one subject", testRaceForSlot},
		{"a revocation bites", testRaceWithRevocation},
		{"cancelled creates tell the truth", testCancelledCreate},
		{"reopened", testReopened},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dsn := fresh(t)
			test.run(t, NewVault(t, dsn))
		})
	}
}

// A Vault is a catalog with one active tenant and one bucket.
type Vault struct {
	*catalog.Catalog
	DSN    string
	Tenant recording.Tenant
	Bucket catalog.Bucket

	sequence int64
	stage    catalog.Stage
	written  map[recording.Version]bool // under the next generation of indexes
	slots    *atomic.Int64              // of recordings, handed out
}

// NewVault opens the empty catalog at dsn and fills it.
func NewVault(t testing.TB, dsn string) *Vault {
	t.Helper()
	v := &Vault{
		Catalog:  Open(t, dsn),
		DSN:      dsn,
		Tenant:   recording.NewTenant(),
		Bucket:   catalog.Bucket{ID: recording.NewBucketID(), Index: Random(), Sealed: []byte("settings"), CreatedAt: now()},
		sequence: 1,
		slots:    new(atomic.Int64),
		written:  map[recording.Version]bool{},
	}
	must(t, v.Apply(t.Context(), catalog.Change{
		Tenant: v.Tenant, Sequence: 1, Bucket: &v.Bucket,
		New: &catalog.NewTenant{Name: "acme", Head: catalog.Head{Epoch: 1, Bytes: []byte("head 1")}, CreatedAt: now()},
	}))
	_, _, err := v.Advance(t.Context(), catalog.Anchor{}, nonce())
	must(t, err)
	return v
}

// Next applies ch as the vault's next change.
func (v *Vault) Next(t testing.TB, ch catalog.Change) error {
	ch.Tenant, ch.Sequence, ch.Stage = v.Tenant, v.sequence+1, v.stage
	err := v.Apply(t.Context(), ch)
	if err == nil {
		v.sequence++
	}
	return err
}

// Intend begins a version.
func (v *Vault) Intend(t testing.TB) catalog.Intent {
	t.Helper()
	in := v.Intent()
	must(t, v.Begin(t.Context(), in, nil))
	return in
}

// Intent draws a version, of the one recording that a vault has.
func (v *Vault) Intent() catalog.Intent {
	return catalog.Intent{
		Version: recording.NewVersion(), Tenant: v.Tenant, Bucket: v.Bucket.ID, Recording: recording.ID(v.Bucket.ID),
		Blob: "r/" + rand.Text(), Slots: catalog.Slots{Recording: 1<<39 + v.slots.Add(1), Subject: 2, Day: 3}, CreatedAt: now(),
		Stage: v.stage,
	}
}

// Commit draws what turns in into a recording under name.
func (v *Vault) Commit(in catalog.Intent, name catalog.Index) catalog.Commit {
	return catalog.Commit{
		Tenant: in.Tenant, Version: in.Version, Overwrite: catalog.Never,
		Content: catalog.Content{
			CommittedAt: now(), Name: name, Directory: Random(),
			Size: 480_000, StoredSize: 481_234, Class: recording.ClassB,
			WrappedDEK: bytes(60), SealedFacts: bytes(600), SealedEnd: bytes(300),
		},
	}
}

// Put begins and creates a recording under name.
func (v *Vault) Put(t testing.TB, name catalog.Index, how catalog.Overwrite) (catalog.Commit, error) {
	t.Helper()
	cm := v.Commit(v.Intend(t), name)
	cm.Overwrite = how
	return cm, v.Create(t.Context(), cm, nil)
}

// SubjectSlot is the catalog's, of a tenant that has one generation of indexes.
func (v *Vault) SubjectSlot(ctx context.Context, tenant recording.Tenant, subject catalog.Index, proposed int64) (int64, error) {
	return v.Catalog.SubjectSlot(ctx, tenant, catalog.Indexed{Index: subject}, proposed)
}

// Current is the version that stands under name, zero if none does.
func (v *Vault) Current(t testing.TB, name catalog.Index) recording.Version {
	t.Helper()
	found, err := v.Find(t.Context(), v.Tenant, v.Bucket.Index, name)
	must(t, err)
	if found.Version == nil {
		return recording.Version{}
	}
	return found.Version.Version
}

// State is the state of a version.
func (v *Vault) State(t testing.TB, version recording.Version) catalog.VersionState {
	t.Helper()
	got, err := v.Version(t.Context(), v.Tenant, version)
	must(t, err)
	return got.State
}

// Random draws an index.
func Random() catalog.Index { return catalog.Index(bytes(32)) }

func nonce() [16]byte { return [16]byte(bytes(16)) }

func bytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// now is the time as a catalog keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func event(tenant recording.Tenant, at time.Time) audit.Record {
	return audit.Record{
		Event: audit.Event{
			ID: recording.NewVersion(), Tenant: tenant, At: at, Who: "AK1", Action: "put", Outcome: audit.Allowed,
			Reason: "", Bucket: recording.NewBucketID(), Recording: recording.NewID(), Version: recording.NewVersion(),
			Request: "req-1",
		},
		Sealed: bytes(80),
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func wantEqual(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s = %+v, want %+v", what, got, want)
	}
}
