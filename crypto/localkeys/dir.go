package localkeys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// The directory holds LOCK and, for each root, a file of its name. While one is
// replaced there are two more, which New deals with after a crash:
//
//	root.new  the next content, perhaps half written: it does not count
//	root.old  the former content, to be overwritten: it does not count
const (
	lockName  = "LOCK"
	newSuffix = ".new"
	oldSuffix = ".old"
)

// lockDir takes the directory for this Provider alone, until the file is closed.
func lockDir(dir *os.Root) (*os.File, error) {
	f, err := dir.OpenFile(lockName, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("localkeys: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// store makes f the content of root, durably, and overwrites the former one.
// The rename is the moment that counts; a crash before it leaves the former
// content, a crash after it the new, and New removes the rest.
func (p *Provider) store(root keytree.Root, f file) error {
	if err := p.settle(root); err != nil {
		return err
	}
	// gofail: var keysWrite string
	// return failpoint(keysWrite)
	if err := p.write(string(root)+newSuffix, f.marshal(root)); err != nil {
		return err
	}
	// gofail: var keysLink string
	// return failpoint(keysLink)

	// A second name for the former content, so that it can be found and
	// overwritten after a crash.
	err := p.dir.Link(string(root), string(root)+oldSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// gofail: var keysRename string
	// return failpoint(keysRename)
	if err := p.dir.Rename(string(root)+newSuffix, string(root)); err != nil {
		return err
	}
	// gofail: var keysSettle string
	// return failpoint(keysSettle)
	return p.settle(root)
}

// write makes a file of b that is on the disk when it returns.
func (p *Provider) write(name string, b []byte) error {
	defer clear(b)
	f, err := p.dir.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// settle makes the present content of root durable, then overwrites and removes
// the former one, if it is there. When a crash came before the rename, that is
// the present content by its second name, and only the name goes.
func (p *Provider) settle(root keytree.Root) error {
	if err := p.sync(); err != nil {
		return err
	}
	name := string(root) + oldSuffix
	old, err := p.dir.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	present, err := p.dir.Stat(string(root))
	if err != nil {
		return err
	}
	if !os.SameFile(old, present) {
		if err := p.overwrite(name, old.Size()); err != nil {
			return err
		}
	}
	return errors.Join(p.dir.Remove(name), p.sync())
}

// overwrite puts zeros over a file's bytes, in place.
func (p *Provider) overwrite(name string, size int64) error {
	f, err := p.dir.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, size))
	return errors.Join(err, f.Sync(), f.Close())
}

// recover removes what a crash has left of a replacement.
func (p *Provider) recover() error {
	entries, err := fs.ReadDir(p.dir.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if root, ok := strings.CutSuffix(e.Name(), oldSuffix); ok {
			err = errors.Join(err, p.settle(keytree.Root(root)))
		}
		if strings.HasSuffix(e.Name(), newSuffix) {
			err = errors.Join(err, p.discard(e))
		}
	}
	return err
}

// discard overwrites and removes content that never came to count.
func (p *Provider) discard(e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	return errors.Join(p.overwrite(e.Name(), info.Size()), p.dir.Remove(e.Name()), p.sync())
}

// sync makes the names in the directory durable.
func (p *Provider) sync() error {
	d, err := p.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
