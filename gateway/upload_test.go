package gateway_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"hash/crc64"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// begin opens an upload in parts.
func begin(t *testing.T, g *gatewaytest.Fixture, c gateway.Caller, name recording.Name) gateway.UploadID {
	t.Helper()
	id, err := g.CreateUpload(t.Context(), c, gateway.Description{
		Bucket: calls, Name: name, Metadata: map[string]string{"lethe-subject": "+4930901820"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func putPart(g *gatewaytest.Fixture, c gateway.Caller, id gateway.UploadID, number int, content []byte) (gateway.PartInfo, error) {
	return g.PutPart(g.Context(), c, gateway.PartUpload{
		UploadID: id, Number: number, Sent: gatewaytest.Upload(calls, id.Name, content).Sent,
	})
}

func mustPutPart(t *testing.T, g *gatewaytest.Fixture, c gateway.Caller, id gateway.UploadID, number int, content []byte) gateway.PartName {
	t.Helper()
	p, err := putPart(g, c, id, number, content)
	if err != nil {
		t.Fatalf("PutPart %d: %v", number, err)
	}
	return gateway.PartName{Number: number, ETag: p.ETag}
}

func complete(g *gatewaytest.Fixture, c gateway.Caller, id gateway.UploadID, parts ...gateway.PartName) (recording.Info, error) {
	return g.CompleteUpload(g.Context(), c, gateway.Completion{UploadID: id, Parts: parts, Size: -1, Class: recording.ClassB})
}

// Nothing of an upload is in a gateway's memory: each step is another replica's.
func TestUploadAcrossReplicas(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	next := func() *gatewaytest.Fixture { return gatewaytest.On(t, f.Parts) }
	id := begin(t, next(), recorder, "a")
	one, two := sound(1, 100_000), sound(2, 200_000)
	parts := []gateway.PartName{mustPutPart(t, next(), recorder, id, 1, one), mustPutPart(t, next(), recorder, id, 2, two)}
	info, err := complete(next(), recorder, id, parts...)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := complete(next(), recorder, id, parts...); err != nil || again.Version != info.Version || again.ETag != info.ETag {
		t.Errorf("completed again = %v, %v", again.Version, err)
	}
	g := next()
	if got := read(t, g, reader, "a"); !bytes.Equal(got, slices.Concat(one, two)) {
		t.Errorf("%d other bytes came back", len(got))
	}
	r, err := g.Open(t.Context(), reader, calls, "a")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int64{{0, 0}, {0, 300_000}, {99_999, 2}, {100_000, 1}, {299_999, 1}, {300_000, 0}, {65_503, 100_000}} {
		if got := span(t, r, at[0], at[1]); !bytes.Equal(got, slices.Concat(one, two)[at[0]:at[0]+at[1]]) {
			t.Errorf("span %v: %d other bytes", at, len(got))
		}
	}
	for _, at := range [][2]int64{{0, 300_001}, {300_001, 0}, {-1, 1}, {0, -1}} {
		if _, err := r.Range(t.Context(), at[0], at[1]); !errors.Is(err, recording.ErrRange) {
			t.Errorf("Range%v = %v, want ErrRange", at, err)
		}
	}
	if r.Info.Facts.Subjects[0] != "+4930901820" || r.Info.Parts != 2 {
		t.Errorf("info = %+v", r.Info)
	}
}

// Completing again is answered as before if it names the same parts: others
// were dropped, or are no part of what the upload became.
func TestCompletedWithOtherParts(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	id := begin(t, f, recorder, "a")
	before := mustPutPart(t, f, recorder, id, 1, sound(1, 1000))
	one, two := mustPutPart(t, f, recorder, id, 1, sound(2, 1000)), mustPutPart(t, f, recorder, id, 2, sound(3, 1000))
	renumbered := one
	renumbered.Number = 2
	if _, err := complete(f, recorder, id, one); err != nil {
		t.Fatal(err)
	}
	for what, parts := range map[string][]gateway.PartName{
		"one more": {one, two}, "another": {two}, "the attempt before": {before}, "another number": {renumbered}, "none": nil,
	} {
		if _, err := complete(f, recorder, id, parts...); !errors.Is(err, recording.ErrNoUpload) {
			t.Errorf("completed again with %s: %v, want ErrNoUpload", what, err)
		}
	}
	if _, err := complete(f, recorder, id, one); err != nil {
		t.Errorf("completed again with the same: %v", err)
	}
	if got := read(t, f, reader, "a"); !bytes.Equal(got, sound(2, 1000)) {
		t.Errorf("%d other bytes came back", len(got))
	}
}

// Of many at once that name different parts, those succeed that name what the
// recording has.
func TestCompletionsWithDifferentParts(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	id := begin(t, f, recorder, "a")
	var parts []gateway.PartName
	for i := range 4 {
		parts = append(parts, mustPutPart(t, f, recorder, id, i+1, sound(uint64(i), 1000)))
	}
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { _, errs[i] = complete(f, recorder, id, parts[:i%4+1]...) })
	}
	all.Wait()
	got := len(read(t, f, reader, "a")) / 1000
	for i, err := range errs {
		if won := i%4+1 == got; won && err != nil || !won && !errors.Is(err, recording.ErrNoUpload) && !errors.Is(err, recording.ErrPart) {
			t.Errorf("%d parts of the %d that there are: %v", i%4+1, got, err)
		}
	}
	if n := blobs(t, f, "recordings/"); n != got+1 {
		t.Errorf("%d blobs, want %d parts and their list", n, got)
	}
}

// Every step of an upload is in the log, under its recording.
func TestUploadIsExplained(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	id := begin(t, f, recorder, "a")
	p := mustPutPart(t, f, recorder, id, 1, sound(1, 1000))
	if _, err := f.Gateway.Parts(t.Context(), recorder, id); err != nil {
		t.Fatal(err)
	}
	if _, err := complete(f, recorder, id, p); err != nil {
		t.Fatal(err)
	}
	other := begin(t, f, recorder, "b")
	if err := f.AbortUpload(t.Context(), recorder, other); err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]int{"put": 2, "put.part": 1, "put.parts": 1, "put.complete": 1, "created": 1, "put.abort": 1} {
		records := events(t, f, recorder, action)
		if action == "put.complete" { // the list of parts is another step of it
			if len(records) == 0 {
				t.Errorf("%s is not in the log", action)
			}
			continue
		}
		if len(records) != want {
			t.Errorf("%d events of %s, want %d", len(records), action, want)
		}
		for _, r := range records {
			if r.Version != id.Version && r.Version != other.Version {
				t.Errorf("%s is of version %v", action, r.Version)
			}
		}
	}
}

// Killed in the middle of a part, or between a part and the end: what was
// acknowledged is there, and the upload goes on.
func TestUploadSurvivesRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var recorder, reader gateway.Caller
	var id gateway.UploadID
	var parts []gateway.PartName
	t.Run("begun", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader = f.Pair("acme", gateway.BucketSettings{Name: calls})
		id = begin(t, f, recorder, "a")
		parts = append(parts, mustPutPart(t, f, recorder, id, 1, sound(1, 70_000)))
	})
	t.Run("gone on", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader = f.Caller(recorder.Who), f.Caller(reader.Who)
		broken := gatewaytest.NewBody(failing{})
		u := gateway.PartUpload{UploadID: id, Number: 2, Sent: gateway.Sent{Size: 10, Body: broken, Class: recording.ClassB}}
		if _, err := f.PutPart(t.Context(), recorder, u); err == nil {
			t.Error("a part whose body breaks was stored")
		}
		parts = append(parts, mustPutPart(t, f, recorder, id, 2, sound(2, 30_000)))
	})
	t.Run("ended", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		if _, err := complete(f, recorder, id, parts...); err != nil {
			t.Fatal(err)
		}
		if got := read(t, f, reader, "a"); !bytes.Equal(got, slices.Concat(sound(1, 70_000), sound(2, 30_000))) {
			t.Errorf("%d other bytes came back", len(got))
		}
		if n := blobs(t, f, "recordings/"); n != 3 {
			t.Errorf("%d blobs, want two parts and their list", n)
		}
	})
}

