package gateway_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

func keep(f *gatewaytest.Fixture, name recording.Name, until time.Time) (gateway.RefileInfo, error) {
	return f.RefileFor(f.Context(), f.Operator(), "acme", gateway.RefileRequest{Bucket: calls, Name: name, Until: until})
}

func correct(f *gatewaytest.Fixture, name recording.Name, subjects ...recording.Subject) (gateway.RefileInfo, error) {
	return f.RefileFor(f.Context(), f.Operator(), "acme", gateway.RefileRequest{Bucket: calls, Name: name, Subjects: subjects})
}

// wantRefiled checks how many versions were filed anew.
func wantRefiled(t *testing.T, want int, info gateway.RefileInfo, err error) {
	t.Helper()
	if err != nil || info.Refiled != want || info.Recording == (recording.ID{}) {
		t.Errorf("refiled: %+v, %v; want %d", info, err, want)
	}
}

// wantTold checks of whom a recording tells, to whoever asks.
func wantTold(t *testing.T, f *gatewaytest.Fixture, reader gateway.Caller, name recording.Name, want recording.Subject) {
	t.Helper()
	in, err := f.Stat(t.Context(), reader, calls, name)
	if err != nil || !slices.Equal(in.Facts.Subjects, []recording.Subject{want}) || in.Facts.Metadata["lethe-subject"] != string(want) {
		t.Errorf("%s tells of %v, %q, %v; want %v", name, in.Facts.Subjects, in.Facts.Metadata["lethe-subject"], err, want)
	}
}

func forgetSubject(t *testing.T, f *gatewaytest.Fixture, s recording.Subject) {
	t.Helper()
	eraseSubject(t, f, s)
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
}

// What is to be kept for longer, whole or in parts, outlives the day on which it would
// have gone, and its old wrap is worthless then. Nothing is ever kept for less.
func TestRetentionIsExtended(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "gone", "whole")
	putInParts(t, f, recorder, "parts", sound(3, 1000))
	was := versionOf(t, f, reader, "whole")
	_, expires := keytree.ExpiryOf(uint64(was.Slots.Day))
	later := expires.AddDate(1, 0, 0)
	for _, want := range []int{1, 0} {
		info, err := keep(f, "whole", later)
		wantRefiled(t, want, info, err)
	}
	info, err := keep(f, "parts", later)
	wantRefiled(t, 1, info, err)
	for name, until := range map[recording.Name]time.Time{"whole": later.AddDate(0, 0, -1), "gone": expires.AddDate(0, 0, -1)} {
		if _, err := keep(f, name, until); !errors.Is(err, recording.ErrShorter) {
			t.Errorf("%s for less: %v, want ErrShorter", name, err)
		}
	}
	if _, err := keep(f, "nothing", later); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("what is not there: %v, want ErrNotFound", err)
	}
	request := gateway.RefileRequest{Bucket: calls, Name: "gone", Until: later}
	if _, err := f.RefileFor(t.Context(), reader, "acme", request); !errors.Is(err, recording.ErrDenied) {
		t.Errorf("by a reader: %v, want ErrDenied", err)
	}
	day := recording.RetentionDay{Days: 90, Expires: expires}
	erased, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Day: day, Reason: "retention"})
	if err != nil || erased.Refiled != 2 {
		t.Errorf("erasure of the day: %+v, %v; want 2 kept", erased, err)
	}
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	wantNames(t, f, reader, "parts", "whole")
	wantGone(t, f, "whole", was)
	if got := events(t, f, f.Caller(reader.Who), "refile"); len(got) != 2+1+4 { // done, found done, refused
		t.Errorf("%d events of refiling", len(got))
	}
}

// What is kept until it is erased has no retention to extend.
func TestWhatIsKeptForeverIsNotKeptForLonger(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "a")
	if _, err := keep(f, "a", time.Now().AddDate(100, 0, 0)); !errors.Is(err, recording.ErrShorter) {
		t.Errorf("for a hundred years: %v, want ErrShorter", err)
	}
}

// Every version of a recording is filed anew, or the one that is named.
func TestVersionsAreFiledAnew(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteVersion, RetentionDays: 90})
	mustPut(t, f, recorder, string(caller), "a")
	first := versionOf(t, f, reader, "a").Version
	mustPut(t, f, recorder, string(caller), "a")
	one := gateway.RefileRequest{Bucket: calls, Name: "a", Version: first, Subjects: []recording.Subject{agent}}
	info, err := f.RefileFor(t.Context(), f.Operator(), "acme", one)
	wantRefiled(t, 1, info, err)
	wantTold(t, f, reader, "a", caller)
	info, err = correct(f, "a", agent)
	wantRefiled(t, 1, info, err)
	wantTold(t, f, reader, "a", agent)
	info, err = keep(f, "a", time.Now().UTC().Truncate(24*time.Hour).AddDate(1, 0, 0))
	wantRefiled(t, 2, info, err)
}

// A recording that was put under a wrong number is no more found by that, nor erased
// with it, but by the right one; whoever it tells of besides.
func TestSubjectIsCorrected(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, string(caller), "first", "gone")
	mustPut(t, f, recorder, "someone else,"+string(caller), "second")
	was := versionOf(t, f, reader, "first")
	for _, name := range []recording.Name{"first", "second"} {
		for _, want := range []int{1, 0} {
			info, err := correct(f, name, agent)
			wantRefiled(t, want, info, err)
		}
		wantTold(t, f, reader, name, agent)
	}
	forgetSubject(t, f, caller)
	wantNames(t, f, reader, "first", "second")
	wantGone(t, f, "first", was)
	corrected := versionOf(t, f, reader, "first")
	forgetSubject(t, f, agent)
	wantNames(t, f, reader)
	wantGone(t, f, "first", corrected)
}

