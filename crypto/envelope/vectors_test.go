package envelope_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
)

var update = flag.Bool("update", false, "write testdata/lethe anew, the same bytes while format and Go stay the same")

const vectorDir = "testdata/lethe"

// expectations are the outcomes a vector may name; docs/envelope.md, "Vectors".
var expectations = map[string]error{
	"success":     nil,
	"auth":        envelope.ErrAuth,
	"truncated":   envelope.ErrTruncated,
	"format":      envelope.ErrFormat,
	"unsupported": envelope.ErrUnsupported,
}

// vector is one file: lines "name: value", an empty line, the blob in base64.
type vector struct {
	fields map[string]string
	blob   []byte
}

func readVector(t *testing.T, name string) (v vector) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(text), "\n\n")
	v.fields = map[string]string{}
	for line := range strings.Lines(head) {
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		v.fields[field] = value
	}
	v.blob, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

func (v vector) hex(t *testing.T, field string) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.fields[field])
	if err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	return b
}

// open does all a reader can do with the blob alone, in the order of
// docs/envelope.md, "Reading".
func (v vector) open(t *testing.T) (source, facts []byte, l *envelope.Layout, err error) {
	t.Helper()
	dek, err := keytree.KeyFrom(v.hex(t, "dek"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := envelope.ReadPrefix(bytes.NewReader(v.blob))
	if err != nil {
		return nil, nil, nil, err
	}
	facts, err = envelope.OpenFacts(dek, p.Identity, p.SealedFacts)
	if err != nil {
		return nil, nil, nil, err
	}
	l, err = envelope.ReadLayout(dek, p, bytes.NewReader(v.blob), int64(len(v.blob)))
	if err != nil {
		return nil, nil, nil, err
	}
	r, err := envelope.Open(dek, l, bytes.NewReader(v.blob), envelope.Unguarded)
	if err != nil {
		return nil, nil, nil, err
	}
	source, err = io.ReadAll(r)
	return source, facts, l, err
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	names, err := filepath.Glob(vectorDir + "/*.txt")
	if err != nil || len(names) < len(goodSizes)+len(damages()) {
		t.Fatalf("%d vectors, want %d (%v)", len(names), len(goodSizes)+len(damages()), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			v := readVector(t, name)
			want, known := expectations[v.fields["expect"]]
			if !known {
				t.Fatalf("expect: %q", v.fields["expect"])
			}
			source, facts, l, err := v.open(t)
			if !errors.Is(err, want) {
				t.Fatalf("open = %v, want %v", err, want)
			}
			if want == nil {
				v.check(t, source, facts, l)
			}
		})
	}
}

// check compares what a good vector gave with what it says of itself.
func (v vector) check(t *testing.T, source, facts []byte, l *envelope.Layout) {
	t.Helper()
	id := l.Identity()
	p, err := envelope.ReadPrefix(bytes.NewReader(v.blob))
	if err != nil {
		t.Fatal(err)
	}
	for field, got := range map[string]string{
		"part":          fmt.Sprint(l.Part()),
		"tenant":        hex.EncodeToString(id.Tenant[:]),
		"recording":     hex.EncodeToString(id.Recording[:]),
		"version":       hex.EncodeToString(id.Version[:]),
		"slots":         fmt.Sprint(p.Slots[0], p.Slots[1], p.Slots[2]),
		"wrapped-dek":   hex.EncodeToString(p.WrappedDEK[:]),
		"facts":         string(facts),
		"end-facts":     string(l.EndFacts()),
		"source-size":   fmt.Sprint(l.SourceSize()),
		"source-sha256": sum(source),
		"blob-size":     fmt.Sprint(l.StoredSize()),
		"blob-sha256":   sum(v.blob),
	} {
		if got != v.fields[field] {
			t.Errorf("%s = %s, want %s", field, got, v.fields[field])
		}
	}
	if !bytes.Equal(source, pattern(len(source))) {
		t.Error("source is not the pattern")
	}
	dek, err := keytree.KeyFrom(v.hex(t, "dek"))
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := envelope.OpenLayout(dek, id, l.Part(), v.hex(t, "sealed-layout"))
	if err != nil || !bytes.Equal(envelope.AppendLayout(catalog), envelope.AppendLayout(l)) {
		t.Errorf("sealed-layout = %v, want what the blob says", err)
	}
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// goodSizes: nothing, one byte, the container at and over one full segment,
// the source at one full segment, at one full frame and over it.
var goodSizes = []int{0, 1, 1000, envelope.SegmentPayload - 1024 - 13 - 64, envelope.SegmentPayload - 1024 - 13 - 63,
	envelope.SegmentPayload, envelope.FrameSize, envelope.FrameSize + 1}

// A damage is what is done to the blob of 100 bytes, and what must come of it.
type damage struct {
	name, expect, comment string
	do                    func(s sealed) []byte
}

// change gives a damage that adds 1 to the byte at offset at, from the end if
// that is negative.
func change(name, expect, comment string, at int) damage {
	return damage{name, expect, comment, func(s sealed) []byte {
		b := bytes.Clone(s.blob)
		b[(at+len(b))%len(b)]++
		return b
	}}
}

// reseal gives a damage that adds 1 to a byte of the container, fromEnd bytes
// before its end, and seals it rightly.
func reseal(name, expect, comment string, fromEnd int) damage {
	return damage{name, expect, comment, func(s sealed) []byte {
		c := append(bytes.Clone(s.source), envelope.AppendLayout(s.layout)[64+headerSize:]...)
		c[len(c)-fromEnd]++
		return envelope.SealContainer(s.dek, s.prefix, c)
	}}
}

func damages() []damage {
	const header = 160 + envelope.SealedOverhead + len(`{"name":"call.wav"}`)
	return []damage{
		change("magic", "format", "another magic", 7),
		change("suite", "unsupported", "suite 2", 8),
		change("flags", "unsupported", "flags 1", 9),
		change("prefix-length", "format", "prefix length is not 160 plus the length of the facts", 11),
		change("part", "auth", "the part number was changed", 15),
		change("tenant", "auth", "the tenant was changed", 16),
		change("reserved", "format", "a reserved byte is not zero", 88),
		change("facts-length", "format", "length of the facts disagrees with the prefix length", 159),
		change("facts", "auth", "a byte of the sealed facts was changed", 175),
		change("floe-parameters", "auth", "the FLOE header names another segment length", header+4),
		change("floe-iv", "auth", "the FLOE IV was changed", header+10),
		change("floe-tag", "auth", "the FLOE header tag was changed", header+73),
		change("segment-length", "auth", "the last segment gives another length", header+74+3),
		change("segment", "auth", "the last byte was changed", -1),
		{"cut-header", "truncated", "ends in the FLOE header", func(s sealed) []byte { return s.blob[:header+50] }},
		{"cut-segments", "truncated", "ends after the FLOE header", func(s sealed) []byte { return s.blob[:header+74] }},
		{"cut-byte", "auth", "the last byte is missing", func(s sealed) []byte { return s.blob[:len(s.blob)-1] }},
		{"extended", "auth", "a byte follows", func(s sealed) []byte { return append(bytes.Clone(s.blob), 0) }},
		reseal("footer-magic", "format", "footer with another magic", 57),
		reseal("footer-version", "unsupported", "footer of version 2", 53),
		reseal("footer-size", "format", "footer with another source size", 41),
		reseal("footer-reserved", "format", "footer with a reserved byte that is not zero", 1),
		reseal("index-codec", "unsupported", "index with codec 1", 65),
		reseal("index-length", "format", "index with another source length", 66),
	}
}

func writeVectors(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	for i, n := range goodSizes {
		dek := keytree.NewKey()
		s := sealConfig(t, config(t, dek, identity(byte(16*i)), uint32(i%3), pattern(n)), pattern(n))
		name := fmt.Sprintf("source-%06d", n)
		writeVector(t, name, "success", "a whole blob", s, s.blob)
	}
	s := sealConfig(t, config(t, keytree.NewKey(), identity(1), 0, pattern(100)), pattern(100))
	for _, d := range damages() {
		writeVector(t, "refused-"+d.name, d.expect, d.comment, s, d.do(s))
	}
}

func writeVector(t *testing.T, name, expect, comment string, s sealed, blob []byte) {
	t.Helper()
	layout, err := s.layout.Seal(s.dek)
	if err != nil {
		t.Fatal(err)
	}
	p, id := s.prefix, s.prefix.Identity
	var out bytes.Buffer
	for _, f := range [][2]string{
		{"expect", expect}, {"comment", comment},
		{"dek", hex.EncodeToString(s.dek.Bytes())}, {"part", fmt.Sprint(p.Part)},
		{"tenant", hex.EncodeToString(id.Tenant[:])}, {"recording", hex.EncodeToString(id.Recording[:])},
		{"version", hex.EncodeToString(id.Version[:])}, {"slots", fmt.Sprint(p.Slots[0], p.Slots[1], p.Slots[2])},
		{"wrapped-dek", hex.EncodeToString(p.WrappedDEK[:])}, {"facts", `{"name":"call.wav"}`},
		{"end-facts", endFacts}, {"source-size", strconv.Itoa(len(s.source))}, {"source-sha256", sum(s.source)},
		{"sealed-layout", hex.EncodeToString(layout)},
		{"blob-size", strconv.Itoa(len(blob))}, {"blob-sha256", sum(blob)},
	} {
		fmt.Fprintf(&out, "%s: %s\n", f[0], f[1])
	}
	out.WriteByte('\n')
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(blob)), 76) {
		out.Write(append(line, '\n'))
	}
	err = os.WriteFile(filepath.Join(vectorDir, name+".txt"), out.Bytes(), 0o644)
	if err != nil {
		t.Fatal(err)
	}
}