// A store that fails at any blob of an upload costs that step and no other.
func TestUploadOnAFailingStore(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	down := false
	flaky := faultyStore{Store: f.Blobs, refuse: func(key string) error {
		if down && strings.HasPrefix(key, "recordings/") {
			return errors.New("store is down")
		}
		return nil
	}}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: flaky, Catalog: f.Catalog, Keys: f.Keys})
	id := begin(t, g, recorder, "a")
	first := mustPutPart(t, g, recorder, id, 1, sound(1, 1000))
	down = true
	if _, err := putPart(g, recorder, id, 1, sound(2, 1000)); err == nil {
		t.Error("a part was stored in a store that is down")
	}
	if _, err := complete(g, recorder, id, first); err == nil {
		t.Error("completed in a store that is down")
	}
	down = false
	if _, err := complete(g, recorder, id, first); err != nil {
		t.Errorf("completed after the store came back: %v", err)
	}
	if got := read(t, f, reader, "a"); !bytes.Equal(got, sound(1, 1000)) {
		t.Error("the part that failed took the place of the one that was acknowledged")
	}
}

// A store may create a blob after it was deleted, if its answer was lost. Sweep
// finds it by its row, whatever became of the upload.
func TestLateBlobsAreKnown(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	var lossy atomic.Bool
	late := lateStore{f.Blobs, &lossy, map[string][]byte{}}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: late, Catalog: f.Catalog, Keys: f.Keys})
	id, aborted := begin(t, g, recorder, "a"), begin(t, g, recorder, "b")
	first := mustPutPart(t, g, recorder, id, 1, sound(1, 1000))
	lossy.Store(true)
	for _, id := range []gateway.UploadID{id, aborted} {
		if _, err := putPart(g, recorder, id, 2, sound(2, 1000)); !errors.Is(err, recording.ErrUnavailable) {
			t.Errorf("PutPart: %v, want ErrUnavailable", err)
		}
	}
	if _, err := complete(g, recorder, id, first); !errors.Is(err, recording.ErrUnavailable) {
		t.Errorf("CompleteUpload: %v, want ErrUnavailable", err)
	}
	lossy.Store(false)
	second := mustPutPart(t, g, recorder, id, 2, sound(3, 1000))
	if _, err := complete(g, recorder, id, first, second); err != nil {
		t.Fatal(err)
	}
	if err := g.AbortUpload(t.Context(), recorder, aborted); err != nil {
		t.Fatal(err)
	}
	if err := late.arrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, id := range []gateway.UploadID{id, aborted} {
		dropped, err := f.Catalog.Residues(t.Context(), recorder.Tenant, id.Version)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range dropped {
			known[p.Blob] = true
		}
	}
	for key := range late.late {
		if !known[key] {
			t.Error("no row knows a blob that came late")
		}
	}
	if len(late.late) != 3 || len(known) != 3 {
		t.Errorf("%d blobs came late and %d rows are dropped, want 3 of each", len(late.late), len(known))
	}
	if got := read(t, f, reader, "a"); !bytes.Equal(got, slices.Concat(sound(1, 1000), sound(3, 1000))) {
		t.Errorf("%d other bytes came back", len(got))
	}
}

