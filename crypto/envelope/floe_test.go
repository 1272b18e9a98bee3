package envelope_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"pgregory.net/rapid"
)

const floeAAD = "This is AAD"

// floeRotation is 20 for AES-256-GCM; the authors' rotation set, and the two
// of the same segment length, have 2.
func floeRotation(segment int) uint {
	if segment == 40 {
		return 2
	}
	return 20
}

func readHex(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// Known answers of the FLOE specification repository; testdata/floe/NOTICE.
func TestFLOEKnownAnswers(t *testing.T) {
	names, err := filepath.Glob("testdata/floe/*_ct.txt")
	if err != nil || len(names) < 17 {
		t.Fatalf("%d known answers, want 17 (%v)", len(names), err)
	}
	key := make([]byte, 32)
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			message := readHex(t, name)
			want := readHex(t, strings.Replace(name, "_ct", "_pt", 1))
			segment := int(binary.BigEndian.Uint32(message[2:]))
			got, err := envelope.OpenFLOE(key, []byte(floeAAD), message, segment, floeRotation(segment))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("open = %x, %v, want %x", got, err, want)
			}
			for i := range message {
				message[i] ^= 1 << (i % 8)
				_, err := envelope.OpenFLOE(key, []byte(floeAAD), message, segment, floeRotation(segment))
				if err == nil {
					t.Errorf("opened with byte %d changed", i)
				}
				message[i] ^= 1 << (i % 8)
			}
			_, err = envelope.OpenFLOE(key, []byte("other AAD"), message, segment, floeRotation(segment))
			if err == nil {
				t.Error("opened with another AAD")
			}
		})
	}
}

// A message that spans several segment keys opens in order and in no other.
func TestFLOERotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")
		plain := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "plain")
		message := envelope.SealFLOE(key, []byte(floeAAD), slices.Collect(slices.Chunk(plain, 8)), 40, 2)
		got, err := envelope.OpenFLOE(key, []byte(floeAAD), message, 40, 2)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("open = %x, %v, want %x", got, err, plain)
		}
		body := message[74:]
		if len(body) <= 80 {
			return
		}
		i := rapid.IntRange(0, len(body)/40-2).Draw(t, "segment")
		swapped := bytes.Clone(message)
		copy(swapped[74+40*i:], body[40*(i+1):][:40])
		copy(swapped[74+40*(i+1):], body[40*i:][:40])
		_, err = envelope.OpenFLOE(key, []byte(floeAAD), swapped, 40, 2)
		if err == nil {
			t.Fatalf("opened with segments %d and %d swapped", i, i+1)
		}
	})
}
