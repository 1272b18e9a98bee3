package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// until waits for a text in the log.
func (l *lines) until(t *testing.T, text string) {
	t.Helper()
	for began := time.Now(); !strings.Contains(l.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("the log has no %q:\n%s", text, l)
		}
	}
}

// What net/http itself logs of a client holds neither its address, unless that is
// asked for, nor the value of a panic.
func TestNetLog(t *testing.T) {
	for _, told := range []bool{false, true} {
		text, clients := quarrel(t, told)
		if got := strings.Contains(text, clients["secure"]); got != told || strings.Contains(text, clients["plain"]) {
			t.Errorf("the log holds the address: %v, want %v\n%s", got, told, text)
		}
		if strings.Contains(text, "+49") || !strings.Contains(text, "lethe.quarrel.func1") {
			t.Errorf("no stack, or a value:\n%s", text)
		}
	}
}

// quarrel gives what is logged of a panic on a plain listener and of a client of a
// secure one that speaks no TLS, and from where they were called.
func quarrel(t *testing.T, told bool) (text string, clients map[string]string) {
	var out lines
	log := netLog{slog.New(slog.NewJSONHandler(&out, nil)), told}
	panics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("+49123456789\ngoroutine of +49123456789") })
	files := selfSigned(t, t.TempDir(), 1)
	pair, err := openCertificate(files[1], files[3], log.log)
	if err != nil {
		t.Fatal(err)
	}
	all, err := listen(log, service{"plain", "127.0.0.1:0", panics, 0, plainHTTP, 10}, service{"secure", "127.0.0.1:0", panics, 0, pair.config(), 10})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() { serve(ctx, all, &ending{told: func() {}}) })
	clients = map[string]string{}
	for _, l := range all {
		conn, err := net.Dial("tcp", l.at.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "GET /+49123456789 HTTP/1.1\r\nHost: x\r\n\r\n")
		io.Copy(io.Discard, conn)
		clients[l.name] = conn.LocalAddr().String()
		conn.Close()
	}
	out.until(t, "TLS handshake error")
	out.until(t, "connection met a fault")
	stop()
	serving.Wait()
	return out.String(), clients
}
