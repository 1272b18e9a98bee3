package main

import (
	"log"
	"log/slog"
	"regexp"
	"strings"
)

// netLog takes what net/http says of connections, such as that a handshake failed.
type netLog struct {
	log       *slog.Logger
	addresses bool // of clients may stand in it
}

// of is what the server of a listener logs to.
func (n netLog) of(listener string) *log.Logger {
	n.log = n.log.With("listener", listener)
	return log.New(n, "", 0)
}

// addressForm is an IP address with its port.
var addressForm = regexp.MustCompile(`(\d+\.\d+\.\d+\.\d+|\[[0-9A-Fa-f:.]+(%[^\]]*)?\]):\d+`)

// Write takes one line, or a panic with its stack. What the value of a panic says may
// be what a client sent.
func (n netLog) Write(line []byte) (int, error) {
	said := strings.TrimSpace(string(line))
	if strings.Contains(said, ": panic serving ") {
		stack := said[max(0, strings.LastIndex(said, "\ngoroutine ")):]
		if !strings.HasPrefix(stack, "\ngoroutine ") {
			stack = ""
		}
		n.log.Error("connection met a fault of the program", "stack", strings.TrimSpace(stack))
		return len(line), nil
	}
	if !n.addresses {
		said = addressForm.ReplaceAllLiteralString(said, "a client or listener")
	}
	n.log.Warn(said)
	return len(line), nil
}
