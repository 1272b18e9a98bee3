package catalog

import (
	"context"

	"github.com/lethe-vault/lethe/recording"
)

// Backlog counts what sweep has before it.
type Backlog struct {
	Uploads int64 // in parts, stale
	Puts    int64 // stale
	Parts   int64 // attempts, stale
	Due     int64 // blobs to delete now
	Waiting int64 // blobs to delete, or to look for again, later
	Locked  int64 // of both: held by a lock of the store when last tried
	Buckets int64 // whose deletion did not end
	Held    int64 // uploads and attempts that are not judged, since the catalog is an older copy
}

func (b *Backlog) columns() []any {
	return []any{&b.Uploads, &b.Puts, &b.Parts, &b.Due, &b.Waiting, &b.Locked, &b.Buckets, &b.Held}
}

// Backlog counts for the ages given.
func (c *Catalog) Backlog(ctx context.Context, uploads, attempts Age) (Backlog, error) {
	now := c.dialect.now
	b, err := get[Backlog](ctx, c.read("Backlog"), recording.ErrNotFound, `SELECT
		(SELECT count(*) FROM uploads u WHERE u.seen_at < `+now+` - $1 AND u.seen_at >= $2
			AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.version = u.version AND p.seen_at >= `+now+` - $3)),
		(SELECT count(*) FROM versions v WHERE v.state = 'intent' AND v.blob <> '' AND v.seen_at < `+now+` - $4 AND v.seen_at >= $5),
		(SELECT count(*) FROM parts p WHERE p.state = 'intent' AND p.seen_at < `+now+` - $6 AND p.seen_at >= $7),
		(SELECT count(*) FROM residues r WHERE r.due <= `+now+`),
		(SELECT count(*) FROM residues r WHERE r.due > `+now+`),
		(SELECT count(*) FROM residues r WHERE r.locked),
		(SELECT count(*) FROM buckets b WHERE b.closing AND b.closing_at < `+now+` - $8),
		(SELECT count(*) FROM uploads u WHERE u.seen_at < $9)
			+ (SELECT count(*) FROM versions v WHERE v.state = 'intent' AND v.blob <> '' AND v.seen_at < $10)
			+ (SELECT count(*) FROM parts p WHERE p.state = 'intent' AND p.seen_at < $11)`,
		uploads.Silent.Microseconds(), uploads.NotBefore, uploads.Silent.Microseconds(),
		attempts.Silent.Microseconds(), attempts.NotBefore, attempts.Silent.Microseconds(), attempts.NotBefore,
		attempts.Silent.Microseconds(), attempts.NotBefore, attempts.NotBefore, attempts.NotBefore)
	return b, explain(ctx, err)
}
