package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"
)

// supervisor is who started the process and wants to hear how it is, as
// systemd does of a unit of Type=notify. Source: sd_notify(3),
// sd_watchdog_enabled(3).
type supervisor struct {
	socket string        // "" for none
	every  time.Duration // between two signs of life; 0 is none
	log    *slog.Logger
}

// findSupervisor reads what the environment says of it.
func findSupervisor(log *slog.Logger) supervisor {
	s := supervisor{socket: os.Getenv("NOTIFY_SOCKET"), log: log}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return s // another process is watched
	}
	if us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
		s.every = time.Duration(us) * time.Microsecond / 2
	}
	return s
}

// ready tells that the server serves.
func (s supervisor) ready() { s.tell("READY=1") }

// stopping tells that the server ends, and may take so long.
func (s supervisor) stopping(within time.Duration) {
	s.tell(fmt.Sprintf("STOPPING=1\nEXTEND_TIMEOUT_USEC=%d", within.Microseconds()))
}

// watchdog gives signs of life until ctx ends.
func (s supervisor) watchdog(ctx context.Context) {
	if s.every == 0 {
		return
	}
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.tell("WATCHDOG=1")
		}
	}
}

// tell sends one message. A server goes on though nobody hears it.
func (s supervisor) tell(state string) {
	if s.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err == nil {
		defer c.Close()
		_, err = c.Write([]byte(state))
	}
	if err != nil {
		s.log.Warn("supervisor not told", "error", err)
	}
}
