// Package keytree is the tree of keys that hang from a tenant's root, built so
// that each can be forgotten alone: one per recording, data subject, retention
// day and purpose of the system. The construction, its sizes and its security
// argument are docs/keys.md; it is a punctured PRF tree after Goldreich,
// Goldwasser and Micali (J. ACM 33, 1986), with fan-out 32 and depth 8.
//
// The root itself stays at a Provider, which wraps it and never gives out its
// own key. The package knows neither our blob store nor our catalog: what it
// needs of a store it declares as Store.
package keytree

import (
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/lethe-vault/lethe/recording"
)

// Tree is one of the four trees under a root.
type Tree byte

// The four trees.
const (
	Recordings Tree = 1 // a slot for each stored recording
	Subjects   Tree = 2 // a slot for each data subject; Nobody where none is named
	Days       Tree = 3 // a slot for each retention class and expiry day
	System     Tree = 4 // blind-index generations, audit months, credentials, settings
)

// The shape of a tree: 32^8 = 2^40 slots.
const (
	fanOutBits = 5
	fanOut     = 1 << fanOutBits
	depth      = 8
	slotBits   = fanOutBits * depth
	MaxSlot    = 1<<slotBits - 1
)

// Nobody is the subject slot of recordings that name no data subject. It is
// never handed out and never punctured.
const Nobody uint64 = 0

// treeSecret derives the secret of a tree's top node from the root's.
func treeSecret(root *Key, tenant recording.Tenant, t Tree) Key {
	info := append([]byte(labelTree), tenant[:]...)
	return expand(root, append(info, byte(t)))
}

// childSecret derives child i of a node.
func childSecret(secret *Key, tenant recording.Tenant, at Node, i byte) Key {
	info := append([]byte(labelChild), tenant[:]...)
	return expand(secret, append(at.append(info), i))
}

// expand is HKDF-Expand with SHA-256 (RFC 5869, section 2.3) to 32 bytes.
func expand(secret *Key, info []byte) (k Key) {
	out, err := hkdf.Expand(sha256.New, secret.Bytes(), string(info), KeySize)
	if err != nil {
		panic("keytree: HKDF refused 32 bytes: " + err.Error()) // its limit is 255 × 32
	}
	copy(k.Bytes(), out)
	clear(out)
	return k
}
