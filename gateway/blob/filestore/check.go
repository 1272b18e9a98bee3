package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/lethe-vault/lethe/finding"
)

// slowSync is a sync that a disk under no load should beat.
const slowSync = 100 * time.Millisecond

// Check finds out whether dir can hold blobs, whether or not a Store has it
// open. A directory that is not there yet is the business of New.
func Check(dir string) (l finding.List) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.Skip("store.directory", dir+" is not there yet", "start lethe serve, which makes it, and check again")
		return l
	case err != nil:
		l.Fail("store.directory", "the directory of blobs cannot be looked at: "+err.Error(), "run as the user that lethe serve runs as")
		return l
	case info.Mode().Perm()&0o077 != 0:
		l.Warn("store.directory", fmt.Sprintf("others may enter %s (mode %#o)", dir, info.Mode().Perm()), "chmod 0700 "+dir)
	default:
		l.OK("store.directory", dir+" is its owner's alone")
	}
	checkLink(&l, dir)
	return l
}

// checkLink does with one file what Create does: write, sync, link, sync. The
// link is what makes a create exclusive.
func checkLink(l *finding.List, dir string) {
	begun := time.Now()
	err := link(dir)
	took := time.Since(begun).Round(100 * time.Microsecond)
	switch {
	case errors.Is(err, errReplaced):
		l.Fail("store.exclusive", "this file system replaces a name that is taken", "move the data directory to a local file system such as ext4 or XFS")
	case err != nil:
		l.Fail("store.create", "a file cannot be made, synced and linked: "+err.Error(), "see that the directory is the server's, is writable, lies on one local file system, and has room")
	case took > slowSync:
		l.Advise("store.latency", fmt.Sprintf("making a file durable took %v", took), "use a faster disk, or look for what else keeps this one busy")
	default:
		l.OK("store.create", fmt.Sprintf("a file is made durable exclusively, in %v", took))
	}
}

var errReplaced = errors.New("filestore: a taken name was replaced")

func link(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	taken := f.Name() + ".taken"
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(make([]byte, 4<<10))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), taken); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(taken)) }()
	if err := os.Link(f.Name(), taken); !errors.Is(err, fs.ErrExist) {
		return errReplaced
	}
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
