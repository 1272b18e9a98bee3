package gateway_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// A catalog whose indexes are under a key that is forgotten since, or that is lost, is
// refused until it is rebuilt; then all is found by indexes of the last generation.
func TestRebuildOfOlderIndexes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	copies := map[string]map[string][]byte{}
	run := func(moment string, do func(f *gatewaytest.Fixture, recorder gateway.Caller)) {
		t.Helper()
		t.Run(moment, func(t *testing.T) {
			f := gatewaytest.In(t, dir, gateway.Announce(shortly))
			recorder := gateway.Caller{}
			if who != "" {
				recorder = f.Caller(who)
			}
			do(f, recorder)
		})
		copies[moment] = copyCatalog(t, dir)
	}
	run("before", func(f *gatewaytest.Fixture, _ gateway.Caller) {
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace})
		who = recorder.Who
		mustPut(t, f, recorder, string(caller), "a/b/one", "two")
		mustPut(t, f, recorder, "", "replaced", "replaced", "gone", "then")
		inParts(t, f, recorder, "parts", sound(1, 1000), sound(2, 1000))
		mustHold(t, f, onSubject(caller))
		effective(t, f, erase(t, f, "gone"))
	})
	run("announced", func(f *gatewaytest.Fixture, _ gateway.Caller) {
		if _, err := f.Reindex(t.Context(), f.Operator(), "acme"); err != nil {
			t.Fatal(err)
		}
	})
	run("once", func(f *gatewaytest.Fixture, recorder gateway.Caller) {
		reindex(t, f, "acme")
		mustPut(t, f, recorder, string(caller), "later")
		effective(t, f, erase(t, f, "then"))
	})
	run("twice", func(f *gatewaytest.Fixture, recorder gateway.Caller) {
		reindex(t, f, "acme")
		mustPut(t, f, recorder, string(agent+","+caller), "last")
	})
	copies["lost"] = nil
	for moment, files := range copies {
		t.Run(moment, func(t *testing.T) { rebuildIndexes(t, dir, files, moment, who) })
	}
}

func rebuildIndexes(t *testing.T, from string, files map[string][]byte, moment, who string) {
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	putBack(t, files, dir)
	if files != nil {
		t.Run("served", func(t *testing.T) {
			f := gatewaytest.In(t, dir, gateway.Announce(shortly))
			_, err := f.Credential(t.Context(), who)
			if want := map[bool]error{moment != "twice": recording.ErrIncident}[true]; !errors.Is(err, want) {
				t.Errorf("Credential: %v, want %v", err, want)
			}
		})
	}
	for range 2 { // the second changes nothing
		if r := rebuild(t, dir); !r.Complete || r.Tenants != 1 {
			t.Errorf("the rebuild did %+v", r)
		}
	}
	f := gatewaytest.In(t, dir, gateway.Announce(shortly))
	row := tenantOf(t, f)
	if row.Stage != catalog.SettledUnder(3) {
		t.Errorf("the tenant is in stage %d", row.Stage)
	}
	for generation, want := range map[uint32]error{1: keytree.ErrPunctured, 2: keytree.ErrPunctured, 3: nil} {
		if _, err := f.BlindSubject(t.Context(), row, generation, caller); !errors.Is(err, want) {
			t.Errorf("key of generation %d: %v, want %v", generation, err, want)
		}
	}
	key, _ := f.Key("acme", gateway.NewKey{Kind: "reader", Bucket: string(calls)})
	reader := f.Caller(key)
	names, _ := pages(t, f, reader, gateway.Page{Max: 2})
	if want := []string{"a/b/one", "last", "later", "parts", "replaced", "two"}; !slices.Equal(names, want) {
		t.Errorf("names: %v, want %v", names, want)
	}
	for _, name := range names {
		if got := read(t, f, reader, recording.Name(name)); len(got) < 1000 {
			t.Errorf("read %d bytes of %s", len(got), name)
		}
	}
	_, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("two"))
	if !errors.Is(err, recording.ErrHeld) {
		t.Errorf("erasure of what is held: %v", err)
	}
	holds, err := f.Holds(t.Context(), f.Operator(), "acme")
	if err != nil || len(holds) != 1 {
		t.Fatalf("holds: %+v, %v", holds, err)
	}
	mustRelease(t, f, holds[0].ID)
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Subject: caller, Reason: "request"})
	if err != nil || info.Versions != 1 { // beside what hangs from their slot
		t.Errorf("erasure of the subject: %+v, %v", info, err)
	}
	names, _ = pages(t, f, reader, gateway.Page{Max: 100})
	if want := []string{"parts", "replaced"}; !slices.Equal(names, want) {
		t.Errorf("names once the subject is erased: %v, want %v", names, want)
	}
	again := reindex(t, f, "acme") // perhaps of what the rebuild has left
	if again.Linkable {
		again = reindex(t, f, "acme")
	}
	if again.Linkable || again.Damaged > 0 {
		t.Errorf("reindexed after: %+v", again)
	}
}
