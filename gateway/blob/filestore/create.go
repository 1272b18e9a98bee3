package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// Create writes a file in tmp, syncs it, and links it under its name: link(2)
// refuses a name that is taken, which is what makes the create exclusive, and
// the name shows a whole file or none. Then the directory is synced.
func (s *Store) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	name := pathOf(key)
	if _, err := s.root.Lstat(name); err == nil {
		return blob.ErrExists // link would say so too, but after the whole body
	}
	tmp := path.Join(tmpDir, rand.Text())
	defer s.root.Remove(tmp) // what fails to go now goes at the next New
	if err := s.write(ctx, tmp, r, size); err != nil {
		return failure("create", err)
	}
	if err := s.ensure(path.Dir(name)); err != nil {
		return failure("create", err)
	}
	// gofail: var blobLink string
	// return failure("create", failpoint(blobLink))
	err := s.root.Link(tmp, name)
	if errors.Is(err, fs.ErrExist) {
		return blob.ErrExists
	}
	if err != nil {
		return failure("create", err)
	}
	if err := s.sync(path.Dir(name)); err != nil {
		return failure("create", errors.Join(err, s.root.Remove(name)))
	}
	return nil
}

// write copies r, of the size given, to the file tmp and syncs it.
func (s *Store) write(ctx context.Context, tmp string, r io.Reader, size int64) error {
	// gofail: var blobMake string
	// return failpoint(blobMake)
	f, err := s.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	err = copyBody(ctx, f, r, size)
	if err == nil {
		// gofail: var blobSync string
		// return errors.Join(failpoint(blobSync), f.Close())
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

var buffers = sync.Pool{New: func() any { return new([128 << 10]byte) }}

// copyBody copies r, which must give size bytes unless size is -1.
func copyBody(ctx context.Context, w io.Writer, r io.Reader, size int64) error {
	buf := buffers.Get().(*[128 << 10]byte)
	defer buffers.Put(buf)
	var written int64
	for {
		n, err := r.Read(buf[:])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if written += int64(n); size >= 0 && written > size {
			return fmt.Errorf("reader gives more than the %d bytes declared", size)
		}
		// gofail: var blobWrite string
		// return failpoint(blobWrite)
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if size >= 0 && written != size {
		return fmt.Errorf("reader gives %d bytes of %d declared: %w", written, size, io.ErrUnexpectedEOF)
	}
	return nil
}

// ensure makes dir and its parents, each durable before anything is put in it.
// A directory that is found, not made, may be younger than the last sync, so
// its parent is synced once in the life of this Store.
func (s *Store) ensure(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ensureLocked(dir)
}

func (s *Store) ensureLocked(dir string) error {
	if s.durable[dir] {
		return nil
	}
	parent := path.Dir(dir)
	if err := s.ensureLocked(parent); err != nil {
		return err
	}
	// gofail: var dirMake string
	// return failpoint(dirMake)
	if err := s.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.sync(parent); err != nil {
		return err
	}
	s.durable[dir] = true
	return nil
}

// sync makes the names in dir durable.
func (s *Store) sync(dir string) error {
	// gofail: var dirSync string
	// return failpoint(dirSync)
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
