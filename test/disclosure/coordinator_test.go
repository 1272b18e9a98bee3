package disclosure_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// A driver is what drives a tenant's epochs, and the database it does it by. The
// property asks no more of it, so that any may stand here.
type driver interface {
	// queue asks for slots to be gone, durably.
	queue(slots ...keytree.Slot)

	// run is the life of one coordinator, which begins with nothing in memory, may
	// be raced by others, and returns errCrashed if it died. When it returns nil,
	// what was queued when it began is gone for good.
	run(l *life, keys keytree.Provider, store keytree.Store) error

	// restore brings back a backup of the database from when h was the newest head.
	// Tombstones are not in it: those given are what the store's records ask for.
	restore(h keytree.Head, tombstones []keytree.Slot)
}

// simple is the least that drives epochs in the order of their states. It believes
// what it reads back, as the product does not.
type simple struct{ db *database }

func newSimple(h keytree.Head) driver { return simple{&database{head: h}} }

func (s simple) queue(slots ...keytree.Slot) { s.db.queue(slots...) }

func (s simple) restore(h keytree.Head, tombstones []keytree.Slot) { s.db.restore(h, tombstones) }

func (s simple) run(l *life, keys keytree.Provider, store keytree.Store) error {
	return coordinate(context.Background(), mortalKeys{keys, l}, mortalStore{store, l}, &view{s.db, l})
}

// database is what a tenant's catalog holds for its coordinators.
type database struct {
	mu     sync.Mutex // guards the rest
	head   keytree.Head
	queued []keytree.Slot // tombstones without an epoch
}

func (d *database) queue(slots ...keytree.Slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queued = append(d.queued, slots...)
}

func (d *database) restore(h keytree.Head, tombstones []keytree.Slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.head, d.queued = h, slices.Clone(tombstones)
}

// view is the database as one life sees it.
type view struct {
	*database
	life *life
}

var errBehind = errors.New("the database has another epoch")

func (v *view) newest() (h keytree.Head, err error) {
	return h, v.life.step("read the catalog", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		h = v.head
		return nil
	})
}

// waiting gives what is queued after an epoch. Were it to say so of a later one,
// "nothing" would not mean that all is finished.
func (v *view) waiting(after uint64) (slots []keytree.Slot, err error) {
	return slots, v.life.step("read the queue", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.head.Epoch != after {
			return errBehind
		}
		slots = slices.Clone(v.queued)
		return nil
	})
}

// follow sets the head of the epoch after from, by which slots are gone.
func (v *view) follow(from uint64, h keytree.Head, slots []keytree.Slot) error {
	return v.life.step("follow", func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.head.Epoch != from {
			return errBehind
		}
		v.head = h
		v.queued = slices.DeleteFunc(v.queued, func(s keytree.Slot) bool { return slices.Contains(slots, s) })
		return nil
	})
}

// coordinate drives epochs forward as the states say: roll the database forward,
// finish the newest epoch, begin the next.
func coordinate(ctx context.Context, keys keytree.Provider, store keytree.Store, db *view) error {
	for {
		err := epoch(ctx, keys, store, db)
		switch {
		case errors.Is(err, errIdle):
			return nil
		case errors.Is(err, fs.ErrExist), errors.Is(err, errBehind), errors.Is(err, errOvertaken):
			continue // another was faster: look again
		case err != nil:
			return err
		}
	}
}

var (
	errIdle      = errors.New("nothing is queued")
	errOvertaken = errors.New("there is a newer head")
)

func epoch(ctx context.Context, keys keytree.Provider, store keytree.Store, db *view) error {
	head, err := rollForward(ctx, store, db)
	if err != nil {
		return err
	}
	if err := finish(ctx, keys, store, db, head); err != nil {
		return overtaken(ctx, store, head, err)
	}
	slots, err := db.waiting(head.Epoch)
	if err != nil {
		return err
	}
	if len(slots) == 0 {
		return errIdle
	}
	return overtaken(ctx, store, head, advance(ctx, keys, store, head, slots))
}

// rollForward has the database follow every head there is, and gives the newest.
func rollForward(ctx context.Context, store keytree.Store, db *view) (keytree.Head, error) {
	head, err := db.newest()
	if err != nil {
		return head, err
	}
	for {
		next, err := keytree.ReadHead(ctx, store, head.Tenant, head.Epoch+1)
		if errors.Is(err, fs.ErrNotExist) {
			return head, nil
		}
		if err != nil {
			return head, err
		}
		pack, err := keytree.ReadPack(ctx, store, next)
		if err != nil {
			return head, err
		}
		if err := db.follow(head.Epoch, next, pack.Slots); err != nil {
			return head, err
		}
		head = next
	}
}

// finish destroys the provider's versions before that of a head, once the head was
// read back and unwrapped from both places.
func finish(ctx context.Context, keys keytree.Provider, store keytree.Store, db *view, head keytree.Head) error {
	copied, err := db.newest()
	if err != nil {
		return err
	}
	stored, err := keytree.ReadHead(ctx, store, head.Tenant, head.Epoch)
	if err != nil {
		return err
	}
	if copied.Epoch != head.Epoch {
		return errBehind
	}
	for _, h := range []keytree.Head{copied, stored} {
		k, err := keytree.Unwrap(ctx, keys, keytree.InStore(store), h)
		if err != nil {
			return err
		}
		k.Clear()
	}
	return keys.Retire(ctx, keytree.RootOf(head.Tenant), head.Version)
}

// advance commits the epoch after head.
func advance(ctx context.Context, keys keytree.Provider, store keytree.Store, head keytree.Head, slots []keytree.Slot) error {
	target, err := rotate(ctx, keys, head)
	if err != nil {
		return err
	}
	k, err := keytree.Unwrap(ctx, keys, keytree.InStore(store), head)
	if err != nil {
		return err
	}
	defer k.Clear()
	next, err := k.Puncture(ctx, slots)
	if err != nil {
		return err
	}
	defer next.Clear()
	_, err = next.Commit(ctx, keys, store, target)
	return err
}

// rotate makes sure that there is the version after a head's.
func rotate(ctx context.Context, keys keytree.Provider, head keytree.Head) (target int, err error) {
	root := keytree.RootOf(head.Tenant)
	has, err := keys.Versions(ctx, root)
	if err != nil {
		return 0, err
	}
	if has.Latest == head.Version {
		_, err = keys.Rotate(ctx, root)
	}
	return head.Version + 1, err
}

// overtaken says whether an error only means that another coordinator went on
// from head, and destroyed its version.
func overtaken(ctx context.Context, store keytree.Store, head keytree.Head, err error) error {
	if !errors.Is(err, keytree.ErrForgotten) {
		return err
	}
	if _, newer := keytree.ReadHead(ctx, store, head.Tenant, head.Epoch+1); newer != nil {
		return fmt.Errorf("%w; and no newer head: %w", err, newer)
	}
	return errOvertaken
}

// newestHead is the newest in the store, from one on.
func newestHead(ctx context.Context, store keytree.Store, t recording.Tenant, from uint64) (keytree.Head, error) {
	head, err := keytree.ReadHead(ctx, store, t, from)
	for err == nil {
		var next keytree.Head
		if next, err = keytree.ReadHead(ctx, store, t, head.Epoch+1); err == nil {
			head = next
		}
	}
	if errors.Is(err, fs.ErrNotExist) && head.Tenant == t {
		err = nil
	}
	return head, err
}
