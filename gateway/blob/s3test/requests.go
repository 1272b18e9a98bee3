package s3test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lethe-vault/lethe/test/servers"
)

// counting counts the requests that leave.
type counting struct {
	http.RoundTripper
	requests atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func (s Suite) oneRequestACall(t *testing.T) {
	server := servers.SharedMinIO(t)
	requests := &counting{RoundTripper: http.DefaultTransport}
	p := at(server, server.Bucket(t, servers.Plain))
	p.Transport = requests
	store := s.open(t, p)
	once := func(name string, call func()) {
		t.Helper()
		before := requests.requests.Load()
		call()
		if n := requests.requests.Load() - before; n != 1 {
			t.Errorf("%s sends %d requests, want 1", name, n)
		}
	}
	opens := func(key string, off, n int64) func() {
		return func() {
			if r, err := store.Open(t.Context(), key, off, n); err == nil {
				io.Copy(io.Discard, r)
				r.Close()
			}
		}
	}
	once("Create", func() { create(t, store, "a", "apple") })
	once("Create of unknown size", func() { store.Create(t.Context(), "b", strings.NewReader("bear"), -1) })
	once("Open", opens("a", 0, -1))
	once("Open of a range", opens("a", 1, 2))
	once("Open past the end", opens("a", 9, 1))
	once("Open of nothing", opens("a", 0, 0))
	once("Open of what is not there", opens("z", 0, -1))
	once("List", func() {
		for range store.List(t.Context(), "") {
		}
	})
}

// createStreams bounds all that an upload allocates, which is some 0.6 MB; the
// race detector makes pools forget, so the bound leaves room for that. What
// keeps a body, or buffers parts of it, allocates 16 MiB or more.
func (s Suite) createStreams(t *testing.T) {
	store := s.plain(t)
	const size, bound = 64 << 20, 4 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := store.Create(t.Context(), "key", io.LimitReader(zeros{}, size), size)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; err != nil || allocated > bound {
		t.Errorf("Create of %d bytes allocates %d, %v, want at most %d", size, allocated, err, bound)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// anySizeIsFramed creates blobs about as long as the chunks in which bodies are sent.
func (s Suite) anySizeIsFramed(t *testing.T) {
	for name, shared := range bothServers {
		server := shared(t)
		store := s.open(t, at(server, server.Bucket(t, servers.Plain)))
		for _, size := range []int{1, 2, 15, 16, 17, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 1<<20 - 1, 1<<20 + 1} {
			key, body := fmt.Sprintf("size/%d", size), strings.Repeat("0123456789abcdef!", size/17+1)[:size]
			create(t, store, key, body)
			r, err := store.Open(t.Context(), key, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != body {
				t.Errorf("%s: of %d bytes come back %d, %v", name, size, len(got), err)
			}
			r.Close()
		}
	}
}
