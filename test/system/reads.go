package system

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
)

// Reads is what a server has asked for since it was started.
type Reads struct {
	Bytes    int64          // read by the process, from anywhere
	Requests map[string]int // to the S3 store, by method; nil for an embedded server
}

// Minus is what was asked for since before.
func (r Reads) Minus(before Reads) Reads {
	out := Reads{Bytes: r.Bytes - before.Bytes, Requests: map[string]int{}}
	for method, n := range r.Requests {
		if n > before.Requests[method] {
			out.Requests[method] = n - before.Requests[method]
		}
	}
	return out
}

// Reads counts what the server has asked for.
func (s *System) Reads() Reads {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	var r Reads
	if _, err := fmt.Sscanf(string(b), "rchar: %d", &r.Bytes); err != nil {
		s.t.Fatalf("read %q: %v", strings.SplitN(string(b), "\n", 2)[0], err)
	}
	if s.store != nil {
		r.Requests = s.store.snapshot()
	}
	return r
}

// counter is a proxy that counts the requests it passes on unchanged.
type counter struct {
	endpoint string
	mu       sync.Mutex // guards requests
	requests map[string]int
}

func count(t testing.TB, endpoint string) *counter {
	c := &counter{requests: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: endpoint})
			r.Out.Host = r.In.Host // it is signed
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // tests take the store away
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests[r.Method]++
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c.endpoint = strings.TrimPrefix(server.URL, "http://")
	return c
}

func (c *counter) snapshot() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.requests)
}
