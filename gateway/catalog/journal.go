package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// A Change is one record of a tenant's journal, as far as the catalog follows
// it. The record itself is in the store before its Change is applied. Absent
// parts change nothing; one Change may carry several.
type Change struct {
	Tenant     recording.Tenant
	Sequence   int64 // one more than the tenant's last; its first if New
	Stage      Stage // of the indexes
	New        *NewTenant
	State      TenantState // "" leaves it
	Erasure    *ErasureRow // of the tenant itself, with the state that begins it
	Head       *Head       // a newer head that came with it; an older one is ignored
	Token      *Token
	Credential *Credential
	Bucket     *Bucket
	Deleted    *recording.BucketID // of a bucket that was closed; whether it is there does not matter
	Hold       *Hold
	Released   *recording.HoldID // whether it is there does not matter
	Announced  *Announced
	Events     []audit.Record
}

// NewTenant is a tenant to be, active from the start.
type NewTenant struct {
	Name      string
	Head      Head
	CreatedAt time.Time
}

// Head is a copy of a head of a tenant's key tree.
type Head struct {
	Epoch int64
	Bytes []byte
}

// Apply makes a change, with its events, in one transaction. A change whose
// sequence is applied already has no effect, so a journal may be replayed
// from anywhere.
//
// ErrBehind: the change is not the next. ErrNoTenant: there is no such tenant
// and the change is not its first. ErrTenantExists, ErrBucketExists: the name
// is taken. ErrTenantErased, ErrTransition: the state cannot be reached. ErrStage: the
// indexes are not those of the stage that the tenant is in; with others it is applied.
// A change that is refused will be refused for ever, so whoever writes the
// journal looks first.
func (c *Catalog) Apply(ctx context.Context, ch Change) error {
	return c.write(ctx, "Apply", func(ctx context.Context, tx *sql.Tx) error {
		fresh, err := ch.advance(ctx, tx)
		if err != nil || !fresh {
			return err
		}
		for _, part := range []func(context.Context, *sql.Tx) error{
			ch.putState, ch.putErasure, ch.putHead, ch.putToken, ch.putCredential, ch.putBucket, ch.deleteBucket, ch.putHold,
		} {
			if err := part(ctx, tx); err != nil {
				return err
			}
		}
		if err := c.dialect.announce(ctx, tx, ch); err != nil {
			return err
		}
		if err := c.dialect.release(ctx, tx, ch); err != nil {
			return err
		}
		return insertEvents(ctx, tx, ch.Events)
	})
}

// advance moves the tenant's journal from the sequence before ch's to ch's,
// and reports whether it did: false means that ch was applied before.
func (ch Change) advance(ctx context.Context, tx *sql.Tx) (fresh bool, err error) {
	var moved int64
	missing := recording.ErrNoTenant
	if ch.New == nil {
		moved, err = change(ctx, tx, `UPDATE tenants SET journal = $1 WHERE id = $2 AND journal = $3 AND index_stage = $4`,
			ch.Sequence, ch.Tenant[:], ch.Sequence-1, ch.Stage)
	} else {
		missing = recording.ErrTenantExists // another tenant has the name
		moved, err = change(ctx, tx, `INSERT INTO tenants (id, name, state, epoch, head, journal, index_stage, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`, ch.Tenant[:], ch.New.Name, TenantActive,
			ch.New.Head.Epoch, ch.New.Head.Bytes, ch.Sequence, ch.Stage, ch.New.CreatedAt.UnixMicro())
	}
	if err != nil || moved == 1 {
		return moved == 1, err
	}
	t, err := get[Tenant](ctx, tx, missing, selectTenant, ch.Tenant[:])
	switch {
	case err != nil:
		return false, err
	case t.Journal < ch.Sequence-1:
		return false, ErrBehind
	case t.Journal < ch.Sequence:
		return false, ErrStage
	}
	return false, nil
}

func (ch Change) putState(ctx context.Context, tx *sql.Tx) error {
	if ch.State == "" {
		return nil
	}
	t, err := get[Tenant](ctx, tx, recording.ErrNoTenant, selectTenant, ch.Tenant[:])
	if err != nil {
		return err
	}
	if err := t.State.to(ch.State); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE tenants SET state = $1 WHERE id = $2`, ch.State, ch.Tenant[:])
	return err
}

func (ch Change) putErasure(ctx context.Context, tx *sql.Tx) error {
	if ch.Erasure == nil {
		return nil
	}
	_, err := NewErasure{ErasureRow: *ch.Erasure}.insert(ctx, tx)
	return err
}

func (ch Change) putHead(ctx context.Context, tx *sql.Tx) error {
	if ch.Head == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE tenants SET epoch = $1, head = $2 WHERE id = $3 AND epoch < $1`,
		ch.Head.Epoch, ch.Head.Bytes, ch.Tenant[:])
	return err
}

func (ch Change) putToken(ctx context.Context, tx *sql.Tx) error {
	if ch.Token == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO tokens (hash, tenant, sealed, created_at) VALUES ($1, $2, $3, $4)`,
		ch.Token.Hash[:], ch.Tenant[:], ch.Token.Sealed, ch.Token.CreatedAt.UnixMicro())
	return err
}

func (ch Change) putCredential(ctx context.Context, tx *sql.Tx) error {
	if ch.Credential == nil {
		return nil
	}
	cr := ch.Credential
	_, err := tx.ExecContext(ctx, `INSERT INTO credentials (access_key, tenant, kind, sealed, created_at)
		VALUES ($1, $2, $3, $4, $5)`, cr.AccessKey, ch.Tenant[:], cr.Kind, cr.Sealed, cr.CreatedAt.UnixMicro())
	return err
}

func (ch Change) putBucket(ctx context.Context, tx *sql.Tx) error {
	if ch.Bucket == nil {
		return nil
	}
	b := ch.Bucket
	added, err := change(ctx, tx, `INSERT INTO buckets (bucket, tenant, bucket_index, sealed, created_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		b.ID[:], ch.Tenant[:], b.Index[:], b.Sealed, b.CreatedAt.UnixMicro())
	if err == nil && added == 0 {
		return recording.ErrBucketExists
	}
	return err
}

func (ch Change) deleteBucket(ctx context.Context, tx *sql.Tx) error {
	if ch.Deleted == nil {
		return nil
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM buckets WHERE tenant = $1 AND bucket = $2`, ch.Tenant[:], ch.Deleted[:])
	return err
}
