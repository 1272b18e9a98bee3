package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Erasure says what to erase.
type Erasure struct {
	Bucket  recording.Bucket
	Name    recording.Name
	Version recording.Version // the one to erase; zero is what stands under Name
	All     bool              // every version of what stands under Name; Version is zero
}

// Erase makes a recording unreadable, or one version of it: if that was the
// current one, the newest that is left takes its place. It gives the version
// that it found, zero if there was none.
//
//	erased   the rows say so, with the event, in one transaction: every later read is refused,
//	         and running ones end within pollEvery
//	deleted  the blobs are gone from the store
//
// Killed between the two, or if the store cannot, the blobs are left to sweep;
// the recording is gone all the same. Erasing what is not there succeeds, so a
// client that heard nothing may repeat itself. The keys are not forgotten yet:
// see docs/design.md, "A recording, erased".
func (g *Gateway) Erase(ctx context.Context, c Caller, what Erasure) (recording.Version, error) {
	grant, err := g.permit(ctx, c, policy.Erase, policy.Target{Tenant: c.Tenant, Bucket: what.Bucket, Name: what.Name})
	if err != nil {
		return recording.Version{}, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return recording.Version{}, err
	}
	defer s.end()
	found, v, err := g.findVersion(ctx, s, what.Bucket, what.Name, what.Version)
	if err != nil {
		return recording.Version{}, g.noBucket(ctx, s, grant.event, err)
	}
	grant.event.Bucket = found.id
	if v == nil {
		return recording.Version{}, g.explain(ctx, s, grant.event)
	}
	rows := catalog.Erasure{Tenant: s.tenant.ID, Recording: v.Recording, Version: v.Version}
	if what.All {
		rows.Version = recording.Version{}
	}
	return v.Version, g.eraseRows(ctx, s, rows, grant.event)
}

// eraseRows is the moment after which nothing reads what was erased.
func (g *Gateway) eraseRows(ctx context.Context, s scope, rows catalog.Erasure, e audit.Event) error {
	e.Recording, e.Version = rows.Recording, rows.Version
	record, err := s.seal(ctx, e)
	if err != nil {
		return err
	}
	// gofail: var eraseRows string
	// return failpoint(eraseRows)
	gone, err := g.catalog.Erase(ctx, rows, []audit.Record{record})
	if err != nil {
		return unavailable(err)
	}
	// gofail: var eraseBlobs string
	// return failpoint(eraseBlobs)
	for _, v := range gone {
		g.removeResidues(ctx, v.Tenant, v.Version)
	}
	return nil
}

// lookAgain ends a stream of what was erased since it began. It asks the
// catalog every pollEvery, for as long as the stream runs; without an answer for
// stateAge it ends the stream too.
func (g *Gateway) lookAgain(ctx context.Context, r *Recording, seen *time.Time) error {
	age := time.Since(*seen)
	if age < pollEvery {
		return nil
	}
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	v, err := g.catalog.Version(ctx, r.session.tenant.ID, r.Info.Version)
	switch {
	case err == nil && v.State == catalog.Erased:
		return recording.ErrErased
	case err == nil:
		*seen = asked
	case age > stateAge:
		return fmt.Errorf("%w: recording was seen %v ago", recording.ErrUnavailable, age.Round(time.Second))
	}
	return nil
}
