package keytree

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// ErrKept: the slot is one without which a tenant cannot go on, or in which all
// lie that have none of their own.
var ErrKept = errors.New("keytree: this slot is never punctured")

var errNoSlots = errors.New("keytree: an epoch without a slot to puncture")

// A Next is the epoch that follows another, in memory: it becomes one when its
// head is committed. It holds keys: clear it.
type Next struct {
	Slots      []Slot   // it punctures, sorted
	Superseded []PageID // pages that no holder of this epoch leads to any more

	head Head // but for version and wrapped root
	root Key  // of the top page
	pack *packing
}

// Puncture makes the next epoch of k's, in which no key of slots can be derived.
// Every page on the way to one gets a fresh key, and so does the root; all other
// slots keep their keys. Puncturing what is punctured is not an error.
//
// ErrKept: a slot must not be punctured. Else the errors of Pages.
func (k *Keys) Puncture(ctx context.Context, slots []Slot) (*Next, error) {
	if len(slots) == 0 {
		return nil, errNoSlots
	}
	return k.Supersede(ctx, k.epoch+1, slots)
}

// Supersede is Puncture for a later epoch than the next: one that takes the place of
// heads that open no more, of which k knows nothing. Whoever calls it puts into slots
// what those have punctured, which may be nothing.
func (k *Keys) Supersede(ctx context.Context, epoch uint64, slots []Slot) (*Next, error) {
	if !k.live {
		return nil, errCleared
	}
	if epoch <= k.epoch {
		return nil, fmt.Errorf("keytree: epoch %d does not come after %d", epoch, k.epoch)
	}
	slots, err := sorted(slots)
	if err != nil {
		return nil, err
	}
	n := &Next{Slots: slots, root: NewKey(), pack: newPacking(k.tenant, epoch, slots)}
	next := k.top
	defer next.clear()
	for rest := slots; len(rest) > 0; {
		tree := rest[0].Tree
		same := leading(rest, func(s Slot) bool { return s.Tree == tree })
		top := next.of(tree)
		if err := n.rekey(ctx, k, top, Node{Tree: tree}, rest[:same]); err != nil {
			n.Clear()
			return nil, err
		}
		rest = rest[same:]
	}
	top, err := next.seal(n.root, k.tenant, epoch)
	if err != nil {
		n.Clear()
		return nil, err
	}
	n.head = Head{
		Kind: HeadPunctured, Tenant: k.tenant, Epoch: epoch,
		Pack: n.pack.id, PackSum: sha256.Sum256(n.pack.bytes()), Top: top,
	}
	return n, nil
}

// sorted gives slots in order, each once.
func sorted(slots []Slot) ([]Slot, error) {
	if len(slots) > MostPunctures {
		return nil, fmt.Errorf("keytree: an epoch punctures %d slots at most, not %d", MostPunctures, len(slots))
	}
	for _, s := range slots {
		if err := s.MayGo(); err != nil {
			return nil, err
		}
	}
	slots = slices.Clone(slots)
	slices.SortFunc(slots, Slot.Compare)
	return slices.Compact(slots), nil
}

// Compare is the order in which slots that lie side by side come one after another.
func (s Slot) Compare(o Slot) int {
	return cmp.Or(cmp.Compare(s.Tree, o.Tree), cmp.Compare(s.Number, o.Number))
}

// MayGo refuses a slot that does not exist, or that is never punctured: ErrKept.
func (s Slot) MayGo() error {
	if err := s.check(); err != nil {
		return err
	}
	if s.Number == 0 || s.Tree == System && s.Number < systemIndex<<32 {
		return fmt.Errorf("%w: %d of tree %d", ErrKept, s.Number, s.Tree)
	}
	return nil
}

// check refuses a slot that no tree has.
func (s Slot) check() error {
	if s.Tree < Recordings || s.Tree > System || s.Number > MaxSlot {
		return fmt.Errorf("keytree: no tree has slot %d of %d", s.Number, s.Tree)
	}
	return nil
}

func leading[T any](s []T, is func(T) bool) int {
	n := slices.IndexFunc(s, func(v T) bool { return !is(v) })
	if n < 0 {
		return len(s)
	}
	return n
}

// rekey replaces the holder of a node by one with a fresh page, in which the slots
// below it are gone. What is wholly gone needs no page.
func (n *Next) rekey(ctx context.Context, k *Keys, h *holder, at Node, slots []Slot) error {
	if h.kind == gone {
		return nil
	}
	below, err := h.children(func() ([]byte, error) { return k.unseal(ctx, h, slots[0].Number) }, k.tenant, at)
	if err != nil {
		return err
	}
	defer below.clear()
	if h.kind == explicit {
		n.Superseded = append(n.Superseded, h.page)
	}
	for rest := slots; len(rest) > 0; {
		i := at.toward(rest[0].Number)
		same := leading(rest, func(s Slot) bool { return at.toward(s.Number) == i })
		if at.Level == depth-1 {
			below[i] = holder{}
		} else if err := n.rekey(ctx, k, &below[i], at.child(i), rest[:same]); err != nil {
			return err
		}
		rest = rest[same:]
	}
	if below.empty() {
		*h = holder{}
		return nil
	}
	return n.write(below, h, at)
}

// write seals a page under a fresh key into the pack, and makes h its holder.
func (n *Next) write(below *page, h *holder, at Node) error {
	key := NewKey()
	sealed, err := below.seal(key, n.pack.tenant, at, n.pack.epoch)
	if err != nil {
		return err
	}
	*h = holder{kind: explicit, key: key, page: n.pack.add(at, sealed)}
	return nil
}

// Pages are those that the epoch has written.
func (n *Next) Pages() []Page { return n.pack.pages }

// Bytes is the length of its pack.
func (n *Next) Bytes() int { return len(n.pack.b) }

// Commit makes the epoch the tenant's next: its pack is created, its root wrapped
// under exactly that version at the provider, and its head created exclusively,
// which is the moment of it. Killed before, it never was. The error of one that
// comes late is fs.ErrExist.
func (n *Next) Commit(ctx context.Context, p Provider, s Store, version int) (Head, error) {
	if err := createPack(ctx, s, n.pack); err != nil {
		return Head{}, err
	}
	h := n.head
	h.Version = version
	// gofail: var rootWrap string
	// return Head{}, failpoint(rootWrap)
	var err error
	if h.Wrapped, err = p.Wrap(ctx, RootOf(h.Tenant), version, n.root, h.bind()); err != nil {
		return Head{}, fmt.Errorf("wrap root of epoch %d of %v: %w", h.Epoch, h.Tenant, err)
	}
	return h, Commit(ctx, s, h)
}

// Clear overwrites the root.
func (n *Next) Clear() { n.root.Clear() }
