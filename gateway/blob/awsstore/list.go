package awsstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/lethe-vault/lethe/gateway/blob"
)

// List asks the store for a thousand keys at a time. What is in the bucket
// under a key that no Store makes is left out.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if prefix != "" && blob.CheckKey(strings.TrimSuffix(prefix, "/")) != nil {
			return // no key begins so
		}
		pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
			Bucket: s.bucket, Prefix: &prefix, EncodingType: types.EncodingTypeUrl,
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(blob.Info{}, failure(ctx, "list", err))
				return
			}
			for _, o := range page.Contents {
				info := blob.Info{Key: decoded(o.Key), Size: aws.ToInt64(o.Size), ModTime: aws.ToTime(o.LastModified)}
				if blob.CheckKey(info.Key) == nil && !yield(info, nil) {
					return
				}
			}
		}
	}
}

// decoded is a key of a listing, which comes encoded since XML cannot say
// every key. "" is one that no Store makes.
func decoded(key *string) string {
	k, _ := url.QueryUnescape(aws.ToString(key))
	return k
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
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket, Key: &key, VersionId: v})
		if err != nil {
			refused = s.undeleted(ctx, key, v, err)
		}
	}
	return refused
}

// undeleted says why a version was not deleted. Stores refuse what a lock holds
// with answers of their own, which they give for other reasons too, so the lock
// is asked for.
func (s *Store) undeleted(ctx context.Context, key string, version *string, err error) error {
	why := failure(ctx, "delete", err)
	if errors.Is(why, blob.ErrUnavailable) || ctx.Err() != nil {
		return why
	}
	kept, err := s.client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: s.bucket, Key: &key, VersionId: version})
	if err == nil && kept.Retention != nil && aws.ToTime(kept.Retention.RetainUntilDate).After(time.Now()) {
		return fmt.Errorf("%w: %w", blob.ErrLocked, why)
	}
	held, err := s.client.GetObjectLegalHold(ctx, &s3.GetObjectLegalHoldInput{Bucket: s.bucket, Key: &key, VersionId: version})
	if err == nil && held.LegalHold != nil && held.LegalHold.Status == types.ObjectLockLegalHoldStatusOn {
		return fmt.Errorf("%w: %w", blob.ErrLocked, why)
	}
	return why
}

// versions finds all of key before any is deleted: a listing that goes on from
// a version that is gone misses others. The SDK's paginator would go on from a
// marker that is still encoded.
func (s *Store) versions(ctx context.Context, key string) (all []*string, err error) {
	in := &s3.ListObjectVersionsInput{Bucket: s.bucket, Prefix: &key, EncodingType: types.EncodingTypeUrl}
	for {
		page, err := s.client.ListObjectVersions(ctx, in)
		if err != nil {
			return nil, failure(ctx, "list versions", err)
		}
		found, others := versionsOf(key, page)
		all = append(all, found...)
		if others || !aws.ToBool(page.IsTruncated) { // the key itself comes before those that begin with it
			return all, nil
		}
		in.KeyMarker, in.VersionIdMarker = aws.String(decoded(page.NextKeyMarker)), page.NextVersionIdMarker
	}
}

// versionsOf gives the versions and delete markers of key in a page, and
// whether other keys are in it.
func versionsOf(key string, page *s3.ListObjectVersionsOutput) (found []*string, others bool) {
	for _, v := range page.Versions {
		if decoded(v.Key) == key {
			found = append(found, v.VersionId)
		}
	}
	for _, m := range page.DeleteMarkers {
		if decoded(m.Key) == key {
			found = append(found, m.VersionId)
		}
	}
	return found, len(found) < len(page.Versions)+len(page.DeleteMarkers)
}
