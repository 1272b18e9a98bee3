package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// forgePack puts another pack behind a head whose root the provider has forgotten, as
// whoever writes the store can.
func forgePack(t *testing.T, blobs blob.Store, h keytree.Head, slots ...keytree.Slot) {
	t.Helper()
	pack := packOf(h, slots)
	h.Pack, h.PackSum = keytree.PackID{4, 5, 6}, sha256.Sum256(pack)
	err := blobs.Delete(t.Context(), keytree.HeadKey(h.Tenant, h.Epoch))
	for key, b := range map[string][]byte{keytree.PackKey(h.Tenant, h.Pack): pack, keytree.HeadKey(h.Tenant, h.Epoch): h.Marshal()} {
		err = errors.Join(err, blobs.Create(t.Context(), key, bytes.NewReader(b), int64(len(b))))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// recordingSlots are those of versions in the recordings tree.
func recordingSlots(of ...catalog.Version) (slots []keytree.Slot) {
	for _, v := range of {
		slots = append(slots, keytree.Slot{Tree: keytree.Recordings, Number: uint64(v.Slots.Recording)})
	}
	return slots
}

// behind gives the parts of a gateway, but for a catalog that is as its is now, and stays.
func behind(t *testing.T, f *gatewaytest.Fixture) gatewaytest.Parts {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	execute(t, f.Dir, `VACUUM INTO ?`, path)
	c, err := catalog.Open(t.Context(), "sqlite:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := f.Parts
	p.Catalog = c
	return p
}

// A catalog that lags accepts an erasure while the store is ahead. It does not end with
// a forged pack of an epoch that went by meanwhile, nor is a recording lost to one; and
// what that epoch truly punctured ends, though the pack does not say so.
func TestForgedPackEndsNoErasure(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "first", "second", "third", "kept")
	first, third, kept := versionOf(t, f, reader, "first"), versionOf(t, f, reader, "third"), versionOf(t, f, reader, "kept")
	lagging := behind(t, f)
	front := gatewaytest.On(t, lagging, only(gateway.Front))
	if got := read(t, front, front.Caller(reader.Who), "third"); len(got) != 1000 { // it has caught up
		t.Fatalf("read %d bytes", len(got))
	}

	effective(t, f, erase(t, f, "first"))
	h, err := keytree.ParseHead(tenantOf(t, f).Head)
	if err != nil {
		t.Fatal(err)
	}
	effective(t, f, erase(t, f, "second"))
	f.Gateway.Close()
	asked := erase(t, front, "third")
	forgePack(t, f.Blobs, h, recordingSlots(third, kept)...)

	g := gatewaytest.On(t, lagging)
	effective(t, g, asked)
	wantGone(t, g, "what was erased while the catalog lagged", third)
	wantGone(t, g, "what the pack leaves out", first)
	if got := read(t, g, g.Caller(reader.Who), "kept"); len(got) != 1000 {
		t.Errorf("read %d bytes of what was kept", len(got))
	}
	until(t, "every erasure is effective", func() bool {
		all, _, err := g.Erasures(t.Context(), g.Operator(), "acme", recording.ErasureID{}, 10)
		if err != nil || len(all) != 3 {
			t.Fatalf("%d erasures, %v", len(all), err)
		}
		return all[0].State == "effective" && all[1].State == "effective" && all[2].State == "effective"
	})
}

// A rebuild goes by the keys of the newest head, whatever an older one says; and reads
// no page for each slot that it asks of.
func TestRebuildDoubtsThePackOfAnOldHead(t *testing.T) {
	t.Parallel()
	r := restoring(t, localRestorable(t))
	r.put("kept", "first", "second")
	for i := range int64(300) { // too young for an epoch of their own
		execute(t, r.dir, `INSERT INTO punctures (tenant, tree, slot, since) SELECT id, 1, ?, ? FROM tenants`, 10_000+i<<12, time.Now().UnixMicro())
	}
	r.eraseName("first")
	h := r.head()
	r.eraseName("second")
	r.Gateway.Close()
	pack, err := keytree.ReadPack(t.Context(), r.Blobs, h)
	if err != nil || len(pack.Slots) != 301 {
		t.Fatalf("%d slots, %v", len(pack.Slots), err)
	}
	rebuilt := func() (packs int64) {
		t.Helper()
		r.Catalog.Close()
		drop(t, r.dir)
		r.Catalog = r.open()
		var reads atomic.Int64
		report, err := gateway.Rebuild(t.Context(), gateway.Config{
			Blobs: packReads{r.Blobs, &reads}, Catalog: r.Catalog, Keys: r.Keys, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil || !report.Complete || report.Recordings != 1 || report.Heads != 2 {
			t.Errorf("rebuilt: %+v, %v", report, err)
		}
		return reads.Load()
	}
	if n := rebuilt(); n > 6 {
		t.Errorf("packs were read %d times", n)
	}
	forgePack(t, r.Blobs, h, ofKept)
	rebuilt()
	r.start(r.Parts)
	r.reader = r.Caller(r.reader.Who)
	r.plays([]recording.Name{"kept"}, []recording.Name{"first", "second"})
}
