package eraser

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/pages"
	"github.com/lethe-vault/lethe/recording"
)

// Following is what it takes to let a catalog follow the heads of the store.
type Following struct {
	Blobs   blob.Store
	Catalog *catalog.Catalog
	Keys    keytree.Provider
	Pages   *pages.Cache
	Logger  *slog.Logger

	// Lost is told of each earlier epoch whose head or pack is lost; nil tells nobody.
	Lost func()

	// Restored is told of erasures that the catalog had lost.
	Restored func(recording.Tenant, []recording.ErasureID)

	// Told reads what a version's row has to say where a filing has it.
	// recording.ErrIntegrity: the filing is none of the version's.
	Told func(context.Context, *keytree.Keys, catalog.Version, keytree.Filing) (catalog.Refiled, error)
}

// Follow rolls a tenant's row forward to the newest head that the store has: one
// that its coordinator did not live to tell the catalog of, or that an older copy of
// the catalog lacks. A head is believed when its root opens, since nobody can wrap
// one who may not move the tenant: recording.ErrIncident when it does not.
// Erasures that the catalog lacks are restored before it moves on from the epoch in
// which they were asked for. recording.ErrTenantErased: the newest head says so.
// Another may follow at the same time: then it goes on from where that has come; or move
// the tenant on, and destroy what opens a head that was the newest: then one follows that.
func (f Following) Follow(ctx context.Context, t *catalog.Tenant) error {
	newest, err := f.newest(ctx, *t)
	if err != nil || newest == nil {
		return err
	}
	err = f.FollowTo(ctx, t, *newest)
	moved := errors.Is(err, catalog.ErrBehind)
	if errors.Is(err, recording.ErrIncident) {
		_, none := keytree.ReadHead(ctx, f.Blobs, t.ID, newest.Epoch+1)
		moved = none == nil
	}
	if !moved {
		return err
	}
	if *t, err = f.Catalog.Tenant(ctx, t.ID); err != nil {
		return err
	}
	return f.Follow(ctx, t)
}

// FollowTo is Follow to a head that is known to be the newest. A head on the way is
// passed over that the store has no more, or that is none which a recovery found
// to open: what its epoch punctured, no key opens that the newest has.
func (f Following) FollowTo(ctx context.Context, t *catalog.Tenant, newest keytree.Head) error {
	var keys *keytree.Keys // none of a tenant that is erased, of which nothing is to be kept
	if newest.Kind != keytree.HeadErased {
		var err error
		if keys, err = keytree.Unwrap(ctx, f.Keys, f.Pages, newest); err != nil {
			return distrust(t.ID, newest, err)
		}
		defer keys.Clear()
		if err := f.keepPages(ctx, *t, newest.Epoch); err != nil {
			return err
		}
	}
	for epoch := uint64(t.Epoch) + 1; epoch <= newest.Epoch; epoch++ {
		if keys != nil {
			if _, err := f.Requeue(ctx, t.ID, keys, int64(epoch)-1); err != nil {
				return err
			}
		}
		head, err := keytree.ReadHead(ctx, f.Blobs, t.ID, epoch)
		missing := errors.Is(err, fs.ErrNotExist) || errors.Is(err, keytree.ErrHead)
		if missing && epoch < newest.Epoch {
			f.passedOver(t.ID, epoch, err)
			continue
		}
		if err != nil {
			return err
		}
		if head.Kind == keytree.HeadErased {
			return recording.ErrTenantErased
		}
		if err := f.adopt(ctx, t, head, newest, keys); err != nil {
			return err
		}
	}
	return nil
}

// keepPages keeps the pages of all heads that are to be followed, if they are several:
// what earlier packs name is asked of the newest keys, which would else read the store
// for every page on the way.
func (f Following) keepPages(ctx context.Context, t catalog.Tenant, newest uint64) error {
	if newest <= uint64(t.Epoch)+1 {
		return nil
	}
	for epoch := uint64(t.Epoch) + 1; epoch <= newest; epoch++ {
		head, err := keytree.ReadHead(ctx, f.Blobs, t.ID, epoch)
		var pack keytree.Pack
		if err == nil && head.Kind == keytree.HeadPunctured {
			pack, err = keytree.ReadPack(ctx, f.Blobs, head)
		}
		if err = distrust(t.ID, head, err); err != nil && !errors.Is(err, recording.ErrIncident) {
			return err
		}
		if _, err := f.put(ctx, pack.Pages); err != nil {
			return err
		}
	}
	return nil
}

// newest gives the newest head that the store has, nil if the catalog has no older
// one. What stands in the place of a head and is none is passed over if one follows.
func (f Following) newest(ctx context.Context, t catalog.Tenant) (newest *keytree.Head, err error) {
	var none error // in the place of the newest
	for epoch := uint64(t.Epoch) + 1; ; epoch++ {
		head, err := keytree.ReadHead(ctx, f.Blobs, t.ID, epoch)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return newest, none
		case errors.Is(err, keytree.ErrHead):
			none = distrust(t.ID, keytree.Head{Epoch: epoch}, err)
			continue
		case err != nil:
			return nil, err
		}
		newest, none = &head, nil
		if head.Kind == keytree.HeadErased {
			return newest, nil
		}
	}
}

