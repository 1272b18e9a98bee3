package main

import (
	"net"
	"net/http"
	"path/filepath"
	"strings"
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
