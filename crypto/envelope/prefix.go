package envelope

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/lethe-vault/lethe/recording"
)

// The prefix of a stored blob, big-endian; docs/envelope.md, "Prefix".
//
//	0   8  "LETHEV1\0"               64   24  slots: recording, subject, retention day
//	8   1  suite                     88   8   zero
//	9   1  flags, zero               96   60  wrapped DEK
//	10  2  prefix length, 160+F      156  4   F, length of the sealed facts
//	12  4  part number, 0 = whole    160  F   sealed facts
//	16  48 tenant, recording, version
const (
	magic      = "LETHEV1\x00"
	suiteFLOE  = 1
	boundSize  = 64 // what FLOE takes as AAD: bytes 0..63
	prefixSize = 160

	// MaxSealedFacts is the most bytes of sealed facts that a prefix holds.
	MaxSealedFacts = 1<<16 - 1 - prefixSize
	// SealedOverhead is how much longer SealFacts makes its facts.
	SealedOverhead = nonceSize + tagSize
)

// place is where a blob belongs: what FLOE authenticates of the prefix.
type place struct {
	part  uint32
	id    recording.Identity
	facts int // length of the sealed facts, 0 to MaxSealedFacts
}

// encode gives bytes 0..63 of the prefix.
func (p place) encode() []byte {
	b := append(make([]byte, 0, prefixSize), magic...)
	b = append(b, suiteFLOE, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(prefixSize+p.facts))
	b = binary.BigEndian.AppendUint32(b, p.part)
	return p.id.Append(b)
}

// parsePlace reads what encode wrote, and only that.
func parsePlace(b []byte) (p place, err error) {
	if len(b) != boundSize || string(b[:8]) != magic {
		return p, fmt.Errorf("%w prefix", ErrFormat)
	}
	if b[8] != suiteFLOE || b[9] != 0 {
		return p, fmt.Errorf("suite %d, flags %#x: %w", b[8], b[9], ErrUnsupported)
	}
	p.facts = int(binary.BigEndian.Uint16(b[10:])) - prefixSize
	if p.facts < 0 {
		return p, fmt.Errorf("%w prefix", ErrFormat)
	}
	p.part = binary.BigEndian.Uint32(b[12:])
	if p.part > MaxPart && p.part != ListPart {
		return p, fmt.Errorf("part %d: %w", p.part, ErrFormat)
	}
	p.id = recording.Identity{
		Tenant: recording.Tenant(b[16:32]), Recording: recording.ID(b[32:48]), Version: recording.Version(b[48:64]),
	}
	return p, nil
}

// Prefix stands in clear before the sealed bytes of a blob. Part and Identity,
// and the length of SealedFacts, are authenticated when the body is read. The
// rest is not: slots are a hint, the wrapped DEK and the facts verify
// themselves when they are opened.
type Prefix struct {
	Part        uint32 // 0 for a whole upload, else the number of the part
	Identity    recording.Identity
	Slots       [3]uint64 // recording, subject, retention day
	WrappedDEK  [60]byte  // opaque here
	SealedFacts []byte    // of SealFacts; at most MaxSealedFacts bytes
}

func (p *Prefix) place() place {
	return place{part: p.Part, id: p.Identity, facts: len(p.SealedFacts)}
}

// Size is the length of the prefix with its sealed facts, in bytes.
func (p *Prefix) Size() int { return prefixSize + len(p.SealedFacts) }

// Marshal gives the Size bytes that a blob begins with. ErrTooLarge: there are
// too many sealed facts.
func (p *Prefix) Marshal() ([]byte, error) {
	if len(p.SealedFacts) > MaxSealedFacts {
		return nil, fmt.Errorf("%d bytes of sealed facts: %w", len(p.SealedFacts), ErrTooLarge)
	}
	b := p.place().encode()
	for _, slot := range p.Slots {
		b = binary.BigEndian.AppendUint64(b, slot)
	}
	b = binary.BigEndian.AppendUint64(b, 0)
	b = append(b, p.WrappedDEK[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.SealedFacts)))
	return append(b, p.SealedFacts...), nil
}

// ParsePrefix reads a prefix that is exactly b. It is strict: what it accepts
// marshals to the same bytes. ErrFormat, ErrUnsupported.
func ParsePrefix(b []byte) (*Prefix, error) {
	if len(b) < prefixSize {
		return nil, fmt.Errorf("%w prefix", ErrFormat)
	}
	at, err := parsePlace(b[:boundSize])
	if err != nil {
		return nil, err
	}
	reserved := binary.BigEndian.Uint64(b[88:])
	if reserved != 0 || len(b) != prefixSize+at.facts || int64(binary.BigEndian.Uint32(b[156:])) != int64(at.facts) {
		return nil, fmt.Errorf("%w prefix", ErrFormat)
	}
	p := &Prefix{Part: at.part, Identity: at.id, WrappedDEK: [60]byte(b[96:])}
	for i := range p.Slots {
		p.Slots[i] = binary.BigEndian.Uint64(b[64+8*i:])
	}
	p.SealedFacts = bytes.Clone(b[prefixSize:])
	return p, nil
}

// ReadPrefix reads the prefix a blob begins with, and not one byte more.
// ErrTruncated, ErrFormat, ErrUnsupported, or r's own error.
func ReadPrefix(r io.Reader) (*Prefix, error) {
	b := make([]byte, prefixSize)
	err := readFull(r, b)
	if err != nil {
		return nil, fmt.Errorf("read prefix: %w", err)
	}
	at, err := parsePlace(b[:boundSize])
	if err != nil {
		return nil, err
	}
	b = append(b, make([]byte, at.facts)...)
	err = readFull(r, b[prefixSize:])
	if err != nil {
		return nil, fmt.Errorf("read sealed facts: %w", err)
	}
	return ParsePrefix(b)
}
