package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// List walks the directories that prefix leaves open, holding the names of
// one directory of each depth at a time.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		dir := "" // of keys: with its slash, or empty
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			dir = prefix[:i+1]
			if blob.CheckKey(prefix[:i]) != nil {
				return // no key begins so
			}
		}
		w := walk{s, prefix, yield}
		if err := w.directory(ctx, dir); err != nil && !errors.Is(err, errStopped) {
			yield(blob.Info{}, failure("list", err))
		}
	}
}

// A walk is one listing.
type walk struct {
	store  *Store
	prefix string
	yield  func(blob.Info, error) bool
}

// errStopped: whoever lists wants no more.
var errStopped = errors.New("filestore: listing stopped")

// directory lists dir, "" or a path with its slash. The entries are put in the
// order of the keys below them: a file stands for its key, a directory for
// keys that begin with its name and a slash.
func (w walk) directory(ctx context.Context, dir string) error {
	entries, err := fs.ReadDir(w.store.root.FS(), path.Join(blobsDir, dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return strings.Compare(sortKey(a), sortKey(b))
	})
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.entry(ctx, dir+sortKey(e), e); err != nil {
			return err
		}
	}
	return nil
}

func sortKey(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return strings.TrimSuffix(e.Name(), suffix)
}

// entry lists the blob of the key given, or the directory of that path.
func (w walk) entry(ctx context.Context, key string, e fs.DirEntry) error {
	if e.IsDir() {
		if !strings.HasPrefix(key, w.prefix) && !strings.HasPrefix(w.prefix, key) {
			return nil
		}
		return w.directory(ctx, key)
	}
	ours := e.Type().IsRegular() && strings.HasSuffix(e.Name(), suffix)
	if !ours || !strings.HasPrefix(key, w.prefix) {
		return nil
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // deleted since the directory was read
	}
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if !w.yield(blob.Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil) {
		return errStopped
	}
	return nil
}
