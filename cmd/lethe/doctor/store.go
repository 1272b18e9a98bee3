package doctor

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/storecheck"
)

// store looks at where the blobs are.
func (s Subject) store(ctx context.Context) (l finding.List) {
	if s.Config.Store.Embedded() {
		return filestore.Check(filepath.Join(s.Config.Data, "blobs"))
	}
	if at := s.Config.Store; at.Insecure && !loopback(hostOf(at.Endpoint)) {
		l.Fail("store.tls", "the store is spoken to without TLS across the network: uploads are not signed there, and could be exchanged", "take store.insecure away, and give the store a certificate")
	} else {
		l.OK("store.tls", "the store is reached over TLS, or on this machine")
	}
	store, err := s.Store(ctx)
	if err != nil {
		l.Fail("store.reach", "the bucket cannot be reached: "+err.Error(), "see store.endpoint, store.bucket, the credential and the network")
		return l
	}
	l.OK("store.reach", "the bucket is there")
	l = append(l, storecheck.Run(ctx, store)...)
	if b, ok := store.(storecheck.Bucket); ok {
		l = append(l, storecheck.Settings(ctx, b)...)
	}
	s.public(ctx, &l, store)
	l.Skip("store.rights", "whether the credential may do more than it needs cannot be seen from here",
		"give it this one bucket, and ListBucket, ListBucketVersions, GetObject, PutObject, AbortMultipartUpload, DeleteObject, DeleteObjectVersion; for this check also GetBucketVersioning and GetBucketObjectLockConfiguration")
	return l
}

// public tries whether a stranger may list the bucket or read a blob.
func (s Subject) public(ctx context.Context, l *finding.List, store blob.Store) {
	base := s.storeURL()
	key := storecheck.Prefix + strings.ToLower(rand.Text()) + "/public"
	if base == "" {
		l.Skip("store.public", "the store's address is not known here", "give store.region")
		return
	}
	if err := store.Create(ctx, key, strings.NewReader("doctor"), 6); err != nil {
		return // storecheck has said so
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stranger.Timeout)
		defer cancel()
		_ = store.Delete(ctx, key) // as above
	}()
	bucket := base + "/" + url.PathEscape(s.Config.Store.Bucket)
	listed, err := served(ctx, bucket+"?list-type=2&max-keys=1")
	read, also := served(ctx, bucket+"/"+key)
	switch {
	case listed || read:
		l.Fail("store.public", "anyone may "+able(listed, read), "take the public policy or ACL off the bucket: its ciphertext is nobody's business, and copies outlive every deletion")
	case err != nil || also != nil:
		l.Skip("store.public", "the store neither served a stranger nor refused one", "see that the bucket is not public")
	default:
		l.OK("store.public", "a stranger may neither list the bucket nor read a blob")
	}
}

func able(listed, read bool) string {
	switch {
	case listed && read:
		return "list the bucket and read its blobs"
	case listed:
		return "list the bucket"
	}
	return "read its blobs"
}

// errNeither: the answer neither serves nor refuses, such as a redirect, or that
// the store is busy.
var errNeither = errors.New("doctor: neither served nor refused")

// served reports whether a stranger is given what is at an address.
func served(ctx context.Context, at string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return false, err
	}
	answer, err := stranger.Do(request)
	if err != nil {
		return false, err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)); err != nil {
		return false, err
	}
	switch answer.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound: // the last hides what is there
		return false, nil
	}
	return false, errNeither
}
