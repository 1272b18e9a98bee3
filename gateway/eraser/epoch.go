package eraser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// puncture moves a tenant to its next epoch if slots are to be punctured, and
// reports whether it did and whether others are left.
func (e *Eraser) puncture(ctx context.Context, t *catalog.Tenant, how Unproved) (moved, more bool, err error) {
	head, err := ownHead(*t)
	if err != nil {
		return false, false, err
	}
	next, more, err := e.nextEpoch(ctx, head, how)
	if err != nil || next == nil {
		return false, false, err
	}
	defer next.Clear()
	target, err := e.rotate(ctx, head)
	if err != nil {
		return false, false, err
	}
	head, err = next.Commit(ctx, e.Keys, e.Blobs, target)
	if errors.Is(err, fs.ErrExist) { // another was first, or this one and was not told
		return true, true, e.follow(ctx, t)
	}
	if err != nil {
		return false, false, err
	}
	if err := e.following().follow(ctx, t, head, next.Slots, next.Pages()); err != nil {
		return false, false, err
	}
	e.Moved(t.ID)
	e.counts.epochs.Add(1)
	e.counts.slots.Add(uint64(len(next.Slots)))
	e.Logger.Info("tenant moved to its next epoch", "tenant", t.ID.String(), "epoch", head.Epoch,
		"slots", len(next.Slots), "pages", len(next.Pages()), "bytes", next.Bytes())
	return true, more, nil
}

// ownHead is the head that a tenant's row has.
func ownHead(t catalog.Tenant) (keytree.Head, error) {
	head, err := keytree.ParseHead(t.Head)
	if err != nil || head.Tenant != t.ID || int64(head.Epoch) != t.Epoch {
		return head, fmt.Errorf("%w: the catalog's head of %v is not one of its own", recording.ErrIncident, t.ID)
	}
	return head, nil
}

// nextEpoch makes the epoch after a head, in memory, nil if there is nothing to
// puncture, and reports whether slots are left for another. Before the catalog moves on
// it has what was asked for in the epoch before, which nobody looks for later: a database
// that took over, or was put back, may lack what the store has records of.
func (e *Eraser) nextEpoch(ctx context.Context, head keytree.Head, how Unproved) (next *keytree.Next, more bool, err error) {
	rows, unrecorded, more, err := e.Catalog.ToPuncture(ctx, head.Tenant, keytree.MostPunctures)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	for _, row := range unrecorded {
		if err := Record(ctx, e.Blobs, e.Catalog, row); err != nil {
			return nil, false, err
		}
	}
	of := make([]keytree.Slot, len(rows))
	for i, row := range rows {
		of[i] = slotOf(row.Slot)
	}
	ahead, err := e.Pages.Ahead(ctx, head.Tenant, of)
	if err != nil {
		return nil, false, err
	}
	keys, err := keytree.Unwrap(ctx, e.Keys, ahead, head)
	if err != nil {
		return nil, false, distrust(head.Tenant, head, err)
	}
	defer keys.Clear()
	slots, more, err := e.mayGo(ctx, head.Tenant, keys, rows, more, how)
	if err != nil || len(slots) == 0 {
		return nil, false, err
	}
	if _, err := e.following().Requeue(ctx, head.Tenant, keys, int64(head.Epoch)); err != nil {
		return nil, false, err
	}
	next, err = keys.Puncture(ctx, slots)
	return next, more, err
}

// rotate gives the version under which the next root is to be wrapped: always one
// more than that of the head. If it exists already, someone was killed here.
func (e *Eraser) rotate(ctx context.Context, head keytree.Head) (target int, err error) {
	root, target := keytree.RootOf(head.Tenant), head.Version+1
	has, err := e.Keys.Versions(ctx, root)
	switch {
	case err != nil:
		return 0, distrust(head.Tenant, head, err)
	case has.Latest >= target:
		return target, nil
	case has.Latest < head.Version:
		return 0, distrust(head.Tenant, head, keytree.ErrRolledBack)
	}
	// gofail: var rootRotate string
	// return 0, failpoint(rootRotate)
	_, err = e.Keys.Rotate(ctx, root)
	return target, err
}

