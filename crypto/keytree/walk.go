package keytree

import "context"

// Packs gives the packs in which the pages stand that k leads to: all that its head
// needs of the store. It reads every page above the last level, so its time grows with
// what was ever punctured.
func (k *Keys) Packs(ctx context.Context) (map[PackID]bool, error) {
	if !k.live {
		return nil, errCleared
	}
	in := map[PackID]bool{}
	for tree := Recordings; tree <= System; tree++ {
		if err := k.addPacks(ctx, k.top.of(tree), Node{Tree: tree}, in); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// addPacks adds those of the pages from a node down.
func (k *Keys) addPacks(ctx context.Context, h *holder, at Node, in map[PackID]bool) error {
	if h.kind != explicit {
		return ctx.Err()
	}
	in[h.page.Pack] = true
	if at.Level == depth-1 { // below are slots
		return nil
	}
	below, err := h.children(func() ([]byte, error) { return k.unseal(ctx, h, at.first()) }, k.tenant, at)
	if err != nil {
		return err
	}
	defer below.clear()
	for i := range below {
		if err := k.addPacks(ctx, &below[i], at.child(i), in); err != nil {
			return err
		}
	}
	return nil
}

// first is the first slot below n.
func (n Node) first() uint64 { return n.Index << (slotBits - fanOutBits*uint(n.Level)) }
