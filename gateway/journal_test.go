package gateway_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

func TestReplicasChangeSettingsInOneOrder(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	other := gatewaytest.On(t, f.Parts) // a second replica on the same store, catalog and keys
	f.Tenant("acme")
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := map[recording.Bucket]int{}
	for i := range 40 {
		wg.Go(func() {
			g := []*gatewaytest.Fixture{f, other}[i%2]
			name := recording.Bucket(fmt.Sprintf("bucket-%d", i/4)) // four makers each
			err := g.CreateBucket(t.Context(), g.Operator(), "acme", gateway.BucketSettings{Name: name})
			for errors.Is(err, recording.ErrUnavailable) {
				err = g.CreateBucket(t.Context(), g.Operator(), "acme", gateway.BucketSettings{Name: name})
			}
			if err != nil && !errors.Is(err, recording.ErrBucketExists) {
				t.Errorf("CreateBucket: %v", err)
			}
			if err == nil {
				mu.Lock()
				made[name]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := range 10 {
		if name := recording.Bucket(fmt.Sprintf("bucket-%d", i)); made[name] != 1 {
			t.Errorf("%s was made %d times", name, made[name])
		}
	}
	tenant, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	entries := blobs(t, f, "journal/")
	if int64(entries) != tenant.Journal || entries != 11 {
		t.Errorf("%d entries in the store, the catalog is at %d; want 11", entries, tenant.Journal)
	}
}

// A catalog that is restored from an older copy follows the journal when its
// server starts, before it serves anyone.
func TestCatalogBehindTheJournalIsRolledForward(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var key string
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		f.Tenant("acme")
		f.Bucket("acme", gateway.BucketSettings{Name: "early"})
	})
	copied := copyCatalog(t, dir)
	t.Run("later", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		f.Bucket("acme", gateway.BucketSettings{Name: calls, ETag: gateway.ETagMD5})
		key, _ = f.Key("acme", gateway.NewKey{Kind: "reader", Bucket: "*", Write: true})
		if _, err := f.RevokeTenant(t.Context(), f.Operator(), "acme"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.RestoreTenant(t.Context(), f.Operator(), "acme"); err != nil {
			t.Fatal(err)
		}
	})
	putBack(t, copied, dir)
	t.Run("restored", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		f.Bucket("acme", gateway.BucketSettings{Name: "first-touch"})
		c := f.Caller(key)
		in, err := f.Put(t.Context(), c, gatewaytest.Upload(calls, "a", []byte("abc")))
		if err != nil || in.ETag != "900150983cd24fb0d6963f7d28e17f72" {
			t.Errorf("Put into a bucket of the journal: etag %q, %v", in.ETag, err)
		}
		tenant, err := f.Catalog.TenantByName(t.Context(), "acme")
		if entries := blobs(t, f, "journal/"); err != nil || int64(entries) != tenant.Journal {
			t.Errorf("%d entries in the store, the catalog is at %d, %v", entries, tenant.Journal, err)
		}
	})
}
