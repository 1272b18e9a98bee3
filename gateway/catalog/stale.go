package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Age says which uploads have shown no sign of life for so long that they count
// as lost. All of it goes by the database's clock.
type Age struct {
	Silent time.Duration // since the last sign of life
	Anchor int64         // number of the anchor by which to judge: a catalog that lacks it is an older copy, and nothing is judged there
}

// Alive notes that the writer of a whole upload lives. ErrAborted: it has been
// given up, or has ended.
func (c *Catalog) Alive(ctx context.Context, tenant recording.Tenant, version recording.Version) error {
	return c.alive(ctx, `UPDATE versions SET seen_at = `+c.dialect.now+`
		WHERE tenant = $1 AND version = $2 AND state = 'intent'`, tenant[:], version[:])
}

// PartAlive is Alive for an attempt at a part.
func (c *Catalog) PartAlive(ctx context.Context, tenant recording.Tenant, blob string) error {
	return c.alive(ctx, `UPDATE parts SET seen_at = `+c.dialect.now+`
		WHERE tenant = $1 AND blob = $2 AND state = 'intent'`, tenant[:], blob)
}

func (c *Catalog) alive(ctx context.Context, query string, args ...any) error {
	return c.write(ctx, "alive", func(ctx context.Context, tx *sql.Tx) error {
		n, err := change(ctx, tx, query, args...)
		if err == nil && n == 0 {
			err = ErrAborted
		}
		return err
	})
}

// The conditions end in $1, the microseconds of silence, and $2, an anchor's number.
func (d dialect) stalePut() string {
	return `v.state = 'intent' AND v.blob <> '' AND v.seen_at < ` + d.now + ` - $1 AND v.seen_at >= ` + d.judged()
}

func (d dialect) stalePart() string {
	return `p.state = 'intent' AND p.seen_at < ` + d.now + ` - $1 AND p.seen_at >= ` + d.judged()
}

func (d dialect) staleUpload() string {
	return `u.seen_at < ` + d.now + ` - $1 AND u.seen_at >= ` + d.judged() + `
		AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.version = u.version AND p.seen_at >= ` + d.now + ` - $1)`
}

func (a Age) args(more ...any) []any {
	return append([]any{a.Silent.Microseconds(), a.Anchor}, more...)
}

func (d dialect) selectStalePuts() string {
	return `SELECT ` + versionColumns + ` FROM versions v WHERE ` + d.stalePut() + ` ORDER BY v.seen_at LIMIT $3 OFFSET $4`
}

// StalePuts gives whole uploads of all tenants whose writers are silent, after
// passing over some, at most limit of them.
func (c *Catalog) StalePuts(ctx context.Context, age Age, limit, over int) ([]Version, error) {
	v, err := all[Version](ctx, c.read("StalePuts"), c.dialect.selectStalePuts(), age.args(limit, over)...)
	return v, explain(ctx, err)
}

// AbortPut is Abort of what StalePuts gave, with the events that explain it, and
// reports whether it is aborted: one whose writer lives, or has ended, is not.
// One that was aborted before is, and changes nothing.
func (c *Catalog) AbortPut(ctx context.Context, v Version, age Age, events []audit.Record) (bool, error) {
	return c.abortIf(ctx, `UPDATE versions SET state = 'aborted', wrapped_dek = NULL, sealed_facts = NULL WHERE version IN
		(SELECT v.version FROM versions v WHERE `+c.dialect.stalePut()+` AND v.version = $3)`, v.Intent, age, events)
}

// StaleUploads gives open uploads in parts of all tenants that were begun long
// ago and got no part since.
func (c *Catalog) StaleUploads(ctx context.Context, age Age, limit, over int) ([]Upload, error) {
	u, err := all[Upload](ctx, c.read("StaleUploads"), selectUploads+c.dialect.staleUpload()+` ORDER BY u.seen_at LIMIT $3 OFFSET $4`, age.args(limit, over)...)
	return u, explain(ctx, err)
}

