package restapi

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// CreateBucket makes a bucket.
func (s session) CreateBucket(ctx context.Context, r CreateBucketRequestObject) (CreateBucketResponseObject, error) {
	b, err := settings(*r.Body)
	if err != nil {
		return nil, err
	}
	if err := s.gateway.CreateBucket(ctx, s.caller, r.Tenant, b); err != nil {
		return nil, err
	}
	return CreateBucket201JSONResponse{Tenant: r.Tenant, Bucket: string(b.Name)}, nil
}

// settings checks what was asked for and puts the defaults where nothing was.
func settings(b NewBucket) (gateway.BucketSettings, error) {
	b.Overwrite = cmp.Or(b.Overwrite, NewBucketOverwriteNever)
	b.Etag = cmp.Or(b.Etag, NewBucketEtagOpaque)
	b.MinClass = cmp.Or(b.MinClass, NewBucketMinClassD)
	name, badName := recording.ParseBucket(b.Name)
	class, badClass := recording.ParseClass(string(b.MinClass))
	days, badRetention := parseRetention(b.Retention)
	if !b.Overwrite.Valid() || !b.Etag.Valid() {
		return gateway.BucketSettings{}, recording.ErrSettings
	}
	return gateway.BucketSettings{
		Name:          name,
		Purpose:       b.Purpose,
		RetentionDays: days,
		Overwrite:     gateway.Overwrite(b.Overwrite),
		MinClass:      class,
		ETag:          gateway.ETag(b.Etag),
	}, cmp.Or(badName, badClass, badRetention)
}

// maxRetention is the longest retention, in days: a century.
const maxRetention = 36500

// parseRetention reads "90d" as 90 and "" as 0, which keeps until erased.
func parseRetention(s string) (days int, err error) {
	if s == "" {
		return 0, nil
	}
	number, ok := strings.CutSuffix(s, "d")
	days, err = strconv.Atoi(number)
	if !ok || err != nil || days < 1 || days > maxRetention || strconv.Itoa(days) != number {
		return 0, recording.ErrRetention
	}
	return days, nil
}
