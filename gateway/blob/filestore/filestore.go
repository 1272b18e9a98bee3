// Package filestore keeps blobs as files of one directory, for the embedded
// default. What Create and Delete have done survives a power cut as far as the
// file system keeps the promise of fsync(2).
//
//	LOCK                the lock of the process that has the directory open
//	tmp/<random>        blobs being written; leftovers of a crash, which New removes
//	blobs/<key>.blob    one file a blob; no key holds a dot, so that the file of
//	                    "a" and the directory of "a/b" do not collide
//
// Directories are 0700 and files 0600.
package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// ErrInUse: another Store has the directory open, here or in another process.
var ErrInUse = errors.New("filestore: directory is in use")

const (
	dirMode  = 0o700
	fileMode = 0o600
	tmpDir   = "tmp"
	blobsDir = "blobs"
	suffix   = ".blob"
)

// Store is a blob.Store in a directory.
type Store struct {
	root *os.Root
	lock *os.File

	mu      sync.Mutex      // guards durable, and is held while directories are made
	durable map[string]bool // directories known to survive a power cut
}

// New opens the store in dir, which is made if it is not there. It reports
// ErrInUse while another Store has it open.
func New(dir string) (*Store, error) {
	if err := makeDirectory(dir); err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	s := &Store{root: root, durable: map[string]bool{".": true}}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// makeDirectory makes dir, whose parent must exist, and makes it durable.
func makeDirectory(dir string) error {
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// prepare takes the lock, removes what a crash has left in tmp, and makes the
// two directories.
func (s *Store) prepare() (err error) {
	s.lock, err = s.root.OpenFile("LOCK", os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("filestore: lock: %w", err)
	}
	if err := s.root.RemoveAll(tmpDir); err != nil {
		return fmt.Errorf("filestore: %w", err)
	}
	for _, dir := range []string{tmpDir, blobsDir} {
		if err := s.ensure(dir); err != nil {
			return fmt.Errorf("filestore: %w", err)
		}
	}
	return nil
}

// Close gives the directory up. Readers from Open stay good.
func (s *Store) Close() error {
	if s.lock == nil {
		return s.root.Close()
	}
	return errors.Join(s.lock.Close(), s.root.Close())
}

func pathOf(key string) string { return path.Join(blobsDir, key) + suffix }

// Open opens the file of key.
func (s *Store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("filestore: open: %w", err)
	}
	if off < 0 {
		return nil, fmt.Errorf("filestore: open: negative offset %d", off)
	}
	f, err := s.root.Open(pathOf(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, blob.ErrNotFound
	}
	if err != nil {
		return nil, failure("open", err)
	}
	if n < 0 {
		n = math.MaxInt64
	}
	return span{io.NewSectionReader(f, off, n), f}, nil
}

// span is a range of a file that it closes.
type span struct {
	io.Reader
	io.Closer
}

// Delete removes the file of key. Its directories stay.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("filestore: delete: %w", err)
	}
	// gofail: var blobDelete string
	// return failure("delete", failpoint(blobDelete))
	err := s.root.Remove(pathOf(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.sync(path.Dir(pathOf(key)))
	}
	if err != nil {
		return failure("delete", err)
	}
	return nil
}

// failure names the operation, and tells a disk that is full or failing from
// other errors.
func failure(op string, err error) error {
	for _, sick := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, sick) {
			return fmt.Errorf("filestore: %s: %w: %w", op, blob.ErrUnavailable, err)
		}
	}
	return fmt.Errorf("filestore: %s: %w", op, err)
}