// Whoever writes the database or the store shows no other part, no other order
// and no earlier attempt.
func TestListOfPartsIsSealed(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	var ids []gateway.UploadID
	for _, name := range []recording.Name{"a", "b"} {
		id := begin(t, f, recorder, name)
		one, two := mustPutPart(t, f, recorder, id, 1, sound(1, 1000)), mustPutPart(t, f, recorder, id, 2, sound(2, 1000))
		if _, err := complete(f, recorder, id, one, two); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	whole := func() error {
		r, err := f.Open(t.Context(), reader, calls, "a")
		if err != nil {
			return err
		}
		_, err = r.Range(t.Context(), 0, r.Info.Size)
		return err
	}
	if err := whole(); err != nil {
		t.Fatal(err)
	}
	a, b := ids[0].Version, ids[1].Version
	for name, change := range map[string]string{ // $1 is b's version, $2 a's
		"the list of another": `UPDATE part_lists SET sealed = (SELECT o.sealed FROM part_lists o WHERE o.version = $1) WHERE version = $2`,
		"the end of another":  `UPDATE versions SET sealed_end = (SELECT o.sealed_end FROM versions o WHERE o.version = $1) WHERE version = $2`,
		"no parts":            `UPDATE versions SET parts = 0 WHERE version <> $1 AND version = $2`,
		"one part more":       `UPDATE versions SET parts = 3 WHERE version <> $1 AND version = $2`,
		"no list":             `DELETE FROM part_lists WHERE version <> $1 AND version = $2`,
	} {
		list, err := f.Catalog.PartList(t.Context(), recorder.Tenant, a)
		if err != nil {
			t.Fatal(err)
		}
		row, err := f.Catalog.Version(t.Context(), recorder.Tenant, a)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, f.Dir, change, b[:], a[:])
		if err := whole(); !errors.Is(err, recording.ErrIntegrity) {
			t.Errorf("%s: %v, want ErrIntegrity", name, err)
		}
		execute(t, f.Dir, `DELETE FROM part_lists WHERE version = $1`, a[:])
		execute(t, f.Dir, `INSERT INTO part_lists (version, tenant, sealed) VALUES ($1, $2, $3)`, a[:], recorder.Tenant[:], list)
		execute(t, f.Dir, `UPDATE versions SET parts = 2, sealed_end = $1 WHERE version = $2`, row.SealedEnd, a[:])
		if err := whole(); err != nil {
			t.Fatalf("%s, put back: %v", name, err)
		}
	}
}

