package decryptor

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// The trees that hang from a root; docs/keys.md, The tree.
const (
	Recordings byte = 1
	Subjects   byte = 2
	Days       byte = 3
	System     byte = 4
)

const (
	depth     = 8
	slotCount = 1 << 40 // in each tree
)

// Slot is one leaf of one tree.
type Slot struct {
	Tree   byte
	Number uint64
}

func (s Slot) exists() bool { return s.Tree >= Recordings && s.Tree <= System && s.Number < slotCount }

// Node is the node of a level on the way to the slot; level 8 is the slot's own.
func (s Slot) Node(level int) Node {
	return Node{s.Tree, byte(level), s.Number >> (40 - 5*level)}
}

// Node is a place in a tree: level 0 is the top, and index counts within a level.
type Node struct {
	Tree, Level byte
	Index       uint64
}

func (n Node) exists() bool {
	return n.Tree >= Recordings && n.Tree <= System && n.Level < depth && n.Index < 1<<(5*n.Level)
}

// Child is the place of child i.
func (n Node) Child(i int) Node { return Node{n.Tree, n.Level + 1, n.Index<<5 | uint64(i)} }

// toward is the number of the child of n that lies on the way to a slot.
func (n Node) toward(slot uint64) int { return int(slot>>(35-5*n.Level)) & 31 }

// append is t(1) ‖ level(1) ‖ index(8), as labels and packs have it.
func (n Node) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, n.Tree, n.Level), n.Index)
}

// Child derives the secret of child i of a node of a tenant's.
func Child(secret [32]byte, tenant [16]byte, n Node, i int) [32]byte {
	return expand(secret, append(join("lethe/v1/child", tenant[:], n.append(nil)), byte(i)))
}

// Derive gives the key of a slot below a node whose secret is known.
func Derive(secret [32]byte, tenant [16]byte, n Node, s Slot) [32]byte {
	for ; n.Level < depth; n = n.Child(n.toward(s.Number)) {
		secret = Child(secret, tenant, n, n.toward(s.Number))
	}
	return secret
}

// Packs gives length bytes, from offset, of the pack with that id. Its error is
// ErrMissing when there is no such pack, or less of it.
type Packs func(pack [16]byte, offset uint32, length uint16) ([]byte, error)

// StoredPacks finds a tenant's packs among blobs by their keys.
func StoredPacks(tenant [16]byte, stored map[string][]byte) Packs {
	return func(pack [16]byte, offset uint32, length uint16) ([]byte, error) {
		b, ok := stored[fmt.Sprintf("pages/%s/%x", inKeys(tenant), pack)]
		if !ok || uint64(offset)+uint64(length) > uint64(len(b)) {
			return nil, fmt.Errorf("pack %x: %w", pack, ErrMissing)
		}
		return b[offset:][:length], nil
	}
}

// Tree gives the keys that a tenant has under one of its heads.
type Tree struct {
	tenant [16]byte
	tops   [4]Holder
	packs  Packs
}

// OpenTree opens the tree under a head whose unwrapped root is given. Under one
// of kind seed nothing is punctured, and there are no packs to ask.
func OpenTree(h Head, root [32]byte, packs Packs) (Tree, error) {
	tops, err := h.Tops(root)
	if err != nil {
		return Tree{}, err
	}
	return Tree{tenant: h.Tenant, tops: tops, packs: packs}, nil
}

// Key gives the key of a slot: by pages as far as nodes are explicit, and by
// derivation from there. ErrPunctured: it was forgotten.
func (t Tree) Key(s Slot) (key [32]byte, err error) {
	if !s.exists() {
		return key, fmt.Errorf("slot: %w", ErrFormat)
	}
	n, h := Node{Tree: s.Tree}, t.tops[s.Tree-1]
	for h.Kind == Explicit {
		if n.Level == depth {
			return key, fmt.Errorf("a slot has no page: %w", ErrFormat)
		}
		sealed, err := t.packs(h.Pack, h.Offset, h.Length)
		if err != nil {
			return key, err
		}
		page, err := OpenPage(h.Key, t.tenant, n, h.Epoch, sealed)
		if err != nil {
			return key, err
		}
		i := n.toward(s.Number)
		n, h = n.Child(i), page[i]
	}
	if h.Kind == Gone {
		return key, fmt.Errorf("slot %d of tree %d: %w", s.Number, s.Tree, ErrPunctured)
	}
	return Derive(h.Key, t.tenant, n, s), nil
}

// Wrap is a data key as it is wrapped; docs/keys.md, From slots to a recording.
type Wrap struct {
	Identity [48]byte // tenant ‖ recording ‖ version
	Slots    [3]Slot  // recording, subject, day
	Wrapped  [60]byte
}

// WrapOf reads the wrapped data key in the prefix of a stored blob.
func WrapOf(blob []byte) (Wrap, error) {
	p, err := parsePrefix(blob)
	return p.wrap, err
}

// wrapped reads a wrap whose identity, slots and wrapped data key are given.
func wrapped(identity, slots, dek []byte) Wrap {
	w := Wrap{Identity: [48]byte(identity), Wrapped: [60]byte(dek)}
	for i, tree := range []byte{Recordings, Subjects, Days} {
		w.Slots[i] = Slot{tree, binary.BigEndian.Uint64(slots[8*i:])}
	}
	return w
}

// Open unwraps the data key under the keys of its three slots.
func (w Wrap) Open(keys [3][32]byte) (dek [32]byte, err error) {
	open, err := w.Opener(keys)
	if err != nil {
		return dek, err
	}
	return open(w.Wrapped)
}

// Opener is Open for whatever may have been wrapped in the place of w's data key.
func (w Wrap) Opener(keys [3][32]byte) (open func(wrapped [60]byte) (dek [32]byte, err error), err error) {
	secret := join("", keys[0][:], keys[1][:], keys[2][:])
	kek, err := hkdf.Key(sha256.New, secret, nil, string(join("lethe/v1/kek", w.Identity[:])), 32)
	if err != nil {
		return nil, err
	}
	gcm, err := gcmOf([32]byte(kek))
	if err != nil {
		return nil, err
	}
	aad := join("lethe/v1/dek", w.Identity[:])
	for _, s := range w.Slots {
		aad = binary.BigEndian.AppendUint64(aad, s.Number)
	}
	return func(wrapped [60]byte) (dek [32]byte, err error) {
		b, err := gcm.Open(nil, wrapped[:12], wrapped[12:], aad)
		if err != nil {
			return dek, errWrap
		}
		return [32]byte(b), nil // the 60 bytes wrapped are 32
	}, nil
}

var errWrap = fmt.Errorf("wrapped key: %w", ErrAuth)

// Unwrap gives a data key of the tree's tenant.
func (t Tree) Unwrap(w Wrap) (dek [32]byte, err error) {
	var keys [3][32]byte
	for i, s := range w.Slots {
		if keys[i], err = t.Key(s); err != nil {
			return dek, err
		}
	}
	return w.Open(keys)
}
