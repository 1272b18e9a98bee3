package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// RefileRequest says what is to change about a recording: how long it is kept, or of
// whom it tells.
type RefileRequest struct {
	Bucket   recording.Bucket
	Name     recording.Name
	Version  recording.Version   // zero is every version
	Until    time.Time           // midnight UTC, before which it does not expire; zero leaves that
	Subjects []recording.Subject // of whom it tells in truth, the first deciding with whom it goes; nil leaves them
}

// RefileInfo is what came of a RefileRequest.
type RefileInfo struct {
	Recording recording.ID
	Refiled   int // versions, but those that were so already
}

// RefileFor extends a recording's retention, or corrects of whom it tells, for whoever
// administers the tenant. Each version changes in one transaction or not at all: what
// was interrupted is asked for again. From then on the erasure of a subject that was
// wrong, and of the day on which it would have expired, passes over it.
//
// recording.ErrNotFound: nothing can be read under the name. recording.ErrShorter: it
// is kept for longer already. recording.ErrHeld: a hold is on someone of whom it tells,
// and whoever corrects that could take it out of the hold.
func (g *Gateway) RefileFor(ctx context.Context, c Caller, tenant string, what RefileRequest) (RefileInfo, error) {
	p, err := g.administer(ctx, c, policy.Refile, tenant)
	if err != nil {
		return RefileInfo{}, err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return RefileInfo{}, err
	}
	defer s.end()
	b, v, err := g.findVersion(ctx, s, what.Bucket, what.Name, what.Version)
	if err != nil {
		return RefileInfo{}, g.noBucket(ctx, s, p.event, err)
	}
	p.event.Bucket = b.id
	if v == nil || v.State != catalog.Committed {
		return RefileInfo{}, g.refuse(ctx, s, p.event, "not-found", recording.ErrNotFound)
	}
	p.event.Recording, p.event.Reason = v.Recording, what.reason()
	if what.shortens(*v) {
		return RefileInfo{}, g.refuse(ctx, s, p.event, "shorter", recording.ErrShorter)
	}
	versions := []catalog.Version{*v}
	if what.Version == (recording.Version{}) {
		if versions, err = g.catalog.Kept(ctx, v.Tenant, v.Recording); err != nil {
			return RefileInfo{}, unavailable(err)
		}
	}
	n, err := g.refileEach(ctx, s, b, versions, what, p.event)
	if held, ok := errors.AsType[Held](err); ok {
		return RefileInfo{}, g.refuse(ctx, s, p.event, string(held.Ground), err)
	}
	if err == nil && n == 0 { // else each has its own event
		err = g.explain(ctx, s, p.event)
	}
	return RefileInfo{v.Recording, n}, err
}

// reason is what the log says of it.
func (r RefileRequest) reason() string {
	if r.Subjects != nil {
		return "subject"
	}
	return "retention"
}

// shortens reports whether a version is kept for longer than is asked for.
func (r RefileRequest) shortens(v catalog.Version) bool {
	_, expires := keytree.ExpiryOf(uint64(v.Slots.Day))
	return !r.Until.IsZero() && (v.Slots.Day == 0 || r.Until.Before(expires))
}

// refileEach files versions as asked, and counts those that were not so already.
func (g *Gateway) refileEach(ctx context.Context, s scope, b bucket, versions []catalog.Version, what RefileRequest, e audit.Event) (n int, err error) {
	for _, v := range versions {
		moved, err := g.refileAsked(ctx, s, b, v, what, e)
		if err != nil {
			return n, err
		}
		if moved {
			n++
		}
	}
	return n, nil
}

// askedTries bounds how often a version is looked up again that others move.
const askedTries = 10

func (g *Gateway) refileAsked(ctx context.Context, s scope, b bucket, v catalog.Version, what RefileRequest, e audit.Event) (moved bool, err error) {
	for range askedTries {
		to, err := g.aim(ctx, s, b, v, what)
		if err == nil && to == nil {
			return false, nil
		}
		if err == nil {
			to.event = e
			err = g.refileFrom(ctx, v, *to)
		}
		if !movedOn(err) && !errors.Is(err, catalog.ErrMisfiled) && !errors.Is(err, recording.ErrErased) {
			return err == nil, err
		}
		if v, err = g.catalog.Version(ctx, v.Tenant, v.Version); err != nil {
			return false, unavailable(err)
		}
		if v.State != catalog.Committed {
			return false, recording.ErrNotFound
		}
	}
	return false, fmt.Errorf("%w: version %v does not stay where it is", recording.ErrUnavailable, v.Version)
}

// aim is where a version is to be filed, nil if it is there.
func (g *Gateway) aim(ctx context.Context, s scope, b bucket, v catalog.Version, what RefileRequest) (*refiling, error) {
	to := &refiling{subject: uint64(v.Slots.Subject), day: uint64(v.Slots.Day)}
	if what.Subjects == nil {
		days, expires := keytree.ExpiryOf(to.day)
		if what.shortens(v) || what.Until.Equal(expires) {
			return nil, nil
		}
		to.day = keytree.ExpirySlot(days, what.Until)
		return to, nil
	}
	in, err := g.unsealMoved(ctx, s, b, v)
	in.dek.Clear()
	if err != nil || slices.Equal(in.Facts.Subjects, what.Subjects) {
		return nil, err
	}
	to.subjects = what.Subjects
	to.subject, err = g.subjectSlot(ctx, s, what.Subjects[0])
	return to, unavailable(err)
}
