package catalog

import (
	"context"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// Bucket is a bucket whose name and settings are known to its tenant's keys.
type Bucket struct {
	ID        recording.BucketID
	Index     Index  // of its name
	Sealed    []byte // name and settings
	CreatedAt time.Time
}

const bucketColumns = `b.bucket, b.bucket_index, b.sealed, b.created_at`

func (b *Bucket) columns() []any {
	return []any{fixed(b.ID[:]), fixed(b.Index[:]), &b.Sealed, moment{&b.CreatedAt}}
}

// Bucket finds a bucket by the index of its name. ErrNoBucket: there is none.
func (c *Catalog) Bucket(ctx context.Context, tenant recording.Tenant, name Index) (Bucket, error) {
	b, err := get[Bucket](ctx, c.reader, recording.ErrNoBucket,
		`SELECT `+bucketColumns+` FROM buckets b WHERE b.tenant = $1 AND b.bucket_index = $2`, tenant[:], name[:])
	return b, explain(ctx, err)
}

// Buckets gives the buckets of a tenant, oldest first.
func (c *Catalog) Buckets(ctx context.Context, tenant recording.Tenant) ([]Bucket, error) {
	b, err := all[Bucket](ctx, c.reader,
		`SELECT `+bucketColumns+` FROM buckets b WHERE b.tenant = $1 ORDER BY b.created_at, b.bucket`, tenant[:])
	return b, explain(ctx, err)
}
