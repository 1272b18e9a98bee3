// Package localkeys keeps tenant roots in a directory: a keytree.Provider for
// evaluating Lethe on one machine, and for tests.
//
// It is not for production. Whoever holds the directory holds the keys: a
// backup of it brings back every root that is in it, and Lethe cannot know.
// Forgetting means that the file is rewritten without the old versions and
// the old bytes are overwritten in place, which copy-on-write and journalling
// file systems, snapshots and flash memory may ignore: old blocks can outlive
// the key. Where erasure must hold, use Vault through hashivault.
package localkeys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"sync"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// Provider is a keytree.Provider on a directory that it alone uses.
//
// A root that was destroyed leaves a tombstone, and its name cannot be used
// again. All files are read anew for each call.
type Provider struct {
	dir  *os.Root
	lock *os.File
	mu   sync.RWMutex // guards the files of dir
}

var _ keytree.Provider = (*Provider)(nil)

var (
	// ErrLocked: another Provider, here or in another process, has the directory.
	ErrLocked = errors.New("localkeys: the directory is in use by another process")
	// ErrRoot: the name does not have the form of a root, "t-" and 26
	// characters of lower-case base32.
	ErrRoot = errors.New("localkeys: malformed root name")

	errVersion = errors.New("localkeys: versions are numbered from 1")
	errNoKey   = errors.New("localkeys: no key to wrap")
)

var rootForm = regexp.MustCompile(`^t-[a-z2-7]{26}$`)

// New opens the directory, or makes it, with mode 0700, and finishes what a
// crash has interrupted. For evaluation only: whoever holds the directory
// holds the keys, and its file system may keep old blocks of forgotten ones.
func New(dir string) (*Provider, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("localkeys: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("localkeys: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("localkeys: %w", err)
	}
	p := &Provider{dir: root}
	if p.lock, err = lockDir(root); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if err := p.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("localkeys: finish what was interrupted: %w", err), p.Close())
	}
	return p, nil
}

// Close gives the directory free. The Provider must not be used after it.
func (p *Provider) Close() error { return errors.Join(p.lock.Close(), p.dir.Close()) }

// Create makes root with one random version.
func (p *Provider) Create(ctx context.Context, root keytree.Root) error {
	return p.change(ctx, "create", root, func() error {
		f, err := p.load(root)
		if err == nil {
			f.clear()
			return nil
		}
		if errors.Is(err, errDestroyed) || !errors.Is(err, keytree.ErrForgotten) {
			return err
		}
		return p.store(root, file{first: 1, keys: []keytree.Key{keytree.NewKey()}})
	})
}

// Wrap seals k under a version of root.
func (p *Provider) Wrap(ctx context.Context, root keytree.Root, version int, k keytree.Key, bind []byte) (wrapped []byte, err error) {
	if version < 1 {
		return nil, errVersion
	}
	if k.IsZero() {
		return nil, errNoKey
	}
	err = p.look(ctx, "wrap", root, func(f file) error {
		master, err := f.version(version)
		if err != nil {
			return err
		}
		wrapped = seal(master, root, version, k, bind)
		return nil
	})
	return wrapped, err
}

// Unwrap opens what Wrap made.
func (p *Provider) Unwrap(ctx context.Context, root keytree.Root, wrapped, bind []byte) (k keytree.Key, err error) {
	version, err := wrappedVersion(wrapped)
	if err != nil {
		return k, fmt.Errorf("localkeys: unwrap: %w", err)
	}
	err = p.look(ctx, "unwrap", root, func(f file) error {
		master, err := f.version(version)
		if err != nil {
			return err
		}
		k, err = open(master, root, version, wrapped, bind)
		return err
	})
	return k, err
}

