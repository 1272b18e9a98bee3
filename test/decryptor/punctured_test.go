package decryptor_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// puncture commits an epoch of a tenant's in which slots are forgotten.
func (v vault) puncture(tenant recording.Tenant, slots ...keytree.Slot) {
	v.t.Helper()
	old, err := keytree.ReadHead(v.t.Context(), v.Blobs, tenant, v.head(tenant).Epoch)
	if err != nil {
		v.t.Fatal(err)
	}
	keys, err := keytree.Unwrap(v.t.Context(), v.Keys, keytree.InStore(v.Blobs), old)
	if err != nil {
		v.t.Fatal(err)
	}
	defer keys.Clear()
	next, err := keys.Puncture(v.t.Context(), slots)
	if err != nil {
		v.t.Fatal(err)
	}
	defer next.Clear()
	version, err := v.Keys.Rotate(v.t.Context(), keytree.RootOf(tenant))
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := next.Commit(v.t.Context(), v.Keys, v.Blobs, version); err != nil {
		v.t.Fatal(err)
	}
	if err := v.Keys.Retire(v.t.Context(), keytree.RootOf(tenant), version); err != nil {
		v.t.Fatal(err)
	}
}

// slotsOf reads the slots in a blob's prefix.
func slotsOf(blob []byte) [3]keytree.Slot {
	be := binary.BigEndian
	return [3]keytree.Slot{
		{Tree: keytree.Recordings, Number: be.Uint64(blob[64:])},
		{Tree: keytree.Subjects, Number: be.Uint64(blob[72:])},
		{Tree: keytree.Days, Number: be.Uint64(blob[80:])},
	}
}

// opens reports which of some blobs open, by their keys, and fails for one that
// neither does nor is punctured.
func opens(t *testing.T, tree decryptor.Tree, blobs map[string][]byte) map[string]bool {
	t.Helper()
	open := map[string]bool{}
	for key, blob := range blobs {
		_, _, _, err := tree.Blob(blob)
		if err != nil && (!errors.Is(err, decryptor.ErrPunctured) || refused(err)) {
			t.Errorf("%s: %v, want that it opens or ErrPunctured", key, err)
		}
		open[key] = err == nil
	}
	return open
}

// docs/keys.md, Forgetting a slot: what lies under a forgotten slot of any tree
// does not open any more, and all else does, epoch after epoch.
func TestPuncturedDoesNotOpen(t *testing.T) {
	for provider, open := range providers {
		t.Run(provider, func(t *testing.T) { testPuncturedDoesNotOpen(t, open(t)) })
	}
}

func testPuncturedDoesNotOpen(t *testing.T, v vault) {
	tenant := v.Tenant("acme").Tenant
	callers := map[recording.Bucket]gateway.Caller{
		calls: v.recorder("acme", gateway.BucketSettings{Name: calls}),
		kept:  v.recorder("acme", gateway.BucketSettings{Name: kept, RetentionDays: retentionDays}),
	}
	for i := range 24 {
		u := gatewaytest.Upload([]recording.Bucket{calls, kept}[i%2], recording.Name(fmt.Sprintf("%d.wav", i)), noise(uint64(i), 100))
		if i%3 > 0 {
			u.Metadata = map[string]string{"lethe-subject": fmt.Sprintf("+49 30 123%d", i%3)}
		}
		v.put(callers[u.Bucket], u)
	}
	blobs, gone := v.recordings(tenant), map[keytree.Slot]bool{}
	for key := range blobs { // in no order
		// In turn a recording, its subject and its day, as far as they may go.
		s := slotsOf(blobs[key])[len(gone)%3]
		if s.Number == 0 || gone[s] || len(gone) == 6 {
			continue
		}
		v.puncture(tenant, s)
		gone[s] = true
		for key, open := range opens(t, v.tree(tenant), blobs) {
			want := true
			for _, s := range slotsOf(blobs[key]) {
				want = want && !gone[s]
			}
			if open != want {
				t.Fatalf("%d slots are gone, %v: opens: %v, want %v", len(gone), slotsOf(blobs[key]), open, want)
			}
		}
	}
	if len(gone) < 3 {
		t.Fatalf("%d slots are gone, want some of each tree", len(gone))
	}
	if h := v.head(tenant); h.Kind != decryptor.KindPunctured || h.Epoch != uint64(len(gone)) {
		t.Errorf("newest head is of kind %d, epoch %d", h.Kind, h.Epoch)
	}
}

