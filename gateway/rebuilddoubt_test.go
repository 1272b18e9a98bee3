package gateway_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	epochs "github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// What was held moved out of a day before that was erased: a catalog from before then,
// rebuilt or served as it is, and a lost one, find it where it is, and nothing of it is
// deleted.
func TestRebuildOfWhatIsHeld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
		who = reader.Who
		put(t, f, recorder, "gone", sound(1, 1000))
		put(t, f, recorder, "held", sound(2, 300_000))
		inParts(t, f, recorder, "parts", sound(3, 1000), sound(4, 1000))
	})
	old := copyCatalog(t, dir)
	want := wants{"gone": nil, "held": sound(2, 300_000), "parts": append(sound(3, 1000), sound(4, 1000)...)}
	t.Run("moved", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		mustHold(t, f, onRecording("held"))
		mustHold(t, f, onRecording("parts"))
		info, err := f.EraseFor(t.Context(), f.Operator(), "acme", expiring(90))
		if err != nil || info.Refiled != 2 {
			t.Fatalf("%+v, %v", info, err)
		}
		effective(t, f, info.ID)
		want.check(t, f, f.Caller(who))
	})
	of := map[string]string{
		"holds":   "id, tenant, recording, slot, who, created_at",
		"filings": "tenant, version, slot_recording, slot_subject, slot_day, state, blob", // else no later erasure takes all slots
	}
	whole := contents(t, dir, of)
	for _, how := range []string{"served", "older", "lost"} {
		t.Run(how, func(t *testing.T) {
			drop(t, dir)
			for file, b := range old {
				if how == "lost" {
					break
				}
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if how != "served" {
				if r := rebuild(t, dir); !r.Complete || r.Unknown.Count != 0 {
					t.Errorf("the rebuild did %+v", r)
				}
				same(t, contents(t, dir, of), whole)
			}
			t.Run("after", func(t *testing.T) {
				f := gatewaytest.In(t, dir)
				f.Caller(who)
				sweep(t, f)
				want.check(t, f, f.Caller(who))
			})
		})
	}
}

// What a recovery left, since nobody proved that it was erased, a rebuild leaves too,
// whatever a head says that opens no more: the keys decide.
func TestRebuildAfterAForgedPackWasLeft(t *testing.T) {
	t.Parallel()
	r, _, lost := restored(t)
	r.forge(lost.Epoch+1, lost.Version+1, ofKept)
	if got := r.recover(epochs.Recovery{Unproved: epochs.Leave}); got.Err != nil {
		t.Fatalf("recovered: %+v", got)
	}
	r.Catalog.Close()
	drop(t, r.dir)
	c := r.open()
	report, err := gateway.Rebuild(t.Context(), gateway.Config{
		Blobs: r.Blobs, Catalog: c, Keys: r.Keys, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil || !report.Complete || report.Recordings != 1 {
		t.Errorf("rebuilt: %+v, %v", report, err)
	}
	r.start(gatewaytest.Parts{Blobs: r.Blobs, Catalog: c, Keys: r.Keys})
	r.reader = r.Caller(r.reader.Who)
	r.plays([]recording.Name{"kept"}, []recording.Name{"gone"})
}

// A row that says that an epoch has punctured what it has not has no blob taken for
// erased: the keys decide.
func TestRebuildDoubtsATombstone(t *testing.T) {
	t.Parallel()
	r := restoring(t, localRestorable(t))
	r.put("kept", "gone")
	r.eraseName("gone")
	r.Gateway.Close()
	execute(t, r.dir, `DELETE FROM versions`)
	execute(t, r.dir, `INSERT INTO punctures (tenant, tree, slot, epoch, since) SELECT id, 2, 1, 1, 0 FROM tenants`)
	report, err := gateway.Rebuild(t.Context(), gateway.Config{
		Blobs: r.Blobs, Catalog: r.Catalog, Keys: r.Keys, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil || report.Complete || report.Damaged.Count != 1 || report.Erased != 0 {
		t.Errorf("rebuilt: %+v, %v", report, err)
	}
}

// An earlier epoch that the store has lost is counted, and the rest is rebuilt: what
// hangs from its pages is damaged, and nothing is taken for erased because of it.
func TestRebuildWithoutAnOldEpoch(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		lose    func(*restoration, keytree.Head)
		damaged int64
	}{
		"head": {func(r *restoration, h keytree.Head) { r.remove(keytree.HeadKey(h.Tenant, h.Epoch)) }, 0},
		"pack": {func(r *restoration, h keytree.Head) { r.remove(keytree.PackKey(h.Tenant, h.Pack)) }, 1},
	} {
		t.Run(what, func(t *testing.T) {
			r := restoring(t, localRestorable(t))
			r.put("kept", "first", "second")
			r.erase(gateway.ErasureRequest{Subject: "+49151first"})
			h := r.head()
			r.eraseName("second") // another tree, so that pages of the epoch before are in use
			r.Gateway.Close()
			c.lose(r, h)
			r.Catalog.Close()
			drop(t, r.dir)
			report, err := gateway.Rebuild(t.Context(), gateway.Config{
				Blobs: r.Blobs, Catalog: r.open(), Keys: r.Keys, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil || report.Lost != 1 || report.Tenants != 1 || report.Erasures != 2 || report.Erased != 1 ||
				report.Damaged.Count != c.damaged || report.Recordings != 1-c.damaged || report.Complete != (c.damaged == 0) {
				t.Errorf("rebuilt: %+v, %v", report, err)
			}
		})
	}
}
