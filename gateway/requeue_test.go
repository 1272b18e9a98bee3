package gateway_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// only gives a gateway some roles.
func only(roles ...gateway.Role) func(*gateway.Config) {
	return func(c *gateway.Config) { c.Roles = roles }
}

// erase erases a recording for its tenant's administrator.
func erase(t *testing.T, f *gatewaytest.Fixture, name recording.Name) recording.ErasureID {
	t.Helper()
	what := gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: name, All: true}, Reason: "asked for"}
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", what)
	if err != nil {
		t.Fatalf("erase %q: %v", name, err)
	}
	return info.ID
}

// effective waits until nothing opens what an erasure erased.
func effective(t *testing.T, f *gatewaytest.Fixture, id recording.ErasureID) {
	t.Helper()
	until(t, "an erasure is effective", func() bool {
		info, err := f.Erasure(t.Context(), f.Operator(), id)
		return err == nil && (info.State == "effective" || info.State == "certified")
	})
}

// A catalog from before two erasures, one of which moved the tenant to another
// epoch and one of which was acknowledged and no more, is put back under a server:
// neither is lost.
func TestAcknowledgedErasureOutlivesItsCatalog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		who = reader.Who
		for _, name := range []recording.Name{"first", "second", "kept"} {
			put(t, f, recorder, name, sound(1, 1000))
		}
	})
	copied := copyCatalog(t, dir)
	var moved, queued recording.ErasureID
	t.Run("moved", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		moved = erase(t, f, "first")
		effective(t, f, moved)
	})
	t.Run("queued", func(t *testing.T) { queued = erase(t, gatewaytest.In(t, dir, only(gateway.Front)), "second") })
	putBack(t, copied, dir)
	t.Run("front", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		for _, name := range []recording.Name{"first", "second"} {
			if _, err := f.Open(t.Context(), f.Caller(who), calls, name); !errors.Is(err, recording.ErrNotFound) {
				t.Errorf("Open(%q): %v, want ErrNotFound", name, err)
			}
		}
		if info, err := f.Erasure(t.Context(), f.Operator(), queued); err != nil || info.State != "queued" || info.Versions != 1 {
			t.Errorf("the erasure is %+v, %v", info, err)
		}
		if !strings.Contains(f.Log.String(), "lethe rebuild") {
			t.Errorf("the log does not say that the catalog is behind:\n%s", f.Log)
		}
	})
	t.Run("eraser", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		effective(t, f, moved)
		effective(t, f, queued)
		if got := read(t, f, f.Caller(who), "kept"); len(got) != 1000 {
			t.Errorf("read %d bytes of what was kept", len(got))
		}
	})
}

// put puts a recording.
func put(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, name recording.Name, content []byte) recording.Info {
	t.Helper()
	info, err := f.Put(t.Context(), c, gatewaytest.Upload(calls, name, content))
	if err != nil {
		t.Fatalf("put %q: %v", name, err)
	}
	return info
}

// An older copy of the catalog is put back under an eraser that moves the tenant on
// before anyone has caught it up: what was acknowledged since is not left behind in
// the epoch before.
func TestEpochTakesAcknowledgedErasuresAlong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		who = reader.Who
		for _, name := range []recording.Name{"first", "second", "kept"} {
			put(t, f, recorder, name, sound(1, 1000))
		}
	})
	t.Run("waiting", func(t *testing.T) { erase(t, gatewaytest.In(t, dir, only(gateway.Front)), "first") })
	copied := copyCatalog(t, dir)
	var acknowledged recording.ErasureID
	t.Run("acknowledged", func(t *testing.T) {
		acknowledged = erase(t, gatewaytest.In(t, dir, only(gateway.Front)), "second")
	})
	putBack(t, copied, dir)
	t.Run("moved", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Sweeper)) // which catches nobody up
		if err := f.PunctureNow(t.Context(), tenantOf(t, f).ID); err != nil {
			t.Fatal(err)
		}
		if tenantOf(t, f).Epoch == 0 {
			t.Fatal("the tenant was not moved")
		}
	})
	f := gatewaytest.In(t, dir)
	if _, err := f.Open(t.Context(), f.Caller(who), calls, "second"); !errors.Is(err, recording.ErrNotFound) {
		t.Fatalf("Open of what was erased: %v, want ErrNotFound", err)
	}
	effective(t, f, acknowledged)
	if got := read(t, f, f.Caller(who), "kept"); len(got) != 1000 {
		t.Errorf("read %d bytes of what was kept", len(got))
	}
}

// What is no record and stands in the place of one, or beside it under another epoch, is
// told of, with what to do; it keeps no erasure from its end that has a record.
func TestForgedRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		for _, name := range []recording.Name{"first", "second"} {
			put(t, f, recorder, name, sound(1, 1000))
		}
		effective(t, f, erase(t, f, "first"))
	})
	copied := copyCatalog(t, dir)
	var id recording.ErasureID
	var real string
	t.Run("acknowledged", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		id = erase(t, f, "second")
		acme := tenantOf(t, f)
		real = epochs.RecordKey(acme.ID, acme.Epoch, id)
		forge(t, f, epochs.RecordKey(acme.ID, 0, id))
	})
	putBack(t, copied, dir)
	if report := rebuild(t, dir); !report.Complete {
		t.Errorf("rebuilt: %+v", report)
	}
	t.Run("certified", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		certify(t, f, id)
	})
	t.Run("in its place", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		acme := tenantOf(t, f)
		execute(t, f.Dir, `UPDATE erasures SET recorded = FALSE WHERE id = ?`, id[:])
		rows, err := f.Catalog.Unrecorded(t.Context(), acme.ID)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		if err := epochs.Record(t.Context(), f.Blobs, f.Catalog, rows[0]); err != nil {
			t.Errorf("record once more: %v", err)
		}
		if err := f.Blobs.Delete(t.Context(), real); err != nil {
			t.Fatal(err)
		}
		forge(t, f, real)
		if err := epochs.Record(t.Context(), f.Blobs, f.Catalog, rows[0]); !errors.Is(err, recording.ErrIncident) || !strings.Contains(err.Error(), real) {
			t.Errorf("record it: %v, want ErrIncident that names %s", err, real)
		}
	})
}

// forge puts something in the store.
func forge(t *testing.T, f *gatewaytest.Fixture, key string) {
	t.Helper()
	if err := f.Blobs.Create(t.Context(), key, strings.NewReader("forged"), 6); err != nil {
		t.Fatal(err)
	}
}
