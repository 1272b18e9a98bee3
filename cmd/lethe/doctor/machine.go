package doctor

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/lethe-vault/lethe/finding"
)

// machine looks at what the process would be given, if it is run as this one is.
func (s Subject) machine(context.Context) (l finding.List) {
	if os.Geteuid() == 0 {
		l.Advise("machine.user", "this runs as root, and cannot see whether lethe serve does, which needs no such rights", "see that its user is one of its own, as the systemd unit has it")
	} else {
		l.OK("machine.user", "this does not run as root")
	}
	s.openFiles(&l)
	swap(&l)
	if runtime.GOOS == "linux" {
		l.OK("machine.core", "lethe serve turns core dumps off for itself, and lets no other process of its user look into it")
	} else {
		l.Advise("machine.core", "core dumps are turned off on Linux only", "turn them off for the server: they would hold keys")
	}
	return l
}

// spare are the files that a server has open beside connections.
const spare = 256

// openFiles compares the limit with one address's share of connections, each of
// which may have another one to the store.
func (s Subject) openFiles(l *finding.List) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		l.Skip("machine.files", "the limit of open files is not told: "+err.Error(), "see ulimit -n")
		return
	}
	most := s.Config.Limits.Connections
	need := uint64(2*most + spare)
	what := fmt.Sprintf("%d files may be open at once", limit.Cur)
	if limit.Cur < need {
		l.Warn("machine.files", fmt.Sprintf("%s; limits.connections of %d needs %d", what, most, need), "raise it: LimitNOFILE= of systemd, ulimit -n, or lower limits.connections")
		return
	}
	l.OK("machine.files", what)
}

// swap sees whether memory, and keys with it, can get to a disk.
func swap(l *finding.List) {
	b, err := os.ReadFile("/proc/swaps")
	if err != nil {
		l.Skip("machine.swap", "whether this machine swaps is not told", "turn swap off, or encrypt it: keys are in memory")
		return
	}
	var areas []string
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if name, _, _ := strings.Cut(line, " "); i > 0 && !strings.HasPrefix(name, "/dev/zram") {
			name, _, _ = strings.Cut(name, "\t")
			areas = append(areas, name)
		}
	}
	if len(areas) > 0 {
		l.Advise("machine.swap", "this machine swaps to "+strings.Join(areas, ", ")+": keys in memory can get there", "turn it off (swapoff -a), or encrypt it with a key that each start draws anew")
		return
	}
	l.OK("machine.swap", "no memory is swapped to a disk")
}
