package keytree

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lethe-vault/lethe/recording"
)

// ErrPunctured: the key of the slot was forgotten.
var ErrPunctured = errors.New("keytree: slot is punctured")

// ErrPage: a page does not open, or is not one that this release understands.
// Nobody who was not given the tree's keys can make one that does.
var ErrPage = errors.New("keytree: malformed page")

// Node is a place in a tree: level 0 is the top, and index counts from 0 within
// a level.
type Node struct {
	Tree  Tree
	Level uint8
	Index uint64
}

// nodeOf is the node of a level on the way to slot.
func nodeOf(t Tree, level int, slot uint64) Node {
	return Node{t, uint8(level), slot >> (slotBits - fanOutBits*level)}
}

// Way gives the nodes that have a page once s was punctured, from the top.
func (s Slot) Way() []Node {
	out := make([]Node, depth)
	for level := range out {
		out[level] = nodeOf(s.Tree, level, s.Number)
	}
	return out
}

func (n Node) child(i int) Node { return Node{n.Tree, n.Level + 1, n.Index<<fanOutBits | uint64(i)} }

// toward is the number of the child of n that lies on the way to slot.
func (n Node) toward(slot uint64) int {
	return int(slot >> (slotBits - fanOutBits*(int(n.Level)+1)) & (fanOut - 1))
}

// append writes tree(1) ‖ level(1) ‖ index(8).
func (n Node) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(n.Tree), n.Level), n.Index)
}

// PageID says which page: of which node, of which epoch, and where that epoch
// has it in the store.
type PageID struct {
	Tenant recording.Tenant
	Node   Node
	Epoch  uint64
	Pack   PackID
	Offset uint32 // in the pack, of the sealed page
	Length uint16
}

// holder is how to get at what lies below a node.
type holder struct {
	kind holding
	key  Key    // secret of an implicit node, page key of an explicit one
	page PageID // of an explicit one
}

// holding says how a node is held.
type holding byte

const (
	gone     holding = 0 // nothing below it can be had any more
	implicit holding = 1 // by its secret, from which its children follow
	explicit holding = 2 // by a page, which has each child's holder
)

// page is the children of an explicit node. It holds keys: clear it.
type page [fanOut]holder

func (p *page) clear() { clear(p[:]) }

func (p *page) empty() bool {
	for i := range p {
		if p[i].kind != gone {
			return false
		}
	}
	return true
}

// What a holder takes: kind, then a key, then where the page is.
const (
	goneSize     = 1
	implicitSize = goneSize + KeySize
	explicitSize = implicitSize + 16 + 8 + 4 + 2
	sealSize     = 12 + 16
)

// append writes kind(1), of an implicit or explicit one key(32), and of an explicit
// one pack(16) ‖ epoch(8) ‖ offset(4) ‖ length(2).
func (h *holder) append(b []byte) []byte {
	b = append(b, byte(h.kind))
	if h.kind == gone {
		return b
	}
	b = append(b, h.key.Bytes()...)
	if h.kind == implicit {
		return b
	}
	b = append(b, h.page.Pack[:]...)
	b = binary.BigEndian.AppendUint64(b, h.page.Epoch)
	b = binary.BigEndian.AppendUint32(b, h.page.Offset)
	return binary.BigEndian.AppendUint16(b, h.page.Length)
}

// size is what the holder at the beginning of b takes.
func size(b []byte) (int, error) {
	sizes := [...]int{gone: goneSize, implicit: implicitSize, explicit: explicitSize}
	if len(b) == 0 || int(b[0]) >= len(sizes) || len(b) < sizes[b[0]] {
		return 0, ErrPage
	}
	return sizes[b[0]], nil
}

// parse reads what append wrote, of the node at a place of a tenant's tree.
func (h *holder) parse(b []byte, tenant recording.Tenant, at Node) {
	h.kind = holding(b[0])
	if h.kind == gone {
		return
	}
	copy(h.key.Bytes(), b[goneSize:])
	if h.kind == explicit {
		b = b[implicitSize:]
		h.page = PageID{
			Tenant: tenant, Node: at,
			Pack:   PackID(b[:16]),
			Epoch:  binary.BigEndian.Uint64(b[16:]),
			Offset: binary.BigEndian.Uint32(b[24:]),
			Length: binary.BigEndian.Uint16(b[28:]),
		}
	}
}

// seal seals a page as that of a node, under a fresh key.
func (p *page) seal(key Key, tenant recording.Tenant, at Node, epoch uint64) ([]byte, error) {
	plain := make([]byte, 0, fanOut*explicitSize)
	defer func() { clear(plain[:cap(plain)]) }()
	for i := range p {
		plain = p[i].append(plain)
	}
	return Seal(key, labelPage, pageBind(tenant, at, epoch), plain)
}

// pageBind is tenant(16) ‖ node ‖ epoch(8).
func pageBind(tenant recording.Tenant, at Node, epoch uint64) []byte {
	return binary.BigEndian.AppendUint64(at.append(tenant[:]), epoch)
}

// openPage unseals the page by which h holds a node.
func openPage(h *holder, sealed []byte) (plain []byte, err error) {
	plain, err = Open(h.key, labelPage, pageBind(h.page.Tenant, h.page.Node, h.page.Epoch), sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: level %d of tree %d, epoch %d: %w",
			ErrPage, h.page.Node.Level, h.page.Node.Tree, h.page.Epoch, err)
	}
	return plain, nil
}

// all reads every holder of an unsealed page.
func (p *page) all(plain []byte, of PageID) error {
	for i := range p {
		n, err := size(plain)
		if err != nil {
			return err
		}
		p[i].parse(plain, of.Tenant, of.Node.child(i))
		plain = plain[n:]
	}
	if len(plain) > 0 {
		return ErrPage
	}
	return nil
}

// one reads the holder of child i from an unsealed page.
func one(plain []byte, of PageID, i int) (h holder, err error) {
	for range i {
		n, err := size(plain)
		if err != nil {
			return h, err
		}
		plain = plain[n:]
	}
	if _, err := size(plain); err != nil {
		return h, err
	}
	h.parse(plain, of.Tenant, of.Node.child(i))
	return h, nil
}

// children gives the holders below a node, whether they were written or follow
// from its secret.
func (h *holder) children(plain func() ([]byte, error), tenant recording.Tenant, at Node) (*page, error) {
	p := &page{}
	if h.kind == implicit {
		for i := range p {
			p[i] = holder{kind: implicit, key: childSecret(&h.key, tenant, at, byte(i))}
		}
		return p, nil
	}
	b, err := plain()
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return p, p.all(b, h.page)
}
