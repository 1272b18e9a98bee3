package keytree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/recording"
)

// Store is what the tree needs of a blob store. Create is exclusive: an error
// that is fs.ErrExist says that the key is taken. Open's error is
// fs.ErrNotExist when it is not.
type Store interface {
	Create(ctx context.Context, key string, r io.Reader, size int64) error
	Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
}

// blockSize is how many slots one reservation covers.
const blockSize = 1024

// Reserver hands out slots that were never handed out before, in this process
// or any other, whatever happened to the catalog. Slots come in blocks, each
// reserved by the exclusive create of a blob that is never deleted; what is
// left of a block when a process ends is abandoned.
type Reserver struct {
	store  Store
	flight singleflight.Group
	mu     sync.Mutex // guards trees
	trees  map[treeOf]*block
}

type treeOf struct {
	tenant recording.Tenant
	tree   Tree
}

// block is the rest of the newest reserved block of one tree.
type block struct {
	mu   sync.Mutex // guards both
	next uint64
	end  uint64 // next == end: nothing left; end == 0: nothing reserved yet
}

// take gives the next slot of the block, unless nothing is left of it.
func (b *block) take() (slot uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == b.end {
		return 0, false
	}
	b.next++
	return b.next - 1, true
}

// refill makes b the block of number n.
func (b *block) refill(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next, b.end = max(n*blockSize, 1), (n+1)*blockSize // slot 0 has a meaning of its own
}

// NewReserver hands out slots of trees whose reservations store keeps.
func NewReserver(store Store) *Reserver {
	return &Reserver{store: store, trees: map[treeOf]*block{}}
}

// Next gives a fresh slot, never 0. All who find nothing left wait for the same
// reservation and share its error, so that a store that does not answer keeps
// nobody longer than one request to it; the one who began it may go away.
func (r *Reserver) Next(ctx context.Context, tenant recording.Tenant, tree Tree) (uint64, error) {
	t := treeOf{tenant, tree}
	b := r.block(t)
	for {
		if slot, ok := b.take(); ok {
			return slot, nil
		}
		done := r.flight.DoChan(reservationKey(t, 0), func() (any, error) {
			return nil, fault.Contain(func() error { return r.reserve(context.WithoutCancel(ctx), t, b) })
		})
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case reserved := <-done:
			if reserved.Err != nil {
				return 0, fmt.Errorf("reserve slots of tree %d: %w", tree, reserved.Err)
			}
		}
	}
}

func (r *Reserver) block(t treeOf) *block {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.trees[t]
	if !ok {
		b = &block{}
		r.trees[t] = b
	}
	return b
}

// reserve takes the lowest block that nobody has, if nothing is left of b still.
// Blocks are taken in order, so the taken ones have no gap and a search by halves
// finds their end. One call for a tree runs at a time.
func (r *Reserver) reserve(ctx context.Context, t treeOf, b *block) error {
	b.mu.Lock()
	left, end := b.end-b.next, b.end
	b.mu.Unlock()
	if left > 0 { // reserved between the caller's look and this flight
		return nil
	}
	n := end / blockSize
	if end == 0 {
		var err error
		if n, err = r.firstFree(ctx, t); err != nil {
			return err
		}
	}
	for ; n <= MaxSlot/blockSize; n++ {
		// gofail: var slotsReserve string
		// return failpoint(slotsReserve)
		err := r.store.Create(ctx, reservationKey(t, n), strings.NewReader(""), 0)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		// gofail: var slotsReserved string
		// return failpoint(slotsReserved)
		b.refill(n)
		return nil
	}
	return errors.New("keytree: every slot is taken")
}

// firstFree finds the lowest block that is not reserved, in about 2 log2 reads.
func (r *Reserver) firstFree(ctx context.Context, t treeOf) (uint64, error) {
	low, high := uint64(0), uint64(1) // every block below low is taken
	for {
		taken, err := r.taken(ctx, t, high-1)
		if err != nil {
			return 0, err
		}
		if !taken {
			break
		}
		low, high = high, high*2
	}
	for low < high-1 {
		middle := (low + high - 1) / 2
		taken, err := r.taken(ctx, t, middle)
		if err != nil {
			return 0, err
		}
		if taken {
			low = middle + 1
		} else {
			high = middle + 1
		}
	}
	return low, nil
}

func (r *Reserver) taken(ctx context.Context, t treeOf, n uint64) (bool, error) {
	body, err := r.store.Open(ctx, reservationKey(t, n), 0, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, body.Close()
}

func reservationKey(t treeOf, n uint64) string {
	return fmt.Sprintf("slots/%v/%d/%08x", t.tenant, t.tree, n)
}
