// Package envelope seals a recording's bytes into a blob that any store may
// hold, and reads it back from any position with one read of the store.
//
// The format is FLOE (C2SP FLOE; ePrint 2025/2275) in segments of 64 KiB,
// behind a prefix in clear that says whose blob it is; docs/envelope.md has
// it byte by byte, with test vectors. What is read back has been verified, a
// segment at a time, before the first byte of it is given out.
//
// The package knows nothing of stores, catalogs or clients. It takes a data
// key (DEK) and leaves to others where that comes from, and the meaning of
// facts, slots and the wrapped DEK.
package envelope

import (
	"bytes"
	"fmt"
	"io"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// suite 1: FLOE with AES-256-GCM and HKDF-SHA-384 in segments of 64 KiB. The
// rotation is the specification's for AES-256-GCM.
var suite = floeParams{segment: segmentSize, rotation: 20}

const segmentSize = 64 << 10

// Config is what Seal needs.
type Config struct {
	DEK    keytree.Key // required; one for each stored version
	Prefix Prefix      // required; with the facts that SealFacts sealed
	Source io.Reader   // required; read to its end
	// End gives the end facts, in text or JSON, once Source has ended. It is
	// called once, or never if Source fails. Required. Spaces at the end of
	// what it gives are lost.
	End func() ([]byte, error)
	// EndFactsSize is the space to reserve for what End gives, in bytes: a
	// multiple of the constant EndFactsSize up to 1 MiB. Zero means
	// EndFactsSize.
	EndFactsSize int
}

func (c Config) reserved() int {
	if c.EndFactsSize == 0 {
		return EndFactsSize
	}
	return c.EndFactsSize
}

// StoredSize is the exact length of the blob that Seal makes of a source of
// size bytes, 0 to MaxSource. It needs nothing of c but the length of the
// sealed facts and EndFactsSize.
func (c Config) StoredSize(size int64) int64 {
	l := Layout{place: c.Prefix.place(), container: rawContainer(size, c.reserved())}
	return l.StoredSize()
}

// Sealer gives the whole stored blob, from the prefix to the last segment. It
// holds two segments in memory until it ends or is closed. It is for one reader;
// Close may be called at any time.
type Sealer struct {
	flow
	floe    floe
	source  io.Reader
	end     func() ([]byte, error)
	opening []byte // prefix and FLOE header, not given out yet
	tail    []byte // what follows the frames, once ended, not sealed yet
	ended   bool   // source has ended, and end was called
	sealed  bool   // the last segment has been made
	pos     uint64 // of the next segment
	layout  Layout
}

// Seal begins a blob. The blob has a last segment only if Source ended without
// an error and End gave its facts; if either fails, Read reports that error.
//
// ErrNoKey; ErrTooLarge for sealed facts that do not fit. From Read also
// ErrTooLarge for end facts or a source that do not fit.
func Seal(c Config) (*Sealer, error) {
	if c.DEK.IsZero() {
		return nil, ErrNoKey
	}
	if !reservable(uint64(c.reserved())) {
		return nil, fmt.Errorf("envelope: end facts cannot have %d bytes of space", c.EndFactsSize)
	}
	opening, err := c.Prefix.Marshal()
	if err != nil {
		return nil, err
	}
	s := &Sealer{source: c.Source, end: c.End}
	s.layout.place, s.layout.reserved = c.Prefix.place(), c.reserved()
	s.floe, s.layout.header = sealFLOE(suite, streamKey(&c.DEK, c.Prefix.Part), s.layout.place.encode())
	s.opening = append(opening, s.layout.header[:]...)
	s.begin(s.next)
	return s, nil
}

// Layout is what a catalog keeps of the blob. It is nil until the last byte of
// the blob has been given out.
func (s *Sealer) Layout() *Layout {
	if !s.sealed || s.given < s.layout.StoredSize() {
		return nil
	}
	l := s.layout
	return &l
}

// next gives prefix and header, then a segment at a time.
func (s *Sealer) next(buf *buffers) ([]byte, error) {
	if s.opening != nil {
		b := s.opening
		s.opening = nil
		return b, nil
	}
	if s.sealed {
		return nil, io.EOF
	}
	n, err := s.fillPlain(buf.plain[:suite.payload()])
	if err != nil {
		return nil, err
	}
	last := s.ended && len(s.tail) == 0
	segment := s.floe.seal(buf.sealed[:0], buf.plain[:n], s.pos, last)
	s.pos++
	s.sealed = last
	return segment, nil
}

// fillPlain fills b with what comes next in the container, and fills all of it
// unless the container ends.
func (s *Sealer) fillPlain(b []byte) (n int, err error) {
	for n < len(b) && !s.ended {
		m, err := s.source.Read(b[n:])
		n += m
		s.layout.sourceSize += int64(m)
		if s.layout.sourceSize > MaxSource {
			return 0, fmt.Errorf("source: %w", ErrTooLarge)
		}
		if err == io.EOF {
			err = s.finish()
		}
		if err != nil {
			return 0, notEOF(err)
		}
	}
	m := copy(b[n:], s.tail)
	s.tail = s.tail[m:]
	return n + m, nil
}

// finish lays out the container once the source has ended.
func (s *Sealer) finish() error {
	s.ended = true
	facts, err := s.end()
	if err != nil {
		return err
	}
	if len(facts) > s.layout.reserved {
		return fmt.Errorf("%d bytes of end facts: %w", len(facts), ErrTooLarge)
	}
	s.layout.container = rawContainer(s.layout.sourceSize, s.layout.reserved)
	s.layout.endFacts = bytes.TrimRight(bytes.Clone(facts), " ")
	s.tail = s.layout.appendTail(nil)
	return nil
}

// SealFacts encrypts the facts known at the start for Prefix.SealedFacts,
// bound to id. The result is SealedOverhead bytes longer. ErrNoKey.
func SealFacts(dek keytree.Key, id recording.Identity, facts []byte) ([]byte, error) {
	if dek.IsZero() {
		return nil, ErrNoKey
	}
	return sealSmall(&dek, labelFacts, id, facts), nil
}

// OpenFacts undoes SealFacts. ErrNoKey; ErrAuth if they were sealed under
// another key or identity, or were changed.
func OpenFacts(dek keytree.Key, id recording.Identity, sealed []byte) ([]byte, error) {
	if dek.IsZero() {
		return nil, ErrNoKey
	}
	return openSmall(&dek, labelFacts, id, sealed)
}
