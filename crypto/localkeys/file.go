package localkeys

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// A file holds the living versions of one root. It is stored as
//
//	0    8     "LETHEK1\0"
//	8    4     number of the first key, big-endian
//	12   4     how many keys follow, big-endian
//	16   32·n  the keys
//	..   32    SHA-256 of the root's name and of all before
//
// with no keys at all for a root that was destroyed. The digest finds damage;
// against who can write the file there is no defence.
type file struct {
	first int
	keys  []keytree.Key
}

const (
	fileMagic  = "LETHEK1\x00"
	fileHeader = 16
	maxVersion = math.MaxInt32
)

// tombstone is what is left of a root that was destroyed.
var tombstone = file{}

var (
	errDestroyed = fmt.Errorf("localkeys: root was destroyed: %w", keytree.ErrForgotten)
	errDamaged   = fmt.Errorf("localkeys: key file is damaged: %w", keytree.ErrUnavailable)
	errLost      = fmt.Errorf("localkeys: the directory is gone: %w", keytree.ErrUnavailable)
	errDiffers   = fmt.Errorf("localkeys: key file is not what was written: %w", keytree.ErrUnavailable)
)

// latest is the number of the newest key.
func (f file) latest() int { return f.first + len(f.keys) - 1 }

// version gives the key of that number. It is a view of f.
func (f file) version(n int) (*keytree.Key, error) {
	switch {
	case n < f.first:
		return nil, keytree.ErrForgotten
	case n > f.latest():
		return nil, keytree.ErrRolledBack
	}
	return &f.keys[n-f.first], nil
}

// clear overwrites the keys in memory.
func (f file) clear() { clear(f.keys) }

// marshal gives the bytes to store under root.
func (f file) marshal(root keytree.Root) []byte {
	b := make([]byte, 0, fileHeader+len(f.keys)*keytree.KeySize+sha256.Size)
	b = append(b, fileMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(f.first))
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.keys)))
	for i := range f.keys {
		b = append(b, f.keys[i].Bytes()...)
	}
	return append(b, digest(root, b)...)
}

// parse reads what marshal wrote for root.
func parse(root keytree.Root, b []byte) (f file, err error) {
	end := len(b) - sha256.Size
	if end < fileHeader || !bytes.HasPrefix(b, []byte(fileMagic)) || !hmac.Equal(digest(root, b[:end]), b[end:]) {
		return f, errDamaged
	}
	first := binary.BigEndian.Uint32(b[8:])
	count := binary.BigEndian.Uint32(b[12:])
	if int64(end-fileHeader) != int64(count)*keytree.KeySize || int64(first)+int64(count) > maxVersion {
		return f, errDamaged
	}
	if count == 0 {
		return f, errDestroyed
	}
	if first == 0 {
		return f, errDamaged
	}
	f = file{first: int(first), keys: make([]keytree.Key, count)}
	for i := range f.keys {
		copy(f.keys[i].Bytes(), b[fileHeader+i*keytree.KeySize:])
	}
	return f, nil
}

func digest(root keytree.Root, b []byte) []byte {
	h := sha256.New()
	h.Write([]byte(root)) // every root's name has the same length
	h.Write(b)
	return h.Sum(nil)
}
