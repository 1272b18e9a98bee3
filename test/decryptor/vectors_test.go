package decryptor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/test/decryptor"
)

// A vector is one file of docs/envelope.md, Vectors.
type vector struct {
	t      *testing.T
	values map[string]string
	blob   []byte
}

func readVector(t *testing.T, file string) vector {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		t.Fatalf("%s has no empty line", file)
	}
	v := vector{t: t, values: make(map[string]string)}
	for line := range strings.Lines(head) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !ok {
			t.Fatalf("%s: %q is not a name and a value", file, line)
		}
		v.values[name] = value
	}
	if v.blob, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", "")); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(v.blob)
	if !bytes.Equal(sum[:], v.hex("blob-sha256")) || len(v.blob) != v.number("blob-size") {
		t.Fatalf("%s: the blob is not the one its values name", file)
	}
	return v
}

func (v vector) hex(name string) []byte {
	v.t.Helper()
	b, err := hex.DecodeString(v.values[name])
	if err != nil || len(b) == 0 {
		v.t.Fatalf("%s = %q, want hexadecimal", name, v.values[name])
	}
	return b
}

func (v vector) number(name string) int {
	v.t.Helper()
	n, err := strconv.Atoi(v.values[name])
	if err != nil {
		v.t.Fatal(err)
	}
	return n
}

// source is SHA-256(BE64(0)) ‖ SHA-256(BE64(1)) ‖ …, as long as it should be.
func (v vector) source() []byte {
	var b []byte
	for i := uint64(0); len(b) < v.number("source-size"); i++ {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		b = append(b, sum[:]...)
	}
	return b[:v.number("source-size")]
}

// docs/envelope.md, Vectors: "A source-* file opens both ways".
func TestVectorsOpen(t *testing.T) {
	for _, file := range vectors(t, "source-*.txt") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			v := readVector(t, file)
			got, err := decryptor.WithDEK([32]byte(v.hex("dek")), v.blob)
			if err != nil {
				t.Fatalf("WithDEK: %v", err)
			}
			equal(t, "facts", got.Facts, []byte(v.values["facts"]))
			equal(t, "end facts", got.EndFacts, []byte(v.values["end-facts"]))
			equal(t, "source", got.Source, v.source())
			equal(t, "wrapped key", v.blob[96:156], v.hex("wrapped-dek"))

			layout, err := decryptor.Layout([32]byte(v.hex("dek")), [48]byte(v.blob[16:64]), v.hex("sealed-layout"))
			if err != nil {
				t.Fatalf("Layout: %v", err)
			}
			equal(t, "layout", got.Layout, layout)
		})
	}
}

// docs/envelope.md, Vectors: a refused-* file "is refused, whatever the wording".
func TestVectorsRefused(t *testing.T) {
	for _, file := range vectors(t, "refused-*.txt") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			v := readVector(t, file)
			got, err := decryptor.WithDEK([32]byte(v.hex("dek")), v.blob)
			if !refused(err) {
				t.Errorf("%s: WithDEK = %d bytes, %v; want a refusal", v.values["comment"], len(got.Source), err)
			}
		})
	}
}

func vectors(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "crypto", "envelope", "testdata", "lethe", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors %s (%v)", pattern, err)
	}
	return files
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes that differ from the %d wanted", what, len(got), len(want))
	}
}

// refused reports whether err is one of the decryptor's refusals.
func refused(err error) bool {
	return errors.Is(err, decryptor.ErrFormat) || errors.Is(err, decryptor.ErrAuth) ||
		errors.Is(err, decryptor.ErrMissing)
}
