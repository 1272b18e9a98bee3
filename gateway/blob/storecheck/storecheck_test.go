package storecheck_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/awsstore"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
	"github.com/lethe-vault/lethe/gateway/blob/storecheck"
	"github.com/lethe-vault/lethe/test/servers"
)

// level gives the level of a check, "" if it was not made.
func level(l finding.List, check string) finding.Level {
	for _, f := range l {
		if f.Check == check {
			return f.Level
		}
	}
	return ""
}

func wants(t *testing.T, l finding.List, want map[string]finding.Level) {
	t.Helper()
	for check, is := range want {
		if got := level(l, check); got != is {
			t.Errorf("%s is %q, want %q", check, got, is)
		}
	}
	if t.Failed() {
		t.Logf("%+v", l)
	}
}

// sound is what every store that Lethe can use is found to be.
var sound = map[string]finding.Level{
	"store.create": finding.OK, "store.exclusive": finding.OK, "store.parts": finding.OK,
	"store.range": finding.OK, "store.list": finding.OK, "store.delete": finding.OK,
}

type bucketStore interface {
	blob.Store
	storecheck.Bucket
}

// opens are the two ways to a bucket.
var opens = map[string]func(*testing.T, *servers.S3Server, string) (bucketStore, error){
	"minio-go": func(t *testing.T, s *servers.S3Server, bucket string) (bucketStore, error) {
		return miniostore.New(t.Context(), miniostore.Config{Endpoint: s.Endpoint, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Bucket: bucket})
	},
	"aws": func(t *testing.T, s *servers.S3Server, bucket string) (bucketStore, error) {
		return awsstore.New(t.Context(), awsstore.Config{Endpoint: s.Endpoint, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Bucket: bucket, Insecure: true})
	},
}

func TestSoundStores(t *testing.T) {
	for server, shared := range map[string]func(testing.TB) *servers.S3Server{"minio": servers.SharedMinIO, "versitygw": servers.SharedVersityGW} {
		for way, open := range opens {
			t.Run(server+" "+way, func(t *testing.T) {
				s := shared(t)
				bucket := s.Bucket(t, servers.Versioned)
				store, err := open(t, s, bucket)
				if err != nil {
					t.Fatal(err)
				}
				wants(t, storecheck.Run(t.Context(), store), sound)
				wants(t, storecheck.Settings(t.Context(), store), map[string]finding.Level{"store.versioning": finding.OK, "store.lock": finding.OK})
				for o := range s.Client(t).ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
					t.Errorf("%s is left, %v", o.Key, o.Err)
				}
			})
		}
	}
	store, err := filestore.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	wants(t, storecheck.Run(t.Context(), store), sound)
}

func TestBucketSettings(t *testing.T) {
	s := servers.SharedMinIO(t)
	plain, locked := s.Bucket(t, servers.Plain), s.Bucket(t, servers.Locked)
	mode, days, unit := minio.Governance, uint(3), minio.Days
	if err := s.Client(t).SetObjectLockConfig(t.Context(), locked, &mode, &days, &unit); err != nil {
		t.Fatal(err)
	}
	for way, open := range opens {
		t.Run(way, func(t *testing.T) {
			for bucket, want := range map[string]map[string]finding.Level{
				plain:  {"store.versioning": finding.Advice, "store.lock": finding.OK},
				locked: {"store.versioning": finding.OK, "store.lock": finding.Advice},
			} {
				store, err := open(t, s, bucket)
				if err != nil {
					t.Fatal(err)
				}
				wants(t, storecheck.Settings(t.Context(), store), want)
			}
		})
	}
}

// A replacing store has the fault that two processes fork a tenant by.
type replacing struct{ blob.Store }

func (s replacing) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	body, err := io.ReadAll(r)
	for err == nil {
		if err = s.Store.Delete(ctx, key); err == nil {
			err = s.Store.Create(ctx, key, bytes.NewReader(body), int64(len(body)))
		}
		if err != blob.ErrExists { // a rival was between
			return err
		}
		err = nil
	}
	return err
}

func TestUnsoundStores(t *testing.T) {
	store, err := filestore.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	wants(t, storecheck.Run(t.Context(), replacing{store}), map[string]finding.Level{
		"store.create": finding.OK, "store.exclusive": finding.Failure, "store.parts": finding.Failure, "store.delete": finding.OK,
	})
}

// A store that went away costs a bounded time, and is a failure.
func TestStoreAway(t *testing.T) {
	s := servers.MinIO(t)
	store, err := opens["minio-go"](t, s, s.Bucket(t, servers.Plain))
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	begun := time.Now()
	l := storecheck.Run(t.Context(), store)
	wants(t, l, map[string]finding.Level{"store.create": finding.Failure, "store.exclusive": ""})
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("found after %v", took)
	}
}
