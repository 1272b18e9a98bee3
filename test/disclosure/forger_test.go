package disclosure_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// A craft says which old key takes the place of a fresh one.
type craft int

const (
	oldPageKey craft = iota // of an explicit node, that of its former page
	oldSecret               // of a node that was implicit, its secret
	oldRoot                 // of the top page, the former root
	freshKey                // none: another fresh one, which is no mistake
)

// forger rewrites an epoch on its way to the store, by docs/keys.md: it has the
// rights of a coordinator.
type forger struct {
	craft craft
	w     *world
	roots map[string][32]byte // by how they are wrapped

	packKey string
	pack    []byte
}

func (f *forger) create(ctx context.Context, key string, b []byte) error {
	if strings.HasPrefix(key, "pages/") {
		f.packKey, f.pack = key, b
		return nil
	}
	if strings.HasPrefix(key, "head/") {
		var err error
		if b, err = f.forge(ctx, b); err != nil {
			return err
		}
		if err := f.w.store.Create(ctx, f.packKey, bytes.NewReader(f.pack), int64(len(f.pack))); err != nil {
			return err
		}
	}
	return f.w.store.Create(ctx, key, bytes.NewReader(b), int64(len(b)))
}

// forge gives another head, and makes the pack another. If the craft does not
// apply to the epoch, both stay what they are.
func (f *forger) forge(ctx context.Context, head []byte) ([]byte, error) {
	h, err := decryptor.ParseHead(head)
	if err != nil {
		return nil, err
	}
	if h.Epoch < 4 { // so that there is something to repeat
		return head, nil
	}
	root := f.roots[string(h.Wrapped)]
	tops, err := h.Tops(root)
	if err != nil {
		return nil, err
	}
	oldRootSecret, oldWay, err := f.before(ctx, h)
	if err != nil || oldWay == nil {
		return head, err
	}
	if f.craft == oldRoot {
		root = oldRootSecret
	} else if !f.rekey(h, tops[:], oldWay) {
		return head, nil
	}
	f.w.forged++
	h.Top = sealHolders(root, topAAD(h), tops[:])
	h.PackSum = sha256.Sum256(f.pack)
	key, err := keytree.KeyFrom(root[:])
	if err != nil {
		return nil, err
	}
	h.Wrapped, err = f.w.keys.Wrap(ctx, keytree.RootOf(h.Tenant), int(h.Version), key, decryptor.Bind(h))
	return keytree.Head{
		Kind: keytree.HeadPunctured, Tenant: h.Tenant, Epoch: h.Epoch, Version: int(h.Version),
		Wrapped: h.Wrapped, Pack: h.Pack, PackSum: h.PackSum, Top: h.Top,
	}.Marshal(), err
}

// before gives the root of the epoch before, and how it held the nodes on the way
// to the first slot that h forgets: none if that was gone already.
func (f *forger) before(ctx context.Context, h decryptor.Head) (root [32]byte, way []decryptor.Holder, err error) {
	old, err := keytree.ReadHead(ctx, f.w.store, h.Tenant, h.Epoch-1)
	if err != nil {
		return root, nil, err
	}
	of := attackersHead(f.w.t, old)
	root, ok := f.w.unwrap(of)
	if !ok {
		return root, nil, keytree.ErrForgotten
	}
	tops, err := of.Tops(root)
	if err != nil {
		return root, nil, err
	}
	s := f.slot()
	at := tops[s.Tree-1]
	for level := 0; level < 8 && at.Kind != decryptor.Gone; level++ {
		way = append(way, at)
		n := s.Node(level)
		i := int(s.Node(level+1).Index & 31)
		if at.Kind == decryptor.Implicit {
			at = decryptor.Holder{Kind: decryptor.Implicit, Key: decryptor.Child(at.Key, h.Tenant, n, i)}
			continue
		}
		sealed, err := decryptor.StoredPacks(h.Tenant, f.w.packs)(at.Pack, at.Offset, at.Length)
		if err != nil {
			return root, nil, err
		}
		page, err := decryptor.OpenPage(at.Key, h.Tenant, n, at.Epoch, sealed)
		if err != nil {
			return root, nil, err
		}
		at = page[i]
	}
	return root, way, nil
}

// slot is the first that the epoch forgets.
func (f *forger) slot() decryptor.Slot {
	p, err := decryptor.ParsePack(f.pack)
	if err != nil {
		f.w.t.Fatal(err)
	}
	return p.Slots[0]
}

// rekey seals one page on the way under an old key, if there is one that the
// craft asks for and that the epoch has written, and makes what holds it say so.
func (f *forger) rekey(h decryptor.Head, tops, oldWay []decryptor.Holder) bool {
	want := decryptor.Explicit
	if f.craft == freshKey {
		oldWay = slices.Clone(oldWay)
		for i := range oldWay {
			rand.Read(oldWay[i].Key[:])
		}
	}
	if f.craft == oldSecret {
		want = decryptor.Implicit
	}
	s := f.slot()
	holders := tops // in which the node of the level is held
	above := func() { /* tops are sealed by forge */ }
	for level, old := range oldWay {
		n := s.Node(level)
		h2 := &holders[n.Index&31]
		if level == 0 {
			h2 = &holders[s.Tree-1]
		}
		if h2.Kind != decryptor.Explicit || h2.Epoch != h.Epoch {
			return false
		}
		page, err := decryptor.OpenPage(h2.Key, h.Tenant, n, h2.Epoch, f.pack[h2.Offset:][:h2.Length])
		if err != nil {
			f.w.t.Fatal(err)
		}
		up := above
		seal := func() {
			copy(f.pack[h2.Offset:], sealHolders(h2.Key, pageAAD(h, n), page[:]))
			up()
		}
		if old.Kind == want && f.w.rng.IntN(3) == 0 {
			h2.Key = old.Key
			seal()
			return true
		}
		holders, above = page[:], seal
	}
	return false
}

func topAAD(h decryptor.Head) []byte {
	return binary.BigEndian.AppendUint64(slices.Concat([]byte("lethe/v1/top"), h.Tenant[:]), h.Epoch)
}

func pageAAD(h decryptor.Head, n decryptor.Node) []byte {
	b := slices.Concat([]byte("lethe/v1/page"), h.Tenant[:], []byte{n.Tree, n.Level})
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, n.Index), h.Epoch)
}

// sealHolders makes a page.
func sealHolders(key [32]byte, aad []byte, holders []decryptor.Holder) []byte {
	be, plain := binary.BigEndian, []byte(nil)
	for _, h := range holders {
		plain = append(plain, h.Kind)
		if h.Kind != decryptor.Gone {
			plain = append(plain, h.Key[:]...)
		}
		if h.Kind == decryptor.Explicit {
			plain = append(plain, h.Pack[:]...)
			plain = be.AppendUint64(plain, h.Epoch)
			plain = be.AppendUint32(plain, h.Offset)
			plain = be.AppendUint16(plain, h.Length)
		}
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // a key of 32 bytes is one of AES-256
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // block is crypto/aes's own
	}
	nonce := make([]byte, gcm.NonceSize())
	rand.Read(nonce)
	return gcm.Seal(nonce, nonce, plain, aad)
}
