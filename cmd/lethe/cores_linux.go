package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// forbidCoreDumps keeps the process's memory, and the keys in it, out of core
// files and from other processes of the same user (core(5), ptrace(2)).
func forbidCoreDumps() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
}
