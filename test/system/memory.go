package system

import (
	"fmt"
	"os"
	"strings"
)

// ResetPeakMemory makes PeakMemory begin again from what the server holds now.
// Source: proc_pid_clear_refs(5), value 5.
func (s *System) ResetPeakMemory() {
	s.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.PID()), []byte("5"), 0o200); err != nil {
		s.t.Fatal(err)
	}
}

// PeakMemory is the most memory, in bytes, that the server has held resident
// since it was started or ResetPeakMemory. Source: proc_pid_status(5), VmHWM.
func (s *System) PeakMemory() int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kilobytes int64
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); err == nil {
			return kilobytes << 10
		}
	}
	s.t.Fatalf("no VmHWM in the status of process %d", s.PID())
	return 0
}
