package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// versionOf is the current version of a name, as the catalog has it.
func versionOf(t *testing.T, f *gatewaytest.Fixture, reader gateway.Caller, name recording.Name) catalog.Version {
	t.Helper()
	in, err := f.Stat(t.Context(), reader, calls, name)
	if err != nil {
		t.Fatalf("stat %s: %v", name, err)
	}
	v, err := f.Catalog.Version(t.Context(), tenantOf(t, f).ID, in.Version)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// expiring is an erasure of the day on which what is put now expires.
func expiring(days int) gateway.ErasureRequest {
	_, expires := keytree.ExpiryOf(keytree.DaySlot(days, time.Now()))
	return gateway.ErasureRequest{Day: recording.RetentionDay{Days: days, Expires: expires}, Reason: "retention"}
}

// wantGone checks that the key of a wrap cannot be had any more, though whoever asks
// has the row from before.
func wantGone(t *testing.T, f *gatewaytest.Fixture, what string, v catalog.Version) {
	t.Helper()
	if err := f.UnwrapRow(t.Context(), tenantOf(t, f), v); !errors.Is(err, keytree.ErrPunctured) {
		t.Errorf("%s: unwrapped with %v, want ErrPunctured", what, err)
	}
}

// A day is erased with all that expires on it but what is held, whose bytes stay,
// whole or in parts, and whose old wrap is worthless after the epoch.
func TestDayIsErasedWithoutWhatIsHeld(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(agent), "gone", "held")
	mustPut(t, f, recorder, string(agent+","+caller), "told")
	putInParts(t, f, recorder, "parts", sound(3, 2000))
	mustHold(t, f, onRecording("held"))
	mustHold(t, f, onRecording("parts"))
	mustHold(t, f, onSubject(caller))
	before := map[recording.Name]catalog.Version{}
	for _, name := range []recording.Name{"gone", "held", "told", "parts"} {
		before[name] = versionOf(t, f, reader, name)
	}
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", expiring(90))
	if err != nil || info.Refiled != 3 {
		t.Fatalf("erasure: %+v, %v; want 3 refiled", info, err)
	}
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(t.Context(), reader, calls, "gone"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("what expired: %v, want ErrNotFound", err)
	}
	for name, was := range before {
		wantGone(t, f, string(name), was)
	}
	for name, size := range map[recording.Name]int{"held": 1000, "told": 1000, "parts": 2000} {
		if got := read(t, f, reader, name); len(got) != size {
			t.Errorf("read %d bytes of %s", len(got), name)
		}
		now := versionOf(t, f, reader, name)
		if now.Slots.Day != before[name].Slots.Day+1 { // which is erased early, and so is no week from now
			t.Errorf("%s is filed under day %x, before %x", name, now.Slots.Day, before[name].Slots.Day)
		}
		if now.Slots.Recording == before[name].Slots.Recording || now.Slots.Subject != before[name].Slots.Subject {
			t.Errorf("%s is filed under %+v, before %+v", name, now.Slots, before[name].Slots)
		}
	}
	if got := events(t, f, f.Caller(reader.Who), "refile"); len(got) != 3 {
		t.Errorf("%d events of refiling, want 3", len(got))
	}
	if n := blobs(t, f, "refiled/"); n != 3 {
		t.Errorf("%d filings in the store, want 3", n)
	}
	wantFiling(t, f, versionOf(t, f, reader, "held"))
	list, err := f.List(t.Context(), reader, calls, gateway.Page{Max: 10})
	if err != nil || len(list.Recordings) != 3 {
		t.Errorf("list: %d recordings, %v; want 3", len(list.Recordings), err)
	}
}

