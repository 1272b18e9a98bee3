package envelope_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
)

const (
	segment    = 64 << 10
	headerSize = 74
)

// bodyAt is where the segments of a blob begin.
func (s *sealed) bodyAt() int { return s.prefix.Size() + headerSize }

// refuse verifies that blob is refused by Open, and that what was read of it
// before that is a beginning of the source that ends where a segment does.
func (s *sealed) refuse(t *testing.T, name string, blob []byte) {
	t.Helper()
	got, err := s.open(blob)
	if !errors.Is(err, envelope.ErrAuth) && !errors.Is(err, envelope.ErrTruncated) &&
		!errors.Is(err, envelope.ErrFormat) && !errors.Is(err, envelope.ErrUnsupported) {
		t.Errorf("%s: Open = %v, want a refusal", name, err)
	}
	if !bytes.HasPrefix(s.source, got) {
		t.Errorf("%s: Open gave %d bytes that are not the source's", name, len(got))
	}
	if len(got)%envelope.SegmentPayload != 0 && len(got) != len(s.source) {
		t.Errorf("%s: Open gave %d bytes, which is no whole number of segments", name, len(got))
	}
}

// refuseSpan verifies that no span of blob that touches segment i gives a byte
// of it, and that the rebuild of a layout does not accept a changed tail.
func (s *sealed) refuseSpan(t *testing.T, name string, blob []byte, i int) {
	t.Helper()
	const payload = envelope.SegmentPayload
	lo, hi := i*payload, min((i+1)*payload, len(s.source))
	if lo >= hi {
		return
	}
	got, err := s.span(blob, int64(lo), int64(hi-lo))
	if err == nil || len(got) > 0 {
		t.Errorf("%s: span of segment %d = %d bytes, %v", name, i, len(got), err)
	}
}

func TestEveryAuthenticatedPrefixBit(t *testing.T) {
	s := seal(t, pattern(1000))
	flip := func(at int) {
		for bit := range 8 {
			blob := bytes.Clone(s.blob)
			blob[at] ^= 1 << bit
			s.refuse(t, "prefix or header", blob)
			p, err := envelope.ReadPrefix(bytes.NewReader(blob))
			if err != nil {
				continue
			}
			_, err = envelope.ReadLayout(s.dek, p, bytes.NewReader(blob), int64(len(blob)))
			if err == nil {
				t.Errorf("ReadLayout accepts byte %d with bit %d changed", at, bit)
			}
		}
	}
	for at := range 64 {
		flip(at)
	}
	for at := 88; at < 96; at++ {
		flip(at)
	}
	for at := 156; at < 160; at++ {
		flip(at)
	}
	for at := s.prefix.Size(); at < s.bodyAt(); at++ {
		flip(at)
	}
}

func TestBodyBits(t *testing.T) {
	s := seal(t, pattern(200_000))
	random := rand.New(rand.NewPCG(1, 2))
	body := len(s.blob) - s.bodyAt()
	for range 10_000 {
		at := s.bodyAt() + random.IntN(body)
		bit := byte(1) << random.IntN(8)
		i := (at - s.bodyAt()) / segment
		s.blob[at] ^= bit
		s.refuseSpan(t, "changed bit", s.blob, i)
		if i == (body-1)/segment {
			s.refuse(t, "changed bit", s.blob)
		}
		s.blob[at] ^= bit
	}
}

func TestTruncation(t *testing.T) {
	s := seal(t, pattern(200_000))
	cuts := []int{0, 1, 63, 64, 159, 160, s.prefix.Size() - 1, s.prefix.Size(), s.bodyAt() - 1}
	for at := s.bodyAt(); at < len(s.blob); at += segment {
		cuts = append(cuts, at-1, at, at+1, at+31, at+32, at+33)
	}
	cuts = append(cuts, len(s.blob)-33, len(s.blob)-32, len(s.blob)-1)
	for _, cut := range cuts {
		blob := s.blob[:cut]
		s.refuse(t, "truncated", blob)
		_, err := envelope.ReadLayout(s.dek, &s.prefix, bytes.NewReader(blob), int64(cut))
		if err == nil {
			t.Errorf("ReadLayout accepts a blob cut at %d of %d", cut, len(s.blob))
		}
		_, err = envelope.ReadLayout(s.dek, &s.prefix, bytes.NewReader(blob), int64(len(s.blob)))
		if err == nil {
			t.Errorf("ReadLayout accepts a blob cut at %d that claims its length", cut)
		}
		i := max(0, cut-s.bodyAt()) / segment
		s.refuseSpan(t, "truncated", blob, i)
	}
}

func TestExtension(t *testing.T) {
	for _, n := range sizes() {
		s := seal(t, pattern(n))
		for _, more := range [][]byte{{0}, s.blob[s.bodyAt():], s.blob} {
			longer := append(bytes.Clone(s.blob), more...)
			s.refuse(t, "extended", longer)
			_, err := envelope.ReadLayout(s.dek, &s.prefix, bytes.NewReader(longer), int64(len(longer)))
			if err == nil {
				t.Errorf("ReadLayout accepts %d bytes after the blob", len(more))
			}
		}
	}
}