// An upload that gets no part is given up, with what was stored of it.
func TestStaleUploads(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	stale := begin(t, f, recorder, "stale")
	mustPutPart(t, f, recorder, stale, 1, sound(1, 1000))
	fresh := begin(t, f, recorder, "fresh")
	mustPutPart(t, f, recorder, fresh, 1, sound(1, 1000))
	execute(t, f.Dir, `UPDATE uploads SET seen_at = seen_at - 90000000000`)
	execute(t, f.Dir, `UPDATE parts SET seen_at = seen_at - 90000000000 WHERE version = $1`, stale.Version[:])
	if _, err := f.SweepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := putPart(f, recorder, stale, 2, sound(2, 1000)); !errors.Is(err, recording.ErrNoUpload) {
		t.Errorf("a part of a stale upload: %v, want ErrNoUpload", err)
	}
	if _, err := putPart(f, recorder, fresh, 2, sound(2, 1000)); err != nil {
		t.Errorf("a part of an old upload that got one lately: %v", err)
	}
	if n := blobs(t, f, "recordings/"); n != 2 {
		t.Errorf("%d blobs, want the two of the fresh upload", n)
	}
	aborted := events(t, f, recorder, string(policy.PutAbort))
	if len(aborted) != 1 || aborted[0].Who != "lethe" || aborted[0].Reason != "stale" {
		t.Errorf("events = %+v", aborted)
	}
}

// An upload that gets a part after it was found stale, and before its turn came,
// goes on: that part was acknowledged.
func TestStaleUploadGetsAPart(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	begin(t, f, recorder, "first")
	second := begin(t, f, recorder, "second")
	execute(t, f.Dir, `UPDATE uploads SET seen_at = seen_at - 90000000000`)
	execute(t, f.Dir, `CREATE TRIGGER part AFTER INSERT ON events WHEN NEW.action = 'put.abort' BEGIN
		INSERT OR IGNORE INTO parts (blob, version, tenant, number, state, stored_size, created_at, seen_at)
		SELECT 'recordings/x', version, tenant, 1, 'intent', 0, NEW.happened_at, NEW.happened_at FROM uploads WHERE version <> NEW.version; END`)
	if _, err := f.SweepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := putPart(f, recorder, second, 2, sound(1, 1000)); err != nil {
		t.Errorf("the next part: %v", err)
	}
	if n := len(events(t, f, recorder, string(policy.PutAbort))); n != 1 {
		t.Errorf("%d events of an abort, want 1", n)
	}
}

// Sweeping goes on by itself.
func TestStaleUploadsAreReaped(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	id := begin(t, f, recorder, "a")
	gatewaytest.On(t, f.Parts, func(c *gateway.Config) { c.StaleUpload = 40 * time.Millisecond })
	until(t, "it is given up", func() bool {
		_, err := f.Gateway.Parts(t.Context(), recorder, id)
		return errors.Is(err, recording.ErrNoUpload)
	})
}

// A tenant that is revoked while a part is on its way stores no more of it.
func TestPartOfARevokedTenant(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	id := begin(t, f, recorder, "a")
	content := sound(1, 1<<20)
	body := gated(content)
	put := make(chan error, 1)
	go func() { // ends with the body
		u := gatewaytest.Upload(calls, "a", content).Sent
		u.Body = gatewaytest.NewBody(body)
		_, err := f.PutPart(t.Context(), recorder, gateway.PartUpload{UploadID: id, Number: 1, Sent: u})
		put <- err
	}()
	<-body.reached
	if _, err := f.RevokeTenant(t.Context(), f.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
	close(body.open)
	if err := <-put; !errors.Is(err, recording.ErrTenantRevoked) {
		t.Errorf("PutPart = %v, want ErrTenantRevoked", err)
	}
	if n := blobs(t, f, "recordings/"); n != 0 {
		t.Errorf("%d blobs are left", n)
	}
}

// The CRC of a whole from those of its pieces is the CRC of the whole.
func TestCombinedCRC(t *testing.T) {
	t.Parallel()
	nvme := crc64.MakeTable(0x9A6C9329AC4BC9B5)
	for range 200 {
		b := sound(rand.Uint64(), rand.IntN(5000))
		cut := rand.IntN(len(b) + 1)
		for name, sum := range map[string]func([]byte) []byte{
			"crc32": func(b []byte) []byte { return bigEndian(uint64(crc32.ChecksumIEEE(b)), 4) },
			"crc32c": func(b []byte) []byte {
				return bigEndian(uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), 4)
			},
			"crc64nvme": func(b []byte) []byte { return bigEndian(crc64.Checksum(b, nvme), 8) },
		} {
			got := gateway.WholeDigest(name, []gateway.PartInfo{
				{Size: int64(cut), Digests: recording.Digests{name: hex.EncodeToString(sum(b[:cut]))}},
				{Size: int64(len(b) - cut), Digests: recording.Digests{name: hex.EncodeToString(sum(b[cut:]))}},
			})
			if want := hex.EncodeToString(sum(b)); got != want {
				t.Fatalf("%s of %d and %d bytes = %s, want %s", name, cut, len(b)-cut, got, want)
			}
		}
	}
}

func bigEndian(n uint64, size int) []byte {
	out := make([]byte, size)
	for i := range out {
		out[size-1-i] = byte(n >> (8 * i))
	}
	return out
}
