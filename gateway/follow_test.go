package gateway_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway"
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
