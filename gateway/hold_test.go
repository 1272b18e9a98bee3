package gateway_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

const caller, agent = recording.Subject("+49301234567"), recording.Subject("+4989765432")

func onRecording(name recording.Name) gateway.HoldRequest {
	return gateway.HoldRequest{Bucket: calls, Name: name, Reason: "case 17/26"}
}

func onSubject(s recording.Subject) gateway.HoldRequest {
	return gateway.HoldRequest{Subject: s, Reason: "case 17/26"}
}

// mustHold puts a hold, and gives its id.
func mustHold(t *testing.T, f *gatewaytest.Fixture, r gateway.HoldRequest) recording.HoldID {
	t.Helper()
	h, err := f.Hold(t.Context(), f.Operator(), "acme", r)
	if err != nil {
		t.Fatalf("hold: %v", err)
	}
	return h.ID
}

func mustRelease(t *testing.T, f *gatewaytest.Fixture, id recording.HoldID) {
	t.Helper()
	if _, err := f.ReleaseHold(t.Context(), f.Operator(), "acme", id); err != nil {
		t.Fatalf("release: %v", err)
	}
}

// mustPut puts recordings of 1000 bytes, of which each tells of the subjects given.
func mustPut(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, subjects string, names ...recording.Name) {
	t.Helper()
	for _, name := range names {
		if _, err := f.Put(t.Context(), c, told(name, subjects, sound(1, 1000))); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
	}
}

func ofRecording(name recording.Name) gateway.ErasureRequest {
	return gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: name, All: true}, Reason: "request"}
}

func wantHeld(t *testing.T, what string, err error, ground policy.Ground, id recording.HoldID) {
	t.Helper()
	held, ok := errors.AsType[gateway.Held](err)
	if !ok || held != (gateway.Held{Ground: ground, Hold: id}) || !errors.Is(err, recording.ErrHeld) {
		t.Errorf("%s: %v, want %s, hold %v", what, err, ground, id)
	}
}

func TestHoldRefusesErasures(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "single")
	mustPut(t, f, recorder, string(agent+","+caller), "told")
	single, subject := mustHold(t, f, onRecording("single")), mustHold(t, f, onSubject(caller))
	mustPut(t, f, recorder, string(caller), "later")

	for name, want := range map[recording.Name]gateway.Held{
		"single": {policy.RecordingHeld, single}, "told": {policy.SubjectHeld, subject}, "later": {policy.SubjectHeld, subject},
	} {
		_, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(name))
		wantHeld(t, string(name), err, want.Ground, want.Hold)
		_, err = f.Erase(t.Context(), eraser(f, "acme", string(calls)), gateway.Erasure{Bucket: calls, Name: name, All: true})
		wantHeld(t, string(name)+" over S3", err, want.Ground, want.Hold)
	}
	_, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Subject: caller, Reason: "request"})
	wantHeld(t, "subject", err, policy.SubjectHeld, subject)
	_, err = f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for")
	wantHeld(t, "tenant", err, policy.RecordingHeld, single)
	for _, name := range []recording.Name{"single", "told", "later"} {
		if got := read(t, f, reader, name); len(got) != 1000 {
			t.Errorf("read %d bytes of %s", len(got), name)
		}
	}
	if got := reasons(t, f, "acme"); got["subject-held"] < 4 || got["recording-held"] < 3 {
		t.Errorf("reasons of refusals in the log: %v", got)
	}

	mustRelease(t, f, single)
	mustRelease(t, f, subject)
	for _, name := range []recording.Name{"single", "told", "later"} {
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(name)); err != nil {
			t.Errorf("%s, held no more: %v", name, err)
		}
	}
}

// reasons counts the refusals in a tenant's log by their reason.
func reasons(t *testing.T, f *gatewaytest.Fixture, tenant string) map[string]int {
	t.Helper()
	row, err := f.Catalog.TenantByName(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	events, err := f.Catalog.Events(t.Context(), row.ID, row.CreatedAt, row.CreatedAt.AddDate(1, 0, 0), 1000)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, e := range events {
		if e.Reason != "" {
			out[e.Reason]++
		}
	}
	return out
}

func TestHoldsAreListedAndReleased(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	f.Tenant("other")
	mustPut(t, f, recorder, "", "a")
	first, second := mustHold(t, f, onRecording("a")), mustHold(t, f, onSubject(caller))
	list, err := f.Holds(t.Context(), f.Operator(), "acme")
	if err != nil || len(list) != 2 || list[0].ID != first || list[1].ID != second ||
		list[0].HoldRequest != onRecording("a") || list[1].HoldRequest != onSubject(caller) || list[0].Who != "owner" {
		t.Errorf("holds: %+v, %v", list, err)
	}
	if list, err := f.Holds(t.Context(), f.Operator(), "other"); err != nil || len(list) != 0 {
		t.Errorf("holds of another tenant: %+v, %v", list, err)
	}
	if _, err := f.ReleaseHold(t.Context(), f.Operator(), "other", first); !errors.Is(err, recording.ErrNoHold) {
		t.Errorf("release another tenant's: %v, want ErrNoHold", err)
	}
	mustRelease(t, f, first)
	if _, err := f.ReleaseHold(t.Context(), f.Operator(), "acme", first); !errors.Is(err, recording.ErrNoHold) {
		t.Errorf("release again: %v, want ErrNoHold", err)
	}
	for what, r := range map[string]gateway.HoldRequest{
		"no reason": {Subject: caller}, "a control character": {Subject: caller, Reason: "a\nb"}, "too long": {Subject: caller, Reason: strings.Repeat("x", 501)},
	} {
		if _, err := f.Hold(t.Context(), f.Operator(), "acme", r); !errors.Is(err, recording.ErrHoldReason) {
			t.Errorf("hold with %s: %v, want ErrHoldReason", what, err)
		}
	}
	if _, err := f.Hold(t.Context(), f.Operator(), "acme", onRecording("absent")); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("hold of what is not there: %v, want ErrNotFound", err)
	}
	if _, err := f.Hold(t.Context(), recorder, "acme", onRecording("a")); !errors.Is(err, recording.ErrDenied) {
		t.Errorf("hold by a recorder: %v, want ErrDenied", err)
	}
}

// A catalog that was put back from a copy has the holds of the journal that stand,
// though what a released one said cannot be read any more.
func TestHoldsFollowTheJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var kept, released recording.HoldID
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, string(caller), "a")
	})
	copied := copyCatalog(t, dir)
	t.Run("later", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		released, kept = mustHold(t, f, onSubject(agent)), mustHold(t, f, onSubject(caller))
		row, err := f.Catalog.Hold(t.Context(), tenantOf(t, f).ID, released)
		if err != nil {
			t.Fatal(err)
		}
		mustRelease(t, f, released)
		if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
			t.Fatal(err)
		}
		if err := f.OpenHold(t.Context(), tenantOf(t, f), row); !errors.Is(err, keytree.ErrPunctured) {
			t.Errorf("what a released hold said: %v, want ErrPunctured", err)
		}
	})
	putBack(t, copied, dir)
	t.Run("restored", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		list, err := f.Holds(t.Context(), f.Operator(), "acme")
		if err != nil || len(list) != 1 || list[0].ID != kept || list[0].Subject != caller {
			t.Errorf("holds: %+v, %v", list, err)
		}
		_, err = f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("a"))
		wantHeld(t, "erasure", err, policy.SubjectHeld, kept)
	})
}

// tenantOf is acme as the catalog has it.
func tenantOf(t *testing.T, f *gatewaytest.Fixture) catalog.Tenant {
	t.Helper()
	row, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	return row
}
