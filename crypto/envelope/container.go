package envelope

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The container is FLOE's plaintext: frames ‖ end facts ‖ index ‖ footer.
// Frames come first, so that a source streams through; what describes them
// comes last, when it is known; docs/envelope.md, "Container".
//
//	index entry                   footer
//	0   4  frames in this run     0   8  "LETHEEND"
//	4   4  stored bytes of each   8   4  container version, 1
//	8   4  source bytes of each   12  4  number of index entries
//	12  1  codec                  16  8  source size
//	                              24  16 end facts: offset, length
//	                              40  16 index: offset, length
//	                              56  8  zero
const (
	// FrameSize is the number of source bytes in every frame but the last,
	// which may hold fewer.
	FrameSize = 256 << 10
	// EndFactsSize is the space reserved for end facts unless more is asked for.
	EndFactsSize = 1024
	// MaxSource is the longest source: 8 TiB, above any object of S3.
	MaxSource = 1 << 43

	maxEndFacts      = 1 << 20
	footerMagic      = "LETHEEND"
	containerVersion = 1
	entrySize        = 13
	footerSize       = 64
)

// A codec says how the stored bytes of a frame give its source bytes.
type codec uint8

const raw codec = 0 // they are the source bytes

// A run is count frames in a row of the same lengths and codec.
type run struct {
	count, stored, source uint32
	codec                 codec
}

func (r run) storedSize() int64 { return int64(r.count) * int64(r.stored) }
func (r run) sourceSize() int64 { return int64(r.count) * int64(r.source) }

// rawIndex is the index of size source bytes, none of them compressed: the
// full frames, then the last if it is not full.
func rawIndex(size int64) (index []run) {
	if full := size / FrameSize; full > 0 {
		index = append(index, run{uint32(full), FrameSize, FrameSize, raw})
	}
	if rest := uint32(size % FrameSize); rest > 0 {
		index = append(index, run{1, rest, rest, raw})
	}
	return index
}

// footer says where everything in a container is.
type footer struct {
	entries    int   // in the index
	sourceSize int64 // 0 to MaxSource
	framesSize int64 // stored bytes of all frames: where the end facts begin
	reserved   int   // space for end facts: a positive multiple of EndFactsSize
}

// container is a FLOE plaintext without its frames.
type container struct {
	footer
	endFacts []byte // without padding; ends in no space
	index    []run
}

// rawContainer lays out a source of size bytes, end facts not yet known.
func rawContainer(size int64, reserved int) container {
	index := rawIndex(size)
	return container{footer: footer{len(index), size, size, reserved}, index: index}
}

// tailSize is the length of end facts, index and footer.
func (f footer) tailSize() int64 { return int64(f.reserved) + f.indexSize() + footerSize }

func (f footer) indexSize() int64 { return entrySize * int64(f.entries) }

// size is the length of the whole container.
func (f footer) size() int64 { return f.framesSize + f.tailSize() }

func (f footer) append(b []byte) []byte {
	b = append(b, footerMagic...)
	b = binary.BigEndian.AppendUint32(b, containerVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(f.entries))
	indexAt := f.framesSize + int64(f.reserved)
	for _, v := range []int64{f.sourceSize, f.framesSize, int64(f.reserved), indexAt, f.indexSize(), 0} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// parseFooter reads what append wrote, and only that.
func parseFooter(b []byte) (f footer, err error) {
	if len(b) != footerSize || string(b[:8]) != footerMagic {
		return f, fmt.Errorf("%w footer", ErrFormat)
	}
	if v := binary.BigEndian.Uint32(b[8:]); v != containerVersion {
		return f, fmt.Errorf("container version %d: %w", v, ErrUnsupported)
	}
	entries := binary.BigEndian.Uint32(b[12:])
	source, frames := binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	reserved := binary.BigEndian.Uint64(b[32:])
	if source > MaxSource || frames > source || !reservable(reserved) {
		return f, fmt.Errorf("%w footer", ErrFormat)
	}
	f = footer{int(entries), int64(source), int64(frames), int(reserved)}
	if !bytes.Equal(f.append(nil), b) {
		return footer{}, fmt.Errorf("%w footer", ErrFormat)
	}
	return f, nil
}

// reservable reports whether end facts may have n bytes of space.
func reservable(n uint64) bool { return n > 0 && n <= maxEndFacts && n%EndFactsSize == 0 }

// appendTail appends end facts, index and footer.
func (c *container) appendTail(b []byte) []byte {
	b = append(b, c.endFacts...)
	b = append(b, bytes.Repeat([]byte{' '}, c.reserved-len(c.endFacts))...)
	return c.footer.append(c.appendIndex(b))
}

func (c *container) appendIndex(b []byte) []byte {
	for _, r := range c.index {
		b = binary.BigEndian.AppendUint32(b, r.count)
		b = binary.BigEndian.AppendUint32(b, r.stored)
		b = binary.BigEndian.AppendUint32(b, r.source)
		b = append(b, byte(r.codec))
	}
	return b
}

// parseIndex reads whole entries; checkIndex says whether they are an index.
func parseIndex(b []byte) (index []run) {
	for ; len(b) > 0; b = b[entrySize:] {
		index = append(index, run{
			count:  binary.BigEndian.Uint32(b),
			stored: binary.BigEndian.Uint32(b[4:]),
			source: binary.BigEndian.Uint32(b[8:]),
			codec:  codec(b[12]),
		})
	}
	return index
}

// parseTail reads what appendTail wrote, and only that.
func parseTail(b []byte) (c container, err error) {
	if len(b) < footerSize {
		return c, fmt.Errorf("%w footer", ErrFormat)
	}
	c.footer, err = parseFooter(b[len(b)-footerSize:])
	if err != nil {
		return c, err
	}
	if int64(len(b)) != c.tailSize() {
		return c, fmt.Errorf("%w footer", ErrFormat)
	}
	c.endFacts = bytes.TrimRight(bytes.Clone(b[:c.reserved]), " ")
	c.index = parseIndex(b[c.reserved : len(b)-footerSize])
	return c, c.checkIndex()
}

// checkIndex refuses an index that does not describe exactly the frames, or
// that could be spelled otherwise.
func (c *container) checkIndex() error {
	var source, stored int64
	var before run
	for i, r := range c.index {
		if r.codec != raw {
			return fmt.Errorf("codec %d: %w", r.codec, ErrUnsupported)
		}
		full := r.source == FrameSize
		last := r.count == 1 && r.source > 0 && r.source < FrameSize && i == len(c.index)-1
		split := r.source == before.source && r.stored == before.stored
		source, stored, before = source+r.sourceSize(), stored+r.storedSize(), r
		if r.count == 0 || !full && !last || split || r.stored != r.source {
			return fmt.Errorf("%w index", ErrFormat)
		}
	}
	if source != c.sourceSize || stored != c.framesSize {
		return fmt.Errorf("%w index", ErrFormat)
	}
	return nil
}

// locate gives the place in the container of the source byte at off, which
// lies within the source. A raw frame may be entered anywhere.
func (c *container) locate(off int64) int64 {
	at := int64(0)
	for _, r := range c.index {
		if off < r.sourceSize() {
			return at + off
		}
		off, at = off-r.sourceSize(), at+r.storedSize()
	}
	return at
}
