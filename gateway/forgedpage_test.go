package gateway_test

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// packReads counts what is read of packs.
type packReads struct {
	blob.Store
	reads *atomic.Int64
}

func (s packReads) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if strings.HasPrefix(key, "pages/") {
		s.reads.Add(1)
	}
	return s.Store.Open(ctx, key, off, n)
}

// Copies of pages that someone has changed in the catalog are found again in the store,
// once by each process.
func TestForgedPageIsReadFromItsPack(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "gone", "one", "two")
	effective(t, f, erase(t, f, "gone"))
	f.Gateway.Close()
	execute(t, f.Dir, `UPDATE pages SET sealed = zeroblob(length(sealed))`)
	parts, reads := f.Parts, atomic.Int64{}
	parts.Blobs = packReads{f.Blobs, &reads}
	g := gatewaytest.On(t, parts)
	for range 3 {
		for _, name := range []recording.Name{"one", "two"} {
			if got := read(t, g, g.Caller(reader.Who), name); len(got) != 1000 {
				t.Errorf("read %d bytes of %q", len(got), name)
			}
		}
	}
	if n := reads.Load(); n == 0 || n > 8 {
		t.Errorf("%d pages were read from packs, want those on the way, once", n)
	}
	effective(t, g, erase(t, g, "one"))
	if got := read(t, g, g.Caller(reader.Who), "two"); len(got) != 1000 {
		t.Errorf("read %d bytes after the next epoch", len(got))
	}
}
