package gateway

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// bucket is a bucket's row and its settings, unsealed.
type bucket struct {
	id recording.BucketID
	BucketSettings
}

// CreateBucket makes a bucket of the named tenant.
func (g *Gateway) CreateBucket(ctx context.Context, c Caller, tenant string, settings BucketSettings) error {
	p, err := g.administer(ctx, c, policy.MakeBucket, tenant)
	if err != nil {
		return err
	}
	return g.createBucket(ctx, p, settings)
}

func (g *Gateway) createBucket(ctx context.Context, p administered, settings BucketSettings) error {
	settings, err := settings.checked()
	if err != nil {
		return err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return err
	}
	defer s.end()
	id := recording.NewBucketID()
	p.event.Bucket = id
	return g.change(ctx, s, entry{At: now(), Bucket: &bucketEntry{ID: id, Settings: settings}}, p.event)
}

// maxLabel bounds a purpose and a credential's name, in bytes.
const maxLabel = 256

// checked fills in the defaults and refuses what is not a setting's value.
func (s BucketSettings) checked() (BucketSettings, error) {
	if _, err := recording.ParseBucket(string(s.Name)); err != nil {
		return s, err
	}
	if len(s.Purpose) > maxLabel {
		return s, fmt.Errorf("purpose: %w", recording.ErrSettings)
	}
	if s.RetentionDays < 0 || s.RetentionDays > keytree.MaxRetentionDays {
		return s, recording.ErrRetention
	}
	s.Overwrite = orDefault(s.Overwrite, OverwriteNever)
	s.ETag = orDefault(s.ETag, ETagOpaque)
	s.MinClass = orDefault(s.MinClass, recording.ClassD)
	if _, err := recording.ParseClass(string(s.MinClass)); err != nil {
		return s, err
	}
	switch s.Overwrite {
	case OverwriteNever, OverwriteVersion, OverwriteReplace:
	default:
		return s, fmt.Errorf("overwrite: %w", recording.ErrSettings)
	}
	switch s.ETag {
	case ETagOpaque, ETagMD5:
	default:
		return s, fmt.Errorf("etag: %w", recording.ErrSettings)
	}
	return s, nil
}

func orDefault[T ~string](v, otherwise T) T {
	if v == "" {
		return otherwise
	}
	return v
}

// Bucket reports whether c may see the bucket and it exists.
func (g *Gateway) Bucket(ctx context.Context, c Caller, name recording.Bucket) (BucketSettings, error) {
	grant, err := g.permit(ctx, c, policy.SeeBucket, policy.Target{Tenant: c.Tenant, Bucket: name})
	if err != nil {
		return BucketSettings{}, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return BucketSettings{}, err
	}
	defer s.end()
	b, err := g.bucket(ctx, s, name)
	if err != nil {
		return BucketSettings{}, g.noBucket(ctx, s, grant.event, err)
	}
	grant.event.Bucket = b.id
	return b.BucketSettings, g.explain(ctx, s, grant.event)
}

// bucket finds a bucket by name. One that is closing is not there any more.
func (g *Gateway) bucket(ctx context.Context, s scope, name recording.Bucket) (bucket, error) {
	row, err := g.bucketRow(ctx, s, name)
	if err != nil {
		return bucket{}, err
	}
	if row.Closing {
		return bucket{}, recording.ErrNoBucket
	}
	return s.openBucket(ctx, row)
}

// bucketRow finds a bucket by name, closing or not.
func (g *Gateway) bucketRow(ctx context.Context, s scope, name recording.Bucket) (catalog.Bucket, error) {
	return seek(ctx, g, s, recording.ErrNoBucket, func(by scope) (catalog.Bucket, error) {
		return g.catalog.Bucket(ctx, s.tenant.ID, by.bucketIndex(name))
	})
}

func (s scope) openBucket(ctx context.Context, row catalog.Bucket) (bucket, error) {
	key, err := s.keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return bucket{}, err
	}
	b, err := keytree.Open(key, keytree.LabelBucket, bucketBind(s.tenant.ID, row.ID), row.Sealed)
	if err != nil {
		return bucket{}, fmt.Errorf("%w: bucket %v: %w", recording.ErrIntegrity, row.ID, err)
	}
	out := bucket{id: row.ID}
	if err := json.Unmarshal(b, &out.BucketSettings); err != nil {
		return bucket{}, fmt.Errorf("%w: bucket %v is malformed", recording.ErrIntegrity, row.ID)
	}
	return out, nil
}

// bucketRow seals a bucket for the catalog.
func (s scope) bucketRow(ctx context.Context, e entry) (catalog.Change, error) {
	b, err := json.Marshal(e.Bucket.Settings)
	if err != nil {
		return catalog.Change{}, fmt.Errorf("encode bucket: %w", err)
	}
	key, err := s.keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return catalog.Change{}, err
	}
	sealed, err := keytree.Seal(key, keytree.LabelBucket, bucketBind(s.tenant.ID, e.Bucket.ID), b)
	if err != nil {
		return catalog.Change{}, err
	}
	return catalog.Change{Bucket: &catalog.Bucket{
		ID:        e.Bucket.ID,
		Index:     s.bucketIndex(e.Bucket.Settings.Name),
		Sealed:    sealed,
		CreatedAt: e.At,
	}}, nil
}

func bucketBind(t recording.Tenant, b recording.BucketID) []byte {
	return append(append([]byte{}, t[:]...), b[:]...)
}
