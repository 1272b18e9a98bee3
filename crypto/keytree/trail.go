package keytree

import "github.com/lethe-vault/lethe/recording"

// trails remembers the way to the last slot of each tree, so that the key of
// one nearby costs the steps that differ instead of all of them.
type trails [System + 1]trail

type trail struct {
	slot  uint64
	nodes [depth + 1]Key // from the tree's top to the leaf; zero: nothing walked yet
}

// Follow gives a copy of k that remembers the nodes it last derived. It gives
// the same keys, sooner when slots are asked for in their order. It is for one
// goroutine, and to be cleared like any Keys.
func (k *Keys) Follow() *Keys {
	f := *k
	f.trails = &trails{}
	return &f
}

// slotKey is slotKey from where the last one left.
func (t *trails) slotKey(root *Key, tenant recording.Tenant, tree Tree, slot uint64) Key {
	way := &t[tree]
	from := 0
	if way.nodes[0].IsZero() {
		way.nodes[0] = treeSecret(root, tenant, tree)
	} else {
		from = shared(way.slot, slot)
	}
	for level := from; level < depth; level++ {
		way.nodes[level+1] = childOn(&way.nodes[level], tenant, tree, level, slot)
	}
	way.slot = slot
	return way.nodes[depth]
}

// shared counts the steps from the top that two slots have in common.
func shared(a, b uint64) int {
	level := 0
	for level < depth && a>>(slotBits-fanOutBits*(level+1)) == b>>(slotBits-fanOutBits*(level+1)) {
		level++
	}
	return level
}

func (t *trails) clear() {
	if t != nil {
		clear(t[:])
	}
}
