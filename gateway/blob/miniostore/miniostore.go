// Package miniostore keeps blobs in a bucket of any S3-compatible store,
// through minio-go. It sends nothing of a client's: a random key, ciphertext,
// a content type.
//
// The store must honour "If-None-Match: *" on PutObject and on
// CompleteMultipartUpload, which is what makes Create exclusive, take bodies in
// chunks with a checksum trailer, and answer ListObjectVersions. It should
// expire multipart uploads that nobody completed: a process that dies within
// Create of unknown size leaves one.
//
// A call sends each request once. What may be tried again, and when, is for
// the caller, who still has the body.
package miniostore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/patience"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Config says where the bucket is. All but Region, Secure and Transport are
// required.
//
// Requests are signed. A streamed body is not, on plain HTTP too, since signing
// it chunk by chunk costs many times the memory: it is framed in chunks that
// end with its CRC-32C, so that no store takes a body that was cut for a whole one.
type Config struct {
	Endpoint  string // host or host:port
	AccessKey string
	SecretKey string
	Region    string            // empty: us-east-1
	Bucket    string            // exists already; versioning and locks are as its owner likes
	Secure    bool              // HTTPS
	Transport http.RoundTripper // nil: one of our own
}

// ErrNoBucket: New found no such bucket, or may not see it.
var ErrNoBucket = errors.New("miniostore: no such bucket")

// Store is a blob.Store in a bucket.
type Store struct {
	core   minio.Core
	bucket string
}

// New connects to the bucket. It reports ErrNoBucket, or blob.ErrUnavailable
// when the store cannot be reached.
func New(ctx context.Context, c Config) (*Store, error) {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	client, err := minio.New(c.Endpoint, &minio.Options{
		Creds:           credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Region:          c.Region,
		Secure:          c.Secure,
		Transport:       patience.Transport{Next: c.Transport},
		MaxRetries:      1,
		TrailingHeaders: true,
	})
	if err != nil {
		return nil, fmt.Errorf("miniostore: %w", err)
	}
	exists, err := client.BucketExists(ctx, c.Bucket)
	if err != nil {
		return nil, failure(ctx, "look for the bucket", err)
	}
	if !exists {
		return nil, ErrNoBucket
	}
	return &Store{core: minio.Core{Client: client}, bucket: c.Bucket}, nil
}

// newTransport bounds what it takes to connect. How long the store may stand
// still after that is bounded by patience.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 128,
		WriteBufferSize:     32 << 10,
		ReadBufferSize:      32 << 10,
		DisableCompression:  true, // a body is what was stored, whatever it declares to be
	}
}

// Delete removes every version of key and every delete marker. One that refuses
// does not keep the others.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	versions, err := s.versions(ctx, key)
	if err != nil {
		return err
	}
	var refused error
	for _, v := range versions {
		if err := s.core.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{VersionID: v}); err != nil {
			refused = s.undeleted(ctx, key, v, err)
		}
	}
	return refused
}

// undeleted says why a version was not deleted. Stores refuse what a lock holds
// with answers of their own, which they give for other reasons too, so the lock
// is asked for.
func (s *Store) undeleted(ctx context.Context, key, version string, err error) error {
	why := failure(ctx, "delete", err)
	if errors.Is(why, blob.ErrUnavailable) || ctx.Err() != nil {
		return why
	}
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{VersionID: version})
	if err == nil && locked(info.Metadata) {
		return fmt.Errorf("%w: %w", blob.ErrLocked, why)
	}
	return why
}

// locked reports whether the headers of a version name a lock that holds it. The
// requests for a retention and a legal hold would say no more, and some servers
// answer them with documents that minio-go does not read.
func locked(header http.Header) bool {
	until, err := time.Parse(time.RFC3339Nano, header.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	return err == nil && until.After(time.Now()) || header.Get("X-Amz-Object-Lock-Legal-Hold") == "ON"
}

// versions finds all of key before any is deleted: a listing that goes on from
// a version that is gone misses others.
func (s *Store) versions(ctx context.Context, key string) (all []string, err error) {
	list := s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: key, WithVersions: true, Recursive: true})
	for v := range list {
		if v.Err != nil {
			return nil, failure(ctx, "list versions", v.Err)
		}
		if v.Key != key {
			break // the key itself comes before the longer ones that begin with it
		}
		all = append(all, v.VersionID)
	}
	return all, ended(ctx, "delete") // a listing cut short by its context says nothing
}

// List asks the store for a thousand keys at a time. What is in the bucket
// under a key that no Store makes is left out.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if prefix != "" && blob.CheckKey(strings.TrimSuffix(prefix, "/")) != nil {
			return // no key begins so
		}
		noOwner := false
		objects := s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, FetchOwner: &noOwner})
		for o := range objects {
			if o.Err != nil {
				yield(blob.Info{}, failure(ctx, "list", o.Err))
				return
			}
			if blob.CheckKey(o.Key) != nil {
				continue
			}
			if !yield(blob.Info{Key: o.Key, Size: o.Size, ModTime: o.LastModified}, nil) {
				return
			}
		}
		if err := ended(ctx, "list"); err != nil {
			yield(blob.Info{}, err)
		}
	}
}
