package envelope_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"pgregory.net/rapid"
)

// Any span equals that slice of the whole, fetched with one read of the store
// that is no longer than the segments it touches.
func TestSpanIsASlice(t *testing.T) {
	blobs := map[int]sealed{}
	for _, n := range sizes() {
		blobs[n] = seal(t, pattern(n))
	}
	rapid.Check(t, func(t *rapid.T) {
		s := blobs[rapid.SampledFrom(sizes()).Draw(t, "size")]
		off := rapid.IntRange(0, len(s.source)).Draw(t, "off")
		n := rapid.IntRange(0, len(s.source)-off).Draw(t, "n")
		span, err := envelope.OpenSpan(s.dek, s.layout, int64(off), int64(n))
		if err != nil {
			t.Fatal(err)
		}
		touched := int64(n)/envelope.SegmentPayload + 2
		if span.Length > touched*segment || span.Offset+span.Length > int64(len(s.blob)) {
			t.Fatalf("%d bytes from %d of %d take [%d,+%d)", n, off, len(s.source), span.Offset, span.Length)
		}
		stored := s.blob[span.Offset:][:span.Length]
		want := s.source[off:][:n]
		got, err := io.ReadAll(iotest.DataErrReader(span.Reader(bytes.NewReader(stored), envelope.Unguarded)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("span [%d,+%d) of %d = %d bytes, %v", off, n, len(s.source), len(got), err)
		}
		var out bytes.Buffer
		_, err = span.Reader(bytes.NewReader(stored), envelope.Unguarded).WriteTo(&out)
		if err != nil || !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("WriteTo of [%d,+%d) of %d = %d bytes, %v", off, n, len(s.source), out.Len(), err)
		}
	})
}

func TestSpanOutsideTheSource(t *testing.T) {
	s := seal(t, pattern(1000))
	const most = 1<<63 - 1
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, 1001}, {1000, 1}, {1001, 0}, {1, most}, {most, 1}, {most, most}} {
		_, err := envelope.OpenSpan(s.dek, s.layout, r[0], r[1])
		if !errors.Is(err, envelope.ErrRange) {
			t.Errorf("OpenSpan(%d, %d) of 1000 = %v, want ErrRange", r[0], r[1], err)
		}
	}
}

// A span that is empty needs no read of the store.
func TestEmptySpan(t *testing.T) {
	for _, n := range sizes() {
		s := seal(t, pattern(n))
		for _, off := range []int{0, n / 2, n} {
			span, err := envelope.OpenSpan(s.dek, s.layout, int64(off), 0)
			if err != nil || span.Length != 0 {
				t.Fatalf("OpenSpan(%d, 0) of %d = %+v, %v", off, n, span, err)
			}
			got, err := io.ReadAll(span.Reader(errReader{errBroken}, envelope.Unguarded))
			if err != nil || len(got) > 0 {
				t.Errorf("empty span at %d of %d = %d bytes, %v", off, n, len(got), err)
			}
		}
	}
}

// The check is asked once for every segment; when it fails, nothing more comes.
func TestCheckStopsTheStream(t *testing.T) {
	s := seal(t, pattern(300_000))
	for allowed := range 5 {
		for _, failure := range []error{errBroken, io.EOF} {
			asked := 0
			check := func() error {
				if asked++; asked > allowed {
					return failure
				}
				return nil
			}
			r, err := envelope.Open(s.dek, s.layout, bytes.NewReader(s.blob), check)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if len(got) != allowed*envelope.SegmentPayload || err == nil {
				t.Errorf("%d segments allowed: %d bytes, %v", allowed, len(got), err)
			}
			if failure == errBroken && !errors.Is(err, errBroken) {
				t.Errorf("%d segments allowed: %v, want the check's own error", allowed, err)
			}
		}
	}
	asked := 0
	r, err := envelope.Open(s.dek, s.layout, bytes.NewReader(s.blob), func() error { asked++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil || asked != 5 {
		t.Errorf("whole blob: check was asked %d times, want 5 (%v)", asked, err)
	}
}

func TestCloseEndsTheStream(t *testing.T) {
	s := seal(t, pattern(300_000))
	span, err := envelope.OpenSpan(s.dek, s.layout, 0, 300_000)
	if err != nil {
		t.Fatal(err)
	}
	r := span.Reader(bytes.NewReader(s.blob[span.Offset:]), envelope.Unguarded)
	if _, err := io.CopyN(io.Discard, r, 10); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Errorf("Close = %v", err)
	}
	if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Read after Close = %d, %v, want ErrClosed", n, err)
	}
}

// HTTP transports close a body that they are still reading; the buffers must
// not go to another stream meanwhile.
func TestCloseWhileReading(t *testing.T) {
	s := seal(t, pattern(300_000))
	var streams sync.WaitGroup
	for range 50 {
		r, err := envelope.Open(s.dek, s.layout, bytes.NewReader(s.blob), envelope.Unguarded)
		if err != nil {
			t.Fatal(err)
		}
		streams.Go(func() {
			got, err := io.ReadAll(r)
			if err != nil && !errors.Is(err, fs.ErrClosed) || !bytes.HasPrefix(s.source, got) {
				t.Errorf("closed while reading: %d bytes, %v", len(got), err)
			}
		})
		streams.Go(func() { r.Close() })
	}
	streams.Wait()
}

// A source may give its bytes in any portions, and its end with the last.
func TestSourceInPortions(t *testing.T) {
	source := pattern(70_000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"one byte":      iotest.OneByteReader,
		"half":          iotest.HalfReader,
		"end with data": iotest.DataErrReader,
	} {
		s := seal(t, source)
		c := config(t, s.dek, identity(1), 0, nil)
		c.Source = wrap(bytes.NewReader(source))
		got := sealConfig(t, c, source)
		plain, err := got.open(got.blob)
		if err != nil || !bytes.Equal(plain, source) || len(got.blob) != len(s.blob) {
			t.Errorf("%s: %d bytes, %v", name, len(plain), err)
		}
	}
}

// A layout appears with the last byte of the blob: a store that knows the
// length does not read on to io.EOF.
func TestLayoutWithTheLastByte(t *testing.T) {
	c := config(t, keytree.NewKey(), identity(1), 0, pattern(1000))
	size := c.StoredSize(1000)
	s, err := envelope.Seal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, onlyReader{s}, size-1); err != nil || s.Layout() != nil {
		t.Errorf("one byte before the end: layout %v, %v", s.Layout(), err)
	}
	if _, err := io.CopyN(io.Discard, onlyReader{s}, 1); err != nil || s.Layout() == nil {
		t.Errorf("at the end: layout %v, %v", s.Layout(), err)
	}
}

// A blob of which the last bytes were never read is not in the store.
func TestNoLayoutOfAnAbandonedBlob(t *testing.T) {
	c := config(t, keytree.NewKey(), identity(1), 0, pattern(1000))
	s, err := envelope.Seal(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, onlyReader{s}, c.StoredSize(1000)-1); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || s.Layout() != nil {
		t.Errorf("closed before the end: layout %v, %v", s.Layout(), err)
	}
}

// onlyReader hides WriteTo.
type onlyReader struct{ io.Reader }
