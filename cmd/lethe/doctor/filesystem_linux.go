package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/lethe-vault/lethe/finding"
)

// unfit are file systems that do not keep what was synced, or do not lock.
// Source: statfs(2).
var unfit = map[int64]string{
	unix.NFS_SUPER_MAGIC:       "NFS, across a network",
	unix.SMB_SUPER_MAGIC:       "SMB, across a network",
	unix.SMB2_SUPER_MAGIC:      "SMB, across a network",
	unix.CIFS_SUPER_MAGIC:      "SMB, across a network",
	unix.CEPH_SUPER_MAGIC:      "Ceph, across a network",
	unix.V9FS_MAGIC:            "9P, which another machine provides",
	unix.FUSE_SUPER_MAGIC:      "FUSE, of which nobody knows what it keeps",
	unix.TMPFS_MAGIC:           "tmpfs, which ends with this machine's power",
	unix.RAMFS_MAGIC:           "ramfs, which ends with this machine's power",
	unix.OVERLAYFS_SUPER_MAGIC: "the layer of a container, which ends with it",
}

// The least that should be free.
const (
	littleRoom = 10 << 30
	noRoom     = 1 << 30
)

// fileSystem looks at what a directory lies on.
func fileSystem(l *finding.List, dir string) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		l.Skip("files.system", "the file system of "+dir+" does not tell what it is: "+err.Error(), "see that it is a local one")
		return
	}
	if what, bad := unfit[int64(s.Type)]; bad {
		l.Warn("files.system", dir+" lies on "+what, "put it on a local file system such as ext4 or XFS")
	} else {
		l.OK("files.system", dir+" lies on a local file system")
	}
	free := int64(s.Bavail) * int64(s.Bsize)
	what := fmt.Sprintf("%.1f GiB are free in %s", float64(free)/(1<<30), dir)
	switch {
	case free < noRoom:
		l.Fail("files.room", what, "make room: an upload that finds none is refused")
	case free < littleRoom:
		l.Advise("files.room", what, "make room, or watch it: an upload that finds none is refused")
	default:
		l.OK("files.room", what)
	}
}
