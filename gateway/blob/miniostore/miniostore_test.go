package miniostore_test

import (
	"context"
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
	"github.com/lethe-vault/lethe/gateway/blob/s3test"
)

func TestStore(t *testing.T) {
	s3test.Run(t, s3test.Suite{
		Open: func(ctx context.Context, p s3test.Place) (blob.Store, error) {
			return miniostore.New(ctx, miniostore.Config{
				Endpoint:  p.Endpoint,
				AccessKey: p.AccessKey,
				SecretKey: p.SecretKey,
				Region:    p.Region,
				Bucket:    p.Bucket,
				Transport: p.Transport,
			})
		},
		NoBucket: miniostore.ErrNoBucket,
	})
}
