package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Erasure says which recording to erase.
type Erasure struct {
	Bucket  recording.Bucket
	Name    recording.Name
	Version recording.Version // the one to erase; zero is what stands under Name
	All     bool              // every version of what stands under Name; Version is zero
}

// reasonS3 is why a recording is erased that an S3 client deletes: its protocol
// has no place to say more.
const reasonS3 = "deleted over S3"

// Erased is what Erase found, and how that is known from here on.
type Erased struct {
	Version recording.Version   // the one that was asked for, or that stood under the name; zero if there was none
	Erasure recording.ErasureID // that erased it, now or before; zero if none is known
	Salt    claim.Salt          // of its certificate; zero if it was erased before
}

// Erase erases a recording, or one version of it: if that was the current one, the
// newest that is left takes its place.
//
//	queued     the rows say so, with the event, in one transaction: every later read is
//	           refused, and running ones end within pollEvery
//	recorded   the store has the sealed request; Erase returns nil from here on
//	deleted    the blobs are gone from the store, where it can
//
// An epoch follows in which the keys are forgotten; see package eraser. Killed
// between, the rest goes on by itself. Erasing what is not there succeeds, so a
// client that heard nothing may repeat itself: it is told of the same erasure, as long
// as that is known, and not before the store has it.
func (g *Gateway) Erase(ctx context.Context, c Caller, what Erasure) (Erased, error) {
	grant, err := g.permit(ctx, c, policy.Erase, policy.Target{Tenant: c.Tenant, Bucket: what.Bucket, Name: what.Name})
	if err != nil {
		return Erased{}, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return Erased{}, err
	}
	defer s.end()
	found, info, err := g.eraseRecording(ctx, s, what, reasonS3, grant.event)
	if errors.Is(err, recording.ErrNoErasure) {
		err = g.recordQueued(ctx, s.tenant.ID)
	}
	return Erased{found, info.ID, info.Salt}, err
}

