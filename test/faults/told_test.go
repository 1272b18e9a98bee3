package faults_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/test/blind"
)

// told is all that a server has told of itself, each source in a file of its own.
type told struct {
	t   *testing.T
	dir string

	mu     sync.Mutex // guards the files
	files  map[string]*os.File
	counts map[string]int // what was added, by source
}

func newTold(t *testing.T) *told {
	return &told{t: t, dir: t.TempDir(), files: map[string]*os.File{}, counts: map[string]int{}}
}

func (o *told) path(source string) string { return filepath.Join(o.dir, source) }

// add adds to a source.
func (o *told) add(source string, b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.files[source]
	if f == nil {
		var err error
		if f, err = os.Create(o.path(source)); err != nil {
			o.t.Error(err)
			return
		}
		o.t.Cleanup(func() { f.Close() })
		o.files[source] = f
	}
	if _, err := f.Write(append(b, '\n')); err != nil {
		o.t.Error(err)
	}
	o.counts[source]++
}

// receive takes traces as an OTLP/HTTP receiver does, and gives its address. Every
// now and then it refuses them, in the caller's words.
func (o *told) receive() (at string) {
	var serial int
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			b, err = inflated(b)
		}
		if err != nil {
			http.Error(w, "no trace", http.StatusBadRequest)
			return
		}
		o.add("traces", b)
		o.mu.Lock()
		serial++
		refuse := serial%40 == 0
		o.mu.Unlock()
		if refuse {
			http.Error(w, "this receiver keeps nothing of "+inNames, http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	o.t.Cleanup(receiver.Close)
	return receiver.Listener.Addr().String()
}

func inflated(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return b, err
	}
	return io.ReadAll(z)
}

// scrape adds what the listener for probes says to whoever may know.
func (o *told) scrape(ops, owner string) {
	pages := map[string][]string{
		"metrics": {"/metrics"},
		"probes":  {"/readyz", "/healthz"},
		"profiles": {"/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap?debug=1",
			"/debug/pprof/allocs", "/debug/pprof/trace?seconds=0.05", "/debug/pprof/mutex?debug=1", "/debug/pprof/block?debug=1"},
	}
	for source, paths := range pages {
		for _, path := range paths {
			r, err := http.NewRequestWithContext(o.t.Context(), "GET", ops+path, nil)
			if err != nil {
				o.t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer "+owner)
			response, err := http.DefaultClient.Do(r)
			if err != nil { // the server is away
				return
			}
			b, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if whole, err := inflated(b); err == nil {
				b = whole
			}
			o.add(source, b)
		}
	}
}

// divide adds what a server wrote on standard error: what it logged, and what Go's
// runtime said when it came to its end.
func (o *told) divide(stderr string) {
	f, err := os.Open(stderr)
	if err != nil {
		o.t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		source := "crashes"
		if bytes.HasPrefix(line, []byte("{")) {
			source = "log"
		}
		if len(line) > 0 {
			o.add(source, bytes.TrimSuffix(line, []byte("\n")))
		}
		if err != nil {
			return
		}
	}
}

// due is what a source must hold, or the search of it shows nothing.
type due struct {
	bytes   int64
	markers []string // all of them
}

// hides fails the test if a needle is in any source, or a source is not what is due.
func (o *told) hides(needles map[string][]byte, dues map[string]due) {
	o.t.Helper()
	for _, source := range slices.Sorted(maps.Keys(dues)) {
		n, err := blind.Search(o.path(source), needles)
		if err != nil {
			o.t.Errorf("%s: %v\n%s", source, err, o.around(source, needles))
		}
		if n < dues[source].bytes {
			o.t.Errorf("%s: %d bytes were searched, at least %d are due", source, n, dues[source].bytes)
		}
		for _, marker := range dues[source].markers {
			if o.holds(source, []string{marker}) == 0 {
				o.t.Errorf("%s: there is no %q", source, marker)
			}
		}
		o.t.Logf("%-8s %12d bytes in %7d pieces", source, n, o.counts[source])
	}
}

// holds counts which of the texts stand in a source.
func (o *told) holds(source string, texts []string) (found int) {
	b, err := os.ReadFile(o.path(source))
	if err != nil {
		o.t.Error(err)
	}
	for _, text := range texts {
		if bytes.Contains(b, []byte(text)) {
			found++
		}
	}
	return found
}

// around shows where needles stand.
func (o *told) around(source string, needles map[string][]byte) string {
	b, err := os.ReadFile(o.path(source))
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for what, needle := range needles {
		if i := bytes.Index(b, needle); i >= 0 {
			fmt.Fprintf(&out, "%s: %q\n", what, b[max(0, i-300):min(len(b), i+200)])
		}
	}
	return out.String()
}
