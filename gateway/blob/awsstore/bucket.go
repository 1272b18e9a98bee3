package awsstore

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// Bucket asks how the bucket is set up, for which the identity needs
// s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration. It reports
// blob.ErrNotSaid where the store knows no such question or this identity may
// not ask it.
func (s *Store) Bucket(ctx context.Context) (b blob.Bucket, err error) {
	v, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: s.bucket})
	if err != nil {
		return b, unsaid(ctx, "ask for versioning", err)
	}
	b.Versions = blob.Unversioned
	switch v.Status {
	case types.BucketVersioningStatusEnabled:
		b.Versions = blob.Versioned
	case types.BucketVersioningStatusSuspended:
		b.Versions = blob.Suspended
	}
	lock, err := s.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: s.bucket})
	if said, answered := answerOf(err); answered && said.code == "ObjectLockConfigurationNotFoundError" {
		return b, nil
	}
	if err != nil {
		return b, unsaid(ctx, "ask for locks", err)
	}
	if c := lock.ObjectLockConfiguration; c != nil {
		b.Locks = c.ObjectLockEnabled == types.ObjectLockEnabledEnabled
		b.Retention = days(c.Rule)
	}
	return b, nil
}

func days(rule *types.ObjectLockRule) int {
	if rule == nil || rule.DefaultRetention == nil {
		return 0
	}
	r := rule.DefaultRetention
	return int(aws.ToInt32(r.Days)) + 365*int(aws.ToInt32(r.Years))
}

func unsaid(ctx context.Context, op string, err error) error {
	said, answered := answerOf(err)
	if answered && (said.status == http.StatusForbidden || said.status == http.StatusNotImplemented) {
		return fmt.Errorf("%w: %s: status %d", blob.ErrNotSaid, op, said.status)
	}
	return failure(ctx, op, err)
}
