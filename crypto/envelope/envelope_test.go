package envelope_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// pattern is the source of the vectors: SHA-256(BE64(0)) ‖ SHA-256(BE64(1)) ‖ …
func pattern(n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for i := uint64(0); len(b) < n; i++ {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		b = append(b, h[:]...)
	}
	return b[:n]
}

// sealed is a blob with all that is known of it.
type sealed struct {
	dek    keytree.Key
	prefix envelope.Prefix
	layout *envelope.Layout
	source []byte
	blob   []byte
}

func identity(b byte) (id recording.Identity) {
	for i := range 16 {
		id.Tenant[i], id.Recording[i], id.Version[i] = b, b+1, b+2
	}
	return id
}

const endFacts = `{"size":1,"class":"D"}`

func giveEndFacts() ([]byte, error) { return []byte(endFacts), nil }

// config is for a blob with some of everything in its prefix.
func config(t testing.TB, dek keytree.Key, id recording.Identity, part uint32, source []byte) envelope.Config {
	t.Helper()
	facts, err := envelope.SealFacts(dek, id, []byte(`{"name":"call.wav"}`))
	if err != nil {
		t.Fatal(err)
	}
	p := envelope.Prefix{Part: part, Identity: id, Slots: [3]uint64{1, 2, 3}, SealedFacts: facts}
	copy(p.WrappedDEK[:], pattern(60))
	return envelope.Config{DEK: dek, Prefix: p, Source: bytes.NewReader(source), End: giveEndFacts}
}

func sealConfig(t testing.TB, c envelope.Config, source []byte) sealed {
	t.Helper()
	s, err := envelope.Seal(c)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	return sealed{dek: c.DEK, prefix: c.Prefix, layout: s.Layout(), source: source, blob: blob}
}

func seal(t testing.TB, source []byte) sealed {
	t.Helper()
	dek := keytree.NewKey()
	return sealConfig(t, config(t, dek, identity(1), 0, source), source)
}

