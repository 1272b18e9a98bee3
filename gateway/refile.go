package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// refiler stands in the log for what is moved and erased without being asked for.
const refiler = "lethe"

// refiling is where a version is to be filed, and what it is to tell of then.
type refiling struct {
	subject, day uint64
	subjects     []recording.Subject // nil leaves those it tells of
	event        audit.Event
}

// refile files a stored version under another subject's or day's slot, and always
// under a recording slot of its own, since whoever has the old wrap would else open
// the version as long as that lives. Its facts are sealed again for that slot, so that
// those from before are refused from then on.
//
//	intended  the catalog has the new slots: whatever erases the version takes them too
//	wrapped   the store has the wrap under them, and the facts; it was seen to open
//	filed     one transaction: the row has slots, wrap and facts, the old recording slot a tombstone
//
// An epoch punctures the old slot later. Killed before the last step, the version is
// filed where it was, and what was intended is swept up. catalog.ErrMisfiled: the
// version was erased, or filed elsewhere, meanwhile. recording.ErrHeld: who it tells of
// is to change, and is held.
func (g *Gateway) refile(ctx context.Context, v catalog.Version, to refiling) (err error) {
	s, err := g.reenter(ctx, v.Tenant)
	if err != nil {
		return err
	}
	defer s.end()
	defer func() { g.outdated(s, err) }()
	f, r, err := g.intendFiling(ctx, s, v, to)
	if err != nil {
		return err
	}
	as, err := g.wrapAnew(ctx, s, v, to, &f, r)
	if err != nil {
		return err
	}
	to.event.Recording, to.event.Version = v.Recording, v.Version
	record, err := s.seal(ctx, to.event)
	if err != nil {
		return err
	}
	// gofail: var refileCommit string
	// return failpoint(refileCommit)
	err = g.catalog.Refile(ctx, r, as, []audit.Record{record})
	if errors.Is(err, catalog.ErrMisfiled) { // or a catalog that took over never heard of it, and looked before it was there
		err = errors.Join(err, g.following().RefileVersion(ctx, v.Tenant, s.keys, v.Version, []string{r.Blob}))
	}
	if err != nil {
		return unavailable(err)
	}
	// gofail: var refileCommitted string
	// return failpoint(refileCommitted)
	g.removeResidues(ctx, v.Tenant, v.Version) // of the filing before, if there was one
	return nil
}

// intendFiling takes a recording slot, and notes that the version is to have it.
func (g *Gateway) intendFiling(ctx context.Context, s scope, v catalog.Version, to refiling) (f keytree.Filing, r catalog.Refiling, err error) {
	f = keytree.Filing{
		Identity: recording.Identity{Tenant: v.Tenant, Recording: v.Recording, Version: v.Version},
		Slots:    keytree.Slots{Subject: to.subject, Day: to.day}, At: now(),
	}
	if f.Slots.Recording, err = g.slots.Next(ctx, v.Tenant, keytree.Recordings); err != nil {
		return f, r, unavailable(err)
	}
	r = catalog.Refiling{
		Tenant: v.Tenant, Version: v.Version, From: v.Slots, To: slotRow(f.Slots),
		Blob: keytree.FilingKey(v.Tenant, v.Version, f.Slots.Recording),
	}
	if to.subjects != nil {
		r.Permit, r.Timeline = correctable, s.timeline
	}
	// gofail: var refileIntend string
	// return f, r, failpoint(refileIntend)
	return f, r, unavailable(g.catalog.IntendFiling(ctx, r))
}

// wrapAnew makes the wrap under the slots of a filing, durable in the store, and what
// the version's row is to have.
func (g *Gateway) wrapAnew(ctx context.Context, s scope, v catalog.Version, to refiling, f *keytree.Filing, r catalog.Refiling) (as catalog.Refiled, err error) {
	facts, err := s.rewrap(ctx, v, to, f)
	if err != nil {
		return as, unopened(f.Identity, err)
	}
	// gofail: var refileWrap string
	// return as, failpoint(refileWrap)
	b := f.Marshal()
	if err := g.blobs.Create(ctx, r.Blob, bytes.NewReader(b), int64(len(b))); err != nil {
		return as, unavailable(fmt.Errorf("file version %v anew: %w", v.Version, err))
	}
	as = catalog.Refiled{WrappedDEK: f.Wrapped[:], SealedFacts: f.Facts}
	if to.subjects != nil {
		as.Terms, as.Stage = s.terms(facts), s.tenant.Stage
	}
	return as, nil
}

// errRewrapped cannot be: what was wrapped under keys of the tree opens under them.
var errRewrapped = errors.New("a data key does not open where it was filed")

// rewrap wraps a version's data key under the slots of a filing, and sees it open
// there: the old wrap will be worthless. It seals the facts again, and gives them.
func (s scope) rewrap(ctx context.Context, v catalog.Version, to refiling, f *keytree.Filing) (facts recording.Facts, err error) {
	dek, err := s.keys.UnwrapDEK(ctx, f.Identity, keySlots(v.Slots), v.WrappedDEK)
	if err != nil {
		return facts, err
	}
	defer dek.Clear()
	if facts, err = openFacts(dek, f.Identity, uint64(v.Slots.Recording), v.SealedFacts); err != nil {
		return facts, damaged(f.Identity, err)
	}
	if to.subjects != nil {
		facts.Correct(to.subjects)
	}
	facts.Slot = f.Slots.Recording
	if f.Facts, err = sealFacts(dek, f.Identity, facts); err != nil {
		return facts, err
	}
	if f.Wrapped, err = s.keys.WrapDEK(ctx, f.Identity, f.Slots, dek); err != nil {
		return facts, err
	}
	again, err := s.keys.UnwrapDEK(ctx, f.Identity, f.Slots, f.Wrapped[:])
	if err != nil {
		return facts, err
	}
	defer again.Clear()
	if !hmac.Equal(dek.Bytes(), again.Bytes()) {
		return facts, errRewrapped
	}
	return facts, nil
}

