package keytree

import "context"

// trails remembers the way to the last slot of each tree, so that the key of
// one nearby costs the steps that differ instead of all of them.
type trails [trees]trail

type trail struct {
	walked bool // the rest says something
	slot   uint64
	nodes  [depth + 1]holder // from the tree's top to the leaf
	pages  [depth]*page      // of the explicit ones, as far as they were needed
}

// Follow gives a copy of k that remembers the nodes it last derived. It gives
// the same keys, sooner when slots are asked for in their order. It is for one
// goroutine, and to be cleared like any Keys.
func (k *Keys) Follow() *Keys {
	f := *k
	f.trails = &trails{}
	return &f
}

// slotKey is Keys.Slot from where the last one left.
func (t *trails) slotKey(ctx context.Context, k *Keys, tree Tree, slot uint64) (Key, error) {
	way := &t[tree-1]
	from := 0
	if way.walked {
		from = shared(way.slot, slot)
	} else {
		way.nodes[0] = *k.top.of(tree)
	}
	for level := from; level < depth; level++ {
		if err := way.step(ctx, k, nodeOf(tree, level, slot), slot); err != nil {
			way.clear()
			return Key{}, err
		}
	}
	way.walked, way.slot = true, slot
	return way.nodes[depth].leaf(tree, slot)
}

// step goes from a node on the way to its child. Pages below are another node's.
func (w *trail) step(ctx context.Context, k *Keys, at Node, slot uint64) error {
	level := int(at.Level)
	if level+1 < depth && w.pages[level+1] != nil {
		w.pages[level+1].clear()
		w.pages[level+1] = nil
	}
	h := &w.nodes[level]
	if h.kind != explicit {
		w.nodes[level+1] = h.below(k.tenant, at, slot)
		return ctx.Err()
	}
	if w.pages[level] == nil {
		below, err := h.children(func() ([]byte, error) { return k.unseal(ctx, h, slot) }, k.tenant, at)
		if err != nil {
			return err
		}
		w.pages[level] = below
	}
	w.nodes[level+1] = w.pages[level][at.toward(slot)]
	return nil
}

// shared counts the steps from the top that two slots have in common.
func shared(a, b uint64) int {
	level := 0
	for level < depth && a>>(slotBits-fanOutBits*(level+1)) == b>>(slotBits-fanOutBits*(level+1)) {
		level++
	}
	return level
}

func (w *trail) clear() {
	for _, p := range w.pages {
		if p != nil {
			p.clear()
		}
	}
	*w = trail{}
}

func (t *trails) clear() {
	if t != nil {
		for i := range t {
			t[i].clear()
		}
	}
}
