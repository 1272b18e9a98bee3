package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/lethe-vault/lethe/finding"
)

// directory looks at the data directory, and at what it lies on.
func (s Subject) directory(l *finding.List) {
	dir := s.Config.Data
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.Skip("files.directory", dir+" is not there yet", "start lethe serve, which makes it")
		return
	case err != nil:
		l.Fail("files.directory", dir+" cannot be looked at: "+reason(err), "run as the user that lethe serve runs as")
		return
	case info.Mode().Perm()&0o077 != 0:
		l.Warn("files.directory", fmt.Sprintf("others may enter %s (mode %#o)", dir, info.Mode().Perm()), "chmod 0700 "+dir)
	default:
		l.OK("files.directory", dir+" is its owner's alone")
	}
	if s.embedsSomething() {
		fileSystem(l, dir)
		sameDevice(l, filepath.Join(dir, "blobs"))
	}
}

func (s Subject) embedsSomething() bool {
	c := s.Config
	return c.Store.Embedded() || c.Vault.Address == "" || c.Catalog.URL == ""
}

// sameDevice sees that a blob can be linked from where it is written to where it
// is found.
func sameDevice(l *finding.List, dir string) {
	tmp, one := device(filepath.Join(dir, "tmp"))
	blobs, other := device(filepath.Join(dir, "blobs"))
	if one && other && tmp != blobs {
		l.Fail("files.device", filepath.Join(dir, "tmp")+" and "+filepath.Join(dir, "blobs")+" lie on different file systems", "put both on one: a blob is written to the former and linked into the latter")
	}
}

func device(path string) (uint64, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(stat.Dev), true
}

// localKeys looks at the keys of an embedded server, without opening them.
func (s Subject) localKeys() (l finding.List) {
	dir := filepath.Join(s.Config.Data, "keys")
	files, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.Skip("keys.files", dir+" is not there yet", "start lethe serve, which makes it")
	case err != nil:
		l.Fail("keys.files", dir+" cannot be read: "+reason(err), "run as the user that lethe serve runs as")
	default:
		l = append(l, closedKeys(dir, files))
	}
	l.Advise("keys.embedded", "the keys lie in "+dir+": whoever can read it can hear every recording", "use Vault or OpenBao for real recordings (vault.address)")
	return l
}

func closedKeys(dir string, files []fs.DirEntry) finding.Finding {
	const check = "keys.files"
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		return finding.Finding{Check: check, Level: finding.Failure, What: fmt.Sprintf("others may enter %s (mode %#o)", dir, info.Mode().Perm()), Do: "chmod 0700 " + dir}
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			return finding.Finding{Check: check, Level: finding.Failure, What: fmt.Sprintf("others may read a key in %s (mode %#o)", dir, info.Mode().Perm()), Do: "chmod 0600 " + dir + "/*"}
		}
	}
	return finding.Finding{Check: check, Level: finding.OK, What: "the keys are their owner's alone"}
}
