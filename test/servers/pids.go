package servers

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PIDs are the server's processes.
func (v *VaultServer) PIDs() []int { return v.process.pids() }

// PIDs are the server's processes.
func (s *S3Server) PIDs() []int { return s.process.pids() }

// PIDs are the server's processes: the first, and one for each session and
// each of its own tasks.
func (p *PostgresServer) PIDs() []int { return p.process.pids() }

// pids gives the process and its children.
func (p *process) pids() []int { return append([]int{p.cmd.Process.Pid}, p.children()...) }

// children gives the ids of the process's own children.
func (p *process) children() (pids []int) {
	parent := strconv.Itoa(p.cmd.Process.Pid)
	tasks, _ := filepath.Glob(filepath.Join("/proc", parent, "task", "*", "children"))
	for _, task := range tasks {
		list, _ := os.ReadFile(task) // gone: no children
		for field := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