// recordQueued makes durable in the store what was queued by requests that failed before
// they had done so. Whoever repeats one of them finds nothing more to erase, and is told
// of success.
func (g *Gateway) recordQueued(ctx context.Context, t recording.Tenant) error {
	rows, err := g.catalog.Unrecorded(ctx, t)
	if err != nil {
		return unavailable(err)
	}
	for _, row := range rows {
		if err := eraser.Record(ctx, g.blobs, g.catalog, row); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// ErasureRequest says what to erase of a tenant: a recording, unless Subject or Day
// is set.
type ErasureRequest struct {
	Recording Erasure
	Subject   recording.Subject      // all that tells of them
	Day       recording.RetentionDay // all that expires on it
	Reason    string                 // as claim.CheckReason takes it
}

// ErasureInfo is what is known of an erasure.
type ErasureInfo struct {
	ID          recording.ErasureID
	Tenant      recording.Tenant
	Scope       claim.Kind
	State       string // queued, punctured, effective, certified
	Who         string
	Reason      string
	AskedAt     time.Time
	Versions    int64 // made unreadable by themselves; those below a subject or a day as a sweep comes to them
	Refiled     int64 // in the scope, and kept
	Epoch       int64 // that punctured it; 0 before
	Certificate []byte
	CertifiedAt time.Time

	// Salt opens the certificate's commitment. It is in the answer to the request
	// that made the erasure, and nowhere else; zero if another one did.
	Salt claim.Salt
}

// EraseFor erases something of a tenant for whoever administers it. Erasing again
// what is erased gives the erasure that did it, without its salt.
//
// recording.ErrHeld: a hold forbids it. recording.ErrNoErasure: there was nothing to
// erase, and nothing is known to have been.
func (g *Gateway) EraseFor(ctx context.Context, c Caller, tenant string, what ErasureRequest) (ErasureInfo, error) {
	p, err := g.administer(ctx, c, policy.EraseSome, tenant)
	if err != nil {
		return ErasureInfo{}, err
	}
	if err := checkReason(what.Reason); err != nil {
		return ErasureInfo{}, err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return ErasureInfo{}, err
	}
	defer s.end()
	info, err := g.eraseScope(ctx, s, what, p.event)
	if err == nil && info.ID == (recording.ErasureID{}) {
		err = recording.ErrNoErasure
	}
	return info, err
}

// checkReason reports recording.ErrReason of one that may not stand in a certificate.
func checkReason(reason string) error {
	if err := claim.CheckReason(reason); err != nil {
		return fmt.Errorf("%w: %w", recording.ErrReason, err)
	}
	return nil
}

func (g *Gateway) eraseScope(ctx context.Context, s scope, what ErasureRequest, e audit.Event) (ErasureInfo, error) {
	switch {
	case what.Subject != "":
		return g.queueBelow(ctx, s, catalog.NewErasure{}, claim.Scope{Kind: claim.OfSubject, Subject: string(what.Subject)}, what.Reason, e)
	case what.Day != (recording.RetentionDay{}):
		day := keytree.ExpirySlot(what.Day.Days, what.Day.Expires)
		if day > keytree.DaySlot(what.Day.Days, now()) { // and nothing could be put on it when it comes
			return ErasureInfo{}, g.explain(ctx, s, e)
		}
		n := catalog.NewErasure{Day: int64(day)}
		of := claim.Scope{Kind: claim.OfDay, Class: what.Day.Class(), Date: what.Day.Date()}
		return g.queueBelow(ctx, s, n, of, what.Reason, e)
	}
	_, info, err := g.eraseRecording(ctx, s, what.Recording, what.Reason, e)
	return info, err
}

// erasedBefore finds the erasure of a recording that is found no more, and sees that
// it is durable: nobody may have been told of it yet. recording.ErrNoErasure: none is
// known.
func (g *Gateway) erasedBefore(ctx context.Context, s scope, what Erasure) (ErasureInfo, error) {
	text, err := what.scope(what.Version).JSON()
	if err != nil {
		return ErasureInfo{}, err
	}
	row, err := seek(ctx, g, s, recording.ErrNoErasure, func(by scope) (catalog.ErasureRow, error) {
		return g.catalog.ErasureByScope(ctx, s.tenant.ID, by.erasureIndex(text))
	})
	if err != nil {
		return ErasureInfo{}, err
	}
	return g.queued(ctx, catalog.Queued{Erasure: row, Again: true}, claim.Salt{})
}

// scope is what is erased where v was found.
func (e Erasure) scope(v recording.Version) claim.Scope {
	of := claim.Scope{Kind: claim.OfVersion, Bucket: string(e.Bucket), Name: string(e.Name), Version: v.String()}
	if e.All {
		of.Kind, of.Version = claim.OfRecording, ""
	}
	return of
}

// eraseRecording finds what to erase, and erases it. Of what it finds nothing it gives
// the erasure that did it.
func (g *Gateway) eraseRecording(ctx context.Context, s scope, what Erasure, reason string, e audit.Event) (recording.Version, ErasureInfo, error) {
	none := recording.Version{}
	found, v, err := g.findVersion(ctx, s, what.Bucket, what.Name, what.Version)
	if err != nil {
		return none, ErasureInfo{}, g.noBucket(ctx, s, e, err)
	}
	e.Bucket = found.id
	if v == nil {
		if err := g.explain(ctx, s, e); err != nil {
			return none, ErasureInfo{}, err
		}
		info, err := g.erasedBefore(ctx, s, what)
		return none, info, err
	}
	e.Recording, e.Version = v.Recording, v.Version
	n := catalog.NewErasure{Recording: v.Recording, Version: v.Version}
	if what.All {
		n.Version, e.Version = none, none
	}
	info, err := g.queue(ctx, s, n, what.scope(v.Version), reason, e)
	return v.Version, info, err
}

// queueBelow is queue of a subject or a day. What is held below it by itself moves
// out first, and again if a hold comes between.
func (g *Gateway) queueBelow(ctx context.Context, s scope, n catalog.NewErasure, of claim.Scope, reason string, e audit.Event) (ErasureInfo, error) {
	for {
		info, err := g.queue(ctx, s, n, of, reason, e)
		if !errors.Is(err, catalog.ErrHeldBelow) {
			return info, err
		}
		from := catalog.Slot{Tree: catalog.TreeDays, Number: n.Day}
		if of.Kind == claim.OfSubject {
			slot, found, err := g.lookupSubject(ctx, s, recording.Subject(of.Subject))
			if err != nil {
				return ErasureInfo{}, err
			}
			if !found {
				continue
			}
			from = catalog.Slot{Tree: catalog.TreeSubjects, Number: slot}
		}
		s.end() // moving may take minutes, and a root is not kept for that long
		if err := g.moveOut(ctx, s.tenant.ID, from); err != nil {
			return ErasureInfo{}, err
		}
		if s, err = g.reenter(ctx, s.tenant.ID); err != nil {
			return ErasureInfo{}, err
		}
		defer s.end()
	}
}

// queue is the moment after which nothing reads what was erased, and makes it
// durable in the store too.
func (g *Gateway) queue(ctx context.Context, s scope, n catalog.NewErasure, of claim.Scope, reason string, e audit.Event) (ErasureInfo, error) {
	var salt claim.Salt
	rand.Read(salt[:]) // never fails: crypto/rand ends the program instead
	commitment, err := claim.Commitment(salt, of)
	if err != nil {
		return ErasureInfo{}, err
	}
	n.ErasureRow = catalog.ErasureRow{
		ID: recording.NewErasureID(), Tenant: s.tenant.ID, Scope: string(of.Kind),
		Who: e.Who, Reason: reason, Commitment: commitment[:], AskedAt: now(), // not e.At: what is held has moved out since
	}
	n.Erasable = erasable
	// gofail: var eraseRows string
	// return ErasureInfo{}, failpoint(eraseRows)
	var done catalog.Queued
	err = g.inStage(ctx, s, func(s scope) (err error) {
		done, err = g.queueIn(ctx, s, n, of, e)
		return err
	})
	if held, ok := errors.AsType[Held](err); ok {
		return ErasureInfo{}, g.refuse(ctx, s, e, string(held.Ground), err)
	}
	if err != nil {
		return ErasureInfo{}, unavailable(err)
	}
	return g.queued(ctx, done, salt)
}

// queueIn is queue in the stage that a scope knows.
func (g *Gateway) queueIn(ctx context.Context, s scope, n catalog.NewErasure, of claim.Scope, e audit.Event) (catalog.Queued, error) {
	text, err := of.JSON()
	if err != nil {
		return catalog.Queued{}, err
	}
	n.Timeline = s.timeline
	n.Index = s.erasure(text)
	if of.Kind == claim.OfSubject {
		subject := s.subject(recording.Subject(of.Subject))
		n.Subject = &subject
	}
	settings, err := s.keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return catalog.Queued{}, err
	}
	defer settings.Clear()
	n.Record = func(base int64, slots []catalog.Slot, versions []recording.Version) ([]byte, error) {
		return eraser.StatementOf(n.ErasureRow, slots, versions).Seal(settings, s.tenant.ID, base)
	}
	event, err := s.seal(ctx, e)
	if err != nil {
		return catalog.Queued{}, err
	}
	return g.catalog.QueueErasure(ctx, n, []audit.Record{event})
}

// queued makes what was queued durable in the store, and deletes the blobs. One
// that nobody was told of yet may have been queued by an earlier try.
func (g *Gateway) queued(ctx context.Context, done catalog.Queued, salt claim.Salt) (ErasureInfo, error) {
	row := done.Erasure
	if row.ID != (recording.ErasureID{}) && !row.Recorded {
		if err := eraser.Record(ctx, g.blobs, g.catalog, row); err != nil {
			return ErasureInfo{}, unavailable(err)
		}
		g.eraser.Nudge()
	}
	// gofail: var eraseBlobs string
	// return ErasureInfo{}, failpoint(eraseBlobs)
	for _, v := range done.Gone {
		g.removeResidues(ctx, v.Tenant, v.Version)
	}
	info := erasureInfo(row)
	if !done.Again {
		info.Salt = salt
	}
	return info, nil
}

func erasureInfo(r catalog.ErasureRow) ErasureInfo {
	return ErasureInfo{
		ID: r.ID, Tenant: r.Tenant, Scope: claim.Kind(r.Scope), State: string(r.State), Who: r.Who, Reason: r.Reason,
		AskedAt: r.AskedAt, Versions: r.Versions, Refiled: r.Refiled, Epoch: r.Epoch,
		Certificate: r.Certificate, CertifiedAt: r.CertifiedAt,
	}
}

// Erasure tells how far an erasure is, and gives its certificate once there is one.
func (g *Gateway) Erasure(ctx context.Context, c Caller, id recording.ErasureID) (ErasureInfo, error) {
	row, found := g.catalog.FindErasure(ctx, id)
	if found != nil && !errors.Is(found, recording.ErrNoErasure) {
		return ErasureInfo{}, unavailable(found)
	}
	grant, err := g.permit(ctx, c, policy.SeeErasure, policy.Target{Tenant: row.Tenant})
	if err != nil {
		return ErasureInfo{}, err
	}
	grant.event.Tenant = row.Tenant
	if err := g.explain(ctx, scope{}, grant.event); err != nil {
		return ErasureInfo{}, err
	}
	return erasureInfo(row), found
}

// MostErasures bounds a page of Erasures.
const MostErasures = 1000

// Erasures gives a tenant's erasures, newest first, that were asked for before one
// of them, or the newest if that is zero; and the last of them if there are more,
// else zero. ErrNoErasure: the tenant has no such erasure to begin at.
func (g *Gateway) Erasures(ctx context.Context, c Caller, tenant string, before recording.ErasureID, limit int) ([]ErasureInfo, recording.ErasureID, error) {
	none := recording.ErasureID{}
	p, err := g.administer(ctx, c, policy.SeeErasure, tenant)
	if err != nil {
		return nil, none, err
	}
	if err := g.explain(ctx, scope{}, p.event); err != nil {
		return nil, none, err
	}
	var from catalog.ErasureRow
	if before != none {
		if from, err = g.catalog.Erasure(ctx, p.tenant.ID, before); err != nil {
			return nil, none, unavailable(err)
		}
	}
	limit = min(max(limit, 1), MostErasures)
	rows, err := g.catalog.Erasures(ctx, p.tenant.ID, from.Cursor(), limit+1)
	if err != nil {
		return nil, none, unavailable(err)
	}
	last := none
	if len(rows) > limit {
		rows = rows[:limit]
		last = rows[limit-1].ID
	}
	out := make([]ErasureInfo, len(rows))
	for i, r := range rows {
		out[i] = erasureInfo(r)
	}
	return out, last, nil
}
