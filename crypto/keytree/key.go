package keytree

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// KeySize is the length of every key and secret of the tree, in bytes.
const KeySize = 32

// Key is secret material. It does not print, log or marshal: every way of
// turning it into text gives "[key]" or an error. The zero Key is no key, and
// whatever takes a Key must refuse it.
type Key struct{ b unseen }

// unseen nests the bytes of a key. A stack trace, of a panic or on demand, shows the
// first bytes of every array that is passed by value, but looks no deeper into an
// argument than five levels. Source: Go's
// internal/abi, TraceArgsMaxDepth.
type unseen [1][1][1][1][KeySize]byte

func (u *unseen) bytes() []byte { return u[0][0][0][0][:] }

const redacted = "[key]"

// NewKey draws a random key.
func NewKey() (k Key) {
	rand.Read(k.b.bytes()) // never fails: crypto/rand ends the program instead
	return k
}

// KeyFrom copies 32 bytes into a Key.
func KeyFrom(b []byte) (k Key, err error) {
	if len(b) != KeySize {
		return k, errors.New("keytree: a key is 32 bytes")
	}
	copy(k.b.bytes(), b)
	return k, nil
}

// Bytes gives a view of the key for a cipher, a KDF or a MAC. The caller
// keeps it no longer than k, and never lets it reach a log, an error or a store.
func (k *Key) Bytes() []byte { return k.b.bytes() }

// Clear overwrites the key.
func (k *Key) Clear() { clear(k.b.bytes()) }

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.Equal(Key{}) }

// Equal compares in constant time.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k.b.bytes(), o.b.bytes()) == 1 }

// Format hides the key from every verb. fmt does not ask it for a key in an
// unexported field, so a struct that holds one is not printed either.
func (Key) Format(s fmt.State, _ rune) { io.WriteString(s, redacted) }

// LogValue hides the key.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText refuses: a key is never marshalled.
func (Key) MarshalText() ([]byte, error) {
	return nil, errors.New("keytree: a key is never marshalled")
}
