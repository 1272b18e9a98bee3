package keytree

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/lethe-vault/lethe/recording"
)

// PackID names the pack of an epoch.
type PackID [16]byte

// String gives 32 characters of hex.
func (id PackID) String() string { return hex.EncodeToString(id[:]) }

// Slot is one leaf of one tree.
type Slot struct {
	Tree   Tree
	Number uint64
}

// A Pack is what an epoch has written: the slots it punctured, in clear, and the
// pages it wrote for that. It is one immutable blob.
//
//	0   8  "LETHEP1\0"
//	8  16  tenant
//	24  8  epoch
//	32  4  number of slots
//	36  4  number of pages
//	40 ..  slots, each tree(1) ‖ number(8)
//	   ..  pages, each tree(1) ‖ level(1) ‖ index(8) ‖ length(2) ‖ sealed page
//
// The head of the epoch has its SHA-256.
type Pack struct {
	Tenant recording.Tenant
	Epoch  uint64
	Slots  []Slot
	Pages  []Page
}

// Page is a sealed page, and which it is.
type Page struct {
	ID     PageID
	Sealed []byte
}

// Pages finds sealed pages. It is told for which slot, so that an implementation
// may look for all that lie on the way at once. Its error is fs.ErrNotExist when a
// page is nowhere.
type Pages interface {
	Page(ctx context.Context, id PageID, slot uint64) ([]byte, error)

	// Stored gives a page from its pack, whatever is kept elsewhere: what Page gave
	// does not open, and is not to be given again.
	Stored(ctx context.Context, id PageID) ([]byte, error)
}

// ErrPack: the bytes are not the pack that its head says.
var ErrPack = errors.New("keytree: malformed pack")

const (
	packMagic   = "LETHEP1\x00"
	packFixed   = 40
	packSlot    = 9
	packPage    = 12
	maxPageSize = fanOut*explicitSize + sealSize

	// MostPunctures bounds the slots of one epoch, so that its pack fits in memory.
	MostPunctures = 10_000
	maxPack       = packFixed + MostPunctures*(packSlot+depth*(packPage+maxPageSize))
)

// PackKey is the blob key of a pack.
func PackKey(t recording.Tenant, id PackID) string { return fmt.Sprintf("pages/%v/%v", t, id) }

// packing is a pack being written.
type packing struct {
	tenant recording.Tenant
	epoch  uint64
	id     PackID
	b      []byte
	pages  []Page
}

func newPacking(tenant recording.Tenant, epoch uint64, slots []Slot) *packing {
	p := &packing{tenant: tenant, epoch: epoch}
	rand.Read(p.id[:]) // never fails: crypto/rand ends the program instead
	p.b = append(p.b, packMagic...)
	p.b = append(p.b, tenant[:]...)
	p.b = binary.BigEndian.AppendUint64(p.b, epoch)
	p.b = binary.BigEndian.AppendUint32(p.b, uint32(len(slots)))
	p.b = binary.BigEndian.AppendUint32(p.b, 0) // of pages: see bytes
	for _, s := range slots {
		p.b = binary.BigEndian.AppendUint64(append(p.b, byte(s.Tree)), s.Number)
	}
	return p
}

// add appends a sealed page of a node, and says where it is.
func (p *packing) add(at Node, sealed []byte) PageID {
	p.b = at.append(p.b)
	p.b = binary.BigEndian.AppendUint16(p.b, uint16(len(sealed)))
	id := PageID{
		Tenant: p.tenant, Node: at, Epoch: p.epoch,
		Pack: p.id, Offset: uint32(len(p.b)), Length: uint16(len(sealed)),
	}
	p.b = append(p.b, sealed...)
	p.pages = append(p.pages, Page{id, sealed})
	return id
}

func (p *packing) bytes() []byte {
	binary.BigEndian.PutUint32(p.b[36:], uint32(len(p.pages)))
	return p.b
}

