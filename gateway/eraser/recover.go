package eraser

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// The reasons for which a tenant is not recovered yet.
var (
	// ErrDriven: another process has the lease of the tenant's epochs.
	ErrDriven = errors.New("another process drives the tenant's erasures")
	// ErrNoHead: no head of the tenant opens.
	ErrNoHead = errors.New("no head of the tenant opens at the provider")
	// ErrUnproved: packs or tombstones name slots, and nothing proves that these were erased.
	ErrUnproved = errors.New("packs or tombstones name keys of which nothing proves that they were erased")
	// ErrLost: what was punctured is not wholly there.
	ErrLost = errors.New("records or packs of erasures are lost or damaged")
)

// Recovery says how tenants are recovered. Its zero value asks before anything is
// decided that cannot be proved.
type Recovery struct {
	DryRun   bool     // find out what there is to do, and do nothing
	Unproved Unproved // what becomes of slots that packs name without a proof
	Lost     bool     // go on although records or packs are lost
}

// Unproved says what becomes of slots that only a pack names whose head opens no
// more, or a tombstone. Whoever writes the store, or the catalog, can have made it.
type Unproved string

// The choices. To puncture what lives is to lose it, to leave what was erased brings
// it back.
const (
	Ask      Unproved = ""         // ErrUnproved
	Puncture Unproved = "puncture" // as if proved
	Leave    Unproved = "leave"    // as if forged
)

// Recovered is what was found of a tenant, and done.
type Recovered struct {
	Newest   uint64 // epoch of the newest head
	Opens    uint64 // that of the newest head that opens
	Head     uint64 // that of the head in their place; 0 if there is none
	Revived  bool   // versions of the root older than the newest head were there again
	Records  int    // erasures that the store has records of
	Slots    int    // that opened again, and are punctured
	Unproved int    // of slots that opened again, those that only packs or tombstones name
	Lost     int    // epochs without head or pack, and records that do not open
}

// Recover brings a tenant to where a restored provider opens nothing that was erased.
//
// If the newest head does not open, the provider is older than it: the tree goes on
// from the newest head that opens, in an epoch after all heads, without the slots that
// were punctured since, under a version above all that were used. If it opens, what is
// older than it is destroyed again.
//
// Killed anywhere, it can be begun anew. The tenant is refused until the new head is
// committed, and from then on every slot that it lacks is due in the catalog.
func (e *Eraser) Recover(ctx context.Context, id recording.Tenant, r Recovery) (found Recovered, err error) {
	mine, err := e.leased(ctx, id, e.holder, func(ctx context.Context) error {
		t, err := e.Catalog.Tenant(ctx, id)
		if err == nil {
			found, err = e.recover(ctx, &t, r)
		}
		return err
	})
	if err == nil && !mine {
		err = ErrDriven
	}
	return found, err
}

func (e *Eraser) recover(ctx context.Context, t *catalog.Tenant, r Recovery) (found Recovered, err error) {
	c, err := e.chain(ctx, *t)
	if err != nil {
		return found, err
	}
	found.Newest, found.Opens = c.newest, c.opens.Epoch
	switch {
	case c.erased:
		return found, recording.ErrTenantErased
	case c.newest == c.opens.Epoch:
		err = e.resume(ctx, t, c.opens, r, &found)
		return found, err
	}
	s, err := e.forgotten(ctx, c)
	if err != nil {
		return found, err
	}
	found.Records, found.Lost = s.records, s.lost
	slots, err := e.choose(ctx, c.opens, s, r, &found)
	if err != nil || r.DryRun {
		return found, err
	}
	found.Head, err = e.supersede(ctx, t, c, slots)
	if err != nil {
		return found, err
	}
	if err := e.finish(ctx, *t); err != nil {
		return found, err
	}
	if err := e.punctureAll(ctx, t, r.Unproved); err != nil {
		return found, err
	}
	return found, e.drive(ctx, t.ID)
}

// choose gives those slots that open again and are to be punctured.
func (e *Eraser) choose(ctx context.Context, opens keytree.Head, s since, r Recovery, found *Recovered) ([]keytree.Slot, error) {
	slots, err := e.open(ctx, opens, s.proved)
	if err != nil {
		return nil, err
	}
	unproved, err := e.open(ctx, opens, s.unproved)
	if err != nil {
		return nil, err
	}
	found.Unproved = len(unproved)
	if r.Unproved == Puncture {
		slots = append(unproved, slots...) // first: of these, what one epoch has no room for waits for an operator
	}
	found.Slots = len(slots)
	switch {
	case r.DryRun:
		return slots, nil
	case s.lost > 0 && !r.Lost:
		return nil, fmt.Errorf("%w: %d", ErrLost, s.lost)
	case len(unproved) > 0 && r.Unproved == Ask:
		return nil, fmt.Errorf("%w: %d", ErrUnproved, len(unproved))
	}
	return slots, nil
}