// adopt follows a head that was found in the store, where the newest one is known, and
// its keys if it has any. Before that, one whose root opens has proved its pack. Of one
// that the provider has forgotten the pack may be anybody's: of the slots that it names
// those count that the newest keys have not. Any other is passed over.
func (f Following) adopt(ctx context.Context, t *catalog.Tenant, h, newest keytree.Head, last *keytree.Keys) error {
	keys, err := keytree.Unwrap(ctx, f.Keys, nil, h)
	keys.Clear()
	forgotten := errors.Is(err, keytree.ErrForgotten) && h.Epoch < newest.Epoch
	if forgotten {
		err = nil
	}
	pack := keytree.Pack{}
	if err == nil && h.Kind == keytree.HeadPunctured {
		pack, err = keytree.ReadPack(ctx, f.Blobs, h)
	}
	if forgotten && err == nil {
		pack.Slots, err = f.proved(ctx, pack, newest)
	}
	err = distrust(t.ID, h, err)
	if errors.Is(err, recording.ErrIncident) && h.Epoch < newest.Epoch {
		f.passedOver(t.ID, h.Epoch, err)
		return nil
	}
	if err != nil {
		return err
	}
	if last != nil {
		if err := f.refile(ctx, t.ID, last, pack.Slots); err != nil {
			return err
		}
	}
	return f.follow(ctx, t, h, pack.Slots, pack.Pages)
}

// passedOver tells of an earlier epoch that cannot be followed. What it punctured gives
// no key; what hangs from its pages, if its pack is lost, does not either.
func (f Following) passedOver(t recording.Tenant, epoch uint64, why error) {
	f.Logger.Warn("an earlier epoch is passed over", "tenant", t.String(), "epoch", epoch, "error", why)
	if lost := errors.Is(why, fs.ErrNotExist) || errors.Is(why, keytree.ErrHead) || errors.Is(why, keytree.ErrPack); lost && f.Lost != nil {
		f.Lost()
	}
}

// proved gives those slots of a pack that a newer head has punctured. One that it has
// not was never punctured, whatever the pack says; and one that the pack keeps to itself
// is due in the catalog, where the next epoch makes sure of it.
func (f Following) proved(ctx context.Context, pack keytree.Pack, newest keytree.Head) ([]keytree.Slot, error) {
	if newest.Kind == keytree.HeadErased { // there is nothing to ask; nor to keep
		return nil, nil
	}
	slots := slices.DeleteFunc(slices.Clone(pack.Slots), func(s keytree.Slot) bool { return s.MayGo() != nil })
	slices.SortFunc(slots, keytree.Slot.Compare)
	open, gone, err := f.divide(ctx, newest, slots)
	if len(open) > 0 {
		f.Logger.Error("the store's pack of an earlier epoch names keys that were never destroyed: it is not ours, or damaged. They are not taken for erased",
			"tenant", pack.Tenant.String(), "epoch", pack.Epoch, "slots", len(open), "tree", open[0].Tree, "first", open[0].Number)
	}
	return gone, err
}

// distrust says of what kind an error is about a head of the store.
func distrust(t recording.Tenant, h keytree.Head, err error) error {
	for _, wrong := range []error{
		keytree.ErrForgotten, keytree.ErrRolledBack, keytree.ErrBind, keytree.ErrSealed, keytree.ErrPage, keytree.ErrPack, keytree.ErrHead, fs.ErrNotExist,
	} {
		if errors.Is(err, wrong) {
			return fmt.Errorf("%w: epoch %d of %v, which the store has: %w", recording.ErrIncident, h.Epoch, t, err)
		}
	}
	return err
}

// pagesAtOnce bounds the pages of one transaction, of some 1.1 kB each.
const pagesAtOnce = 1000

// follow lets the catalog follow a head: its pages first, which nothing leads to
// before the row says that this is the tenant's head.
func (f Following) follow(ctx context.Context, t *catalog.Tenant, h keytree.Head, slots []keytree.Slot, written []keytree.Page) error {
	rows, err := f.put(ctx, written)
	if err != nil {
		return err
	}
	next := catalog.Follow{
		Tenant: t.ID, From: t.Epoch, Version: int64(h.Version),
		Head: catalog.Head{Epoch: int64(h.Epoch), Bytes: h.Marshal()}, At: now(),
	}
	for _, s := range slots {
		next.Slots = append(next.Slots, catalog.Slot{Tree: int64(s.Tree), Number: int64(s.Number)})
	}
	// gofail: var headFollow string
	// return failpoint(headFollow)
	if err := f.Catalog.FollowHead(ctx, next); err != nil {
		return err
	}
	t.Epoch, t.Head = next.Head.Epoch, next.Head.Bytes
	for some := range slices.Chunk(rows, pagesAtOnce) {
		// What is missed here is found in the store by whoever still has the root
		// before, for as long as a lease.
		if err := f.Catalog.DropOlderPages(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// put keeps pages, and gives their rows.
func (f Following) put(ctx context.Context, written []keytree.Page) ([]catalog.Page, error) {
	rows := make([]catalog.Page, len(written))
	for i, p := range written {
		rows[i] = pages.Row(p)
	}
	for some := range slices.Chunk(rows, pagesAtOnce) {
		// gofail: var pagesFollow string
		// return nil, failpoint(pagesFollow)
		if err := f.Catalog.PutPages(ctx, some); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// follow is Follow, and tells who holds keys of the epoch before.
func (e *Eraser) follow(ctx context.Context, t *catalog.Tenant) error {
	was := t.Epoch
	err := e.following().Follow(ctx, t)
	if t.Epoch != was {
		e.Moved(t.ID)
	}
	return err
}

func (e *Eraser) following() Following {
	return Following{
		Blobs: e.Blobs, Catalog: e.Catalog, Keys: e.Keys, Pages: e.Pages, Logger: e.Logger, Restored: e.Restored, Told: e.Told,
	}
}
