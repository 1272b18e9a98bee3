package catalog

import (
	"context"
	"database/sql"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Upload is an upload in parts that is open: an intent, and what every part of
// it needs. Its version is how a client names it.
type Upload struct {
	Intent             // without a blob
	WrappedDEK  []byte //
	SealedFacts []byte //
}

const uploadColumns = `v.version, v.tenant, v.bucket, v.recording,
	v.slot_recording, v.slot_subject, v.slot_day, v.created_at, u.wrapped_dek, u.sealed_facts`

func (u *Upload) columns() []any {
	return []any{
		fixed(u.Version[:]), fixed(u.Tenant[:]), fixed(u.Bucket[:]), fixed(u.Recording[:]),
		&u.Slots.Recording, &u.Slots.Subject, &u.Slots.Day, moment{&u.CreatedAt},
		&u.WrappedDEK, &u.SealedFacts,
	}
}

const selectUploads = `SELECT ` + uploadColumns + ` FROM uploads u JOIN versions v ON v.version = u.version
	WHERE v.state = 'intent' AND `

// mayBeCompleted is the condition that no slot of an intent has a tombstone. Others are
// left to sweep.
var mayBeCompleted = noneBuried("v.tenant", "v.slot_recording", "v.slot_subject", "v.slot_day")

var selectOpenUploads = selectUploads + mayBeCompleted + ` AND `

// BeginUpload is Begin for an upload in parts, and reports the same errors.
func (c *Catalog) BeginUpload(ctx context.Context, u Upload, events []audit.Record) error {
	return c.write(ctx, "BeginUpload", func(ctx context.Context, tx *sql.Tx) error {
		fresh, err := u.insert(ctx, tx, c.dialect)
		if err != nil || !fresh {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO uploads (version, tenant, bucket, wrapped_dek, sealed_facts, created_at, seen_at)
			VALUES ($1, $2, $3, $4, $5, $6, `+c.dialect.now+`)`, u.Version[:], u.Tenant[:], u.Bucket[:],
			u.WrappedDEK, u.SealedFacts, u.CreatedAt.UnixMicro())
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, events)
	})
}

// Upload finds an open upload. ErrNotFound: there is none, or it has ended, or
// its subject or day was erased.
func (c *Catalog) Upload(ctx context.Context, tenant recording.Tenant, version recording.Version) (Upload, error) {
	u, err := get[Upload](ctx, c.read("Upload"), recording.ErrNotFound, selectOpenUploads+`u.tenant = $1 AND u.version = $2`, tenant[:], version[:])
	return u, explain(ctx, err)
}

// Uploads gives the open uploads in a bucket, oldest first.
func (c *Catalog) Uploads(ctx context.Context, tenant recording.Tenant, bucket recording.BucketID) ([]Upload, error) {
	u, err := all[Upload](ctx, c.read("Uploads"), selectOpenUploads+`u.tenant = $1 AND u.bucket = $2 ORDER BY u.created_at, u.version`, tenant[:], bucket[:])
	return u, explain(ctx, err)
}

// endUpload takes a version off the list of open uploads, if it is one.
func endUpload(ctx context.Context, tx *sql.Tx, version recording.Version) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM uploads WHERE version = $1`, version[:])
	return err
}

// dropUpload ends an upload that failed, with its parts: those still on their
// way are dropped by their own end, or by sweep.
func (d dialect) dropUpload(ctx context.Context, tx *sql.Tx, version recording.Version) error {
	if _, err := d.dropParts(ctx, tx, `version = $1 AND state = 'stored'`, version[:]); err != nil {
		return err
	}
	return endUpload(ctx, tx, version)
}
