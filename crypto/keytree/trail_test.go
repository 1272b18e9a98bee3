package keytree_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

func TestFollowGivesTheSameKeys(t *testing.T) {
	p := provider(t)
	keys, err := keytree.Unwrap(t.Context(), p, nil, plant(t, p))
	if err != nil {
		t.Fatal(err)
	}
	follow := keys.Follow()
	rapid.Check(t, func(t *rapid.T) {
		tree := keytree.Tree(rapid.IntRange(1, 4).Draw(t, "tree"))
		slot := rapid.Uint64Range(0, keytree.MaxSlot).Draw(t, "slot")
		for range rapid.IntRange(1, 5).Draw(t, "steps") {
			want, err := keys.Slot(t.Context(), tree, slot)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := follow.Slot(t.Context(), tree, slot); err != nil || !got.Equal(want) {
				t.Fatalf("slot %d of tree %d: another key, %v", slot, tree, err)
			}
			slot = min(slot^1<<rapid.IntRange(0, 39).Draw(t, "bit"), keytree.MaxSlot)
		}
	})
	follow.Clear()
	if _, err := follow.Slot(t.Context(), keytree.Recordings, 1); err == nil {
		t.Error("cleared keys still derive")
	}
	if _, err := keys.Slot(t.Context(), keytree.Recordings, 1); err != nil {
		t.Errorf("keys that were followed: %v", err)
	}
}

func BenchmarkNeighbours(b *testing.B) {
	p := provider(b)
	h := plant(b, p)
	for name, how := range map[string]func(*keytree.Keys) *keytree.Keys{
		"alone":    func(k *keytree.Keys) *keytree.Keys { return k },
		"followed": (*keytree.Keys).Follow,
	} {
		b.Run(name, func(b *testing.B) {
			keys, err := keytree.Unwrap(b.Context(), p, nil, h)
			if err != nil {
				b.Fatal(err)
			}
			keys = how(keys)
			for slot := uint64(0); b.Loop(); slot++ {
				if _, err := keys.Slot(b.Context(), keytree.Recordings, slot); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUnwrapDEK is what a request derives to read one recording.
func BenchmarkUnwrapDEK(b *testing.B) {
	p := provider(b)
	h := plant(b, p)
	keys, err := keytree.Unwrap(b.Context(), p, nil, h)
	if err != nil {
		b.Fatal(err)
	}
	id := recording.Identity{Tenant: h.Tenant, Recording: recording.NewID(), Version: recording.NewVersion()}
	slots := keytree.Slots{Recording: 1 << 20, Subject: 1 << 10, Day: 20_000}
	wrapped, err := keys.WrapDEK(b.Context(), id, slots, keytree.NewKey())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.UnwrapDEK(b.Context(), id, slots, wrapped[:]); err != nil {
			b.Fatal(err)
		}
	}
}