// told is what a version's row has to say where a filing has it. Where the index key of
// an older catalog is forgotten its terms are left, which find nothing until a rebuild.
func (g *Gateway) told(ctx context.Context, keys *keytree.Keys, row catalog.Version, f keytree.Filing) (as catalog.Refiled, err error) {
	as = catalog.Refiled{WrappedDEK: f.Wrapped[:], SealedFacts: f.Facts}
	if len(f.Facts) == 0 {
		as.SealedFacts = row.SealedFacts
	}
	dek, err := keys.UnwrapDEK(ctx, f.Identity, f.Slots, f.Wrapped[:])
	if err != nil {
		return as, unopened(f.Identity, err)
	}
	defer dek.Clear()
	facts, err := openFacts(dek, f.Identity, f.Slots.Recording, as.SealedFacts)
	if err != nil {
		return as, damaged(f.Identity, err)
	}
	t, err := g.catalog.Tenant(ctx, row.Tenant)
	if err != nil {
		return as, err
	}
	index, err := keys.System(ctx, keytree.IndexSlot(t.Stage.Written()))
	if errors.Is(err, keytree.ErrPunctured) {
		return as, nil
	}
	as.Terms, as.Stage = scope{index: index}.terms(facts), t.Stage
	return as, err
}

// The bounds of moving what is held out of what is erased.
const (
	refileBatch   = 100
	refileWorkers = 4
	refileTries   = 20 // batches one after the other of which nothing was moved
	refilePause   = 50 * time.Millisecond
)

// moveOut files what is held below the slot of a subject or a day elsewhere, in
// batches, until nothing is left there. Whoever is killed on the way has moved some of
// it, and the next goes on with the rest.
func (g *Gateway) moveOut(ctx context.Context, t recording.Tenant, from catalog.Slot) error {
	for idle := 0; idle < refileTries; {
		held, err := g.catalog.HeldBelow(ctx, t, from, refileBatch)
		if err != nil || len(held) == 0 {
			return unavailable(err)
		}
		moved, err := g.moveEach(ctx, held, from)
		if err != nil {
			return err
		}
		if idle++; moved > 0 {
			idle = 0
			continue
		}
		if err := sleep(ctx, refilePause); err != nil { // others do the same
			return err
		}
	}
	return fmt.Errorf("%w: what is held below slot %d of tree %d does not move", recording.ErrUnavailable, from.Number, from.Tree)
}

// moveEach moves versions, a few at a time, and counts those it did move.
func (g *Gateway) moveEach(ctx context.Context, held []catalog.Version, from catalog.Slot) (int64, error) {
	var moved atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(refileWorkers)
	for _, v := range held {
		group.Go(contained(func() error { // waited for below
			err := g.moveHeld(ctx, v, from)
			if errors.Is(err, catalog.ErrMisfiled) || errors.Is(err, recording.ErrErased) { // by another
				return nil
			}
			moved.Add(1)
			return err
		}))
	}
	err := group.Wait()
	return moved.Load(), err
}

// heldFor is for how many days what is held is filed anew when its day is erased.
// Held still then, it is filed anew again; released by then, it goes with that day.
// A day that was erased early is passed over, and a week of them is all there is.
const heldFor = 7

// moveHeld files one version elsewhere: out of a subject's slot under nobody's, out
// of a day's under a later day of its class.
func (g *Gateway) moveHeld(ctx context.Context, v catalog.Version, from catalog.Slot) error {
	to := refiling{subject: uint64(v.Slots.Subject), day: uint64(v.Slots.Day), event: audit.Event{
		Tenant: v.Tenant, At: now(), Who: refiler, Action: string(policy.Refile), Outcome: audit.Allowed, Reason: "held", Bucket: v.Bucket,
	}}
	if from.Tree == catalog.TreeSubjects {
		to.subject = keytree.Nobody
		return g.refile(ctx, v, to)
	}
	to.day = keytree.LaterDay(to.day, now().AddDate(0, 0, heldFor))
	return g.refileFrom(ctx, v, to)
}

// refileFrom is refile on a day, or on the first after it that was not erased early.
func (g *Gateway) refileFrom(ctx context.Context, v catalog.Version, to refiling) (err error) {
	for range heldFor {
		if err = g.refile(ctx, v, to); !errors.Is(err, catalog.ErrTombstoned) {
			break
		}
		to.day = keytree.LaterDay(to.day, now())
	}
	return err
}

// unsealMoved opens a row that does not open as it was read: if the version was
// filed elsewhere since, as it is now.
func (g *Gateway) unsealMoved(ctx context.Context, s scope, b bucket, v catalog.Version) (unsealed, error) {
	in, err := s.unseal(ctx, b, v)
	if !errors.Is(err, recording.ErrErased) {
		return in, err
	}
	fresh, again := g.catalog.Version(ctx, v.Tenant, v.Version)
	if again != nil || fresh.State != catalog.Committed || fresh.Slots == v.Slots {
		return in, err
	}
	return s.unseal(ctx, b, fresh)
}
