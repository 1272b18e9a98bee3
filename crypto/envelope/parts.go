package envelope

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// A recording in parts has a blob for each part and one for their list, told
// apart by Prefix.Part; docs/envelope.md, "Parts".
const (
	// MaxPart is the highest number of a part, and the most parts there are.
	MaxPart = 10_000
	// ListPart is the part number of the blob whose source is a list of parts.
	ListPart = 1<<32 - 1
)

// The list of parts, big-endian.
//
//	0   8  "LETHEPL1"         part:  0    4  number          96   4  E, space for end facts
//	8   4  number of parts           4    16 blob            100  4  index entries
//	12 ..  parts                     20   2  F of its blob   104  13 each
//	                                 22   74 FLOE header
const (
	listMagic = "LETHEPL1"
	listFixed = 12
	partFixed = 104
)

// Part is one blob of a recording in parts.
type Part struct {
	Blob   [16]byte // tells its owner where the blob is; opaque here
	Layout *Layout  // without end facts, once it was in a list
}

// MarshalParts writes a list of parts, which are in ascending order of their
// numbers.
func MarshalParts(parts []Part) []byte {
	b := binary.BigEndian.AppendUint32([]byte(listMagic), uint32(len(parts)))
	for _, p := range parts {
		l := p.Layout
		b = binary.BigEndian.AppendUint32(b, l.part)
		b = append(b, p.Blob[:]...)
		b = binary.BigEndian.AppendUint16(b, uint16(l.facts))
		b = append(b, l.header[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(l.reserved))
		b = binary.BigEndian.AppendUint32(b, uint32(l.entries))
		b = l.appendIndex(b)
	}
	return b
}

// ParseParts reads what MarshalParts wrote of parts of id, and only that.
// ErrFormat, ErrUnsupported.
func ParseParts(id recording.Identity, b []byte) ([]Part, error) {
	if len(b) < listFixed || string(b[:len(listMagic)]) != listMagic {
		return nil, fmt.Errorf("%w list of parts", ErrFormat)
	}
	count := binary.BigEndian.Uint32(b[len(listMagic):])
	if count == 0 || count > MaxPart {
		return nil, fmt.Errorf("%w list of %d parts", ErrFormat, count)
	}
	list, rest, before := make([]Part, 0, count), b[listFixed:], uint32(0)
	for range count {
		p, after, err := parsePart(id, rest)
		if err != nil {
			return nil, err
		}
		if p.Layout.part <= before || p.Layout.part > MaxPart {
			return nil, fmt.Errorf("part %d after part %d: %w", p.Layout.part, before, ErrFormat)
		}
		list, rest, before = append(list, p), after, p.Layout.part
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w list of parts", ErrFormat)
	}
	return list, nil
}

// Describes reports whether l, which may come from a list of parts and then has no
// end facts, is of the same blob as o.
func (l *Layout) Describes(o *Layout) bool {
	return l.place == o.place && l.header == o.header && l.footer == o.footer && slices.Equal(l.index, o.index)
}

// parsePart reads the part that b begins with, and gives what follows it.
func parsePart(id recording.Identity, b []byte) (p Part, rest []byte, err error) {
	malformed := fmt.Errorf("%w list of parts", ErrFormat)
	if len(b) < partFixed {
		return p, nil, malformed
	}
	l := &Layout{
		place:  place{part: binary.BigEndian.Uint32(b), id: id, facts: int(binary.BigEndian.Uint16(b[20:]))},
		header: [floeHeaderSize]byte(b[22:96]),
	}
	reserved, entries := binary.BigEndian.Uint32(b[96:]), binary.BigEndian.Uint32(b[100:])
	rest = b[partFixed:]
	if l.facts > MaxSealedFacts || !reservable(uint64(reserved)) || int64(entries)*entrySize > int64(len(rest)) {
		return p, nil, malformed
	}
	n := int(entries) * entrySize
	if l.container, err = indexed(parseIndex(rest[:n]), int(reserved)); err != nil {
		return p, nil, err
	}
	return Part{Blob: [16]byte(b[4:20]), Layout: l}, rest[n:], nil
}

// indexed is the container that an index describes, end facts not known.
func indexed(index []run, reserved int) (container, error) {
	f := footer{entries: len(index), reserved: reserved}
	for _, r := range index {
		f.sourceSize += r.sourceSize()
		f.framesSize += r.storedSize()
		if f.sourceSize > MaxSource || f.framesSize > f.sourceSize {
			return container{}, fmt.Errorf("%w index", ErrFormat)
		}
	}
	c := container{footer: f, index: index}
	return c, c.checkIndex()
}

// SealParts encrypts a list of parts for the catalog, bound to id. ErrNoKey.
func SealParts(dek keytree.Key, id recording.Identity, list []byte) ([]byte, error) {
	if dek.IsZero() {
		return nil, ErrNoKey
	}
	return sealSmall(&dek, labelParts, id, list), nil
}

// OpenParts undoes SealParts. ErrNoKey; ErrAuth if the list was sealed under
// another key or identity, or was changed.
func OpenParts(dek keytree.Key, id recording.Identity, sealed []byte) ([]byte, error) {
	if dek.IsZero() {
		return nil, ErrNoKey
	}
	return openSmall(&dek, labelParts, id, sealed)
}
