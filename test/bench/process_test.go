package bench

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// tick is what proc_pid_stat(5) counts processor time in, on every Linux.
const tick = 10 * time.Millisecond

// cpuTime is the processor time that processes have had, with that of children
// that have ended.
func cpuTime(t testing.TB, pids []int) (sum time.Duration) {
	t.Helper()
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended: its parent counts it
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])) // from the third on
		for _, f := range fields[11:15] {                                             // utime, stime, cutime, cstime
			var ticks int64
			if _, err := fmt.Sscan(f, &ticks); err != nil {
				t.Fatalf("processor time of process %d: %v", pid, err)
			}
			sum += time.Duration(ticks) * tick
		}
	}
	return sum
}

// ownTime is the processor time of this process: the client's.
func ownTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resetPeaks makes peakMemory begin again. Source: proc_pid_clear_refs(5).
func resetPeaks(pids []int) {
	for _, pid := range pids {
		os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0o200) // it may have ended
	}
}

// peakMemory is the most that any of the processes has held resident. Their
// sum would count what PostgreSQL's share once for each.
func peakMemory(pids []int) (most int64) {
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			var kilobytes int64
			if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
				most = max(most, kilobytes<<10)
			}
		}
	}
	return most
}