// Out of a hold on someone nothing is corrected. What is held by itself stays held.
func TestNothingIsCorrectedOutOfAHold(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(agent+","+caller), "a")
	mustHold(t, f, onRecording("a"))
	id := mustHold(t, f, onSubject(caller))
	var held gateway.Held
	if _, err := correct(f, "a", agent); !errors.As(err, &held) || held.Hold != id {
		t.Errorf("correct: %v, want hold %v", err, id)
	}
	info, err := keep(f, "a", time.Now().UTC().Truncate(24*time.Hour).AddDate(1, 0, 0))
	wantRefiled(t, 1, info, err)
	mustRelease(t, f, id)
	info, err = correct(f, "a", agent)
	wantRefiled(t, 1, info, err)
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("a")); !errors.Is(err, recording.ErrHeld) {
		t.Errorf("erase what is held: %v, want ErrHeld", err)
	}
	wantTold(t, f, reader, "a", agent)
}

// Whoever writes the catalog brings back no facts from before a correction.
func TestFactsFromBeforeACorrectionAreRefused(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, string(caller), "a")
	was := versionOf(t, f, reader, "a")
	info, err := correct(f, "a", agent)
	wantRefiled(t, 1, info, err)
	execute(t, f.Dir, `UPDATE versions SET sealed_facts = $1`, was.SealedFacts)
	if _, err := f.Stat(t.Context(), reader, calls, "a"); !errors.Is(err, recording.ErrIntegrity) {
		t.Errorf("stat: %v, want ErrIntegrity", err)
	}
}

// A catalog that lost a refiling, or all, has it again from the store: at once if it
// was rebuilt, else once an epoch has punctured where it has the recording.
func TestRefilingsOutliveTheCatalog(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, before map[string][]byte, dir string){
		"all of it": func(t *testing.T, _ map[string][]byte, dir string) { drop(t, dir); rebuild(t, dir) },
		"rebuilt":   func(t *testing.T, before map[string][]byte, dir string) { putBack(t, before, dir); rebuild(t, dir) },
		"followed":  putBack,
	} {
		for epoch, punctured := range map[string]bool{"after the epoch": true, "before it": false} {
			if !punctured && name == "followed" {
				continue
			}
			t.Run(name+" "+epoch, func(t *testing.T) { loseRefilings(t, punctured, lose) })
		}
	}
}

func loseRefilings(t *testing.T, punctured bool, lose func(*testing.T, map[string][]byte, string)) {
	dir := t.TempDir()
	var who string
	var rows []catalog.Version
	t.Run("put", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		who = reader.Who
		mustPut(t, f, recorder, string(caller), "told", "kept")
		rows = append(rows, versionOf(t, f, reader, "told"))
	})
	before := copyCatalog(t, dir)
	_, expires := keytree.ExpiryOf(uint64(rows[0].Slots.Day))
	t.Run("refiled", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		info, err := correct(f, "told", agent)
		wantRefiled(t, 1, info, err)
		rows = append(rows, versionOf(t, f, f.Caller(who), "told"))
		for _, name := range []recording.Name{"kept", "told"} {
			info, err = keep(f, name, expires.AddDate(1, 0, 0))
			wantRefiled(t, 1, info, err)
		}
		if punctured {
			if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
				t.Fatal(err)
			}
		}
	})
	lose(t, before, dir)
	t.Run("served", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		reader := f.Caller(who)
		wantTold(t, f, reader, "told", agent)
		wantTold(t, f, reader, "kept", caller)
		day := gateway.ErasureRequest{Day: recording.RetentionDay{Days: 90, Expires: expires}, Reason: "retention"}
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", day); err != nil {
			t.Fatal(err)
		}
		wantNames(t, f, reader, "kept", "told")
		forgetSubject(t, f, caller)
		wantNames(t, f, reader, "told")
		forgetSubject(t, f, agent)
		wantNames(t, f, reader)
		for _, v := range rows {
			wantGone(t, f, "told", v)
		}
	})
}

// Of refilings and an erasure at once, each is before or after the other: nothing is
// read afterwards, wherever it was filed.
func TestRefilingsMeetAnErasure(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(caller), "a")
	rows := []catalog.Version{versionOf(t, f, reader, "a")}
	_, expires := keytree.ExpiryOf(uint64(rows[0].Slots.Day))
	var wg sync.WaitGroup
	told := make([]error, 6)
	for i := range told {
		wg.Go(func() {
			if i%2 == 0 {
				_, told[i] = keep(f, "a", expires.AddDate(0, 0, i+1))
			} else {
				_, told[i] = correct(f, "a", recording.Subject("subject "+string(rune('a'+i))))
			}
		})
	}
	if v, err := f.Catalog.Version(t.Context(), rows[0].Tenant, rows[0].Version); err == nil && v.State == catalog.Committed {
		rows = append(rows, v)
	}
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("a")); err != nil {
		t.Error(err)
	}
	wg.Wait()
	for _, err := range told {
		if err != nil && !errors.Is(err, recording.ErrNotFound) && !errors.Is(err, recording.ErrShorter) && !errors.Is(err, recording.ErrUnavailable) {
			t.Errorf("refile: %v", err)
		}
	}
	wantNames(t, f, reader)
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	for _, v := range rows {
		wantGone(t, f, "a", v)
	}
	sweep(t, impatient(t, f.Parts))
	if n := blobs(t, f, "refiled/"); n != 0 {
		t.Errorf("%d filings are left in the store", n)
	}
}
