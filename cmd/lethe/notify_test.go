package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server tells systemd that it is ready, that it lives and that it ends; while
// it waits for load balancers it is not ready, and serves.
func TestSupervisorIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "200000")
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--shutdown-delay", "1s", "--shutdown-drain", "5s")
	hears := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		for {
			socket.SetReadDeadline(time.Now().Add(30 * time.Second))
			n, err := socket.Read(b)
			if err != nil {
				t.Fatalf("waiting for %q: %v", want, err)
			}
			if got := string(b[:n]); got == want {
				return
			} else if got != "WATCHDOG=1" {
				t.Fatalf("heard %q, want %q", got, want)
			}
		}
	}
	hears("READY=1")
	hears("WATCHDOG=1")
	if code, _ := s.asks(t, "/readyz", ""); code != http.StatusOK {
		t.Errorf("a server that is ready answers %d", code)
	}
	ended := make(chan int, 1)
	go func() { ended <- s.stop() }() // ends with the server
	hears("STOPPING=1\nEXTEND_TIMEOUT_USEC=36000000")
	if code, says := s.asks(t, "/readyz", ""); code != http.StatusServiceUnavailable || !strings.Contains(says, "about to end") {
		t.Errorf("a server that ends answers %d %q", code, says)
	}
	for _, at := range []string{s.at.Ops + "/healthz", s.at.API + "/v1/openapi.yaml"} {
		if code, _ := fetch(t, at, ""); code != http.StatusOK {
			t.Errorf("%s of a server that waits = %d", at, code)
		}
	}
	if code := <-ended; code != done {
		t.Errorf("serve ended with %d", code)
	}
}

// The unit starts a server again that its watchdog ended: a Go program ends on
// the watchdog's SIGABRT with a status of its own, as it does on a panic.
func TestUnitRestartsAfterWatchdog(t *testing.T) {
	c := exec.Command(os.Args[0], "serve", "--data", filepath.Join(t.TempDir(), "data"), "--listen-s3", "127.0.0.1:0", "--listen-api", "127.0.0.1:0", "--listen-ops", "127.0.0.1:0")
	c.Env = append(os.Environ(), beLethe+"=1")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Error("serve ended before it was ready")
	}
	if err := c.Process.Signal(syscall.SIGABRT); err != nil {
		t.Error(err)
	}
	c.Wait()
	status := strconv.Itoa(c.ProcessState.ExitCode())

	unit, err := os.ReadFile("../../packaging/systemd/lethe.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nRestart=on-failure\n") {
		t.Error("the unit does not start a server again that failed")
	}
	for line := range strings.Lines(string(unit)) {
		if prevent, ok := strings.CutPrefix(strings.TrimSpace(line), "RestartPreventExitStatus="); ok && slices.Contains(strings.Fields(prevent), status) {
			t.Errorf("%s, and the watchdog ends serve with status %s", strings.TrimSpace(line), status)
		}
	}
}
