package keytree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/lethe-vault/lethe/recording"
)

// A Head is the newest state of a tenant's tree. Heads are immutable blobs;
// the exclusive create of the next one is the commit of an epoch.
//
//	0   8  "LETHEH1\0"
//	8   1  kind: 0 seed, 1 erased, 2 punctured
//	9   7  zero
//	16 16  tenant
//	32  8  epoch
//	40  8  provider version the root is wrapped under
//	48  4  length of the wrapped root
//	52 ..  wrapped root
//	   16  pack of the epoch, if punctured
//	   32  its SHA-256, if punctured
//	   ..  sealed top page, if punctured
//
// Kind seed: the wrapped root is the secret of a root with nothing forgotten
// beneath it. Kind erased: the tenant is erased, nothing is wrapped. Kind
// punctured: the wrapped root is the key of the top page. An unknown kind is
// refused.
type Head struct {
	Kind    HeadKind
	Tenant  recording.Tenant
	Epoch   uint64
	Version int // of the root at the provider; 0 when erased
	Wrapped []byte

	// Of a punctured one.
	Pack    PackID
	PackSum [sha256.Size]byte
	Top     []byte // sealed
}

// HeadKind says what a head holds.
type HeadKind byte

// The kinds of head.
const (
	HeadSeed      HeadKind = 0
	HeadErased    HeadKind = 1
	HeadPunctured HeadKind = 2
)

const (
	headMagic   = "LETHEH1\x00"
	headFixed   = 52
	headPack    = 16 + sha256.Size
	maxWrapped  = 4 << 10
	maxTop      = trees*explicitSize + sealSize
	maxHead     = headFixed + maxWrapped + headPack + maxTop
	headKeyBase = "head/"
)

// ErrHead: the bytes are not a head that this release understands.
var ErrHead = errors.New("keytree: malformed head")

// Marshal writes the layout above.
func (h Head) Marshal() []byte {
	b := make([]byte, headFixed, headFixed+len(h.Wrapped)+headPack+len(h.Top))
	copy(b, headMagic)
	b[8] = byte(h.Kind)
	copy(b[16:], h.Tenant[:])
	binary.BigEndian.PutUint64(b[32:], h.Epoch)
	binary.BigEndian.PutUint64(b[40:], uint64(h.Version))
	binary.BigEndian.PutUint32(b[48:], uint32(len(h.Wrapped)))
	b = append(b, h.Wrapped...)
	if h.Kind != HeadPunctured {
		return b
	}
	b = append(b, h.Pack[:]...)
	b = append(b, h.PackSum[:]...)
	return append(b, h.Top...)
}

// ParseHead reads what Marshal wrote, and only that.
func ParseHead(b []byte) (Head, error) {
	if len(b) < headFixed || len(b) > maxHead || string(b[:8]) != headMagic {
		return Head{}, ErrHead
	}
	h := Head{
		Kind:    HeadKind(b[8]),
		Tenant:  recording.Tenant(b[16:32]),
		Epoch:   binary.BigEndian.Uint64(b[32:]),
		Version: int(binary.BigEndian.Uint64(b[40:])),
	}
	wrapped, rest := binary.BigEndian.Uint32(b[48:]), b[headFixed:]
	if wrapped > maxWrapped || int(wrapped) > len(rest) || (h.Kind == HeadErased) != (wrapped == 0) {
		return Head{}, ErrHead
	}
	h.Wrapped, rest = bytes.Clone(rest[:wrapped]), rest[wrapped:]
	if h.Kind == HeadPunctured {
		if len(rest) <= headPack {
			return Head{}, ErrHead
		}
		h.Pack, h.PackSum, h.Top = PackID(rest[:16]), [sha256.Size]byte(rest[16:]), bytes.Clone(rest[headPack:])
	}
	if h.Kind > HeadPunctured || !bytes.Equal(h.Marshal(), b) {
		return Head{}, ErrHead
	}
	return h, nil
}

// HeadKey is the blob key of a tenant's head of an epoch.
func HeadKey(t recording.Tenant, epoch uint64) string {
	return fmt.Sprintf("%s%v/%016x", headKeyBase, t, epoch)
}

// RootOf names a tenant's root at the provider. It follows from the tenant's
// identifier, so it is known without the catalog.
func RootOf(t recording.Tenant) Root { return Root("t-" + t.String()) }

// bind ties a wrapped root to everything else that its head says.
func (h Head) bind() []byte {
	b := append([]byte(labelRoot), byte(h.Kind))
	b = append(b, h.Tenant[:]...)
	b = binary.BigEndian.AppendUint64(b, h.Epoch)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Version))
	if h.Kind != HeadPunctured {
		return b
	}
	b = append(b, h.Pack[:]...)
	b = append(b, h.PackSum[:]...)
	top := sha256.Sum256(h.Top)
	return append(b, top[:]...)
}

// Commit creates a head exclusively: of many that would be a tenant's next,
// one becomes it. The error of one that comes late is fs.ErrExist.
func Commit(ctx context.Context, s Store, h Head) error {
	// gofail: var headCommit string
	// return failpoint(headCommit)
	b := h.Marshal()
	if err := s.Create(ctx, HeadKey(h.Tenant, h.Epoch), bytes.NewReader(b), int64(len(b))); err != nil {
		return fmt.Errorf("commit epoch %d of %v: %w", h.Epoch, h.Tenant, err)
	}
	return nil
}

// ReadHead reads the head of an epoch. Its error is fs.ErrNotExist when that
// epoch was never committed.
func ReadHead(ctx context.Context, s Store, t recording.Tenant, epoch uint64) (Head, error) {
	body, err := s.Open(ctx, HeadKey(t, epoch), 0, -1)
	if err != nil {
		return Head{}, fmt.Errorf("read epoch %d of %v: %w", epoch, t, err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxHead+1))
	if err != nil {
		return Head{}, fmt.Errorf("read epoch %d of %v: %w", epoch, t, err)
	}
	h, err := ParseHead(b)
	if err == nil && (h.Tenant != t || h.Epoch != epoch) {
		err = ErrHead
	}
	return h, err
}
