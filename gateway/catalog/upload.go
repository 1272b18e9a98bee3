package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Upload is an upload in parts that is open: an intent, and what every part of
// it needs. Its version is how a client names it.
type Upload struct {
	Intent             // without a blob
	Name        Index  // of bucket and name
	WrappedDEK  []byte //
	SealedFacts []byte //
}

const uploadColumns = `v.version, v.tenant, v.bucket, v.recording,
	v.slot_recording, v.slot_subject, v.slot_day, v.created_at, u.name_index, u.wrapped_dek, u.sealed_facts`

func (u *Upload) columns() []any {
	return []any{
		fixed(u.Version[:]), fixed(u.Tenant[:]), fixed(u.Bucket[:]), fixed(u.Recording[:]),
		&u.Slots.Recording, &u.Slots.Subject, &u.Slots.Day, moment{&u.CreatedAt},
		fixed(u.Name[:]), &u.WrappedDEK, &u.SealedFacts,
	}
}

const selectUploads = `SELECT ` + uploadColumns + ` FROM uploads u JOIN versions v ON v.version = u.version
	WHERE v.state = 'intent' AND `

// BeginUpload is Begin for an upload in parts, and reports the same errors.
func (c *Catalog) BeginUpload(ctx context.Context, u Upload, events []audit.Record) error {
	return c.write(ctx, "BeginUpload", func(ctx context.Context, tx *sql.Tx) error {
		fresh, err := u.insert(ctx, tx)
		if err != nil || !fresh {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO uploads (version, tenant, bucket, name_index, wrapped_dek, sealed_facts, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`, u.Version[:], u.Tenant[:], u.Bucket[:], u.Name[:],
			u.WrappedDEK, u.SealedFacts, u.CreatedAt.UnixMicro())
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}

// Upload finds an open upload. ErrNotFound: there is none, or it has ended.
func (c *Catalog) Upload(ctx context.Context, tenant recording.Tenant, version recording.Version) (Upload, error) {
	u, err := get[Upload](ctx, c.read("Upload"), recording.ErrNotFound, selectUploads+`u.tenant = $1 AND u.version = $2`, tenant[:], version[:])
	return u, explain(ctx, err)
}

// Uploads gives the open uploads in a bucket, oldest first.
func (c *Catalog) Uploads(ctx context.Context, tenant recording.Tenant, bucket recording.BucketID) ([]Upload, error) {
	u, err := all[Upload](ctx, c.read("Uploads"), selectUploads+`u.tenant = $1 AND u.bucket = $2 ORDER BY u.created_at, u.version`, tenant[:], bucket[:])
	return u, explain(ctx, err)
}

const (
	isStale = `u.created_at < $1
	AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.version = u.version AND p.created_at >= $1)`
	selectStale = selectUploads + isStale + ` ORDER BY u.created_at LIMIT $2`
	abortStale  = `UPDATE versions SET state = 'aborted' WHERE state = 'intent'
	AND version IN (SELECT u.version FROM uploads u WHERE ` + isStale + ` AND u.version = $2)`
)

// StaleUploads gives open uploads of all tenants, at most limit of them, that
// were begun before then and got no part since.
func (c *Catalog) StaleUploads(ctx context.Context, then time.Time, limit int) ([]Upload, error) {
	u, err := all[Upload](ctx, c.read("StaleUploads"), selectStale, then.UnixMicro(), limit)
	return u, explain(ctx, err)
}

// AbortStale is Abort of an upload that StaleUploads gave, with the events that
// explain it, and reports whether it is aborted: one that got a part meanwhile,
// or was completed, is not. One that was aborted before is, and changes nothing.
func (c *Catalog) AbortStale(ctx context.Context, u Upload, then time.Time, events []audit.Record) (aborted bool, err error) {
	err = c.write(ctx, "AbortStale", func(ctx context.Context, tx *sql.Tx) error {
		flipped, err := change(ctx, tx, abortStale, then.UnixMicro(), u.Version[:])
		if err != nil {
			return err
		}
		if aborted = flipped == 1; aborted {
			if err := dropUpload(ctx, tx, u.Version); err != nil {
				return err
			}
			return insertEvents(ctx, tx, events)
		}
		v, err := get[Version](ctx, tx, recording.ErrNotFound, selectVersion, u.Tenant[:], u.Version[:])
		aborted = v.State == Aborted
		return err
	})
	return aborted, err
}

// endUpload takes a version off the list of open uploads, if it is one.
func endUpload(ctx context.Context, tx *sql.Tx, version recording.Version) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM uploads WHERE version = $1`, version[:])
	return err
}

// dropUpload ends an upload that failed, with its parts.
func dropUpload(ctx context.Context, tx *sql.Tx, version recording.Version) error {
	_, err := tx.ExecContext(ctx, `UPDATE parts SET state = 'dropped', sealed = NULL
		WHERE version = $1 AND state = 'stored'`, version[:])
	if err != nil {
		return err
	}
	return endUpload(ctx, tx, version)
}
