package keytree_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// punctured commits an epoch after h in which slots are gone.
func punctured(t testing.TB, p keytree.Provider, s keytree.Store, h keytree.Head, slots ...keytree.Slot) keytree.Head {
	t.Helper()
	keys := open(t, p, s, h)
	defer keys.Clear()
	next, err := keys.Puncture(t.Context(), slots)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Clear()
	head, err := next.Commit(t.Context(), p, s, h.Version)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func open(t testing.TB, p keytree.Provider, s keytree.Store, h keytree.Head) *keytree.Keys {
	t.Helper()
	keys, err := keytree.Unwrap(t.Context(), p, keytree.InStore(s), h)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func slotKey(t testing.TB, k *keytree.Keys, s keytree.Slot) keytree.Key {
	t.Helper()
	key, err := k.Slot(t.Context(), s.Tree, s.Number)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func randomSlot() keytree.Slot {
	trees := []keytree.Tree{keytree.Recordings, keytree.Subjects, keytree.Days}
	pick, _ := rand.Int(rand.Reader, big.NewInt(int64(len(trees))))
	spread, _ := rand.Int(rand.Reader, big.NewInt(4)) // close by, near, anywhere
	limit := []int64{40, 2_000, 1 << 20, keytree.MaxSlot}[spread.Int64()]
	n, _ := rand.Int(rand.Reader, big.NewInt(limit))
	return keytree.Slot{Tree: trees[pick.Int64()], Number: n.Uint64() + 1}
}

func TestPuncture(t *testing.T) {
	p, s := provider(t), store(t)
	head := plantIn(t, p, s)
	stale := open(t, p, s, head)
	defer stale.Clear()
	live := map[keytree.Slot]keytree.Key{}
	dead := map[keytree.Slot]bool{}
	for range 200 {
		slot := randomSlot()
		live[slot] = slotKey(t, stale, slot)
	}
	for range 12 {
		var slots []keytree.Slot
		for slot := range live {
			if len(slots) < 10 {
				slots = append(slots, slot)
				delete(live, slot)
				dead[slot] = true
			}
		}
		head = punctured(t, p, s, head, slots...)
		keys := open(t, p, s, head)
		follow := keys.Follow()
		for slot, want := range live {
			if got := slotKey(t, keys, slot); !got.Equal(want) {
				t.Fatalf("epoch %d: key of %v has changed", head.Epoch, slot)
			}
			if got := slotKey(t, follow, slot); !got.Equal(want) {
				t.Fatalf("epoch %d: key of %v is another when followed", head.Epoch, slot)
			}
			if got := slotKey(t, stale, slot); !got.Equal(want) {
				t.Fatalf("key of %v is another under an old root", slot)
			}
		}
		for slot := range dead {
			if _, err := keys.Slot(t.Context(), slot.Tree, slot.Number); !errors.Is(err, keytree.ErrPunctured) {
				t.Fatalf("epoch %d: %v, punctured, gives %v", head.Epoch, slot, err)
			}
			if _, err := follow.Slot(t.Context(), slot.Tree, slot.Number); !errors.Is(err, keytree.ErrPunctured) {
				t.Fatalf("epoch %d: %v, punctured, gives %v when followed", head.Epoch, slot, err)
			}
		}
		follow.Clear()
		keys.Clear()
	}
}

// What an epoch costs follows from its slots, not from how many there are.
func TestPunctureIsSmall(t *testing.T) {
	p, s := provider(t), store(t)
	keys := open(t, p, s, plantIn(t, p, s))
	next, err := keys.Puncture(t.Context(), []keytree.Slot{{Tree: keytree.Recordings, Number: 123_456_789}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(next.Pages()); n != 8 || next.Bytes() > 9_000 || len(next.Superseded) != 0 {
		t.Errorf("one puncture of a fresh tree wrote %d pages and %d bytes, and superseded %d pages", n, next.Bytes(), len(next.Superseded))
	}
}

// A node of which nothing is left needs no page.
func TestWhatIsWhollyGoneNeedsNoPage(t *testing.T) {
	p, s := provider(t), store(t)
	head := plantIn(t, p, s)
	var all []keytree.Slot
	for n := range uint64(32) {
		all = append(all, keytree.Slot{Tree: keytree.Recordings, Number: 64 + n})
	}
	head = punctured(t, p, s, head, all[:31]...)
	head = punctured(t, p, s, head, all...) // of which most are gone already
	pack, err := keytree.ReadPack(t.Context(), s, head)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(pack.Pages); n != 7 {
		t.Errorf("%d pages, want those of levels 0 to 6", n)
	}
	keys := open(t, p, s, head)
	for _, slot := range all {
		if _, err := keys.Slot(t.Context(), slot.Tree, slot.Number); !errors.Is(err, keytree.ErrPunctured) {
			t.Errorf("%v: %v", slot, err)
		}
	}
	again := punctured(t, p, s, head, all[3])
	if pack, err = keytree.ReadPack(t.Context(), s, again); err != nil || len(pack.Slots) != 1 {
		t.Errorf("puncturing what is gone: %d slots, %v", len(pack.Slots), err)
	}
	slotKey(t, open(t, p, s, again), keytree.Slot{Tree: keytree.Recordings, Number: 96})
}

func TestSomeSlotsAreNeverPunctured(t *testing.T) {
	p, s := provider(t), store(t)
	keys := open(t, p, s, plantIn(t, p, s))
	for _, slot := range []keytree.Slot{
		{Tree: keytree.Subjects, Number: keytree.Nobody},
		{Tree: keytree.Days, Number: keytree.DaySlot(0, time.Unix(1_700_000_000, 0))},
		{Tree: keytree.System, Number: keytree.SettingsSlot()},
		{Tree: keytree.System, Number: keytree.CredentialsSlot()},
	} {
		if _, err := keys.Puncture(t.Context(), []keytree.Slot{slot}); !errors.Is(err, keytree.ErrKept) {
			t.Errorf("%v: %v, want ErrKept", slot, err)
		}
	}
	for _, slot := range []keytree.Slot{
		{Tree: keytree.System, Number: keytree.IndexSlot(1)},
		{Tree: keytree.System, Number: keytree.AuditSlot(time.Unix(1_700_000_000, 0))},
	} {
		if _, err := keys.Puncture(t.Context(), []keytree.Slot{slot}); err != nil {
			t.Errorf("%v: %v", slot, err)
		}
	}
	for _, slot := range []keytree.Slot{{}, {Tree: 5, Number: 1}, {Tree: 1, Number: keytree.MaxSlot + 1}} {
		if _, err := keys.Puncture(t.Context(), []keytree.Slot{slot}); err == nil {
			t.Errorf("%v was punctured", slot)
		}
	}
	keys.Clear()
	if _, err := keys.Puncture(t.Context(), []keytree.Slot{{Tree: 1, Number: 1}}); err == nil {
		t.Error("keys that were cleared have been punctured")
	}
}

func TestOneEpochFollowsAnother(t *testing.T) {
	p, s := provider(t), store(t)
	head := plantIn(t, p, s)
	keys := open(t, p, s, head)
	one, err := keys.Puncture(t.Context(), []keytree.Slot{{Tree: 1, Number: 1}})
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.Puncture(t.Context(), []keytree.Slot{{Tree: 1, Number: 2}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Commit(t.Context(), p, s, head.Version); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Commit(t.Context(), p, s, head.Version); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second head of the epoch: %v, want fs.ErrExist", err)
	}
}

// overlaid is a store in which someone has changed blobs.
type overlaid struct {
	keytree.Store
	pages map[keytree.PageID][]byte
}

func (o overlaid) Page(ctx context.Context, id keytree.PageID, _ uint64) ([]byte, error) {
	return o.Stored(ctx, id)
}

func (o overlaid) Stored(ctx context.Context, id keytree.PageID) ([]byte, error) {
	if b, ok := o.pages[id]; ok {
		return b, nil
	}
	return keytree.InStore(o.Store).Stored(ctx, id)
}

// Whoever writes the store can make pages fail to open, and no more.
func TestPagesOpenOnlyWhereTheyBelong(t *testing.T) {
	p, s := provider(t), store(t)
	first := punctured(t, p, s, plantIn(t, p, s), keytree.Slot{Tree: 1, Number: 7})
	second := punctured(t, p, s, first, keytree.Slot{Tree: 1, Number: 8})
	old, err := keytree.ReadPack(t.Context(), s, first)
	if err != nil {
		t.Fatal(err)
	}
	now, err := keytree.ReadPack(t.Context(), s, second)
	if err != nil {
		t.Fatal(err)
	}
	for i, page := range now.Pages {
		flipped := bytes.Clone(page.Sealed)
		flipped[len(flipped)/2] ^= 1
		for what, sealed := range map[string][]byte{"flipped": flipped, "of the epoch before": old.Pages[i].Sealed, "empty": nil} {
			keys, err := keytree.Unwrap(t.Context(), p, overlaid{s, map[keytree.PageID][]byte{page.ID: sealed}}, second)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := keys.Slot(t.Context(), 1, 9); !errors.Is(err, keytree.ErrPage) {
				t.Errorf("level %d, %s: %v, want ErrPage", page.ID.Node.Level, what, err)
			}
		}
	}
	moved := second
	moved.Top = first.Top
	if _, err := keytree.Unwrap(t.Context(), p, nil, moved); !errors.Is(err, keytree.ErrBind) {
		t.Errorf("the top page of another epoch: %v, want ErrBind", err)
	}
	other := second
	other.PackSum[3] ^= 1
	if _, err := keytree.Unwrap(t.Context(), p, nil, other); !errors.Is(err, keytree.ErrBind) {
		t.Errorf("another pack: %v, want ErrBind", err)
	}
	if _, err := keytree.ReadPack(t.Context(), s, other); !errors.Is(err, keytree.ErrPack) {
		t.Errorf("a pack that is not its head's: %v, want ErrPack", err)
	}
}

func TestPacks(t *testing.T) {
	p, s := provider(t), store(t)
	want := []keytree.Slot{{Tree: 1, Number: 5}, {Tree: 1, Number: 900_000}, {Tree: 3, Number: 77}}
	reversed := slices.Clone(want)
	slices.Reverse(reversed)
	head := punctured(t, p, s, plantIn(t, p, s), append(reversed, want...)...)
	pack, err := keytree.ReadPack(t.Context(), s, head)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pack.Slots, want) {
		t.Errorf("slots %v, want %v", pack.Slots, want)
	}
	for _, page := range pack.Pages {
		b, err := keytree.InStore(s).Page(t.Context(), page.ID, 0)
		if err != nil || !bytes.Equal(b, page.Sealed) {
			t.Errorf("page of level %d is not where the pack says: %v", page.ID.Node.Level, err)
		}
	}
}

func FuzzParsePack(f *testing.F) {
	b := binary.BigEndian.AppendUint64(append([]byte("LETHEP1\x00"), make([]byte, 16)...), 3)
	b = append(b, 0, 0, 0, 1, 0, 0, 0, 1)
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0, 9)
	b = append(b, 1, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2, 0xaa, 0xbb)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := keytree.ParsePack(keytree.PackID{}, b)
		if err != nil {
			return
		}
		for _, page := range p.Pages {
			if end := int(page.ID.Offset) + int(page.ID.Length); end > len(b) || !bytes.Equal(b[page.ID.Offset:end], page.Sealed) {
				t.Errorf("page at %d of %d bytes", page.ID.Offset, len(b))
			}
		}
	})
}

func BenchmarkPuncture(b *testing.B) {
	for name, n := range map[string]int{"1": 1, "10000": 10_000} {
		b.Run(name, func(b *testing.B) {
			p, s := provider(b), store(b)
			keys := open(b, p, s, plantIn(b, p, s))
			for b.Loop() {
				slots := make([]keytree.Slot, n)
				for i := range slots {
					at, _ := rand.Int(rand.Reader, big.NewInt(10_000_000))
					slots[i] = keytree.Slot{Tree: keytree.Recordings, Number: at.Uint64() + 1}
				}
				next, err := keys.Puncture(b.Context(), slots)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(next.Bytes()), "bytes/op")
			}
		})
	}
}

func plantIn(t testing.TB, p keytree.Provider, s keytree.Store) keytree.Head {
	t.Helper()
	h, err := keytree.Plant(t.Context(), p, s, recording.NewTenant())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What takes the place of heads that are lost is bound to its own epoch, forgets what
// it is told to, and changes no key of what they have not forgotten.
func TestSupersede(t *testing.T) {
	p, s := provider(t), store(t)
	first := punctured(t, p, s, plantIn(t, p, s), keytree.Slot{Tree: keytree.Recordings, Number: 1})
	gone, kept := keytree.Slot{Tree: keytree.Recordings, Number: 2}, keytree.Slot{Tree: keytree.Recordings, Number: 3}
	lost := punctured(t, p, s, first, gone)
	keys := open(t, p, s, first)
	defer keys.Clear()
	for _, epoch := range []uint64{0, first.Epoch} {
		if _, err := keys.Supersede(t.Context(), epoch, []keytree.Slot{gone}); err == nil {
			t.Errorf("epoch %d after %d: no error", epoch, first.Epoch)
		}
	}
	for i, slots := range [][]keytree.Slot{nil, {gone}} {
		epoch := lost.Epoch + 1 + uint64(i)
		next, err := keys.Supersede(t.Context(), epoch, slots)
		if err != nil {
			t.Fatal(err)
		}
		head, err := next.Commit(t.Context(), p, s, first.Version)
		if err != nil || head.Epoch != epoch {
			t.Fatalf("head of epoch %d, want %d: %v", head.Epoch, epoch, err)
		}
		if pack, err := keytree.ReadPack(t.Context(), s, head); err != nil || pack.Epoch != epoch || len(pack.Slots) != len(slots) {
			t.Errorf("pack of epoch %d with %d slots: %v", pack.Epoch, len(pack.Slots), err)
		}
		now := open(t, p, s, head)
		if got := slotKey(t, now, kept); !got.Equal(slotKey(t, open(t, p, s, lost), kept)) {
			t.Error("a key that the lost head had has changed")
		}
		if _, err := now.Slot(t.Context(), gone.Tree, gone.Number); errors.Is(err, keytree.ErrPunctured) != (len(slots) > 0) {
			t.Errorf("%d slots: the slot that the lost head had punctured: %v", len(slots), err)
		}
		now.Clear()
	}
}

// hiding is a store that has lost some packs.
type hiding struct {
	keytree.Store
	packs map[string]bool
}

func (h hiding) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if h.packs[key] {
		return nil, fs.ErrNotExist
	}
	return h.Store.Open(ctx, key, off, n)
}

// A head needs the packs that it says, each of them, and no other.
func TestPacksOfAHead(t *testing.T) {
	p, s := provider(t), store(t)
	head := plantIn(t, p, s)
	var all []keytree.PackID
	for range 60 {
		head = punctured(t, p, s, head, randomSlot())
		all = append(all, head.Pack)
	}
	keys := open(t, p, s, head)
	defer keys.Clear()
	used, err := keys.Packs(t.Context())
	if err != nil || !used[head.Pack] || len(used) == len(all) {
		t.Fatalf("%d of %d packs are used, %v; want that of the head, and not all", len(used), len(all), err)
	}
	lost := map[string]bool{}
	for _, id := range all {
		if !used[id] {
			lost[keytree.PackKey(head.Tenant, id)] = true
		}
	}
	rest := open(t, p, hiding{s, lost}, head)
	defer rest.Clear()
	for range 2_000 {
		if _, err := rest.Slot(t.Context(), keytree.Recordings, randomSlot().Number); err != nil && !errors.Is(err, keytree.ErrPunctured) {
			t.Fatalf("without what is not used: %v", err)
		}
	}
	if again, err := rest.Packs(t.Context()); err != nil || !maps.Equal(again, used) {
		t.Errorf("Packs = %d packs, %v; want %d", len(again), err, len(used))
	}
	keys.Clear()
	if _, err := keys.Packs(t.Context()); err == nil {
		t.Error("Packs of cleared keys")
	}
}
