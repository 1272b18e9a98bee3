package disclosure_test

import (
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// truth is the secret of every node as it was when nothing had been forgotten.
// Whoever knows one of those on the way to a slot has the slot's key.
type truth struct {
	tenant  recording.Tenant
	root    [32]byte
	secrets map[decryptor.Node][32]byte
}

func newTruth(tenant recording.Tenant, root [32]byte) *truth {
	tr := &truth{tenant, root, map[decryptor.Node][32]byte{}}
	tops, err := decryptor.Head{Kind: decryptor.KindSeed, Tenant: tenant}.Tops(root)
	if err != nil {
		panic(err) // a seed has tops whatever the root
	}
	for i, top := range tops {
		tr.secrets[decryptor.Node{Tree: byte(i + 1)}] = top.Key
	}
	return tr
}

// at is the secret of a node on the way to a slot.
func (tr *truth) at(s decryptor.Slot, level int) [32]byte {
	n := s.Node(level)
	secret, ok := tr.secrets[n]
	if !ok {
		above := s.Node(level - 1)
		secret = decryptor.Child(tr.at(s, level-1), tr.tenant, above, int(n.Index&31))
		tr.secrets[n] = secret
	}
	return secret
}

// key is the key that a slot has for as long as it has one.
func (tr *truth) key(s decryptor.Slot) [32]byte { return tr.at(s, 8) }

// asDocumented is a slot in the words of the second implementation.
func asDocumented(s keytree.Slot) decryptor.Slot {
	return decryptor.Slot{Tree: byte(s.Tree), Number: s.Number}
}
