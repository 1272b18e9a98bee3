package redteam

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/test/decryptor"
)

// guesses are what would confirm a guess, by the first bytes of what stands for it: a
// part of that tells as much.
type guesses map[[part]byte]guess

const part = 8

type guess struct {
	number string
	what   string // stands for it
}

// guessed makes a guess of each number of the range: its hash, every blind index of it
// under every index key there is, and every commitment to it under the salts there are.
func guessed(indexes map[[32]byte]uint64, salts ...[]byte) guesses {
	all := guesses{}
	for i := range 10_000 {
		number := fmt.Sprintf(numbers, i)
		all.add(sha256.Sum256([]byte(number)), guess{number, "its hash"})
		scope := fmt.Sprintf(`{"scope":"subject","subject":"%s"}`, number)
		for key, generation := range indexes {
			add := func(label string, parts ...string) {
				all.add(decryptor.Index(key, label, parts...), guess{number, fmt.Sprintf("%s of generation %d", label, generation)})
			}
			add("subject", number)
			add("call", number)
			add("agent", number)
			add("erasure", scope)
			for _, bucket := range []string{"calls", "kept", "every"} {
				add("directory", bucket, nameOf(number, 0)[:strings.LastIndexByte(nameOf(number, 0), '/')+1])
			}
		}
		for _, salt := range salts {
			sum := sha256.Sum256(append(append([]byte("lethe/v1/scope"), salt...), scope...))
			all.add(sum, guess{number, "commitment"})
		}
	}
	return all
}

// unsalted is what a thief can guess who has no key and no salt but a known one.
func unsalted(known []byte) guesses { return guessed(nil, make([]byte, 32), known) }

func (all guesses) add(sum [32]byte, g guess) { all[[part]byte(sum[:])] = g }

// confirmed gives the numbers that anything the thief has confirms, and by what.
func (th *thief) confirmed(all guesses) map[string]map[string]bool {
	th.t.Helper()
	found := map[string]map[string]bool{}
	first := newPrefixes(all)
	th.walk(th.dir, func(name string, b []byte) {
		for _, view := range views(b) {
			for i := 0; i+part <= len(view); i++ {
				if !first.has(view[i:]) {
					continue
				}
				if g, ok := all[[part]byte(view[i:])]; ok {
					if found[g.number] == nil {
						found[g.number] = map[string]bool{}
					}
					found[g.number][g.what+" in "+name] = true
				}
			}
		}
	})
	return found
}

// prefixes is a set of what three bytes guesses begin with.
type prefixes []uint64

func newPrefixes(all guesses) prefixes {
	p := make(prefixes, 1<<18)
	for g := range all {
		at := binary.BigEndian.Uint32(g[:]) >> 8
		p[at>>6] |= 1 << (at & 63)
	}
	return p
}

func (p prefixes) has(b []byte) bool {
	at := binary.BigEndian.Uint32(b) >> 8
	return p[at>>6]>>(at&63)&1 == 1
}

var (
	inHex    = regexp.MustCompile(`[0-9a-fA-F]{16,}`)
	inBase64 = regexp.MustCompile(`[0-9A-Za-z+/]{11,}`)
)

// views are the bytes of a file, and of a text those that stand in it in hex and in
// base64.
func views(b []byte) [][]byte {
	all := [][]byte{b}
	if !utf8.Valid(b) {
		return all
	}
	for _, run := range inHex.FindAll(b, -1) {
		for shift := range 2 {
			even := run[shift : len(run)-(len(run)-shift)%2]
			plain, err := hex.DecodeString(string(even))
			if err == nil {
				all = append(all, plain)
			}
		}
	}
	for _, run := range inBase64.FindAll(b, -1) {
		for shift := range 4 {
			plain, err := base64.RawStdEncoding.DecodeString(string(run[shift:]))
			if err == nil {
				all = append(all, plain)
			}
		}
	}
	return all
}

// confirms checks which numbers are confirmed: these, and no others.
func (th *thief) confirms(when string, all guesses, want ...string) {
	th.t.Helper()
	found := th.confirmed(all)
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		th.t.Errorf("%s: of 10,000 numbers %q are confirmed, want %q: %v", when, got, want, found)
	}
	th.t.Logf("%s: %d guesses confirm %v", when, len(all), slices.Sorted(maps.Keys(found)))
}
