package keytree

import (
	"encoding/binary"

	"github.com/lethe-vault/lethe/recording"
)

// trees is how many trees hang from a root.
const trees = 4

// tops holds the top node of each tree, in their order. It holds keys: clear it.
type tops [trees]holder

// of is the holder of a tree's top.
func (t *tops) of(tree Tree) *holder { return &t[tree-1] }

func (t *tops) clear() { clear(t[:]) }

// deriveTops derives the tops of trees beneath which nothing was forgotten.
func deriveTops(root *Key, tenant recording.Tenant) (t tops) {
	for i := range t {
		t[i] = holder{kind: implicit, key: treeSecret(root, tenant, Tree(i+1))}
	}
	return t
}

// seal seals the top page of an epoch, which stands in its head.
func (t *tops) seal(root Key, tenant recording.Tenant, epoch uint64) ([]byte, error) {
	plain := make([]byte, 0, trees*explicitSize)
	defer func() { clear(plain[:cap(plain)]) }()
	for i := range t {
		plain = t[i].append(plain)
	}
	return Seal(root, labelTop, topBind(tenant, epoch), plain)
}

// openTops unseals what seal sealed.
func openTops(root Key, tenant recording.Tenant, epoch uint64, sealed []byte) (t tops, err error) {
	plain, err := Open(root, labelTop, topBind(tenant, epoch), sealed)
	if err != nil {
		return t, err
	}
	defer clear(plain)
	rest := plain
	for i := range t {
		n, err := size(rest)
		if err != nil {
			return tops{}, err
		}
		t[i].parse(rest, tenant, Node{Tree: Tree(i + 1)})
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return tops{}, ErrPage
	}
	return t, nil
}

// topBind is tenant(16) ‖ epoch(8).
func topBind(tenant recording.Tenant, epoch uint64) []byte {
	return binary.BigEndian.AppendUint64(tenant[:], epoch)
}
