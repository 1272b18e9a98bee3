package gateway_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// Whoever writes the catalog has no key destroyed by a tombstone, of whichever erasure
// it is said to be, and keeps none that was asked for from its end, by however many.
func TestForgedTombstoneDestroysNoKey(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(caller), "gone", "kept")
	gone, kept := versionOf(t, f, reader, "gone"), versionOf(t, f, reader, "kept")
	front := gatewaytest.On(t, f.Parts, only(gateway.Front))
	f.Gateway.Close()
	id := erase(t, front, "gone")
	forge := func(tree, slot int64, erasure []byte) {
		t.Helper()
		execute(t, f.Dir, `INSERT INTO punctures (tenant, tree, slot, erasure, since) SELECT id, ?, ?, ?, 0 FROM tenants`, tree, slot, erasure)
	}
	forged, unknown := recording.NewErasureID(), recording.NewErasureID()
	execute(t, f.Dir, `INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, asked_at, base, record, recorded, versions, refiled, epoch)
		SELECT ?, tenant, scope, 'certified', who, reason, commitment, asked_at, base, record, recorded, 0, 0, 0
		FROM erasures WHERE id = ?`, forged[:], id[:]) // with the record of another
	forge(catalog.TreeRecordings, kept.Slots.Recording, forged[:])
	forge(catalog.TreeDays, kept.Slots.Day, nil)
	forge(catalog.TreeSubjects, kept.Slots.Subject, unknown[:])
	forge(catalog.TreeSystem, int64(keytree.IndexSlot(1)), nil)
	execute(t, f.Dir, `INSERT INTO generations (tenant, generation, slot, journal, announced_at, moved_at) SELECT id, 1, ?, 1, 0, 0 FROM tenants`,
		int64(keytree.IndexSlot(1)))
	execute(t, f.Dir, `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?)
		INSERT INTO punctures (tenant, tree, slot, erasure, since) SELECT id, 1, 1000000 + n, ?, 0 FROM s, tenants`, 2*keytree.MostPunctures, forged[:])

	g := gatewaytest.On(t, f.Parts)
	effective(t, g, id)
	wantGone(t, g, "what was erased", gone)
	keys := newestKeys(t, g)
	for _, slot := range []keytree.Slot{
		{Tree: keytree.Recordings, Number: uint64(kept.Slots.Recording)}, {Tree: keytree.Days, Number: uint64(kept.Slots.Day)},
		{Tree: keytree.Subjects, Number: uint64(kept.Slots.Subject)}, {Tree: keytree.Recordings, Number: 1000001},
		{Tree: keytree.System, Number: keytree.IndexSlot(1)},
	} {
		if _, err := keys.Slot(t.Context(), slot.Tree, slot.Number); err != nil {
			t.Errorf("%v, which nobody erased: %v", slot, err)
		}
	}
	if g.Stats().Epochs.Unasked < 2*keytree.MostPunctures || !strings.Contains(g.Log.String(), "nobody asked for") {
		t.Errorf("%d forged tombstones were told of", g.Stats().Epochs.Unasked)
	}
}

// Tombstones that are said to be of an erasure which did not ask for them keep it from its
// end as little as they destroy keys.
func TestForgedTombstoneKeepsNoErasureFromItsEnd(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, string(caller), "gone", "kept")
	kept := versionOf(t, f, reader, "kept")
	front := gatewaytest.On(t, f.Parts, only(gateway.Front))
	f.Gateway.Close()
	id := erase(t, front, "gone")
	forged := []keytree.Slot{
		{Tree: keytree.Recordings, Number: uint64(kept.Slots.Recording)}, {Tree: keytree.Days, Number: uint64(kept.Slots.Day)},
		{Tree: keytree.System, Number: keytree.IndexSlot(1)},
	}
	for _, s := range forged {
		execute(t, f.Dir, `INSERT INTO punctures (tenant, tree, slot, erasure, since) SELECT id, ?, ?, ?, 0 FROM tenants`, s.Tree, int64(s.Number), id[:])
	}
	certify(t, front, id)
	keys := newestKeys(t, front)
	for _, s := range forged {
		if _, err := keys.Slot(t.Context(), s.Tree, s.Number); err != nil {
			t.Errorf("%v, which nobody erased: %v", s, err)
		}
	}
}

// Nor does who writes the catalog get a certificate of what was not destroyed.
func TestForgedEpochIsNotCertified(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "gone", "alive")
	effective(t, f, erase(t, f, "gone"))
	front := gatewaytest.On(t, f.Parts, only(gateway.Front))
	f.Gateway.Close()
	id := erase(t, front, "alive")
	execute(t, f.Dir, `UPDATE punctures SET epoch = 1 WHERE erasure = ?`, id[:])
	execute(t, f.Dir, `UPDATE erasures SET state = 'effective', epoch = 1 WHERE id = ?`, id[:])
	if err := front.CertifyNow(t.Context(), tenantOf(t, front).ID); !errors.Is(err, recording.ErrIncident) {
		t.Errorf("certify: %v, want ErrIncident", err)
	}
	all, _, err := front.Erasures(t.Context(), front.Operator(), "acme", recording.ErasureID{}, 10)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d erasures, %v", len(all), err)
	}
	for _, of := range all {
		if certified := of.Certificate != nil; certified != (of.ID != id) {
			t.Errorf("erasure %v is %s, certified: %t", of.ID, of.State, certified)
		}
	}
}

// newestKeys are those of the tenant's newest head.
func newestKeys(t *testing.T, f *gatewaytest.Fixture) *keytree.Keys {
	t.Helper()
	head, err := keytree.ParseHead(tenantOf(t, f).Head)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keytree.Unwrap(t.Context(), f.Keys, keytree.InStore(f.Blobs), head)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(keys.Clear)
	return keys
}
