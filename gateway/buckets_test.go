package gateway_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// Killed when the bucket was closed and its deletion not yet durable: the
// bucket serves nothing, its name is not free, and the deletion is repeated.
func TestDeletionOfABucketIsRepeated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	t.Run("killed", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		f.Pair("acme", gateway.BucketSettings{Name: calls})
		who = eraser(f, "acme", "*").Who
		broken := gatewaytest.On(t, gatewaytest.Parts{Catalog: f.Catalog, Keys: f.Parts.Keys, Blobs: faultyStore{f.Blobs, func(key string) error {
			if strings.HasPrefix(key, "journal/") {
				return blob.ErrUnavailable
			}
			return nil
		}}})
		if err := broken.DeleteBucket(t.Context(), f.Caller(who), calls); !errors.Is(err, recording.ErrUnavailable) {
			t.Fatalf("DeleteBucket without a journal: %v, want ErrUnavailable", err)
		}
	})
	t.Run("restarted", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		c := f.Caller(who)
		if _, err := f.Put(t.Context(), c, gatewaytest.Upload(calls, "a", sound(1, 10))); !errors.Is(err, recording.ErrNoBucket) {
			t.Errorf("Put into a closing bucket: %v, want ErrNoBucket", err)
		}
		if _, err := f.Gateway.Bucket(t.Context(), c, calls); !errors.Is(err, recording.ErrNoBucket) {
			t.Errorf("Bucket: %v, want ErrNoBucket", err)
		}
		if list, err := f.Buckets(t.Context(), c); err != nil || len(list) != 0 {
			t.Errorf("Buckets = %v, %v", list, err)
		}
		if err := f.CreateOwnBucket(t.Context(), c, calls); !errors.Is(err, recording.ErrBucketClosing) {
			t.Errorf("CreateOwnBucket: %v, want ErrBucketClosing", err)
		}
		if err := f.DeleteBucket(t.Context(), c, calls); err != nil {
			t.Errorf("DeleteBucket again: %v", err)
		}
		if err := f.CreateOwnBucket(t.Context(), c, calls); err != nil {
			t.Errorf("CreateOwnBucket: %v", err)
		}
		if _, err := f.Put(t.Context(), c, gatewaytest.Upload(calls, "a", sound(1, 10))); err != nil {
			t.Errorf("Put: %v", err)
		}
	})
}

// Killed when the entry was durable and the catalog had not followed: it is
// applied before anything else, even to a catalog from before the bucket was
// emptied, and blocks nobody.
func TestDeletionOfABucketIsReplayed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		who = eraser(f, "acme", "*").Who
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 10))); err != nil {
			t.Fatal(err)
		}
	})
	copied := copyCatalog(t, dir)
	t.Run("deleted", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		c := f.Caller(who)
		if err := f.DeleteBucket(t.Context(), c, calls); !errors.Is(err, recording.ErrBucketNotEmpty) {
			t.Errorf("DeleteBucket: %v, want ErrBucketNotEmpty", err)
		}
		if _, err := f.Erase(t.Context(), c, gateway.Erasure{Bucket: calls, Name: "a", All: true}); err != nil {
			t.Fatal(err)
		}
		if err := f.DeleteBucket(t.Context(), c, calls); err != nil {
			t.Fatal(err)
		}
		if n := allowed(events(t, f, c, "bucket.delete")); n != 1 {
			t.Errorf("%d events of the deletion, want 1", n)
		}
	})
	putBack(t, copied, dir)
	t.Run("restored", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		c := f.Caller(who)
		if _, err := f.Gateway.Bucket(t.Context(), c, calls); !errors.Is(err, recording.ErrNoBucket) {
			t.Errorf("Bucket: %v, want ErrNoBucket", err)
		}
		if err := f.CreateOwnBucket(t.Context(), c, "more"); err != nil {
			t.Errorf("CreateOwnBucket after it: %v", err)
		}
		if n := allowed(events(t, f, c, "bucket.delete")); n != 1 {
			t.Errorf("%d events of the deletion, want 1", n)
		}
	})
}

// A put that was under way finds no bucket at its end, and leaves nothing.
func TestPutIntoABucketThatIsDeleted(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	content := sound(1, 1<<20)
	u, body := gatewaytest.Upload(calls, "a", content), gated(content)
	u.Body = gatewaytest.NewBody(body)
	put := make(chan error, 1)
	go func() {
		_, err := f.Put(t.Context(), recorder, u)
		put <- err
	}()
	<-body.reached
	if err := f.DeleteBucket(t.Context(), eraser(f, "acme", "*"), calls); err != nil {
		t.Errorf("DeleteBucket: %v", err)
	}
	close(body.open)
	if err := <-put; !errors.Is(err, recording.ErrNoBucket) {
		t.Errorf("Put: %v, want ErrNoBucket", err)
	}
	if n := blobs(t, f, "recordings/"); n != 0 {
		t.Errorf("%d blobs remain", n)
	}
}