// parsePack reads a whole pack.
func parsePack(id PackID, b []byte) (Pack, error) {
	if len(b) < packFixed || string(b[:8]) != packMagic {
		return Pack{}, ErrPack
	}
	p := Pack{Tenant: recording.Tenant(b[8:24]), Epoch: binary.BigEndian.Uint64(b[24:])}
	slots, pages := int(binary.BigEndian.Uint32(b[32:])), int(binary.BigEndian.Uint32(b[36:]))
	at := packFixed
	if slots > (len(b)-at)/packSlot || pages > (len(b)-at)/packPage {
		return Pack{}, ErrPack
	}
	for range slots {
		p.Slots = append(p.Slots, Slot{Tree(b[at]), binary.BigEndian.Uint64(b[at+1:])})
		at += packSlot
	}
	for range pages {
		if len(b)-at < packPage {
			return Pack{}, ErrPack
		}
		of := PageID{
			Tenant: p.Tenant, Epoch: p.Epoch, Pack: id,
			Node:   Node{Tree(b[at]), b[at+1], binary.BigEndian.Uint64(b[at+2:])},
			Length: binary.BigEndian.Uint16(b[at+10:]),
		}
		at += packPage
		of.Offset = uint32(at)
		if len(b)-at < int(of.Length) {
			return Pack{}, ErrPack
		}
		p.Pages = append(p.Pages, Page{of, b[at : at+int(of.Length)]})
		at += int(of.Length)
	}
	if at != len(b) {
		return Pack{}, ErrPack
	}
	return p, nil
}

// ReadPack reads the pack of a head, which says what it must be.
func ReadPack(ctx context.Context, s Store, h Head) (Pack, error) {
	body, err := s.Open(ctx, PackKey(h.Tenant, h.Pack), 0, -1)
	if err != nil {
		return Pack{}, fmt.Errorf("read pack of epoch %d of %v: %w", h.Epoch, h.Tenant, err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxPack+1))
	if err != nil {
		return Pack{}, fmt.Errorf("read pack of epoch %d of %v: %w", h.Epoch, h.Tenant, err)
	}
	p, err := parsePack(h.Pack, b)
	if err == nil && (sha256.Sum256(b) != h.PackSum || p.Tenant != h.Tenant || p.Epoch != h.Epoch) {
		err = ErrPack
	}
	return p, err
}

// PackEpoch reads for which epoch a pack was made, whether or not a head names it.
// ErrPack: the blob is none of the tenant's.
func PackEpoch(ctx context.Context, s Store, t recording.Tenant, id PackID) (uint64, error) {
	body, err := s.Open(ctx, PackKey(t, id), 0, packFixed)
	if err != nil {
		return 0, fmt.Errorf("read pack %v of %v: %w", id, t, err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, packFixed))
	if err != nil {
		return 0, fmt.Errorf("read pack %v of %v: %w", id, t, err)
	}
	if len(b) < packFixed || string(b[:8]) != packMagic || !bytes.Equal(b[8:24], t[:]) {
		return 0, ErrPack
	}
	return binary.BigEndian.Uint64(b[24:]), nil
}

// InStore finds pages in the packs of a store, with a read for each.
func InStore(s Store) Pages { return inStore{s} }

type inStore struct{ store Store }

func (in inStore) Page(ctx context.Context, id PageID, _ uint64) ([]byte, error) {
	return in.Stored(ctx, id)
}

func (in inStore) Stored(ctx context.Context, id PageID) ([]byte, error) {
	body, err := in.store.Open(ctx, PackKey(id.Tenant, id.Pack), int64(id.Offset), int64(id.Length))
	if err != nil {
		return nil, fmt.Errorf("read page of epoch %d of %v: %w", id.Epoch, id.Tenant, err)
	}
	defer body.Close()
	b := make([]byte, id.Length)
	if _, err := io.ReadFull(body, b); err != nil {
		return nil, fmt.Errorf("read page of epoch %d of %v: %w", id.Epoch, id.Tenant, err)
	}
	return b, nil
}

// createPack makes a pack durable. Its id is random, so one that exists is its own,
// from a request that was answered too late.
func createPack(ctx context.Context, s Store, p *packing) error {
	// gofail: var packCreate string
	// return failpoint(packCreate)
	b := p.bytes()
	err := s.Create(ctx, PackKey(p.tenant, p.id), bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create pack of epoch %d of %v: %w", p.epoch, p.tenant, err)
	}
	return nil
}
