package envelope_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
)

// partsOf seals sources as parts of one upload, numbered 1, 3, 5 …
func partsOf(t testing.TB, sources ...[]byte) (dek keytree.Key, blobs []sealed, parts []envelope.Part) {
	t.Helper()
	dek = keytree.NewKey()
	for i, source := range sources {
		s := sealConfig(t, config(t, dek, identity(1), uint32(2*i+1), source), source)
		blobs = append(blobs, s)
		parts = append(parts, envelope.Part{Blob: [16]byte(pattern(16 * (i + 1))[16*i:]), Layout: s.layout})
	}
	return dek, blobs, parts
}

// docs/envelope.md, "Parts": what the list says of a part is enough to read any
// span of it.
func TestPartsAreReadByTheirList(t *testing.T) {
	dek, blobs, parts := partsOf(t, pattern(70_000), nil, pattern(1), pattern(3*envelope.FrameSize+1))
	sealedList, err := envelope.SealParts(dek, identity(1), envelope.MarshalParts(parts))
	if err != nil {
		t.Fatal(err)
	}
	list, err := envelope.OpenParts(dek, identity(1), sealedList)
	if err != nil {
		t.Fatal(err)
	}
	got, err := envelope.ParseParts(identity(1), list)
	if err != nil || len(got) != len(parts) {
		t.Fatalf("ParseParts = %d parts, %v", len(got), err)
	}
	for i, p := range got {
		s := blobs[i]
		if p.Blob != parts[i].Blob || p.Layout.Part() != s.prefix.Part || p.Layout.StoredSize() != int64(len(s.blob)) {
			t.Errorf("part %d = %x, part %d of %d bytes", i, p.Blob, p.Layout.Part(), p.Layout.StoredSize())
		}
		s.layout = p.Layout
		n := int64(len(s.source))
		for _, span := range [][2]int64{{0, n}, {n / 2, n - n/2}, {n, 0}} {
			read, err := s.span(s.blob, span[0], span[1])
			if err != nil || !bytes.Equal(read, s.source[span[0]:span[0]+span[1]]) {
				t.Errorf("part %d, %d bytes from %d: %d others, %v", i, span[1], span[0], len(read), err)
			}
		}
	}
}

// A part is not another part, nor an earlier attempt at itself.
func TestPartsAreNotExchanged(t *testing.T) {
	dek, blobs, _ := partsOf(t, pattern(1000), pattern(1000))
	again := sealConfig(t, config(t, dek, identity(1), 1, pattern(1000)), pattern(1000))
	for name, other := range map[string]sealed{"another part": blobs[1], "another attempt": again} {
		s := blobs[0]
		if _, err := s.span(other.blob, 0, 1000); !errors.Is(err, envelope.ErrAuth) {
			t.Errorf("%s is read: %v", name, err)
		}
	}
}

// docs/envelope.md, "What is refused": lists of parts.
func TestPartListRules(t *testing.T) {
	_, _, parts := partsOf(t, pattern(100), pattern(envelope.FrameSize+1))
	good := envelope.MarshalParts(parts)
	deny := func(name string, b []byte) {
		t.Helper()
		if _, err := envelope.ParseParts(identity(1), b); !errors.Is(err, envelope.ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
	change := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	const first, second = 12, 12 + 104 + 13
	for i := range good {
		deny("cut", good[:i])
	}
	deny("a byte more", append(bytes.Clone(good), 0))
	deny("another magic", change(0, 'l'))
	deny("no part", envelope.MarshalParts(nil))
	deny("fewer parts than it holds", change(8, 0, 0, 0, 1))
	deny("more parts than it holds", change(8, 0, 0, 0, 3))
	deny("more parts than there are", change(8, 0, 0, 0x27, 0x11))
	deny("part 0", change(first, 0, 0, 0, 0))
	deny("a part twice", change(second, 0, 0, 0, 1))
	deny("parts out of order", envelope.MarshalParts([]envelope.Part{parts[1], parts[0]}))
	deny("a part above the highest", change(second, 0, 0, 0x27, 0x11))
	deny("no space for end facts", change(first+96, 0, 0, 0, 0))
	deny("odd space for end facts", change(first+96, 0, 0, 4, 1))
	deny("more index than it holds", change(second+100, 0xff, 0xff, 0xff, 0xff))
	deny("frames that are none", change(first+104, 0, 0, 0, 0))
	deny("vast frames", change(second+104, bytes.Repeat([]byte{0xff}, 12)...))
}

// What parses marshals to the same bytes, and every part lies within bounds.
func FuzzParts(f *testing.F) {
	_, _, parts := partsOf(f, pattern(100), nil, pattern(envelope.FrameSize+1))
	f.Add(envelope.MarshalParts(parts))
	f.Add(envelope.MarshalParts(parts[:1]))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := envelope.ParseParts(identity(1), b)
		if err != nil {
			return
		}
		if again := envelope.MarshalParts(got); !bytes.Equal(again, b) {
			t.Errorf("list %x marshals to %x", b, again)
		}
		ordered := slices.IsSortedFunc(got, func(a, b envelope.Part) int { return int(a.Layout.Part()) - int(b.Layout.Part()) })
		for _, p := range got {
			if !ordered || p.Layout.SourceSize() < 0 || p.Layout.StoredSize() <= p.Layout.SourceSize() {
				t.Errorf("part %d: %d source bytes are stored in %d", p.Layout.Part(), p.Layout.SourceSize(), p.Layout.StoredSize())
			}
		}
	})
}

// A list is bound to its identity and to nothing else's key.
func TestSealedPartsAreBound(t *testing.T) {
	dek, _, parts := partsOf(t, pattern(100))
	sealedList, err := envelope.SealParts(dek, identity(1), envelope.MarshalParts(parts))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.OpenParts(dek, identity(2), sealedList); !errors.Is(err, envelope.ErrAuth) {
		t.Errorf("opened for another identity: %v", err)
	}
	if _, err := envelope.OpenFacts(dek, identity(1), sealedList); !errors.Is(err, envelope.ErrAuth) {
		t.Errorf("opened as facts: %v", err)
	}
	if _, err := envelope.OpenParts(keytree.Key{}, identity(1), sealedList); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("opened without a key: %v", err)
	}
	binary.BigEndian.PutUint32(sealedList, 0)
	if _, err := envelope.OpenParts(dek, identity(1), sealedList); !errors.Is(err, envelope.ErrAuth) {
		t.Errorf("opened though changed: %v", err)
	}
}
