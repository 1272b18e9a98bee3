package disclosure_test

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// kind of a violation.
type kind string

const (
	reachable kind = "erased but reachable"
	lost      kind = "live but lost"
	changed   kind = "a survivor's key has changed"
)

// violation is one way in which a world is not as it ought to be.
type violation struct {
	kind kind
	what string
}

type violations []violation

func (v *violations) add(k kind, format string, args ...any) {
	*v = append(*v, violation{k, fmt.Sprintf(format, args...)})
}

func (v violations) has(k kind) bool {
	return slices.ContainsFunc(v, func(of violation) bool { return of.kind == k })
}

// liveSlots is every slot that something may still need, in order.
func (w *world) liveSlots() []keytree.Slot {
	live := map[keytree.Slot]bool{
		{Tree: keytree.Subjects, Number: keytree.Nobody}:          true,
		{Tree: keytree.Days}:                                      true,
		{Tree: keytree.System, Number: keytree.SettingsSlot()}:    true,
		{Tree: keytree.System, Number: keytree.CredentialsSlot()}: true,
		{Tree: keytree.System, Number: w.generations[0]}:          true,
	}
	for _, n := range w.subjects {
		live[keytree.Slot{Tree: keytree.Subjects, Number: n}] = true
	}
	for _, n := range w.days {
		live[keytree.Slot{Tree: keytree.Days, Number: n}] = true
	}
	for _, r := range w.live {
		live[keytree.Slot{Tree: keytree.Recordings, Number: r.slots.Recording}] = true
	}
	return inOrder(live)
}

// check compares the world with what it ought to be.
func (w *world) check() (v violations) {
	w.checkReaders(&v)
	w.checkAttacker(&v)
	return v
}

// checkReaders sees that who may read can: a replica at the newest head, one that
// is behind, and the second implementation.
func (w *world) checkReaders(v *violations) {
	head := w.newest()
	keys, err := w.open(head)
	if err != nil {
		v.add(lost, "everything: the newest head, of epoch %d, does not open: %v", head.Epoch, err)
		return
	}
	defer keys.Clear()
	live := w.liveSlots()
	w.checkKeys(v, fmt.Sprintf("under the head of epoch %d", head.Epoch), keys, live)
	if len(w.stale) > 0 {
		behind := w.stale[w.rng.IntN(len(w.stale))]
		w.checkKeys(v, fmt.Sprintf("at epoch %d, under keys of epoch %d", head.Epoch, behind.Epoch()), behind, live)
	}
	for range min(6, len(w.live)) { // of the others, all slots were seen
		r := w.live[w.rng.IntN(len(w.live))]
		dek, err := keys.UnwrapDEK(w.t.Context(), r.id, r.slots, r.wrapped[:])
		if err != nil || !dek.Equal(r.dek) {
			v.add(lost, "a recording in %v at epoch %d: %v", r.slots, head.Epoch, err)
		}
	}
	w.checkDocumented(v, head, live)
}

// checkKeys derives slots in their order.
func (w *world) checkKeys(v *violations, who string, keys *keytree.Keys, live []keytree.Slot) {
	follow := keys.Follow()
	defer follow.Clear()
	for _, s := range live {
		key, err := follow.Slot(w.t.Context(), s.Tree, s.Number)
		if err != nil {
			v.add(lost, "slot %v %s: %v", s, who, err)
		} else if [32]byte(key.Bytes()) != w.truth.key(asDocumented(s)) {
			v.add(changed, "slot %v %s", s, who)
		}
	}
}

// checkDocumented has the second implementation open a few slots.
func (w *world) checkDocumented(v *violations, head keytree.Head, live []keytree.Slot) {
	h := attackersHead(w.t, head)
	root, ok := w.unwrap(h)
	tree, err := decryptor.OpenTree(h, root, decryptor.StoredPacks(w.tenant, w.packs))
	if !ok || err != nil {
		v.add(lost, "everything, for the second implementation, at epoch %d: %v", h.Epoch, err)
		return
	}
	for range 3 {
		s := asDocumented(live[w.rng.IntN(len(live))])
		if key, err := tree.Key(s); err != nil {
			v.add(lost, "slot %v at epoch %d, for the second implementation: %v", s, h.Epoch, err)
		} else if key != w.truth.key(s) {
			v.add(changed, "slot %v at epoch %d, for the second implementation", s, h.Epoch)
		}
		if len(w.gone) == 0 {
			continue
		}
		s = asDocumented(w.gone[w.rng.IntN(len(w.gone))])
		if _, err := tree.Key(s); !errors.Is(err, decryptor.ErrPunctured) {
			v.add(reachable, "slot %v at epoch %d, by the second implementation: %v", s, h.Epoch, err)
		}
	}
}

// checkAttacker sees that who arrives now has nothing of what is gone. That he
// has what lives shows that he looks in the right places.
func (w *world) checkAttacker(v *violations) {
	w.attacker.Close(w.unwrap)
	seen := map[[32]byte]bool{}
	for _, s := range w.gone {
		w.checkGone(v, asDocumented(s), seen)
	}
	if len(w.gone) > 0 && w.attacker.Knows(w.truth.root) {
		v.add(reachable, "everything: the first root is known")
	}
	if len(w.gone) == len(w.asked) {
		for _, r := range w.erased {
			if dek, ok := w.attacker.Opens([48]byte(r.id.Append(nil))); ok {
				v.add(reachable, "a recording that was in %v; its own data key: %v", r.slots, dek == [32]byte(r.dek.Bytes()))
			}
		}
	}
	if len(*v) > 0 {
		return // what is lost, he does not have either
	}
	for _, s := range w.liveSlots() {
		if key, ok := w.attacker.Reaches(asDocumented(s)); !ok || key != w.truth.key(asDocumented(s)) {
			w.t.Fatalf("the attacker does not find slot %v, which lives: he is no attacker", s)
		}
	}
	if len(w.live) > 0 {
		r := w.live[w.rng.IntN(len(w.live))]
		if dek, ok := w.attacker.Opens([48]byte(r.id.Append(nil))); !ok || dek != [32]byte(r.dek.Bytes()) {
			w.t.Fatalf("the attacker does not open a recording in %v, which lives: he is no attacker", r.slots)
		}
	}
}

// checkGone sees that neither the key of a slot nor anything from which it follows
// is known. seen has the secrets that were asked about before.
func (w *world) checkGone(v *violations, s decryptor.Slot, seen map[[32]byte]bool) {
	if key, ok := w.attacker.Reaches(s); ok {
		v.add(reachable, "slot %v; with its own key: %v", s, key == w.truth.key(s))
	}
	for level := 8; level >= 0 && !seen[w.truth.at(s, level)]; level-- {
		secret := w.truth.at(s, level)
		seen[secret] = true
		if w.attacker.Knows(secret) {
			v.add(reachable, "slot %v: a secret on the way to it is known", s)
		}
	}
}
