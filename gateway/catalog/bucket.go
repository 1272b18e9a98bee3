package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Bucket is a bucket whose name and settings are known to its tenant's keys.
type Bucket struct {
	ID        recording.BucketID
	Index     Index  // of its name
	Sealed    []byte // name and settings
	CreatedAt time.Time
	Closing   bool // it is being deleted: nothing can be put into it or found in it
}

const bucketColumns = `b.bucket, b.bucket_index, b.sealed, b.created_at, b.closing`

func (b *Bucket) columns() []any {
	return []any{fixed(b.ID[:]), fixed(b.Index[:]), &b.Sealed, moment{&b.CreatedAt}, &b.Closing}
}

// Bucket finds a bucket by the index of its name, closing or not. ErrNoBucket:
// there is none.
func (c *Catalog) Bucket(ctx context.Context, tenant recording.Tenant, name Index) (Bucket, error) {
	b, err := get[Bucket](ctx, c.read("Bucket"), recording.ErrNoBucket,
		`SELECT `+bucketColumns+` FROM buckets b WHERE b.tenant = $1 AND b.bucket_index = $2`, tenant[:], name[:])
	return b, explain(ctx, err)
}

// Buckets gives the buckets of a tenant, oldest first, closing ones among them.
func (c *Catalog) Buckets(ctx context.Context, tenant recording.Tenant) ([]Bucket, error) {
	b, err := all[Bucket](ctx, c.read("Buckets"),
		`SELECT `+bucketColumns+` FROM buckets b WHERE b.tenant = $1 ORDER BY b.created_at, b.bucket`, tenant[:])
	return b, explain(ctx, err)
}

const selectOpenBucket = `SELECT ` + bucketColumns + ` FROM buckets b WHERE b.tenant = $1 AND b.bucket = $2 AND NOT b.closing`

// selectStoredIn passes over what is erased and not settled yet.
var selectStoredIn = `SELECT ` + versionColumns + ` FROM versions v
	WHERE v.tenant = $1 AND v.bucket = $2 AND v.state IN ('committed', 'replaced') AND ` + notBuried + ` LIMIT 1`

// CloseBucket begins the deletion of a bucket, with the events that explain it:
// from its commit on nothing can be begun or created in it, so that it stays as
// empty as it was found. A Change that says Deleted ends the deletion; until
// then CloseBucket may be repeated. ErrBucketNotEmpty: a recording is in it.
func (c *Catalog) CloseBucket(ctx context.Context, tenant recording.Tenant, bucket recording.BucketID, events []audit.Record) error {
	return c.write(ctx, "CloseBucket", func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE buckets SET closing = TRUE,
			closing_at = CASE WHEN closing THEN closing_at ELSE `+c.dialect.now+` END WHERE tenant = $1 AND bucket = $2`, tenant[:], bucket[:])
		if err != nil {
			return err
		}
		_, err = get[Version](ctx, tx, recording.ErrNotFound, selectStoredIn, tenant[:], bucket[:])
		if err == nil {
			return recording.ErrBucketNotEmpty
		}
		if !errors.Is(err, recording.ErrNotFound) {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}