// open reads all of blob as if it were s.
func (s *sealed) open(blob []byte) ([]byte, error) {
	r, err := envelope.Open(s.dek, s.layout, bytes.NewReader(blob), envelope.Unguarded)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// span reads n source bytes from off out of blob as if it were s.
func (s *sealed) span(blob []byte, off, n int64) ([]byte, error) {
	span, err := envelope.OpenSpan(s.dek, s.layout, off, n)
	if err != nil {
		return nil, err
	}
	stored := io.NewSectionReader(bytes.NewReader(blob), span.Offset, span.Length)
	r := span.Reader(stored, envelope.Unguarded)
	defer r.Close()
	return io.ReadAll(r)
}

// sizes are the source sizes at which something changes: the reserved end
// facts, an index of one or two entries and the footer follow the source.
func sizes() []int {
	const payload, tail1, tail2 = envelope.SegmentPayload, 1024 + 13 + 64, 1024 + 26 + 64
	return []int{0, 1, 1000, payload - tail1 - 1, payload - tail1, payload - tail1 + 1,
		payload - 1, payload, payload + 1, 2*payload - tail1,
		envelope.FrameSize - 1, envelope.FrameSize, envelope.FrameSize + 1,
		5*payload - tail2, 5*payload - tail2 + 1, 2 * envelope.FrameSize}
}

func TestRoundTrip(t *testing.T) {
	for _, n := range sizes() {
		s := seal(t, pattern(n))
		got, err := s.open(s.blob)
		if err != nil || !bytes.Equal(got, s.source) {
			t.Errorf("Open of %d bytes = %d bytes, %v", n, len(got), err)
		}
		if s.layout.SourceSize() != int64(n) || string(s.layout.EndFacts()) != endFacts {
			t.Errorf("layout of %d bytes: size %d, end facts %q", n, s.layout.SourceSize(), s.layout.EndFacts())
		}
		if s.layout.Identity() != s.prefix.Identity || s.layout.Part() != s.prefix.Part {
			t.Errorf("layout of %d bytes is of %v part %d", n, s.layout.Identity(), s.layout.Part())
		}
	}
}

func TestStoredSizeIsKnownBefore(t *testing.T) {
	for _, n := range sizes() {
		for _, reserve := range []int{0, 4096, 1 << 20} {
			c := config(t, keytree.NewKey(), identity(1), 0, pattern(n))
			c.EndFactsSize = reserve
			want := c.StoredSize(int64(n))
			s := sealConfig(t, c, nil)
			if int64(len(s.blob)) != want || s.layout.StoredSize() != want {
				t.Errorf("StoredSize(%d), %d reserved = %d; blob has %d, layout says %d",
					n, reserve, want, len(s.blob), s.layout.StoredSize())
			}
		}
	}
}

func TestPrefixAndFactsComeBack(t *testing.T) {
	s := seal(t, pattern(10))
	p, err := envelope.ReadPrefix(iotest.OneByteReader(bytes.NewReader(s.blob)))
	if err != nil {
		t.Fatal(err)
	}
	if p.Part != s.prefix.Part || p.Identity != s.prefix.Identity || p.Slots != s.prefix.Slots || p.WrappedDEK != s.prefix.WrappedDEK {
		t.Errorf("ReadPrefix = %+v, want %+v", p, s.prefix)
	}
	facts, err := envelope.OpenFacts(s.dek, p.Identity, p.SealedFacts)
	if err != nil || string(facts) != `{"name":"call.wav"}` {
		t.Errorf("OpenFacts = %q, %v", facts, err)
	}
	_, err = envelope.OpenFacts(s.dek, identity(9), p.SealedFacts)
	if !errors.Is(err, envelope.ErrAuth) {
		t.Errorf("OpenFacts for another identity = %v, want ErrAuth", err)
	}
	_, err = envelope.OpenFacts(keytree.NewKey(), p.Identity, p.SealedFacts)
	if !errors.Is(err, envelope.ErrAuth) {
		t.Errorf("OpenFacts under another key = %v, want ErrAuth", err)
	}
}

func TestLayoutForTheCatalog(t *testing.T) {
	s := seal(t, pattern(300_000))
	b, err := s.layout.Seal(s.dek)
	if err != nil {
		t.Fatal(err)
	}
	l, err := envelope.OpenLayout(s.dek, s.prefix.Identity, 0, b)
	if err != nil {
		t.Fatal(err)
	}
	s.layout = l
	got, err := s.open(s.blob)
	if err != nil || !bytes.Equal(got, s.source) {
		t.Errorf("Open by the catalog's layout = %d bytes, %v", len(got), err)
	}
	for name, open := range map[string]func() (*envelope.Layout, error){
		"identity": func() (*envelope.Layout, error) { return envelope.OpenLayout(s.dek, identity(7), 0, b) },
		"part":     func() (*envelope.Layout, error) { return envelope.OpenLayout(s.dek, s.prefix.Identity, 1, b) },
		"key": func() (*envelope.Layout, error) {
			return envelope.OpenLayout(keytree.NewKey(), s.prefix.Identity, 0, b)
		},
	} {
		if _, err := open(); !errors.Is(err, envelope.ErrAuth) {
			t.Errorf("OpenLayout with another %s = %v, want ErrAuth", name, err)
		}
	}
}

func TestReadLayoutFromTheBlobAlone(t *testing.T) {
	for _, n := range sizes() {
		s := seal(t, pattern(n))
		p, err := envelope.ReadPrefix(bytes.NewReader(s.blob))
		if err != nil {
			t.Fatal(err)
		}
		l, err := envelope.ReadLayout(s.dek, p, bytes.NewReader(s.blob), int64(len(s.blob)))
		if err != nil {
			t.Fatalf("ReadLayout of %d bytes: %v", n, err)
		}
		if !bytes.Equal(envelope.AppendLayout(l), envelope.AppendLayout(s.layout)) {
			t.Errorf("ReadLayout of %d bytes differs from the sealer's", n)
		}
	}
}

// errBroken is what a failing part of a test reports.
var errBroken = errors.New("broken")

func TestFailingSourceNeverCompletes(t *testing.T) {
	failures := []error{errBroken, io.ErrUnexpectedEOF, fmt.Errorf("proxy: %w", io.EOF)}
	for _, n := range sizes() {
		for _, failure := range failures {
			c := config(t, keytree.NewKey(), identity(1), 0, nil)
			c.Source = io.MultiReader(bytes.NewReader(pattern(n)), iotest.ErrReader(failure))
			c.End = func() ([]byte, error) {
				t.Error("End was called though Source failed")
				return nil, nil
			}
			want := failure
			if errors.Is(failure, io.EOF) {
				want = io.ErrUnexpectedEOF
			}
			checkIncomplete(t, c, n, want)
		}
	}
}

func TestFailingEndNeverCompletes(t *testing.T) {
	for _, n := range sizes() {
		for failure, want := range map[error]error{errBroken: errBroken, io.EOF: io.ErrUnexpectedEOF} {
			calls := 0
			c := config(t, keytree.NewKey(), identity(1), 0, pattern(n))
			c.End = func() ([]byte, error) { calls++; return nil, failure }
			checkIncomplete(t, c, n, want)
			if calls != 1 {
				t.Errorf("End was called %d times, want 1", calls)
			}
		}
		c := config(t, keytree.NewKey(), identity(1), 0, pattern(n))
		c.End = func() ([]byte, error) { return make([]byte, envelope.EndFactsSize+1), nil }
		checkIncomplete(t, c, n, envelope.ErrTooLarge)
	}
}

// checkIncomplete reads what c seals until it fails with want, and verifies
// that what came is no blob.
func checkIncomplete(t *testing.T, c envelope.Config, n int, want error) {
	t.Helper()
	s, err := envelope.Seal(c)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := io.ReadAll(s)
	if !errors.Is(err, want) || errors.Is(err, io.EOF) {
		t.Errorf("Seal of %d bytes = %v, want %v", n, err, want)
	}
	_, again := s.Read(make([]byte, 1))
	if !errors.Is(again, want) {
		t.Errorf("Read after the failure = %v, want %v", again, want)
	}
	if s.Layout() != nil {
		t.Error("a failed Sealer has a layout")
	}
	_, err = envelope.ReadLayout(c.DEK, &c.Prefix, bytes.NewReader(blob), int64(len(blob)))
	if err == nil {
		t.Errorf("a blob whose making failed after %d bytes is complete", n)
	}
}

func TestSealRefuses(t *testing.T) {
	c := config(t, keytree.NewKey(), identity(1), 0, nil)
	for _, size := range []int{1000, -1024, 2 << 20} {
		c := c
		c.EndFactsSize = size
		if _, err := envelope.Seal(c); err == nil {
			t.Errorf("Seal reserves %d bytes for end facts", size)
		}
	}
	noKey, vast := c, c
	noKey.DEK = keytree.Key{}
	if _, err := envelope.Seal(noKey); !errors.Is(err, envelope.ErrNoKey) {
		t.Errorf("Seal without a key = %v, want ErrNoKey", err)
	}
	vast.Prefix.SealedFacts = make([]byte, envelope.MaxSealedFacts+1)
	if _, err := envelope.Seal(vast); !errors.Is(err, envelope.ErrTooLarge) {
		t.Errorf("Seal with vast facts = %v, want ErrTooLarge", err)
	}
}

func TestMostFacts(t *testing.T) {
	c := config(t, keytree.NewKey(), identity(1), 0, pattern(100))
	c.Prefix.SealedFacts = pattern(envelope.MaxSealedFacts)
	s := sealConfig(t, c, pattern(100))
	got, err := s.open(s.blob)
	if err != nil || !bytes.Equal(got, s.source) {
		t.Errorf("Open with %d bytes of facts = %d bytes, %v", envelope.MaxSealedFacts, len(got), err)
	}
}

func TestNoKeyIsRefused(t *testing.T) {
	s := seal(t, pattern(10))
	none := keytree.Key{}
	_, facts := envelope.SealFacts(none, identity(1), nil)
	_, factsBack := envelope.OpenFacts(none, identity(1), s.prefix.SealedFacts)
	_, layout := s.layout.Seal(none)
	_, layoutBack := envelope.OpenLayout(none, identity(1), 0, nil)
	_, read := envelope.ReadLayout(none, &s.prefix, bytes.NewReader(s.blob), int64(len(s.blob)))
	_, span := envelope.OpenSpan(none, s.layout, 0, 1)
	_, whole := envelope.Open(none, s.layout, bytes.NewReader(s.blob), envelope.Unguarded)
	for i, err := range []error{facts, factsBack, layout, layoutBack, read, span, whole} {
		if !errors.Is(err, envelope.ErrNoKey) {
			t.Errorf("call %d with the zero key = %v, want ErrNoKey", i, err)
		}
	}
}

// No verb of fmt shows a stream's secret, since structs do get printed.
func TestSecretsDoNotPrint(t *testing.T) {
	s := seal(t, pattern(10))
	span, err := envelope.OpenSpan(s.dek, s.layout, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	r := span.Reader(bytes.NewReader(nil), envelope.Unguarded)
	for _, verb := range []string{"%v", "%x", "%d"} {
		secret := fmt.Sprintf(verb, envelope.MessageKey(span))
		secret = secret[1:9]
		if out := fmt.Sprintf(verb+verb, span, r); strings.Contains(out, secret) {
			t.Errorf("%s prints the secret", verb)
		}
	}
}
