package envelope_test

import (
	"bytes"
	"testing"

	"github.com/lethe-vault/lethe/crypto/envelope"
)

// What parses marshals to the same bytes, so no prefix has a second spelling.
func FuzzParsePrefix(f *testing.F) {
	s := seal(f, pattern(10))
	f.Add(s.blob[:s.prefix.Size()])
	f.Add(s.blob[:160])
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := envelope.ParsePrefix(b)
		if err != nil {
			return
		}
		again, err := p.Marshal()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("ParsePrefix(%x) marshals to %x, %v", b, again, err)
		}
		read, err := envelope.ReadPrefix(bytes.NewReader(append(b, 1)))
		if err != nil || read.Size() != len(b) {
			t.Errorf("ReadPrefix of a prefix of %d bytes = %v", len(b), err)
		}
	})
}

// The same of layouts; and every span of a layout that parses lies in its blob.
func FuzzLayout(f *testing.F) {
	for _, n := range sizes() {
		s := seal(f, pattern(n))
		f.Add(envelope.AppendLayout(s.layout))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := envelope.ParseLayout(b)
		if err != nil {
			return
		}
		if again := envelope.AppendLayout(l); !bytes.Equal(again, b) {
			t.Errorf("layout %x marshals to %x", b, again)
		}
		if l.StoredSize() <= l.SourceSize() {
			t.Errorf("%d source bytes are stored in %d", l.SourceSize(), l.StoredSize())
		}
	})
}

// A span of a changed blob gives the source or an error: never other bytes.
func FuzzSpan(f *testing.F) {
	s := seal(f, pattern(200_000))
	f.Add(int64(0), int64(200_000), uint32(0), byte(0))
	f.Add(int64(65_503), int64(2), uint32(70_000), byte(1))
	f.Add(int64(199_999), int64(1), uint32(199_999), byte(0x80))
	f.Fuzz(func(t *testing.T, off, n int64, at uint32, flip byte) {
		blob := bytes.Clone(s.blob)
		blob[int(at)%len(blob)] ^= flip
		got, err := s.span(blob, off, n)
		inside := off >= 0 && n >= 0 && off <= 200_000 && n <= 200_000-off
		switch {
		case !inside && (err == nil || len(got) > 0):
			t.Errorf("span [%d,+%d) = %d bytes, %v", off, n, len(got), err)
		case inside && !bytes.HasPrefix(s.source[off:][:n], got):
			t.Errorf("span [%d,+%d) gives other bytes", off, n)
		case inside && (err == nil) != (int64(len(got)) == n):
			t.Errorf("span [%d,+%d) = %d bytes, %v", off, n, len(got), err)
		case inside && flip == 0 && err != nil:
			t.Errorf("span [%d,+%d) = %v", off, n, err)
		}
	})
}
