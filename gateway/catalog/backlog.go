package catalog

import (
	"context"
	"time"

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

// judgedNow is from which last sign of life on the next sweep would judge, as far
// as the catalog can tell by itself.
func (d dialect) judgedNow() string {
	return `CASE WHEN EXISTS (SELECT 1 FROM anchors WHERE id = 1 AND timeline NOT IN ('', ` + d.timeline + `)) THEN 9223372036854775807
		ELSE COALESCE((SELECT not_before FROM anchors WHERE id = 1), 0) END`
}

// Backlog counts what has been silent for so long, uploads in parts and others.
func (c *Catalog) Backlog(ctx context.Context, uploads, attempts time.Duration) (Backlog, error) {
	now, judged := c.dialect.now, c.dialect.judgedNow()
	b, err := get[Backlog](ctx, c.read("Backlog"), recording.ErrNotFound, `SELECT
		(SELECT count(*) FROM uploads u WHERE u.seen_at < `+now+` - $1 AND u.seen_at >= `+judged+`
			AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.version = u.version AND p.seen_at >= `+now+` - $2)),
		(SELECT count(*) FROM versions v WHERE v.state = 'intent' AND v.blob <> '' AND v.seen_at < `+now+` - $3 AND v.seen_at >= `+judged+`),
		(SELECT count(*) FROM parts p WHERE p.state = 'intent' AND p.seen_at < `+now+` - $4 AND p.seen_at >= `+judged+`),
		(SELECT count(*) FROM residues r WHERE r.due <= `+now+`),
		(SELECT count(*) FROM residues r WHERE r.due > `+now+`),
		(SELECT count(*) FROM residues r WHERE r.locked),
		(SELECT count(*) FROM buckets b WHERE b.closing AND b.closing_at < `+now+` - $5),
		(SELECT count(*) FROM uploads u WHERE u.seen_at < `+judged+`)
			+ (SELECT count(*) FROM versions v WHERE v.state = 'intent' AND v.blob <> '' AND v.seen_at < `+judged+`)
			+ (SELECT count(*) FROM parts p WHERE p.state = 'intent' AND p.seen_at < `+judged+`)`,
		uploads.Microseconds(), uploads.Microseconds(), attempts.Microseconds(), attempts.Microseconds(), attempts.Microseconds())
	return b, explain(ctx, err)
}
