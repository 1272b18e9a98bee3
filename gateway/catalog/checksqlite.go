package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/ncruces/go-sqlite3/driver"
)

// checkSQLite opens the file only as its owner: another's log beside it would
// keep the server out.
func (s *Survey) checkSQLite(ctx context.Context, file string) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Skip("catalog.reach", file+" is not there yet", "start lethe serve, which makes it, and check again")
		return
	case err != nil:
		s.Fail("catalog.reach", "the catalog cannot be looked at: "+err.Error(), "run as the user that lethe serve runs as")
		return
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		s.Skip("catalog.reach", "the catalog belongs to another user", "run as the user that lethe serve runs as")
		return
	}
	s.checkModes(file)
	db, err := driver.Open(sqliteURI(file, "query_only(1)"))
	if err != nil {
		s.Fail("catalog.reach", "the catalog cannot be opened: "+err.Error(), "see that the file is whole, and its directory writable")
		return
	}
	defer db.Close()
	var journal string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&journal); err != nil {
		s.Fail("catalog.reach", "the catalog cannot be read: "+err.Error(), "restore it from a backup if the file is damaged")
		return
	}
	s.OK("catalog.reach", "the catalog is a SQLite file that can be read")
	if journal != "wal" {
		s.Warn("catalog.durability", "the file is in journal mode "+journal, "start lethe serve, which sets WAL; leave no other program to change it")
	} else {
		s.OK("catalog.durability", "each commit is on disk before it is acknowledged, and one process writes at a time")
	}
	s.checkSchema(ctx, db)
}

func (s *Survey) checkModes(file string) {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(file + suffix)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			s.Warn("catalog.mode", fmt.Sprintf("others may read %s (mode %#o)", file+suffix, info.Mode().Perm()), "chmod 0600 "+file+suffix)
			return
		}
	}
	s.OK("catalog.mode", "the file is its owner's alone")
}