// wantFiling checks that the store has the wrap that the catalog has.
func wantFiling(t *testing.T, f *gatewaytest.Fixture, v catalog.Version) {
	t.Helper()
	body, err := f.Blobs.Open(t.Context(), keytree.FilingKey(v.Tenant, v.Version, uint64(v.Slots.Recording)), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keytree.ParseFiling(b)
	want := recording.Identity{Tenant: v.Tenant, Recording: v.Recording, Version: v.Version}
	if err != nil || got.Identity != want || !bytes.Equal(got.Wrapped[:], v.WrappedDEK) || got.Slots.Day != uint64(v.Slots.Day) {
		t.Errorf("filing %+v, %v; want that of %+v", got, err, v)
	}
}

// putInParts puts a recording in two parts, of which the first is as small as any.
func putInParts(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, name recording.Name, bytes []byte) {
	t.Helper()
	t.Helper()
	id, half := begin(t, f, c, name), len(bytes)/2
	_, err := complete(f, c, id, mustPutPart(t, f, c, id, 1, bytes[:half]), mustPutPart(t, f, c, id, 2, bytes[half:]))
	if err != nil {
		t.Fatal(err)
	}
}

// A subject is erased with all that tells of them but single recordings on which
// another hold bears; those are erased with the subject once that is released.
func TestSubjectIsErasedWithoutWhatIsHeld(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(caller), "gone", "held")
	mustPut(t, f, recorder, string(agent+","+caller), "second", "second-held")
	holds := []recording.HoldID{mustHold(t, f, onRecording("held")), mustHold(t, f, onRecording("second-held"))}
	was := versionOf(t, f, reader, "held")
	ask := gateway.ErasureRequest{Subject: caller, Reason: "request"}
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", ask)
	if err != nil || info.Refiled != 2 {
		t.Fatalf("erasure: %+v, %v; want 2 kept", info, err)
	}
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	wantGone(t, f, "held", was)
	wantNames(t, f, reader, "held", "second-held")
	if now := versionOf(t, f, reader, "held"); now.Slots.Subject != int64(keytree.Nobody) || now.Slots.Day != was.Slots.Day {
		t.Errorf("held is filed under %+v", now.Slots)
	}
	for _, id := range holds {
		mustRelease(t, f, id)
	}
	if info, err = f.EraseFor(t.Context(), f.Operator(), "acme", ask); err != nil || info.Versions != 2 {
		t.Fatalf("erasure of what was held: %+v, %v; want 2 versions", info, err)
	}
	wantNames(t, f, reader)
}

// wantNames checks what a listing has.
func wantNames(t *testing.T, f *gatewaytest.Fixture, reader gateway.Caller, want ...string) {
	t.Helper()
	list, err := f.List(t.Context(), reader, calls, gateway.Page{Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list.Recordings {
		got = append(got, string(r.Name))
		if content := read(t, f, reader, r.Name); len(content) != 1000 {
			t.Errorf("read %d bytes of %s", len(content), r.Name)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("listed: %v, want %v", got, want)
	}
}

// Who holds the row from before a refiling, and an old tree, opens nothing once the
// recording is erased: every slot that it hung from is punctured.
func TestErasedThoughFiledAnew(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "a")
	rows := []catalog.Version{versionOf(t, f, reader, "a")}
	for day := range uint64(2) {
		err := f.Refile(t.Context(), rows[len(rows)-1], keytree.Nobody, 90<<16|(30_000+day))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, versionOf(t, f, reader, "a"))
	}
	for _, v := range rows {
		if err := f.UnwrapRow(t.Context(), tenantOf(t, f), v); err != nil {
			t.Errorf("before any epoch: %v", err)
		}
	}
	if got := read(t, f, reader, "a"); len(got) != 1000 {
		t.Errorf("read %d bytes", len(got))
	}
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("a")); err != nil {
		t.Fatal(err)
	}
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	for _, v := range rows {
		wantGone(t, f, "a", v)
	}
	nothingLeft(t, impatient(t, f.Parts), f.Dir, 0, 0)
	if n := blobs(t, f, "refiled/"); n != 0 {
		t.Errorf("%d filings are left in the store", n)
	}
}