// open gives those slots whose keys a head still has.
func (e *Eraser) open(ctx context.Context, h keytree.Head, slots map[keytree.Slot]bool) ([]keytree.Slot, error) {
	open, _, err := e.following().divide(ctx, h, slices.SortedFunc(maps.Keys(slots), keytree.Slot.Compare))
	return open, err
}

// supersede commits a head in the place of those that open no more, and lets the
// catalog follow it. Before, all slots are noted as due: what one epoch has no room
// for is punctured by the next, whoever drives them, but for what nothing proves: that
// takes a recovery, this one or the next.
func (e *Eraser) supersede(ctx context.Context, t *catalog.Tenant, c chain, slots []keytree.Slot) (epoch uint64, err error) {
	event, err := audit.Seal(keytree.Key{}, audit.Event{
		Tenant: t.ID, At: now(), Who: "lethe", Action: "keys.recover", Outcome: audit.Allowed,
	})
	if err != nil {
		return 0, err
	}
	due := make([]catalog.Slot, len(slots))
	for i, s := range slots {
		due[i] = catalog.Slot{Tree: int64(s.Tree), Number: int64(s.Number)}
	}
	if err := e.requeueAll(ctx, c.opens); err != nil {
		return 0, err
	}
	if err := e.forgetNotesAfter(ctx, c.opens); err != nil {
		return 0, err
	}
	// gofail: var recoverReopen string
	// return 0, failpoint(recoverReopen)
	if err := e.Catalog.Reopen(ctx, t.ID, due, []audit.Record{event}); err != nil {
		return 0, err
	}
	target := c.version(c.newest + 1)
	if err := e.rotateTo(ctx, keytree.RootOf(t.ID), target); err != nil {
		return 0, err
	}
	some := slots[:min(len(slots), keytree.MostPunctures)]
	ahead, err := e.Pages.Ahead(ctx, t.ID, some)
	if err != nil {
		return 0, err
	}
	keys, err := keytree.Unwrap(ctx, e.Keys, ahead, c.opens)
	if err != nil {
		return 0, err
	}
	defer keys.Clear()
	next, err := keys.Supersede(ctx, c.newest+1, some)
	if err != nil {
		return 0, err
	}
	defer next.Clear()
	head, err := next.Commit(ctx, e.Keys, e.Blobs, target)
	if err != nil {
		return 0, err
	}
	// gofail: var recoverFollow string
	// return 0, failpoint(recoverFollow)
	err = e.following().follow(ctx, t, head, next.Slots, next.Pages())
	e.Moved(t.ID)
	return head.Epoch, err
}

// requeueAll restores the erasures that the catalog lacks, before it passes over the
// epochs in which they were asked for.
func (e *Eraser) requeueAll(ctx context.Context, opens keytree.Head) error {
	keys, err := keytree.Unwrap(ctx, e.Keys, e.Pages, opens)
	if err != nil {
		return err
	}
	defer keys.Clear()
	_, err = e.following().RequeueAll(ctx, opens.Tenant, keys)
	if errors.Is(err, recording.ErrIncident) { // of records that are lost, as was counted and decided
		err = nil
	}
	return err
}

// rotateTo rotates a root until it has a version.
func (e *Eraser) rotateTo(ctx context.Context, root keytree.Root, target int) error {
	has, err := e.Keys.Versions(ctx, root)
	for err == nil && has.Latest < target {
		// gofail: var recoverRotate string
		// return failpoint(recoverRotate)
		has.Latest, err = e.Keys.Rotate(ctx, root)
	}
	return err
}

// resume goes on with a tenant whose newest head opens: a recovery may have been
// killed after it had committed that, or the provider is older than the last
// destruction only.
func (e *Eraser) resume(ctx context.Context, t *catalog.Tenant, newest keytree.Head, r Recovery, found *Recovered) (err error) {
	if found.Unproved, err = e.unproved(ctx, newest); err != nil {
		return err
	}
	if r.Unproved == Puncture {
		found.Slots = found.Unproved
	}
	if r.DryRun {
		found.Revived, err = e.older(ctx, newest)
		return err
	}
	if err := e.follow(ctx, t); err != nil {
		return err
	}
	if found.Revived, err = e.retireAgain(ctx, *t); err != nil {
		return err
	}
	if err := e.punctureAll(ctx, t, r.Unproved); err != nil {
		return err
	}
	if err := e.drive(ctx, t.ID); err != nil {
		return err
	}
	if found.Unproved > 0 && r.Unproved == Ask {
		return fmt.Errorf("%w: %d", ErrUnproved, found.Unproved)
	}
	return nil
}

