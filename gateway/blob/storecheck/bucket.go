package storecheck

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/blob"
)

// A Bucket is a store that can be asked how its bucket is set up.
type Bucket interface {
	Bucket(ctx context.Context) (blob.Bucket, error)
}

// Settings says what the settings of a bucket mean.
func Settings(ctx context.Context, store Bucket) (l finding.List) {
	b, err := store.Bucket(ctx)
	if errors.Is(err, blob.ErrNotSaid) {
		l.Skip("store.versioning", "this credential may not ask how the bucket is set up, or the store does not say", "look there yourself: erasure holds either way, but versions and locks keep ciphertext, and cost room")
		return l
	}
	if err != nil {
		l.Fail("store.versioning", "the bucket cannot be asked how it is set up: "+err.Error(), "see what the store says of this request")
		return l
	}
	versioning(&l, b)
	locks(&l, b)
	return l
}

func versioning(l *finding.List, b blob.Bucket) {
	switch b.Versions {
	case blob.Versioned:
		l.OK("store.versioning", "versioning is on: what is overwritten or deleted by others can be brought back; Lethe deletes every version")
	case blob.Suspended:
		l.Advise("store.versioning", "versioning is suspended: older versions stay, and what others overwrite now is lost",
			"turn it on; Lethe overwrites nothing, so it costs nothing")
	default:
		l.Advise("store.versioning", "versioning is off: who may write to the bucket can destroy recordings by overwriting them",
			"turn it on; Lethe overwrites nothing, so it costs nothing")
	}
}

func locks(l *finding.List, b blob.Bucket) {
	const erasureHolds = "erasure holds all the same, for it destroys keys"
	switch {
	case b.Retention > 0:
		l.Advise("store.lock", fmt.Sprintf("new objects are locked for %d days: their ciphertext stays that long after an erasure, and so does what this check made; %s", b.Retention, erasureHolds),
			"keep it if the storage administrators are whom you guard against; otherwise let Lethe delete at once")
	case b.Locks:
		l.OK("store.lock", "objects can be locked, and none is by default; "+erasureHolds)
	default:
		l.OK("store.lock", "objects are not locked: ciphertext goes when its recording is erased")
	}
}