// finish destroys what opens the epochs before a tenant's head, unless that is
// done. The head was proved to open from both places where it is kept.
func (e *Eraser) finish(ctx context.Context, t catalog.Tenant) error {
	open, err := e.Catalog.UnfinishedEpochs(ctx, t.ID)
	if err != nil || len(open) == 0 {
		return err
	}
	head, err := ownHead(t)
	if err != nil {
		return err
	}
	if err := e.readBack(ctx, head); err != nil {
		return err
	}
	before, err := e.Keys.Versions(ctx, keytree.RootOf(t.ID))
	if err != nil {
		return err
	}
	// gofail: var rootRetire string
	// return failpoint(rootRetire)
	after, err := e.retire(ctx, head)
	if err != nil {
		return err
	}
	for _, epoch := range open { // those before this one went with it
		epoch.EffectiveAt, epoch.OldestBefore, epoch.OldestAfter = now(), int64(before.Oldest), int64(after.Oldest)
		// gofail: var epochEffective string
		// return failpoint(epochEffective)
		if err := e.Catalog.EpochEffective(ctx, epoch); err != nil {
			return err
		}
	}
	return nil
}

// retire destroys what is older than a head that was read back and opened, proves
// that it is gone, and gives the versions that are left.
func (e *Eraser) retire(ctx context.Context, head keytree.Head) (keytree.Versions, error) {
	root := keytree.RootOf(head.Tenant)
	if err := e.Keys.Retire(ctx, root, head.Version); err != nil {
		return keytree.Versions{}, fmt.Errorf("retire versions of %v: %w", head.Tenant, err)
	}
	left, err := e.Keys.Versions(ctx, root)
	if err == nil && left.Oldest < head.Version {
		err = fmt.Errorf("%w: the provider of %v still has version %d", recording.ErrIncident, head.Tenant, left.Oldest)
	}
	if err == nil {
		err = e.refused(ctx, head)
	}
	return left, err
}

// readBack proves that the head is kept in the store and in the catalog, and that
// its root opens from either. What would open nothing else must not be destroyed.
func (e *Eraser) readBack(ctx context.Context, head keytree.Head) error {
	stored, err := keytree.ReadHead(ctx, e.Blobs, head.Tenant, head.Epoch)
	if err != nil {
		return fmt.Errorf("read back from the store: %w", distrust(head.Tenant, head, err))
	}
	row, err := e.Catalog.Tenant(ctx, head.Tenant)
	if err != nil {
		return fmt.Errorf("read back from the catalog: %w", err)
	}
	kept, err := ownHead(row)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored.Marshal(), kept.Marshal()) || !bytes.Equal(kept.Marshal(), head.Marshal()) {
		return fmt.Errorf("%w: store and catalog have different heads of epoch %d of %v", recording.ErrIncident, head.Epoch, head.Tenant)
	}
	for _, h := range []keytree.Head{stored, kept} {
		keys, err := keytree.Unwrap(ctx, e.Keys, nil, h)
		if err != nil {
			return fmt.Errorf("open the root that was read back: %w", distrust(head.Tenant, h, err))
		}
		keys.Clear()
	}
	return nil
}

// refused proves that the root of the epoch before opens no more. After a recovery
// that is one of those that did not open before; a blob in its place that is no head
// of ours does not either.
func (e *Eraser) refused(ctx context.Context, head keytree.Head) error {
	before, err := keytree.ReadHead(ctx, e.Blobs, head.Tenant, head.Epoch-1)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, keytree.ErrHead) { // superseded heads are deleted in time
		return nil
	}
	if err != nil {
		return err
	}
	opens, err := e.opens(ctx, before)
	if err == nil && opens {
		err = fmt.Errorf("%w: the root of epoch %d of %v still opens", recording.ErrIncident, before.Epoch, head.Tenant)
	}
	return err
}
