// Package blob is what Lethe needs of a store of immutable blobs. The store is
// hostile: it may lose, swap, cut or roll back what it holds, and nothing here
// tries to detect that. Integrity is the envelope's and the catalog's work.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Store keeps immutable blobs. No overwrite, no rename, no client metadata.
//
// A key is a path of slash-separated elements, each of 1 to 64 characters of
// [a-z0-9_-]; Lethe draws keys itself, a client never does.
//
// An implementation passes blob/storetest.
type Store interface {
	// Create writes r under key, durably, before it returns nil. size is the
	// number of bytes r gives, or -1 if that is unknown; a reader that gives
	// another number is an error. When r fails, or ctx ends, nothing is
	// visible under key and Create reports r's error. ErrExists: the key is
	// taken, and what it holds is untouched; of many at once one succeeds.
	Create(ctx context.Context, key string, r io.Reader, size int64) error

	// Open reads n bytes from off; n < 0 reads to the end. A range that
	// reaches past the end gives what there is: the reader ends early, and it
	// is the caller who knows what to expect. ErrNotFound: no such blob.
	Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)

	// Delete removes every version of key. Deleting what is not there is not
	// an error. ErrLocked: a version is under an object lock and stays; all
	// others are gone.
	Delete(ctx context.Context, key string) error

	// List gives every blob whose key begins with prefix, in byte order of
	// keys. After it yields an error it ends.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
}

// Info is what a store says of one blob.
type Info struct {
	Key     string
	Size    int64
	ModTime time.Time
}

// The errors of a Store. Both are the file system's too, so that a package
// that knows nothing of blob can branch on fs.ErrExist and fs.ErrNotExist.
var (
	ErrExists   = fmt.Errorf("blob: %w", fs.ErrExist)
	ErrNotFound = fmt.Errorf("blob: %w", fs.ErrNotExist)
	// ErrUnavailable: the store cannot be reached or asks to slow down.
	ErrUnavailable = errors.New("blob: store unavailable")
	// ErrLocked: an object lock keeps the store from deleting a version.
	ErrLocked = errors.New("blob: held by a lock of the store")
	// ErrKey: the key is not of the form Store demands.
	ErrKey = errors.New("blob: malformed key")
)

// CheckKey reports ErrKey for a key that is not of the form Store demands.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > 512 {
		return ErrKey
	}
	element := 0
	for i := range len(key) {
		c := key[i]
		switch {
		case c == '/' && element > 0:
			element = 0
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			if element++; element > 64 {
				return ErrKey
			}
		default:
			return ErrKey
		}
	}
	if element == 0 {
		return ErrKey
	}
	return nil
}
