package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// until waits for what happens in the background, and fails the test when it does not,
// however busy the machine is.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	const patience = 3 * time.Minute
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v not yet: %s", patience, what)
		}
	}
}

// An upload with subjects.
func told(name recording.Name, subjects string, bytes []byte) gateway.Upload {
	u := gatewaytest.Upload(calls, name, bytes)
	u.Metadata = map[string]string{"lethe-subject": subjects}
	return u
}

func TestErasureBecomesAnEpoch(t *testing.T) {
	t.Parallel() // it waits for a certificate
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	for _, name := range []recording.Name{"gone", "kept"} {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
	}
	before, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	what := gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: "gone", All: true}, Reason: "asked by the caller"}
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", what)
	if err != nil {
		t.Fatal(err)
	}
	salt := info.Salt
	if info.ID == (recording.ErasureID{}) || info.Salt == (claim.Salt{}) || info.Versions != 1 {
		t.Errorf("erasure: %+v", info)
	}
	if _, err := f.Open(t.Context(), reader, calls, "gone"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("Open: %v, want ErrNotFound", err)
	}
	until(t, "the erasure is effective", func() bool {
		info, err = f.Erasure(t.Context(), f.Operator(), info.ID)
		return err == nil && info.State == "effective"
	})
	after, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil || after.Epoch != before.Epoch+1 {
		t.Fatalf("epoch %d after %d: %v", after.Epoch, before.Epoch, err)
	}
	old, err := keytree.ParseHead(before.Head)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keytree.Unwrap(t.Context(), f.Keys, keytree.InStore(f.Blobs), old); !errors.Is(err, keytree.ErrForgotten) {
		t.Errorf("the root before: %v, want ErrForgotten", err)
	}
	if got := read(t, f, reader, "kept"); len(got) != 1000 {
		t.Errorf("read %d bytes of what was kept", len(got))
	}
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "gone", sound(2, 1000))); err != nil {
		t.Errorf("put under the name that is free again: %v", err)
	}
	until(t, "the certificate", func() bool {
		info, err = f.Erasure(t.Context(), f.Operator(), info.ID)
		return err == nil && info.State == "certified"
	})
	signed, err := f.Signer.PublicKey().Verify(info.Certificate)
	if err != nil || signed.ID != info.ID.String() || len(signed.Epochs) != 1 || signed.Counts.Unreadable != 1 {
		t.Fatalf("certificate %+v: %v", signed, err)
	}
	of := claim.Scope{Kind: claim.OfRecording, Bucket: string(calls), Name: "gone"}
	if err := signed.Scope.OpenCommitment(salt, of); err != nil {
		t.Error(err)
	}
	if of.Name = "kept"; signed.Scope.OpenCommitment(salt, of) == nil {
		t.Error("the salt opens the certificate for another recording")
	}
}

// Whoever asks again is told of the erasure that did it, and gets no salt.
func TestErasedTwice(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	for name, subjects := range map[recording.Name]string{"own": "", "first": "+4915112345678", "second": "+4915187654321,+4915112345678"} {
		if _, err := f.Put(t.Context(), recorder, told(name, subjects, sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
	}
	day := recording.RetentionDay{Days: 90, Expires: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 91)}
	for _, what := range []gateway.ErasureRequest{
		{Recording: gateway.Erasure{Bucket: calls, Name: "own", All: true}},
		{Subject: "+4915112345678"},
		{Day: day},
	} {
		what.Reason = "asked for"
		first, err := f.EraseFor(t.Context(), f.Operator(), "acme", what)
		if err != nil {
			t.Fatal(err)
		}
		again, err := f.EraseFor(t.Context(), f.Operator(), "acme", what)
		if err != nil || again.ID != first.ID {
			t.Errorf("%s: %v, then %v: %v", first.Scope, first.ID, again.ID, err)
		}
		if first.Salt == (claim.Salt{}) || again.Salt != (claim.Salt{}) {
			t.Errorf("%s: the salt is given once", first.Scope)
		}
	}
	for _, what := range []gateway.ErasureRequest{
		{Recording: gateway.Erasure{Bucket: calls, Name: "never", All: true}},
		{Subject: "+49000"},
	} {
		what.Reason = "asked for"
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", what); !errors.Is(err, recording.ErrNoErasure) {
			t.Errorf("what never was: %v, want ErrNoErasure", err)
		}
	}
}