// Rotate adds a random version.
func (p *Provider) Rotate(ctx context.Context, root keytree.Root) (version int, err error) {
	err = p.change(ctx, "rotate", root, func() error {
		f, err := p.load(root)
		if err != nil {
			return err
		}
		defer f.clear()
		next := file{first: f.first, keys: append(slices.Clip(f.keys), keytree.NewKey())}
		defer next.clear()
		version = next.latest()
		return p.store(root, next)
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// Versions reads the file of root.
func (p *Provider) Versions(ctx context.Context, root keytree.Root) (v keytree.Versions, err error) {
	err = p.look(ctx, "read", root, func(f file) error {
		v = keytree.Versions{Oldest: f.first, Latest: f.latest()}
		return nil
	})
	return v, err
}

// Retire rewrites the file without the older versions and reads it back.
func (p *Provider) Retire(ctx context.Context, root keytree.Root, below int) error {
	return p.change(ctx, "retire", root, func() error {
		f, err := p.load(root)
		if err != nil {
			return err
		}
		defer f.clear()
		if below > f.latest() {
			return keytree.ErrRolledBack
		}
		if below <= f.first {
			return p.settle(root) // what an earlier attempt may have left
		}
		kept := file{first: below, keys: f.keys[below-f.first:]}
		if err := p.store(root, kept); err != nil {
			return err
		}
		return p.verify(root, kept)
	})
}

// Destroy puts a tombstone in the place of root, whether it was there or not.
func (p *Provider) Destroy(ctx context.Context, root keytree.Root) error {
	return p.change(ctx, "destroy", root, func() error {
		f, err := p.load(root)
		if errors.Is(err, errDestroyed) {
			return p.settle(root)
		}
		if err != nil && !errors.Is(err, keytree.ErrForgotten) {
			return err
		}
		defer f.clear()
		if err := p.store(root, tombstone); err != nil {
			return err
		}
		return p.verify(root, tombstone)
	})
}

// look runs f on what is stored of root, and clears it after.
func (p *Provider) look(ctx context.Context, op string, root keytree.Root, f func(file) error) error {
	if err := ready(ctx, op, root); err != nil {
		return err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	stored, err := p.load(root)
	if err == nil {
		defer stored.clear()
		err = f(stored)
	}
	return fault(op, root, err)
}

// change runs f while nobody reads.
func (p *Provider) change(ctx context.Context, op string, root keytree.Root, f func() error) error {
	if err := ready(ctx, op, root); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return fault(op, root, f())
}

// ready checks the root's name, which becomes a file's, and the context.
func ready(ctx context.Context, op string, root keytree.Root) error {
	if !rootForm.MatchString(string(root)) {
		return fmt.Errorf("%s: %w", op, ErrRoot)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("localkeys: %s %s: %w: %w", op, root, keytree.ErrUnavailable, ctx.Err())
	}
	return nil
}

// fault says what was tried on which root. Whatever is not one of keytree's
// errors comes from the file system and tells nothing of the key.
func fault(op string, root keytree.Root, err error) error {
	for _, class := range []error{keytree.ErrForgotten, keytree.ErrRolledBack, keytree.ErrBind, keytree.ErrUnavailable} {
		if errors.Is(err, class) {
			return fmt.Errorf("localkeys: %s %s: %w", op, root, err)
		}
	}
	if err != nil {
		return fmt.Errorf("localkeys: %s %s: %w: %w", op, root, keytree.ErrUnavailable, err)
	}
	return nil
}

// load reads what is stored of root. Neither a file that is missing because
// the whole directory is, nor one that is damaged, is forgotten.
func (p *Provider) load(root keytree.Root) (file, error) {
	b, err := p.dir.ReadFile(string(root))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := p.dir.Stat(lockName); err != nil {
			return file{}, errLost
		}
		return file{}, keytree.ErrForgotten
	}
	if err != nil {
		return file{}, err
	}
	defer clear(b)
	return parse(root, b)
}

// verify reads root back and compares it with what it must be now.
func (p *Provider) verify(root keytree.Root, want file) error {
	got, err := p.load(root)
	if len(want.keys) == 0 && errors.Is(err, errDestroyed) {
		return nil
	}
	if err != nil {
		return err
	}
	defer got.clear()
	if got.first != want.first || got.latest() != want.latest() {
		return errDiffers
	}
	return nil
}