// segmentsOf gives views of the full segments of s.
func (s *sealed) segmentsOf(blob []byte) (out [][]byte) {
	for b := blob[s.bodyAt():]; len(b) > segment; b = b[segment:] {
		out = append(out, b[:segment])
	}
	return out
}

func TestReorderAndDuplicate(t *testing.T) {
	s := seal(t, pattern(300_000))
	for i, a := range s.segmentsOf(s.blob) {
		for j, b := range s.segmentsOf(s.blob) {
			if i == j {
				continue
			}
			blob := bytes.Clone(s.blob)
			view := s.segmentsOf(blob)
			copy(view[i], b)
			s.refuse(t, "duplicated", blob)
			s.refuseSpan(t, "duplicated", blob, i)
			copy(view[j], a)
			s.refuse(t, "swapped", blob)
			s.refuseSpan(t, "swapped", blob, j)
		}
	}
	cut := append(bytes.Clone(s.blob[:s.bodyAt()+segment]), s.blob[s.bodyAt()+2*segment:]...)
	s.refuse(t, "one segment removed", cut)
}

// Another blob's segments, header or both fit nowhere else: not even those of
// the same source under the same key, as a multipart retry makes them.
func TestSplice(t *testing.T) {
	source := pattern(200_000)
	s := seal(t, source)
	others := map[string]envelope.Config{
		"the same again":    config(t, s.dek, identity(1), 0, source),
		"another recording": config(t, s.dek, identity(5), 0, source),
		"another part":      config(t, s.dek, identity(1), 1, source),
		"another key":       config(t, keytree.NewKey(), identity(1), 0, source),
	}
	for name, c := range others {
		o := sealConfig(t, c, source)
		s.refuse(t, name, o.blob)
		for i, theirs := range o.segmentsOf(o.blob) {
			blob := bytes.Clone(s.blob)
			copy(s.segmentsOf(blob)[i], theirs)
			s.refuse(t, name+": a segment", blob)
			s.refuseSpan(t, name+": a segment", blob, i)
		}
		body := append(bytes.Clone(s.blob[:s.bodyAt()]), o.blob[o.bodyAt():]...)
		s.refuse(t, name+": the body", body)
		headed := append(bytes.Clone(s.blob[:s.prefix.Size()]), o.blob[o.prefix.Size():]...)
		s.refuse(t, name+": header and body", headed)
	}
}

func TestOpenUnderAnotherKey(t *testing.T) {
	s := seal(t, pattern(1000))
	_, span := envelope.OpenSpan(keytree.NewKey(), s.layout, 0, 1)
	_, whole := envelope.Open(keytree.NewKey(), s.layout, bytes.NewReader(s.blob), envelope.Unguarded)
	_, layout := envelope.ReadLayout(keytree.NewKey(), &s.prefix, bytes.NewReader(s.blob), int64(len(s.blob)))
	for i, err := range []error{span, whole, layout} {
		if !errors.Is(err, envelope.ErrAuth) {
			t.Errorf("call %d under another key = %v, want ErrAuth", i, err)
		}
	}
}

// A part does not read as another part: the prefix is authenticated, and each
// part has a key of its own.
func TestWrongPart(t *testing.T) {
	c := config(t, keytree.NewKey(), identity(1), 3, pattern(1000))
	s := sealConfig(t, c, pattern(1000))
	blob := bytes.Clone(s.blob)
	blob[15] = 4
	s.refuse(t, "wrong part", blob)
	p, err := envelope.ReadPrefix(bytes.NewReader(blob))
	if err != nil || p.Part != 4 {
		t.Fatalf("ReadPrefix = part %d, %v", p.Part, err)
	}
	_, err = envelope.ReadLayout(s.dek, p, bytes.NewReader(blob), int64(len(blob)))
	if !errors.Is(err, envelope.ErrAuth) {
		t.Errorf("ReadLayout of part 3 as part 4 = %v, want ErrAuth", err)
	}
}

// What stands in the prefix only as a hint may change without harm to reading.
func TestHintsAreNotAuthenticated(t *testing.T) {
	s := seal(t, pattern(1000))
	for _, at := range []int{64, 87, 96, 155, 160} {
		blob := bytes.Clone(s.blob)
		blob[at] ^= 1
		got, err := s.open(blob)
		if err != nil || !bytes.Equal(got, s.source) {
			t.Errorf("Open with byte %d changed = %d bytes, %v", at, len(got), err)
		}
	}
}

