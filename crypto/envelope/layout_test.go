package envelope_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/lethe-vault/lethe/crypto/envelope"
)

// entry is an index entry: frames, stored bytes and source bytes of each.
type entry [3]uint32

// layoutOf writes a layout by hand, after docs/envelope.md, "Layout", with
// what the footer says of source, frames and end facts.
func layoutOf(source, frames, reserved uint64, index ...entry) []byte {
	s := envelope.Prefix{Identity: identity(1)}
	prefix, err := s.Marshal()
	if err != nil {
		panic(err) // there are no facts
	}
	b := append(prefix[:64], make([]byte, headerSize)...)
	b = append(b, bytes.Repeat([]byte{' '}, int(reserved))...)
	for _, e := range index {
		for _, v := range e {
			b = binary.BigEndian.AppendUint32(b, v)
		}
		b = append(b, 0)
	}
	b = append(b, "LETHEEND"...)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(index)))
	for _, v := range []uint64{source, frames, reserved, frames + reserved, uint64(13 * len(index)), 0} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// docs/envelope.md, "What is refused": footer and index.
func TestLayoutRules(t *testing.T) {
	const full, most = envelope.FrameSize, envelope.MaxSource
	allow := func(name string, b []byte) {
		t.Helper()
		l, err := envelope.ParseLayout(b)
		if err != nil || !bytes.Equal(envelope.AppendLayout(l), b) {
			t.Errorf("%s: %v, want a layout", name, err)
		}
	}
	deny := func(name string, b []byte) {
		t.Helper()
		_, err := envelope.ParseLayout(b)
		if !errors.Is(err, envelope.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
	one := entry{1, 100, 100}

	allow("nothing", layoutOf(0, 0, 1024))
	allow("one short frame", layoutOf(100, 100, 1024, one))
	allow("full frames", layoutOf(3*full, 3*full, 2048, entry{3, full, full}))
	allow("full frames and a short one", layoutOf(3*full+100, 3*full+100, 1<<20, entry{3, full, full}, one))
	allow("the most", layoutOf(most, most, 1024, entry{most / full, full, full}))

	deny("more than the most", layoutOf(most+100, most+100, 1024, entry{most / full, full, full}, one))
	deny("no space for end facts", layoutOf(100, 100, 0, one))
	deny("odd space for end facts", layoutOf(100, 100, 1000, one))
	deny("vast space for end facts", layoutOf(100, 100, 2<<20, one))
	deny("frames larger than the source", layoutOf(100, 101, 1024, one))
	deny("frames smaller than the index", layoutOf(100, 99, 1024, one))
	deny("source larger than the index", layoutOf(101, 100, 1024, one))
	deny("source smaller than the index", layoutOf(99, 99, 1024, one))
	deny("no index", layoutOf(100, 100, 1024))
	deny("no frames in a run", layoutOf(100, 100, 1024, entry{0, full, full}, one))
	deny("an empty frame", layoutOf(0, 0, 1024, entry{1, 0, 0}))
	deny("a frame too long", layoutOf(full+1, full+1, 1024, entry{1, full + 1, full + 1}))
	deny("two short frames", layoutOf(200, 200, 1024, entry{2, 100, 100}))
	deny("a short frame first", layoutOf(full+100, full+100, 1024, one, entry{1, full, full}))
	deny("a run split", layoutOf(2*full, 2*full, 1024, entry{1, full, full}, entry{1, full, full}))
	deny("a raw frame that is shorter stored", layoutOf(100, 99, 1024, entry{1, 99, 100}))
	deny("a byte too many", append(layoutOf(0, 0, 1024)[:64+headerSize], append([]byte{' '}, layoutOf(0, 0, 1024)[64+headerSize:]...)...))
	deny("a byte too few", append(layoutOf(0, 0, 1024)[:64+headerSize], layoutOf(0, 0, 1024)[64+headerSize+1:]...))
	deny("no footer", layoutOf(0, 0, 0)[:64+headerSize+63])
	deny("no header", layoutOf(0, 0, 0)[:64+headerSize-1])
}

// A footer that puts the end facts before the container's first byte.
func TestFooterBelowTheContainer(t *testing.T) {
	s := seal(t, nil)
	below := ^uint64(1024) + 1
	footer := layoutOf(0, below, 1024)[64+headerSize+1024:]
	blob := envelope.SealContainer(s.dek, s.prefix, footer)
	_, err := envelope.ReadLayout(s.dek, &s.prefix, bytes.NewReader(blob), int64(len(blob)))
	if !errors.Is(err, envelope.ErrFormat) {
		t.Errorf("ReadLayout = %v, want ErrFormat", err)
	}
}
