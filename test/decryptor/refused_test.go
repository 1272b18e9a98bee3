package decryptor_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// only is the one recording of a tenant and the tree that opens it.
func (v vault) only(tenant recording.Tenant) (tree decryptor.Tree, blob []byte) {
	v.t.Helper()
	blobs := slices.Collect(maps.Values(v.recordings(tenant)))
	if len(blobs) != 1 {
		v.t.Fatalf("%d blobs, want 1", len(blobs))
	}
	tree, blob = v.tree(tenant), blobs[0]
	if _, _, _, err := tree.Blob(blob); err != nil {
		v.t.Fatalf("Blob before any change: %v", err)
	}
	return tree, blob
}

// mustRefuse reports an error when a blob opens or gives out a byte.
func mustRefuse(t *testing.T, what string, tree decryptor.Tree, blob []byte) {
	t.Helper()
	facts, endFacts, source, err := tree.Blob(blob)
	if !refused(err) || facts != nil || endFacts != nil || source != nil {
		t.Errorf("%s: Blob = %d, %d and %d bytes, %v; want a refusal",
			what, len(facts), len(endFacts), len(source), err)
	}
}

func TestOtherRootsDoNotOpen(t *testing.T) {
	v := newVault(t)
	tenant, otherTenant := v.tenant("acme", 1000), v.tenant("other", 1000)
	_, blob := v.only(tenant)
	other, _ := v.only(otherTenant)
	root, err := v.unwrap(v.head(tenant))
	otherRoot, otherErr := v.unwrap(v.head(otherTenant))
	if err := errors.Join(err, otherErr); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, "no root", seed(t, tenant, [32]byte{}), blob)
	mustRefuse(t, "another tenant's tree", other, blob)
	mustRefuse(t, "another tenant's root", seed(t, tenant, otherRoot), blob)
	mustRefuse(t, "the root, as another tenant's", seed(t, otherTenant, root), blob)
	root[31] ^= 1
	mustRefuse(t, "a root with another last bit", seed(t, tenant, root), blob)
}

func TestOtherSlotsDoNotOpen(t *testing.T) {
	v := newVault(t)
	tree, blob := v.only(v.tenant("acme", 1000))
	for i, which := range []string{"recording", "subject", "day"} {
		slot := blob[64+8*i:][:8]
		was := binary.BigEndian.Uint64(slot)
		for bit := range 64 {
			binary.BigEndian.PutUint64(slot, was^1<<bit)
			mustRefuse(t, fmt.Sprintf("bit %d of the %s slot changed", bit, which), tree, blob)
		}
		binary.BigEndian.PutUint64(slot, was)
	}
}

// Every bit of a whole blob: prefix, slots, wrapped key, facts, FLOE header
// and its one segment.
func TestNoBitMayChange(t *testing.T) {
	v := newVault(t)
	tree, blob := v.only(v.tenant("acme", 1))
	for i := range blob {
		for bit := range 8 {
			blob[i] ^= 1 << bit
			mustRefuse(t, fmt.Sprintf("bit %d of byte %d changed", bit, i), tree, blob)
			blob[i] ^= 1 << bit
		}
	}
}

// Every part of every segment of a blob of several, and their order and number.
func TestNoSegmentMayChange(t *testing.T) {
	const segment = 64 << 10
	v := newVault(t)
	tree, blob := v.only(v.tenant("acme", 262145))
	first := int(binary.BigEndian.Uint16(blob[10:])) + 74
	for start := first; start < len(blob); start += segment {
		end := min(start+segment, len(blob))
		for _, i := range []int{start, start + 3, start + 4, start + 15, start + 16, (start + end) / 2, end - 17, end - 16, end - 1} {
			blob[i] ^= 0x10
			mustRefuse(t, fmt.Sprintf("a bit of byte %d changed", i), tree, blob)
			blob[i] ^= 0x10
		}
		mustRefuse(t, "cut before a segment", tree, blob[:start])
		mustRefuse(t, "a segment left out", tree, slices.Concat(blob[:start], blob[end:]))
		mustRefuse(t, "a segment repeated", tree, slices.Concat(blob[:end], blob[start:]))
	}
	a, b := blob[first:first+segment], blob[first+segment:first+2*segment]
	mustRefuse(t, "segments exchanged", tree, slices.Concat(blob[:first], b, a, blob[first+2*segment:]))
}