// Before the error come the whole verified segments that precede it, no more.
func TestBytesBeforeTheError(t *testing.T) {
	s := seal(t, pattern(300_000))
	for i := range s.segmentsOf(s.blob) {
		blob := bytes.Clone(s.blob)
		s.segmentsOf(blob)[i][segment-1] ^= 1
		off := int64(100)
		got, err := s.span(blob, off, int64(len(s.source))-off)
		want := s.source[min(off, int64(i*envelope.SegmentPayload)) : i*envelope.SegmentPayload]
		if !errors.Is(err, envelope.ErrAuth) || !bytes.Equal(got, want) {
			t.Errorf("segment %d changed: %d bytes, %v, want %d and ErrAuth", i, len(got), err, len(want))
		}
	}
}

// The sealer never makes these: a container sealed by someone with the key is
// still checked in full.
func TestMalformedContainer(t *testing.T) {
	s := seal(t, pattern(300_000))
	good := envelope.AppendLayout(s.layout)
	tail := good[64+headerSize:]
	size := int64(len(s.source))
	container := append(bytes.Clone(s.source), tail...)
	for at := len(container) - 64 - 26; at < len(container); at++ {
		bad := bytes.Clone(container)
		bad[at] ^= 1
		blob := envelope.SealContainer(s.dek, s.prefix, slices.Collect(slices.Chunk(bad, envelope.SegmentPayload))...)
		_, err := envelope.ReadLayout(s.dek, &s.prefix, bytes.NewReader(blob), int64(len(blob)))
		if !errors.Is(err, envelope.ErrFormat) && !errors.Is(err, envelope.ErrUnsupported) {
			t.Errorf("ReadLayout with byte %d of index or footer changed = %v", int64(at)-size-1024, err)
		}
		layout := append(bytes.Clone(good[:64+headerSize]), bad[size:]...)
		_, err = envelope.OpenLayout(s.dek, s.prefix.Identity, 0, envelope.SealLayoutBytes(s.dek, s.prefix.Identity, layout))
		if !errors.Is(err, envelope.ErrFormat) && !errors.Is(err, envelope.ErrUnsupported) {
			t.Errorf("OpenLayout with byte %d of index or footer changed = %v", int64(at)-size-1024, err)
		}
	}
	for _, short := range []int{1, 63, 64} {
		blob := envelope.SealContainer(s.dek, s.prefix, container[len(container)-short:])
		_, err := envelope.ReadLayout(s.dek, &s.prefix, bytes.NewReader(blob), int64(len(blob)))
		if err == nil {
			t.Errorf("ReadLayout accepts a container of %d bytes", short)
		}
	}
}

// FLOE allows an empty last segment; a blob of Lethe has none.
func TestEmptyLastSegment(t *testing.T) {
	s := seal(t, pattern(envelope.SegmentPayload-1024-13-64))
	container := append(bytes.Clone(s.source), envelope.AppendLayout(s.layout)[64+headerSize:]...)
	blob := envelope.SealContainer(s.dek, s.prefix, container, nil)
	_, err := envelope.ReadLayout(s.dek, &s.prefix, bytes.NewReader(blob), int64(len(blob)))
	if !errors.Is(err, envelope.ErrAuth) {
		t.Errorf("ReadLayout = %v, want ErrAuth", err)
	}
	s.refuse(t, "empty last segment", blob)
}

func TestUnsupported(t *testing.T) {
	s := seal(t, pattern(10))
	for at, name := range map[int]string{8: "suite", 9: "flags"} {
		blob := bytes.Clone(s.blob)
		blob[at]++
		_, err := envelope.ReadPrefix(bytes.NewReader(blob))
		if !errors.Is(err, envelope.ErrUnsupported) {
			t.Errorf("ReadPrefix of another %s = %v, want ErrUnsupported", name, err)
		}
	}
	for fromEnd, name := range map[int]string{64 + 1: "codec", 64 - 11: "container version"} {
		b := envelope.AppendLayout(s.layout)
		b[len(b)-fromEnd]++
		_, err := envelope.ParseLayout(b)
		if !errors.Is(err, envelope.ErrUnsupported) {
			t.Errorf("layout with another %s = %v, want ErrUnsupported", name, err)
		}
	}
}

func TestStoreErrorsPassThrough(t *testing.T) {
	s := seal(t, pattern(200_000))
	span, err := envelope.OpenSpan(s.dek, s.layout, 0, 200_000)
	if err != nil {
		t.Fatal(err)
	}
	stored := s.blob[span.Offset:]
	for _, broken := range []error{errBroken, fmt.Errorf("%w: %w", errBroken, io.ErrUnexpectedEOF)} { // as of a connection
		r := span.Reader(io.MultiReader(bytes.NewReader(stored[:segment+1]), errReader{broken}), envelope.Unguarded)
		got, err := io.ReadAll(r)
		if !errors.Is(err, errBroken) || errors.Is(err, envelope.ErrTruncated) || len(got) != envelope.SegmentPayload {
			t.Errorf("span of a store that fails with %v = %d bytes, %v", broken, len(got), err)
		}
	}
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) { return 0, r.error }
