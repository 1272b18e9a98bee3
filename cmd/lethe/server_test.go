package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
)

func TestDirectoryOfAServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	for name, mode := range map[string]os.FileMode{".": 0o700 | os.ModeDir, serverFile: 0o600, ownerFile: 0o600} {
		if i, err := os.Stat(filepath.Join(dir, name)); err != nil || i.Mode() != mode {
			t.Errorf("%s: mode %v, %v; want %v", name, i.Mode(), err, mode)
		}
	}
	if at, err := readServer(dir); err != nil || at != s.at {
		t.Errorf("%s = %+v, %v; the ready line said %+v", serverFile, at, err, s.at)
	}
	token, err := readToken(filepath.Join(dir, ownerFile))
	if err != nil || len(token) != 43 {
		t.Fatalf("owner token of %d characters, %v", len(token), err)
	}
	if code, _, errs := lethe(t, "serve", "--data", dir); code != failed || !strings.Contains(errs, "in use") {
		t.Errorf("a second server on the directory = %d %s", code, errs)
	}
	if code := s.stop(); code != done {
		t.Errorf("serve ended with %d: %s", code, s.log)
	}
	startServer(t, dir)
	if again, err := readToken(filepath.Join(dir, ownerFile)); err != nil || again != token {
		t.Errorf("the owner token changed with a restart: %v", err)
	}
}

// A token that was cut short never becomes the one that operates the server.
func TestShortTokenIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ownerFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := lethe(t, "serve", "--data", dir); code != failed || out != "" || !strings.Contains(errs, ownerFile) {
		t.Errorf("serve with an empty owner token = %d %q %s", code, out, errs)
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 404} {
		res, err := http.Get("http://" + s.at.Ops + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s = %s, want %d", path, res.Status, want)
		}
	}
}

// A request under way when the server is told to stop has its answer.
func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, "whole")
	})
	all, err := listen(netLog{slog.New(slog.DiscardHandler), false}, service{"slow", "127.0.0.1:0", slow, 0, plainHTTP, 1024})
	if err != nil {
		t.Fatal(err)
	}
	addr := all[0].at.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, all, &ending{Shutdown: config.Shutdown{Drain: 30 * time.Second}, told: func() {}})
	}() // ends with ctx
	answer := make(chan string, 1)
	go func() { // ends with the answer
		res, err := http.Get("http://" + addr)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-entered
	stop()
	for refusing := false; !refusing; time.Sleep(time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if refusing = err != nil; !refusing {
			c.Close()
		}
	}
	close(leave)
	if got := <-answer; got != "whole" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("serve = %v", err)
	}
}

func TestAddressTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	code, out, errs := lethe(t, "serve", "--data", t.TempDir(), "--listen-s3", "127.0.0.1:0", "--listen-api", taken.Addr().String())
	if code != failed || out != "" || !strings.Contains(errs, "--listen-api") {
		t.Errorf("serve on a taken address = %d %q %s", code, out, errs)
	}
}

// Without a scheme, a secret leaves this machine over TLS only.
func TestOrigin(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:9001":         "http://127.0.0.1:9001",
		"[::1]:9001":             "http://[::1]:9001",
		"localhost:9001":         "http://localhost:9001",
		"lethe.example:9001":     "https://lethe.example:9001",
		"10.0.0.1:9001":          "https://10.0.0.1:9001",
		"lethe.example":          "https://lethe.example",
		"http://10.0.0.1:9001":   "http://10.0.0.1:9001",
		"https://lethe.example/": "https://lethe.example/",
	} {
		if u, err := origin(addr); err != nil || u.String() != want {
			t.Errorf("origin(%q) = %v, %v; want %s", addr, u, err, want)
		}
	}
	for _, addr := range []string{"ftp://x", "http://", "https://x/path", "a b", "://"} {
		if u, err := origin(addr); err == nil {
			t.Errorf("origin(%q) = %v, want an error", addr, u)
		}
	}
}