// Every bit of a head is in its form, in the bind, in the name of the
// provider's key or in the wrapped root.
func TestNoBitOfAHeadMayChange(t *testing.T) {
	v := newVault(t)
	tenant := v.Tenant("acme").Tenant
	v.tree(tenant)
	for _, head := range v.stored("head/" + base32Lower(tenant) + "/") {
		for bit := range 8 * len(head) {
			head[bit/8] ^= 1 << (bit % 8)
			v.mustNotUnwrap(fmt.Sprintf("bit %d of a head changed", bit), head)
			head[bit/8] ^= 1 << (bit % 8)
		}
	}
}

// mustNotUnwrap reports an error when a head gives a root.
func (v vault) mustNotUnwrap(what string, head []byte) {
	v.t.Helper()
	h, err := decryptor.ParseHead(head)
	if err != nil {
		if !refused(err) {
			v.t.Errorf("%s: %v, want a refusal", what, err)
		}
		return
	}
	if root, err := v.unwrap(h); err == nil || root != [32]byte{} {
		v.t.Errorf("%s, and its root unwraps", what)
	}
}

// docs/keys.md, Erasing a tenant: who kept every byte of the store, from
// before and after, gets no root from the provider, and without it nothing.
func TestErasedDoesNotOpen(t *testing.T) {
	for provider, open := range providers {
		t.Run(provider, func(t *testing.T) {
			t.Parallel() // it waits for one lease
			testErasedDoesNotOpen(t, open(t))
		})
	}
}

func testErasedDoesNotOpen(t *testing.T, v vault) {
	tenant := v.tenant("acme", 1000)
	head := v.head(tenant)
	_, blob := v.only(tenant)
	otherTenant := v.tenant("other", 1000)
	other, _ := v.only(otherTenant)

	v.erase("acme")
	if h := v.head(tenant); h.Kind != decryptor.KindErased || h.Epoch != head.Epoch+1 {
		t.Errorf("newest head is of kind %d, epoch %d; want erased, %d", h.Kind, h.Epoch, head.Epoch+1)
	}
	nothing, err := v.unwrap(head)
	if !errors.Is(err, keytree.ErrForgotten) || nothing != [32]byte{} {
		t.Errorf("Unwrap of the head from before = %v, want ErrForgotten and no key", err)
	}
	living := keytree.Root("t-" + base32Lower(otherTenant))
	if _, err := v.Keys.Unwrap(t.Context(), living, head.Wrapped, decryptor.Bind(head)); !errors.Is(err, keytree.ErrBind) {
		t.Errorf("Unwrap under another tenant's key = %v, want ErrBind", err)
	}
	mustRefuse(t, "erased, no root", seed(t, tenant, nothing), blob)
	mustRefuse(t, "erased, a living tenant's root", other, blob)
	for key, b := range v.stored("") {
		if bytes.Contains(b, []byte("a.wav")) {
			t.Errorf("%s shows the recording's name", key)
		}
	}
}

// erase erases a tenant and waits until that is complete.
func (v vault) erase(name string) {
	v.t.Helper()
	info, err := v.EraseTenant(v.t.Context(), v.Operator(), name, "asked for")
	for deadline := time.Now().Add(2 * time.Minute); err == nil && info.State != "erased"; {
		if time.Now().After(deadline) {
			v.t.Fatalf("tenant is still %s", info.State)
		}
		time.Sleep(200 * time.Millisecond)
		info, err = v.Gateway.Tenant(v.t.Context(), v.Operator(), name)
	}
	if err != nil {
		v.t.Fatalf("erase: %v", err)
	}
}
