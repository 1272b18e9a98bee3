package s3test

import (
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/test/servers"
)

// deleteRemovesEveryVersion has an admin overwrite what Lethe never would, more
// often than a server lists at a time.
func (s Suite) deleteRemovesEveryVersion(t *testing.T) {
	for name, shared := range bothServers {
		t.Run(name, func(t *testing.T) {
			server := shared(t)
			bucket := server.Bucket(t, servers.Versioned)
			store, admin := s.open(t, at(server, bucket)), server.Client(t)
			create(t, store, "a/kept", "k")
			create(t, store, "a/gone-not", "n")
			create(t, store, "a/gone", "1")
			overwrite(t, admin, bucket, "a/gone")
			if err := admin.RemoveObject(t.Context(), bucket, "a/gone", minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := store.Delete(t.Context(), "a/gone"); err != nil {
				t.Fatalf("Delete = %v", err)
			}
			left := map[string]int{}
			for v := range admin.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
				if v.Err != nil {
					t.Fatal(v.Err)
				}
				left[v.Key]++
			}
			if !maps.Equal(left, map[string]int{"a/kept": 1, "a/gone-not": 1}) {
				t.Errorf("after Delete there is %v", left)
			}
		})
	}
}

// overwrite makes more than a thousand versions of key.
func overwrite(t *testing.T, admin *minio.Client, bucket, key string) {
	t.Helper()
	const workers, versions = 8, 130 // of each
	var making sync.WaitGroup
	for range workers {
		making.Go(func() {
			for range versions {
				_, err := admin.PutObject(t.Context(), bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	making.Wait()
}

// deleteReportsALock locks one version of two, by retention and by legal hold:
// the other goes, and once the hold is lifted so does the first.
func (s Suite) deleteReportsALock(t *testing.T) {
	for name, shared := range bothServers {
		t.Run(name, func(t *testing.T) {
			server := shared(t)
			bucket := server.Bucket(t, servers.Locked)
			store, admin := s.open(t, at(server, bucket)), server.Client(t)
			create(t, store, "retained", "x")
			create(t, store, "held", "x")
			mode, until, on := minio.Compliance, time.Now().Add(time.Hour), minio.LegalHoldEnabled
			err := errors.Join(
				admin.PutObjectRetention(t.Context(), bucket, "retained", minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until}),
				admin.PutObjectLegalHold(t.Context(), bucket, "held", minio.PutObjectLegalHoldOptions{Status: &on}))
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"retained", "held"} {
				_, err := admin.PutObject(t.Context(), bucket, key, strings.NewReader("later"), 5, minio.PutObjectOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if err := store.Delete(t.Context(), key); !errors.Is(err, blob.ErrLocked) || errors.Is(err, blob.ErrUnavailable) {
					t.Errorf("Delete of what is %s = %v, want ErrLocked", key, err)
				}
				if n := versionsOf(t, admin, bucket, key); n != 1 {
					t.Errorf("%d versions of what is %s are left, want the one with the lock", n, key)
				}
			}
			off := minio.LegalHoldDisabled
			if err := admin.PutObjectLegalHold(t.Context(), bucket, "held", minio.PutObjectLegalHoldOptions{Status: &off}); err != nil {
				t.Fatal(err)
			}
			if err := store.Delete(t.Context(), "held"); err != nil {
				t.Errorf("Delete once the hold is lifted = %v", err)
			}
			if n := versionsOf(t, admin, bucket, "held"); n != 0 {
				t.Errorf("%d versions are left once the hold is lifted", n)
			}
		})
	}
}

func versionsOf(t *testing.T, admin *minio.Client, bucket, key string) (n int) {
	t.Helper()
	for v := range admin.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Prefix: key, WithVersions: true, Recursive: true}) {
		if v.Err != nil {
			t.Fatal(v.Err)
		}
		if v.Key == key {
			n++
		}
	}
	return n
}

func (s Suite) failedCreateLeavesNoParts(t *testing.T) {
	server := servers.SharedMinIO(t)
	bucket := server.Bucket(t, servers.Plain)
	store := s.open(t, at(server, bucket))
	body := io.MultiReader(io.LimitReader(zeros{}, 12<<20), failing{})
	if err := store.Create(t.Context(), "key", body, -1); !errors.Is(err, errBody) {
		t.Fatalf("Create = %v, want %v", err, errBody)
	}
	for upload := range server.Client(t).ListIncompleteUploads(t.Context(), bucket, "key", true) {
		t.Errorf("an upload is left: %+v", upload)
	}
}

var errBody = errors.New("body fails")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBody }

// foreignKeys has others keep things in the bucket too.
func (s Suite) foreignKeys(t *testing.T) {
	server := servers.SharedMinIO(t)
	bucket := server.Bucket(t, servers.Plain)
	store := s.open(t, at(server, bucket))
	create(t, store, "a/b", "x")
	for _, key := range []string{"a/b c", "a/b+c", "a/b%2Fc", "a/b\x01", "a/Ä", "a/<&>"} {
		if _, err := server.Client(t).PutObject(t.Context(), bucket, key, strings.NewReader("y"), 1, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for info, err := range store.List(t.Context(), "a/b") {
		if err != nil || info.Key != "a/b" {
			t.Errorf("List gives %q, %v", info.Key, err)
		}
	}
	if err := store.Delete(t.Context(), "a/b"); err != nil {
		t.Errorf("Delete beside them = %v", err)
	}
}