// AbortStale is AbortPut for what StaleUploads gave: one that got a part
// meanwhile is not aborted.
func (c *Catalog) AbortStale(ctx context.Context, u Upload, age Age, events []audit.Record) (bool, error) {
	return c.abortIf(ctx, `UPDATE versions SET state = 'aborted', wrapped_dek = NULL, sealed_facts = NULL WHERE state = 'intent' AND version IN
		(SELECT u.version FROM uploads u WHERE `+c.dialect.staleUpload()+` AND u.version = $3)`, u.Intent, age, events)
}

func (c *Catalog) abortIf(ctx context.Context, query string, in Intent, age Age, events []audit.Record) (aborted bool, err error) {
	err = c.write(ctx, "abortIf", func(ctx context.Context, tx *sql.Tx) error {
		flipped, err := change(ctx, tx, query, age.args(in.Version[:])...)
		if err != nil {
			return err
		}
		if aborted = flipped == 1; aborted {
			if err := c.dialect.endAborted(ctx, tx, in.Version); err != nil {
				return err
			}
			return insertEvents(ctx, tx, events)
		}
		v, err := get[Version](ctx, tx, recording.ErrNotFound, selectVersion, in.Tenant[:], in.Version[:])
		aborted = v.State == Aborted
		return err
	})
	return aborted, err
}

// StaleParts gives attempts at parts of all tenants whose writers are silent,
// whatever became of their uploads.
func (c *Catalog) StaleParts(ctx context.Context, age Age, limit, over int) ([]Part, error) {
	p, err := all[Part](ctx, c.read("StaleParts"), `SELECT p.blob, p.version, p.tenant, p.number, p.created_at, p.stored_size, p.sealed
		FROM parts p WHERE `+c.dialect.stalePart()+` ORDER BY p.seen_at LIMIT $3 OFFSET $4`, age.args(limit, over)...)
	return p, explain(ctx, err)
}

// DropStale is DropPart of what StaleParts gave, with the events that explain
// it, and reports whether it is dropped.
func (c *Catalog) DropStale(ctx context.Context, p Part, age Age, events []audit.Record) (dropped bool, err error) {
	err = c.write(ctx, "DropStale", func(ctx context.Context, tx *sql.Tx) error {
		var n int64
		is, err := get[mayGo](ctx, tx, recording.ErrNotFound, `SELECT COALESCE(`+c.dialect.stalePart()+`, FALSE) FROM parts p WHERE p.blob = $3`, age.args(p.Blob)...)
		if err == nil && is.bool {
			n, err = c.dialect.dropParts(ctx, tx, `blob = $1 AND state = 'intent'`, p.Blob)
		}
		if dropped = n == 1; dropped && err == nil {
			return insertEvents(ctx, tx, events)
		}
		if errors.Is(err, recording.ErrNotFound) { // it was dropped before
			_, err = get[Residue](ctx, tx, recording.ErrNotFound, selectResidue, p.Tenant[:], p.Blob)
			dropped = err == nil
			if errors.Is(err, recording.ErrNotFound) {
				err = nil
			}
		}
		return err
	})
	return dropped, err
}

// ClosingBucket is a bucket whose deletion was begun and has not ended.
type ClosingBucket struct {
	Tenant recording.Tenant
	Bucket recording.BucketID
}

func (b *ClosingBucket) columns() []any { return []any{fixed(b.Tenant[:]), fixed(b.Bucket[:])} }

// ClosingBuckets gives those of active tenants that began to close so long ago.
func (c *Catalog) ClosingBuckets(ctx context.Context, ago time.Duration, limit, over int) ([]ClosingBucket, error) {
	b, err := all[ClosingBucket](ctx, c.read("ClosingBuckets"), `SELECT b.tenant, b.bucket FROM buckets b JOIN tenants t ON t.id = b.tenant
		WHERE b.closing AND b.closing_at < `+c.dialect.now+` - $1 AND t.state = 'active'
		ORDER BY b.closing_at, b.bucket LIMIT $2 OFFSET $3`, ago.Microseconds(), limit, over)
	return b, explain(ctx, err)
}
