package awsstore

import (
	"context"
	"iter"
	"net/url"
	"strings"

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

// Delete removes every version of key and every delete marker. A version
// under an object lock refuses, and Delete reports that.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	versions, err := s.versions(ctx, key)
	if err != nil {
		return err
	}
	for _, v := range versions {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket, Key: &key, VersionId: v})
		if err != nil {
			return failure(ctx, "delete", err)
		}
	}
	return nil
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
