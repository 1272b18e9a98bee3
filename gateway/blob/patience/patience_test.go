package patience_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/gateway/blob/patience"
)

// store is what a store does with one connection.
type store func(t *testing.T, conn net.Conn, in *bufio.Reader)

// exchange sends one request to a store, and reads all of the answer. Time is
// that of the test's bubble, the connection is unbuffered.
func exchange(t *testing.T, s store, method string, body io.Reader, size int64) (took time.Duration, err error) {
	t.Helper()
	var serving sync.WaitGroup
	defer serving.Wait()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, its := net.Pipe()
		serving.Go(func() {
			defer its.Close()
			s(t, its, bufio.NewReader(its))
		})
		return ours, nil
	}}
	defer transport.CloseIdleConnections()
	if body == nil {
		body = strings.NewReader("")
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://store/blob", io.LimitReader(body, size))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = size
	began := time.Now()
	response, err := patience.Transport{Next: transport}.RoundTrip(r)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	return time.Since(began), err
}

// receive reads a request's head, and then n bytes of its body.
func receive(t *testing.T, in *bufio.Reader, n int64) {
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			t.Errorf("the store reads the head: %v", err)
			return
		}
	}
	if _, err := io.CopyN(io.Discard, in, n); err != nil {
		t.Errorf("the store reads the body: %v", err)
	}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"

// answersAfter takes all of a request, and answers after d.
func answersAfter(size int64, d time.Duration) store {
	return func(t *testing.T, conn net.Conn, in *bufio.Reader) {
		receive(t, in, size)
		time.Sleep(d)
		io.WriteString(conn, ok+"done") // nobody may listen any more
	}
}

// hangs reads nothing more, and says nothing.
func hangs(in *bufio.Reader) {
	time.Sleep(time.Hour)
	io.Copy(io.Discard, in) // until the client hangs up
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// pausing gives a byte a time, with a pause before each.
type pausing struct{ left int }

func (p *pausing) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Hour)
	p.left--
	return copy(b, "x"), nil
}

func TestStandstillIsGivenUp(t *testing.T) {
	const big = 64 << 20
	for name, c := range map[string]struct {
		store  store
		method string
		body   io.Reader
		size   int64
		within time.Duration
	}{
		"no answer to a read":  {func(_ *testing.T, _ net.Conn, in *bufio.Reader) { hangs(in) }, "GET", nil, 0, patience.Standstill},
		"no answer to a write": {answersAfter(5, time.Hour), "PUT", strings.NewReader("hello"), 5, patience.Standstill},
		"no more of the body taken": {func(t *testing.T, _ net.Conn, in *bufio.Reader) {
			receive(t, in, 1<<20)
			hangs(in)
		}, "PUT", zeros{}, big, patience.Standstill},
		"no answer to a large write": {answersAfter(big, time.Hour), "PUT", zeros{}, big, patience.Standstill + 4*time.Second},
		"no more of the answer": {func(t *testing.T, conn net.Conn, in *bufio.Reader) {
			receive(t, in, 0)
			io.WriteString(conn, ok+"do")
			hangs(in)
		}, "GET", nil, 0, patience.Standstill},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took, err := exchange(t, c.store, c.method, c.body, c.size)
				if !errors.Is(err, patience.ErrStopped) || took != c.within {
					t.Errorf("given up after %v: %v; want %v after %v", took, err, patience.ErrStopped, c.within)
				}
			})
		})
	}
}

func TestSlownessIsNot(t *testing.T) {
	const big = 64 << 20
	almost := patience.Standstill - time.Second
	for name, c := range map[string]struct {
		store  store
		method string
		body   io.Reader
		size   int64
	}{
		"a late answer":                         {answersAfter(0, almost), "GET", nil, 0},
		"a late answer to a large body":         {answersAfter(big, almost+4*time.Second), "PUT", zeros{}, big},
		"a late answer to the end of an upload": {answersAfter(5, 5*almost), "POST", strings.NewReader("parts"), 5},
		"a client that takes hours":             {answersAfter(3, almost), "PUT", &pausing{3}, 3},
		"a body that is taken slowly": {func(t *testing.T, conn net.Conn, in *bufio.Reader) {
			receive(t, in, 0)
			for range 16 {
				time.Sleep(almost)
				io.CopyN(io.Discard, in, 64<<10)
			}
			io.WriteString(conn, ok+"done")
		}, "PUT", zeros{}, 1 << 20},
		"an answer that comes slowly": {func(t *testing.T, conn net.Conn, in *bufio.Reader) {
			receive(t, in, 0)
			io.WriteString(conn, ok)
			for _, b := range []string{"d", "o", "n", "e"} {
				time.Sleep(almost)
				io.WriteString(conn, b)
			}
		}, "GET", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if took, err := exchange(t, c.store, c.method, c.body, c.size); err != nil {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}