// An erasure by subject takes what tells of them first, and what tells of them too;
// the next call of the same number is another's.
func TestErasedSubject(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	put := func(name recording.Name, subjects string) {
		t.Helper()
		if _, err := f.Put(t.Context(), recorder, told(name, subjects, sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
	}
	put("first", "+4915112345678")
	put("second", "+4915187654321,+4915112345678")
	put("other", "+4915187654321")
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Subject: "+4915112345678", Reason: "GDPR article 17"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []recording.Name{"first", "second"} {
		if _, err := f.Open(t.Context(), reader, calls, name); !errors.Is(err, recording.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", name, err)
		}
	}
	put("first", "+4915112345678") // which is free, and so is the number
	epoch := func() int64 {
		row, err := f.Catalog.TenantByName(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		return row.Epoch
	}
	until(t, "an epoch", func() bool { return epoch() > 0 })
	for _, name := range []recording.Name{"other", "first"} {
		if got := read(t, f, reader, name); len(got) != 1000 {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	names, _ := pages(t, f, reader, gateway.Page{Max: 1000})
	if len(names) != 2 {
		t.Errorf("listed: %v", names)
	}
	sweep(t, gatewaytest.On(t, f.Parts, sweeping(time.Millisecond)))
	if n := blobs(t, f, "recordings/"); n != 2 {
		t.Errorf("%d blobs after a sweep, want those of two recordings", n)
	}
}

// A day that is to come is not erased: nothing is on it, and nothing could be put on
// it any more.
func TestNoDayToComeIsErased(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	today := time.Now().UTC().Truncate(24 * time.Hour)
	erase := func(put time.Time) error {
		day := recording.RetentionDay{Days: 90, Expires: put.AddDate(0, 0, 91)}
		_, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Day: day, Reason: "asked by the caller"})
		return err
	}
	for _, days := range []int{2, 365} { // midnight may be near
		if err := erase(today.AddDate(0, 0, days)); !errors.Is(err, recording.ErrNoErasure) {
			t.Errorf("a day %d days ahead: %v, want ErrNoErasure", days, err)
		}
	}
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 100))); err != nil {
		t.Error(err)
	}
	if err := erase(today); err != nil {
		t.Errorf("the day of what is put today: %v", err)
	}
}

// A day that is erased while it is being filled stays empty: what is put from then on
// goes with the next, and recorders notice nothing.
func TestPutsGoOnAfterTheirDayIsErased(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(caller), "before")
	day := versionOf(t, f, reader, "before").Slots.Day
	days, expires := keytree.ExpiryOf(uint64(day))
	ask := gateway.ErasureRequest{Day: recording.RetentionDay{Days: days, Expires: expires}, Reason: "the pilot has ended"}
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ask); err != nil {
		t.Fatal(err)
	}
	mustPut(t, f, recorder, string(caller), "whole")
	putInParts(t, f, recorder, "parts", sound(3, 2000))
	if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(t.Context(), reader, calls, "before"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("what was put before: %v, want ErrNotFound", err)
	}
	mustPut(t, f, recorder, string(caller), "later")
	putInParts(t, f, recorder, "later-parts", sound(3, 2000))
	for name, size := range map[recording.Name]int{"whole": 1000, "parts": 2000, "later": 1000, "later-parts": 2000} {
		if got := read(t, f, reader, name); len(got) != size {
			t.Errorf("read %d bytes of %s, want %d", len(got), name, size)
		}
		if got := versionOf(t, f, reader, name).Slots.Day; got != day+1 {
			t.Errorf("%s is filed under day %x, want the one after %x", name, got, day)
		}
	}
}
