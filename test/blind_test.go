package test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lethe-vault/lethe/test/blind"
)

// blind [-file FILE ...] TEXT ...: no byte of the store, the database or the
// logs shows the texts or a piece of the files, plain or in a common encoding.
// It fails when it has nothing to look for, or nowhere to look.
func cmdBlind(ts *testscript.TestScript, neg bool, args []string) {
	needles := map[string][]byte{}
	for i := 0; i < len(args); i++ {
		if args[i] == "-file" {
			i++
			b, err := os.ReadFile(ts.MkAbs(args[i]))
			ts.Check(err)
			addPieces(needles, args[i], b)
			continue
		}
		blind.AddText(needles, args[i])
	}
	mustBeBlind(ts, needles)
}

// mustBeBlind fails the script if a needle is in any place, and if it has nothing to
// look for, or nowhere to look.
func mustBeBlind(ts *testscript.TestScript, needles map[string][]byte) {
	if len(needles) == 0 {
		ts.Fatalf("nothing to look for")
	}
	var searched int64
	for _, place := range of(ts).system.Places() {
		n, err := blind.Search(place, needles)
		ts.Check(err)
		searched += n
	}
	ts.Logf("%d bytes searched for %d patterns", searched, len(needles))
	if searched == 0 {
		ts.Fatalf("nowhere to look")
	}
}

// addPieces takes pieces of sound from all over a file, skipping silence and
// tones, which any file may hold.
func addPieces(needles map[string][]byte, name string, b []byte) {
	const pieces, length = 12, 32
	for i := range pieces {
		off := 44 + (len(b)-44-length)*i/pieces
		for ; off+length <= len(b); off += length {
			if piece := b[off : off+length]; distinct(piece) > length/4 {
				needles[fmt.Sprintf("%s at %d", name, off)] = piece
				break
			}
		}
	}
}

func distinct(b []byte) (n int) {
	var seen [256]bool
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}

// TestSearchFinds shows that blind can fail: whatever way a text or a piece of
// sound gets to a disk, it is found.
func TestSearchFinds(t *testing.T) {
	sound := make([]byte, 10_000)
	for i := range sound {
		sound[i] = byte(i * i >> 3)
	}
	needles := map[string][]byte{}
	blind.AddText(needles, "windscreen-smith")
	addPieces(needles, "sound", sound)
	for how, content := range map[string]string{
		"plain":   "a windscreen-smith b",
		"hex":     "a" + hex.EncodeToString([]byte("xwindscreen-smith")),
		"base64":  base64.StdEncoding.EncodeToString([]byte("{name:windscreen-smith}")),
		"base64+": base64.RawURLEncoding.EncodeToString([]byte("ab windscreen-smith.wav")),
		"sound":   "header" + string(sound[:len(sound)/2]),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := blind.Search(dir, needles); err == nil {
			t.Errorf("%s: not found", how)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a-windscreen-smith"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := blind.Search(dir, needles); err == nil {
		t.Error("file name: not found")
	}
}
