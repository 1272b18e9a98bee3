//go:build !linux

package keytree

import "time"

// boottime is wall-clock time where CLOCK_BOOTTIME is not to be had: it goes
// on during sleep, and an administrator who sets it back is trusted anyway.
func boottime() time.Duration { return time.Duration(time.Now().UnixNano()) }
