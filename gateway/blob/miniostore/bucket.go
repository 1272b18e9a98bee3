package miniostore

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// Bucket asks how the bucket is set up. It reports blob.ErrNotSaid where the
// store knows no such question or this credential may not ask it.
func (s *Store) Bucket(ctx context.Context) (b blob.Bucket, err error) {
	v, err := s.core.GetBucketVersioning(ctx, s.bucket)
	if err != nil {
		return b, unsaid(ctx, "ask for versioning", err)
	}
	b.Versions = blob.Unversioned
	switch {
	case v.Enabled():
		b.Versions = blob.Versioned
	case v.Suspended():
		b.Versions = blob.Suspended
	}
	enabled, _, length, unit, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	if minio.ToErrorResponse(err).Code == "ObjectLockConfigurationNotFoundError" {
		return b, nil
	}
	if err != nil {
		return b, unsaid(ctx, "ask for locks", err)
	}
	b.Locks = enabled == "Enabled"
	b.Retention = days(length, unit)
	return b, nil
}

func days(length *uint, unit *minio.ValidityUnit) int {
	if length == nil {
		return 0
	}
	if unit != nil && *unit == minio.Years {
		return int(*length) * 365
	}
	return int(*length)
}

func unsaid(ctx context.Context, op string, err error) error {
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && (answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusNotImplemented) {
		return fmt.Errorf("%w: %s: status %d", blob.ErrNotSaid, op, answer.StatusCode)
	}
	return failure(ctx, op, err)
}
