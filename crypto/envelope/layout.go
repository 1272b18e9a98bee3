package envelope

import (
	"bytes"
	"fmt"
	"io"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// Layout is what a reader must know of a blob before it reads a byte of it:
// whose it is, how long it is, its FLOE header, and where in it every source
// byte lies. Kept in the catalog, it is why a range is one read of the store,
// and why the store cannot swap, cut or roll back what it holds.
//
// A Layout is made by a Sealer, OpenLayout or ReadLayout, and does not change.
type Layout struct {
	place
	header [floeHeaderSize]byte
	container
}

// Identity names the version the blob belongs to.
func (l *Layout) Identity() recording.Identity { return l.id }

// Part is the number of the part the blob holds, 0 for a whole upload.
func (l *Layout) Part() uint32 { return l.part }

// SourceSize is the number of bytes that were sealed.
func (l *Layout) SourceSize() int64 { return l.sourceSize }

// EndFacts is what Config.End gave.
func (l *Layout) EndFacts() []byte { return bytes.Clone(l.endFacts) }

// StoredSize is the length of the whole blob in bytes.
func (l *Layout) StoredSize() int64 { return l.bodyAt() + suite.sealedSize(l.size()) }

// bodyAt is where the first segment begins.
func (l *Layout) bodyAt() int64 { return prefixSize + int64(l.facts) + floeHeaderSize }

// append appends bytes 0..63 of the prefix, the FLOE header, and the container
// without its frames.
func (l *Layout) append(b []byte) []byte {
	b = append(b, l.place.encode()...)
	b = append(b, l.header[:]...)
	return l.appendTail(b)
}

// parseLayout reads what append wrote, and only that.
func parseLayout(b []byte) (*Layout, error) {
	if len(b) < boundSize+floeHeaderSize {
		return nil, fmt.Errorf("%w layout", ErrFormat)
	}
	at, err := parsePlace(b[:boundSize])
	if err != nil {
		return nil, err
	}
	l := &Layout{place: at, header: [floeHeaderSize]byte(b[boundSize:])}
	l.container, err = parseTail(b[boundSize+floeHeaderSize:])
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Seal encrypts the layout for the catalog, bound to its identity. ErrNoKey.
func (l *Layout) Seal(dek keytree.Key) ([]byte, error) {
	if dek.IsZero() {
		return nil, ErrNoKey
	}
	return sealSmall(&dek, labelEndFacts, l.id, l.append(nil)), nil
}

// OpenLayout undoes Layout.Seal. ErrNoKey; ErrAuth if it was sealed under
// another key, for another version or part, or was changed; ErrFormat and
// ErrUnsupported for a layout that was sealed by another program.
func OpenLayout(dek keytree.Key, id recording.Identity, part uint32, sealed []byte) (*Layout, error) {
	if dek.IsZero() {
		return nil, ErrNoKey
	}
	b, err := openSmall(&dek, labelEndFacts, id, sealed)
	if err != nil {
		return nil, err
	}
	l, err := parseLayout(b)
	if err != nil {
		return nil, err
	}
	if l.id != id || l.part != part {
		return nil, ErrAuth
	}
	return l, nil
}

// ReadLayout recovers the layout from a blob of size bytes that begins with p,
// for a catalog that was lost. It reads the header and the last segments only:
// Open verifies the rest. The caller compares p with what it expects.
//
// ErrNoKey, ErrAuth, ErrTruncated, ErrFormat, ErrUnsupported, or blob's own error.
func ReadLayout(dek keytree.Key, p *Prefix, blob io.ReaderAt, size int64) (*Layout, error) {
	l := &Layout{place: p.place()}
	err := readFull(io.NewSectionReader(blob, int64(p.Size()), floeHeaderSize), l.header[:])
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	f, err := l.openFLOE(dek)
	if err != nil {
		return nil, err
	}
	total := plainSize(size - l.bodyAt())
	if total < footerSize {
		return nil, ErrTruncated
	}
	s := section{floe: f, bodyAt: l.bodyAt(), total: total}
	b, err := s.read(blob, total-footerSize)
	if err != nil {
		return nil, err
	}
	foot, err := parseFooter(b)
	if err != nil {
		return nil, err
	}
	if foot.size() != total {
		return nil, fmt.Errorf("%w footer", ErrFormat)
	}
	b, err = s.read(blob, foot.framesSize)
	if err != nil {
		return nil, err
	}
	l.container, err = parseTail(b)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// plainSize is the plaintext length of n bytes of segments, or negative if no
// segments have that length.
func plainSize(n int64) int64 {
	segments := (n + segmentSize - 1) / segmentSize
	return n - segments*floeOverhead
}

// openFLOE verifies that the header belongs to dek and to this place.
func (l *Layout) openFLOE(dek keytree.Key) (floe, error) {
	if dek.IsZero() {
		return floe{}, ErrNoKey
	}
	return openFLOE(suite, streamKey(&dek, l.part), l.place.encode(), l.header)
}
