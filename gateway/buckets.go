package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// BucketInfo is what a reader sees of a bucket in a list of them.
type BucketInfo struct {
	Name      recording.Bucket
	CreatedAt time.Time
}

// Buckets lists the buckets that c may see, by name.
func (g *Gateway) Buckets(ctx context.Context, c Caller) ([]BucketInfo, error) {
	grant, err := g.permit(ctx, c, policy.SeeBuckets, policy.Target{Tenant: c.Tenant})
	if err != nil {
		return nil, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return nil, err
	}
	defer s.end()
	if err := g.explain(ctx, s, grant.event); err != nil {
		return nil, err
	}
	rows, err := g.catalog.Buckets(ctx, s.tenant.ID)
	if err != nil {
		return nil, unavailable(err)
	}
	var out []BucketInfo
	for _, row := range rows {
		b, err := s.openBucket(ctx, row)
		if err != nil {
			return nil, err
		}
		target := policy.Target{Tenant: c.Tenant, Bucket: b.Name}
		if !row.Closing && policy.Access(c.Principal, policy.SeeBucket, target) == policy.NoReason {
			out = append(out, BucketInfo{b.Name, row.CreatedAt})
		}
	}
	slices.SortFunc(out, func(a, b BucketInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// CreateOwnBucket makes a bucket of the caller's tenant, with the settings that
// new buckets have.
func (g *Gateway) CreateOwnBucket(ctx context.Context, c Caller, name recording.Bucket) error {
	grant, err := g.permit(ctx, c, policy.MakeBucket, policy.Target{Tenant: c.Tenant, Bucket: name})
	if err != nil {
		return err
	}
	return g.createBucket(ctx, administered{c.tenant, grant.event}, BucketSettings{Name: name})
}

// DeleteBucket deletes a bucket in which no recording is: recording.ErrBucketNotEmpty
// if one is.
//
//	closing  one transaction found it empty and marked it, with the event: nothing can come into it any more
//	durable  the deletion is an entry of the journal
//	deleted  the catalog has followed
//
// An entry must be one that can always be applied. A bucket that was merely
// found empty could be filled before its entry was applied; one that is closing
// cannot, and the entry is applied whatever is in it. Killed before the entry
// is durable, the bucket stays closing: it is refused as if it were not there,
// its name is not free, and the deletion may be repeated.
func (g *Gateway) DeleteBucket(ctx context.Context, c Caller, name recording.Bucket) error {
	grant, err := g.permit(ctx, c, policy.DropBucket, policy.Target{Tenant: c.Tenant, Bucket: name})
	if err != nil {
		return err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return err
	}
	defer s.end()
	row, err := g.bucketRow(ctx, s, name)
	if err != nil {
		return g.noBucket(ctx, s, grant.event, err)
	}
	grant.event.Bucket = row.ID
	err = g.closeBucket(ctx, s, &grant.event)
	if errors.Is(err, recording.ErrBucketNotEmpty) {
		grant.event.ID = [16]byte{}
		return g.refuse(ctx, s, grant.event, "not-empty", err)
	}
	if err != nil {
		return unavailable(err)
	}
	return g.change(ctx, s, entry{At: now(), DeletedBucket: &row.ID}, grant.event)
}

// closeBucket marks the event's bucket. The event is given its identity, so
// that the entry that follows, which carries it too, does not repeat it.
func (g *Gateway) closeBucket(ctx context.Context, s scope, e *audit.Event) error {
	rand.Read(e.ID[:]) // never fails: crypto/rand ends the program instead
	record, err := s.seal(ctx, *e)
	if err != nil {
		return err
	}
	// gofail: var bucketClose string
	// return failpoint(bucketClose)
	return g.catalog.CloseBucket(ctx, s.tenant.ID, e.Bucket, []audit.Record{record})
}

// closingFor is how long a deletion may be under way before sweep ends it.
const closingFor = time.Minute

// finishBuckets ends deletions of buckets that were killed between being
// closed and being journalled.
func (g *Gateway) finishBuckets(ctx context.Context, count *Swept) error {
	return repeat(ctx, count, func(ctx context.Context, over int) ([]catalog.ClosingBucket, error) {
		return g.catalog.ClosingBuckets(ctx, min(closingFor, g.sweeps.config.Lease), sweepBatch, over)
	}, func(ctx context.Context, b catalog.ClosingBucket) (bool, error) {
		s, err := g.reenter(ctx, b.Tenant)
		if err != nil {
			return false, err
		}
		defer s.end()
		return true, g.change(ctx, s, entry{At: now(), DeletedBucket: &b.Bucket}, audit.Event{
			Tenant: b.Tenant, At: now(), Who: sweeper, Action: string(policy.DropBucket), Outcome: audit.Allowed,
			Reason: "interrupted", Bucket: b.Bucket,
		})
	})
}