// onePuncture is a tenant with a recording whose neighbour is forgotten, so that
// its key is had by eight pages.
func (v vault) onePuncture() (tenant recording.Tenant, blob []byte) {
	tenant = v.tenant("acme", 100)
	_, blob = v.only(tenant)
	v.puncture(tenant, keytree.Slot{Tree: keytree.Recordings, Number: slotsOf(blob)[0].Number + 1})
	return tenant, blob
}

// Nothing opens by a page of which a bit was changed, and nothing looks as
// though it had been forgotten.
func TestNoBitOfAPageMayChange(t *testing.T) {
	v := newVault(t)
	tenant, blob := v.onePuncture()
	h, packs := v.head(tenant), v.stored("pages/")
	root, err := v.unwrap(h)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := decryptor.OpenTree(h, root, decryptor.StoredPacks(tenant, packs))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := tree.Blob(blob); err != nil {
		t.Fatalf("before any change: %v", err)
	}
	for _, b := range packs {
		pack, err := decryptor.ParsePack(b)
		if err != nil || len(pack.Pages) != 8 {
			t.Fatalf("ParsePack = %d pages, %v", len(pack.Pages), err)
		}
		for _, page := range pack.Pages {
			for i := int(page.Offset); i < int(page.Offset)+len(page.Sealed); i += 7 {
				b[i] ^= 0x20
				mustRefuse(t, fmt.Sprintf("byte %d of the pack changed", i), tree, blob)
				b[i] ^= 0x20
			}
		}
	}
	clear(packs)
	mustRefuse(t, "the pack is lost", tree, blob)
}

// docs/keys.md, Forgetting a slot and Heads: a pack is of its form, and the one
// that the head says.
func TestNoBitOfAPackMayChange(t *testing.T) {
	v := newVault(t)
	tenant, _ := v.onePuncture()
	sum := v.head(tenant).PackSum
	for _, b := range v.stored("pages/") {
		if pack, err := decryptor.ParsePack(b); err != nil || pack.Sum != sum || len(pack.Slots) != 1 {
			t.Fatalf("ParsePack = %d slots, %v", len(pack.Slots), err)
		}
		for i := range b {
			b[i] ^= 1
			if pack, err := decryptor.ParsePack(b); err == nil && pack.Sum == sum || err != nil && !refused(err) {
				t.Errorf("byte %d of a pack changed: %v, want a refusal or another sum", i, err)
			}
			b[i] ^= 1
		}
		for what, b := range map[string][]byte{"cut": b[:len(b)-1], "extended": join(b, []byte{0})} {
			if _, err := decryptor.ParsePack(b); !refused(err) {
				t.Errorf("a pack, %s: %v, want a refusal", what, err)
			}
		}
	}
}

func TestNoBitOfAPuncturedHeadMayChange(t *testing.T) {
	v := newVault(t)
	tenant, _ := v.onePuncture()
	v.tree(tenant)
	key := "head/" + base32Lower(tenant) + "/0000000000000001"
	head := v.stored(key)[key]
	for bit := range 8 * len(head) {
		head[bit/8] ^= 1 << (bit % 8)
		v.mustNotUnwrap(fmt.Sprintf("bit %d of a head changed", bit), head)
		head[bit/8] ^= 1 << (bit % 8)
	}
	v.mustNotUnwrap("a head cut", head[:len(head)-1])
	v.mustNotUnwrap("a head extended", join(head, []byte{0}))
}
