package gateway_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// A server that was started on an older copy of the catalog is asked for much at once:
// all follow, its eraser too, and nobody is refused for it.
func TestManyFollowAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var reader gateway.Caller
	quickly := func(c *gateway.Config) { c.EpochFloor = time.Millisecond }
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		var recorder gateway.Caller
		recorder, reader = f.Pair("acme", gateway.BucketSettings{Name: calls})
		for i := range 8 {
			put(t, f, recorder, recording.Name(fmt.Sprint(i)), sound(uint64(i), 100))
		}
	})
	copied := copyCatalog(t, dir)
	t.Run("later", func(t *testing.T) {
		f := gatewaytest.In(t, dir, quickly)
		for i := range 8 {
			effective(t, f, erase(t, f, recording.Name(fmt.Sprint(i))))
		}
	})
	for range 5 {
		putBack(t, copied, dir)
		t.Run("restored", func(t *testing.T) {
			f := gatewaytest.In(t, dir, quickly)
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if _, err := f.Credential(t.Context(), reader.Who); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}

// lateHead is a store in which a blob is created just after someone has looked for it.
type lateHead struct {
	blob.Store
	key    string
	looked *atomic.Bool
}

func (s lateHead) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if key == s.key && !s.looked.Swap(true) {
		return nil, fs.ErrNotExist
	}
	return s.Store.Open(ctx, key, offset, length)
}

// The tenant is moved on, and what opens its newest head is destroyed, after that was found
// and before it is opened: the newer one is followed, and nobody is told of an incident.
func TestFollowedHeadIsSuperseded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var reader gateway.Caller
	var newest string
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		var recorder gateway.Caller
		recorder, reader = f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "a", "b", "c")
	})
	copied := copyCatalog(t, dir)
	t.Run("later", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		effective(t, f, erase(t, f, "a"))
		effective(t, f, erase(t, f, "b"))
		newest = keytree.HeadKey(tenantOf(t, f).ID, uint64(tenantOf(t, f).Epoch))
	})
	putBack(t, copied, dir)
	f := gatewaytest.In(t, dir, only(gateway.Sweeper))
	store := lateHead{f.Blobs, newest, &atomic.Bool{}}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: store, Catalog: f.Catalog, Keys: f.Parts.Keys}, only(gateway.Front))
	if _, err := g.Credential(t.Context(), reader.Who); err != nil || !store.looked.Load() {
		t.Errorf("Credential: %v; the newest head was looked for: %t", err, store.looked.Load())
	}
}
