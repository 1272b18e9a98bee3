package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a real one, and what was printed on it.
type terminal struct {
	*os.File
	shown chan string
}

func openTerminal(t *testing.T, columns uint16) terminal {
	t.Helper()
	outside, inside, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(outside, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	go func() { // ends when the terminal is closed
		var b bytes.Buffer
		_, _ = io.Copy(&b, outside) // EIO is how it ends
		outside.Close()
		shown <- b.String()
	}()
	return terminal{inside, shown}
}

// text closes the terminal and gives all that was ever shown on it.
func (t terminal) text() string {
	t.Close()
	return <-t.shown
}

// screen plays what a terminal was sent, as far as bars use it: it gives the
// lines that are left at the end.
func screen(sent string) []string {
	var lines []string
	up := regexp.MustCompile(`^(?:\^C)?\x1b\[(\d+)A\x1b\[J`)
	for _, line := range strings.Split(strings.ReplaceAll(sent, "\r", ""), "\n") {
		for m := up.FindStringSubmatch(line); m != nil; m = up.FindStringSubmatch(line) {
			var n int
			fmt.Sscan(m[1], &n)
			lines, line = lines[:len(lines)-n], line[len(m[0]):]
		}
		lines = append(lines, line)
	}
	return lines
}

// slowServer is an S3 front that gives and takes size bytes in a few hundred
// milliseconds, and then answers a put with status.
func slowServer(t *testing.T, size, status int) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amz-Request-Id", "7")
		if r.Method == http.MethodPut {
			for b := make([]byte, size/4); ; time.Sleep(100 * time.Millisecond) {
				if _, err := io.ReadFull(r.Body, b); err != nil {
					break
				}
			}
			w.Header().Set("ETag", `"e"`)
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 12:00:00 GMT")
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for range 4 {
			w.Write(make([]byte, size/4))
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const transferred = 4 << 20

var showsProgress = regexp.MustCompile(`call\.wav  \d\.\d MiB / 4\.0 MiB \[[=> ]+\] +\d+ % +[\d.]+ [KM]iB/s +ETA +\d+s`)

func TestProgressOnATerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(file, make([]byte, transferred), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.wav")
	put := []string{"put", file, "--bucket", "calls", "--name", "2026/call.wav"}
	get := []string{"get", "calls/2026/call.wav", out}
	for name, tt := range map[string]struct {
		args   []string
		answer int // to a put
		exit   int
		shows  bool
		left   string // of the bar, on the screen
	}{
		"put":         {put, 200, done, true, "4.0 MiB / 4.0 MiB"},
		"put refused": {put, 403, failed, true, ""},
		"put --quiet": {append(put, "--quiet"), 200, done, false, ""},
		"put --json":  {append(put, "--json"), 200, done, false, ""},
		"get":         {get, 200, done, true, "4.0 MiB / 4.0 MiB"},
		"get -q":      {append(get, "-q"), 200, done, false, ""},
		"get --json":  {append(get, "--json"), 200, done, false, ""},
		"get -":       {[]string{"get", "calls/2026/call.wav", "-"}, 200, done, true, "4.0 MiB / 4.0 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tty := openTerminal(t, 100)
			var stdout bytes.Buffer
			args := append(tt.args, "--s3", slowServer(t, transferred, tt.answer), "--access-key", "a", "--secret-key", "s")
			if exit := run(t.Context(), args, &stdout, tty.File); exit != tt.exit {
				t.Errorf("exit status %d, want %d", exit, tt.exit)
			}
			sent := tty.text()
			if showsProgress.MatchString(sent) != tt.shows {
				t.Errorf("shows progress: %v, want %v: %q", !tt.shows, tt.shows, sent)
			}
			left := strings.Join(screen(sent), "\n")
			if tt.left == "" && strings.Contains(left, "MiB") || !strings.Contains(left, tt.left) || strings.Contains(left, "reading") {
				t.Errorf("left on the screen: %q, want %q", left, tt.left)
			}
			if tt.args[0] == "get" && tt.args[2] == "-" && stdout.Len() != transferred {
				t.Errorf("%d bytes on standard output, want %d", stdout.Len(), transferred)
			}
		})
	}
}

// A terminal that the recording itself goes to shows nothing else.
func TestNoProgressBetweenTheBytes(t *testing.T) {
	tty := openTerminal(t, 100)
	args := []string{"get", "calls/call.wav", "--s3", slowServer(t, 4000, 200), "--access-key", "a", "--secret-key", "s"}
	if exit := run(t.Context(), args, tty.File, tty.File); exit != done {
		t.Errorf("exit status %d", exit)
	}
	if sent := tty.text(); sent != strings.Repeat("\x00", 4000) {
		t.Errorf("the terminal shows %d bytes, want the 4000 of the recording", len(sent))
	}
}

// A bar is one line, however narrow the terminal and odd the name.
func TestProgressFitsTheTerminal(t *testing.T) {
	for _, columns := range []uint16{20, 40, 80} {
		tty := openTerminal(t, columns)
		p := &program{errs: tty.File}
		m := p.meter("\x1b[31m電話"+strings.Repeat("x", 200), transferred)
		_, err := io.Copy(io.Discard, m.reader(io.LimitReader(slowly{}, transferred)))
		m.end(err)
		for _, line := range strings.Split(tty.text(), "\n") {
			line = strings.TrimPrefix(strings.TrimRight(line, "\r"), "\x1b[1A\x1b[J")
			if strings.Contains(line, "\x1b[31m") || len([]rune(line)) > int(columns) {
				t.Errorf("%d columns: %q", columns, line)
			}
		}
	}
}

type slowly struct{}

func (slowly) Read(b []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	return len(b), nil
}

// A request that is sent again is counted again from its start.
func TestProgressSeeks(t *testing.T) {
	tty := openTerminal(t, 80)
	p := &program{errs: tty.File}
	m := p.meter("call", 10)
	body := m.reader(strings.NewReader("0123456789"))
	for range 2 {
		if _, err := body.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(body); err != nil || string(b) != "0123456789" {
			t.Errorf("read %q, %v", b, err)
		}
	}
	if n := m.bar.Current(); n != 10 {
		t.Errorf("counted %d bytes, want 10", n)
	}
	m.end(errors.New("refused"))
	tty.text()
}

// Ctrl-C ends a transfer with status 1, an orderly screen and no file.
func TestCtrlC(t *testing.T) {
	dir := t.TempDir()
	const size = 400 << 20 // more than is served before the interrupt
	args := []string{"get", "calls/call.wav", filepath.Join(dir, "call.wav"),
		"--s3", slowServer(t, size, 200), "--access-key", "a", "--secret-key", "s"}
	c := exec.Command(os.Args[0], args...)
	c.Env = append(os.Environ(), beLethe+"=1")
	tty, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	var sent bytes.Buffer
	for b := make([]byte, 4096); !bytes.Contains(sent.Bytes(), []byte("MiB/s")); {
		n, err := tty.Read(b)
		if err != nil {
			t.Fatalf("no progress before %v: %q", err, &sent)
		}
		sent.Write(b[:n])
	}
	if _, err := tty.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	_, _ = io.Copy(&sent, tty) // EIO is how it ends
	err = c.Wait()
	if c.ProcessState.ExitCode() != failed {
		t.Errorf("it ended with %v, want status %d", err, failed)
	}
	left := screen(sent.String())
	if strings.Contains(strings.Join(left, "\n"), "MiB") || !strings.HasPrefix(left[0], "lethe: interrupted") {
		t.Errorf("left on the screen: %q of %q", left, &sent)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

// A stream takes one part of memory however long it is, and ends with Ctrl-C
// though nobody writes to it.
func TestPutStreamIsInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancelCause(t.Context())
	r, w := io.Pipe()
	defer w.Close()
	time.AfterFunc(100*time.Millisecond, func() { interrupt(syscall.EINTR) })
	if _, err := io.ReadAll(untilDone(ctx, r)); !errors.Is(err, errInterrupted) {
		t.Errorf("read = %v, want %v", err, errInterrupted)
	}
}