// A refiling that was killed after its wrap was durable: the recording is filed where
// it was, and erasing it takes the slot that was intended too.
func TestRefilingKilledBeforeItWasFiled(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "swept", "erased")
	for _, name := range []recording.Name{"swept", "erased"} {
		v := versionOf(t, f, reader, name)
		wrap, err := f.BeginRefile(t.Context(), v, keytree.Nobody, 90<<16|30_000)
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, f, reader, name); len(got) != 1000 {
			t.Errorf("read %d bytes of %s", len(got), name)
		}
		if name == "erased" {
			if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(name)); err != nil {
				t.Fatal(err)
			}
		} else {
			sweep(t, impatient(t, f.Parts))
		}
		if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
			t.Fatal(err)
		}
		wantGone(t, f, string(name)+" as it was intended", wrap)
	}
	if got := read(t, f, reader, "swept"); len(got) != 1000 {
		t.Errorf("read %d bytes", len(got))
	}
	nothingLeft(t, impatient(t, f.Parts), f.Dir, 1, 0)
	if n := blobs(t, f, "refiled/"); n != 0 {
		t.Errorf("%d filings are left in the store", n)
	}
}

// Puts, holds and erasures of their day at once: what is put was refused, is erased, or is
// of the next day; what was held in time is read, and nothing else is.
func TestHoldsAndPutsMeetTheErasureOfTheirDay(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(caller), "a", "b", "c", "d")
	mustHold(t, f, onRecording("a"))
	var wg sync.WaitGroup
	var held, late error
	wg.Go(func() { _, held = f.Hold(t.Context(), f.Operator(), "acme", onRecording("b")) })
	wg.Go(func() { _, late = f.Put(t.Context(), recorder, told("e", string(caller), sound(1, 1000))) })
	erased := make([]error, 2)
	infos := make([]gateway.ErasureInfo, 2)
	for i := range erased {
		wg.Go(func() { infos[i], erased[i] = f.EraseFor(t.Context(), f.Operator(), "acme", expiring(90)) })
	}
	wg.Wait()
	if err := errors.Join(erased...); err != nil {
		t.Fatal(err)
	}
	if late != nil && !errors.Is(late, recording.ErrUnavailable) {
		t.Errorf("put: %v", late)
	}
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	list, err := f.List(t.Context(), reader, calls, gateway.Page{Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list.Recordings {
		next := r.Name == "e" && late == nil && versionOf(t, f, reader, "e").Slots.Day > int64(keytree.DaySlot(90, r.CreatedAt))
		if r.Name != "a" && (r.Name != "b" || held != nil) && !next {
			t.Errorf("%s is still there", r.Name)
		}
		if got := read(t, f, reader, r.Name); len(got) != 1000 {
			t.Errorf("read %d bytes of %s", len(got), r.Name)
		}
	}
	if len(list.Recordings) == 0 || infos[0].ID != infos[1].ID {
		t.Errorf("%d recordings are left, erased by %v and %v", len(list.Recordings), infos[0].ID, infos[1].ID)
	}
}

// A reader who read the row before a refiling, and derives its keys after the epoch,
// is not told that the recording was erased.
func TestReaderMeetsRefiling(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "a", "b")
	old := versionOf(t, f, reader, "a")
	if err := f.Refile(t.Context(), old, keytree.Nobody, 90<<16|30_000); err != nil {
		t.Fatal(err)
	}
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	wantGone(t, f, "a", old)
	if err := f.UnsealRow(t.Context(), tenantOf(t, f), calls, old); err != nil {
		t.Errorf("a row from before: %v", err)
	}
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("a")); err != nil {
		t.Fatal(err)
	}
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	if err := f.UnsealRow(t.Context(), tenantOf(t, f), calls, old); !errors.Is(err, recording.ErrErased) {
		t.Errorf("a row of what was erased: %v, want ErrErased", err)
	}
}
