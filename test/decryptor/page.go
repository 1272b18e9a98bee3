package decryptor

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Kinds of holder; docs/keys.md, Forgetting a slot.
const (
	Gone     byte = 0
	Implicit byte = 1
	Explicit byte = 2
)

// Holder is how a node is held: not at all, by its secret, or by the key of a
// page, which stands at a place of a pack.
type Holder struct {
	Kind byte
	Key  [32]byte // secret or page key

	// Of an explicit one.
	Pack   [16]byte
	Epoch  uint64
	Offset uint32
	Length uint16
}

// holderSize says how long each kind of holder is.
var holderSize = [...]int{Gone: 1, Implicit: 1 + 32, Explicit: 1 + 32 + 16 + 8 + 4 + 2}

// parseHolders reads as many holders as there is room for, and nothing after.
func parseHolders(into []Holder, b []byte) error {
	malformed := fmt.Errorf("holders: %w", ErrFormat)
	for i := range into {
		if len(b) == 0 || b[0] > Explicit || len(b) < holderSize[b[0]] {
			return malformed
		}
		h := Holder{Kind: b[0]}
		if h.Kind != Gone {
			h.Key = [32]byte(b[1:])
		}
		if h.Kind == Explicit {
			h.Pack = [16]byte(b[33:])
			h.Epoch = binary.BigEndian.Uint64(b[49:])
			h.Offset = binary.BigEndian.Uint32(b[57:])
			h.Length = binary.BigEndian.Uint16(b[61:])
		}
		into[i], b = h, b[holderSize[h.Kind]:]
	}
	if len(b) > 0 {
		return malformed
	}
	return nil
}

// OpenPage opens the page of a node that an epoch wrote: the holders of its
// children.
func OpenPage(key [32]byte, tenant [16]byte, n Node, epoch uint64, sealed []byte) (page [32]Holder, err error) {
	aad := binary.BigEndian.AppendUint64(n.append(join("lethe/v1/page", tenant[:])), epoch)
	plain, err := unseal(key, aad, sealed)
	if err == nil {
		err = parseHolders(page[:], plain)
	}
	if err != nil {
		return [32]Holder{}, fmt.Errorf("page of level %d, tree %d, epoch %d: %w", n.Level, n.Tree, epoch, err)
	}
	return page, nil
}

// Pack is what an epoch wrote.
type Pack struct {
	Tenant [16]byte
	Epoch  uint64
	Slots  []Slot // that it forgot
	Pages  []Page
	Sum    [32]byte // of all of it: what a head must say
}

// Page is a sealed page of a pack.
type Page struct {
	Node   Node
	Offset uint32 // in the pack
	Sealed []byte
}

// ParsePack reads a whole pack.
func ParsePack(b []byte) (Pack, error) {
	if len(b) < 40 || string(b[:8]) != "LETHEP1\x00" {
		return Pack{}, fmt.Errorf("pack: %w", ErrFormat)
	}
	be := binary.BigEndian
	p := Pack{Tenant: [16]byte(b[8:]), Epoch: be.Uint64(b[24:]), Sum: sha256.Sum256(b)}
	slots, pages, at := be.Uint32(b[32:]), be.Uint32(b[36:]), 40
	for ; slots > 0 && len(b)-at >= 9; slots-- {
		s := Slot{b[at], be.Uint64(b[at+1:])}
		if n := len(p.Slots); n > 0 && !p.Slots[n-1].before(s) || !s.exists() {
			return Pack{}, fmt.Errorf("slots of a pack: %w", ErrFormat)
		}
		p.Slots = append(p.Slots, s)
		at += 9
	}
	for ; pages > 0 && len(b)-at >= 12; pages-- {
		n, length := Node{b[at], b[at+1], be.Uint64(b[at+2:])}, int(be.Uint16(b[at+10:]))
		at += 12
		if length > len(b)-at || !n.exists() {
			break
		}
		p.Pages = append(p.Pages, Page{n, uint32(at), b[at : at+length]})
		at += length
	}
	if slots > 0 || pages > 0 || at != len(b) {
		return Pack{}, fmt.Errorf("pack: %w", ErrFormat)
	}
	return p, nil
}

// before is the order of slots in a pack.
func (s Slot) before(o Slot) bool {
	return s.Tree < o.Tree || s.Tree == o.Tree && s.Number < o.Number
}