// unproved counts the slots that are due in the catalog, though nothing proves that they
// were erased, and whose keys a head still has.
func (e *Eraser) unproved(ctx context.Context, h keytree.Head) (int, error) {
	keys, err := keytree.Unwrap(ctx, e.Keys, e.Pages, h)
	if err != nil {
		return 0, err
	}
	defer keys.Clear()
	s := since{proved: map[keytree.Slot]bool{}, unproved: map[keytree.Slot]bool{}}
	if err := e.buried(ctx, h, keys, &s); err != nil {
		return 0, err
	}
	open, err := e.open(ctx, h, s.unproved)
	return len(open), err
}

// A chain is a tenant's newest heads, down to the first that opens.
type chain struct {
	newest uint64         // epoch
	opens  keytree.Head   // none of an erased tenant whose key is gone
	closed []keytree.Head // after it, that open no more
	lost   int            // after it, that are none of ours
	erased bool           // one after it says so
}

// version is that under which an epoch's root is wrapped: each epoch takes the next.
func (c chain) version(epoch uint64) int { return c.opens.Version + int(epoch-c.opens.Epoch) }

// chain finds the newest head that opens.
func (e *Eraser) chain(ctx context.Context, t catalog.Tenant) (c chain, err error) {
	if c.newest, err = e.newest(ctx, t); err != nil {
		return c, err
	}
	for epoch := c.newest; ; epoch-- {
		h, err := keytree.ReadHead(ctx, e.Blobs, t.ID, epoch)
		switch {
		case errors.Is(err, keytree.ErrHead), errors.Is(err, fs.ErrNotExist):
			c.lost++
		case err != nil:
			return c, err
		case h.Kind == keytree.HeadErased:
			c.erased = true
		default:
			opens, err := e.opens(ctx, h)
			if err != nil {
				return c, err
			}
			if opens {
				c.opens = h
				c.disown()
				return c, nil
			}
			c.closed = append(c.closed, h)
		}
		if epoch == 0 && c.erased { // as it should be
			return c, nil
		}
		if epoch == 0 {
			return c, fmt.Errorf("%w: %v", ErrNoHead, t.ID)
		}
	}
}

// disown counts as lost the heads that cannot be ours.
func (c *chain) disown() {
	all := len(c.closed)
	c.closed = slices.DeleteFunc(c.closed, func(h keytree.Head) bool { return h.Version != c.version(h.Epoch) })
	c.lost += all - len(c.closed)
}

// newest is the epoch of the newest head that the store has.
func (e *Eraser) newest(ctx context.Context, t catalog.Tenant) (uint64, error) {
	for epoch := uint64(t.Epoch); ; epoch++ {
		_, err := keytree.ReadHead(ctx, e.Blobs, t.ID, epoch)
		switch {
		case errors.Is(err, fs.ErrNotExist) && epoch == uint64(t.Epoch):
			return 0, fmt.Errorf("%w: the store lacks epoch %d of %v, which the catalog has: it is older than it was", recording.ErrIncident, epoch, t.ID)
		case errors.Is(err, fs.ErrNotExist):
			return epoch - 1, nil
		case err != nil && !errors.Is(err, keytree.ErrHead):
			return 0, err
		}
	}
}

// opens reports whether the root of a head opens.
func (e *Eraser) opens(ctx context.Context, h keytree.Head) (bool, error) {
	keys, err := keytree.Unwrap(ctx, e.Keys, e.Pages, h)
	if err == nil {
		keys.Clear()
		return true, nil
	}
	for _, closed := range []error{keytree.ErrForgotten, keytree.ErrRolledBack, keytree.ErrBind, keytree.ErrSealed, keytree.ErrPage} {
		if errors.Is(err, closed) {
			return false, nil
		}
	}
	return false, err
}

// Opening gives the keys of a tenant's newest head that opens.
func (e *Eraser) Opening(ctx context.Context, t catalog.Tenant) (*keytree.Keys, error) {
	c, err := e.chain(ctx, t)
	if err == nil && c.opens.Wrapped == nil {
		err = fmt.Errorf("%w: %v", ErrNoHead, t.ID)
	}
	if err != nil {
		return nil, err
	}
	return keytree.Unwrap(ctx, e.Keys, e.Pages, c.opens)
}
