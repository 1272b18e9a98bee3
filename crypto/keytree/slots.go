package keytree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

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
	store Store
	mu    sync.Mutex // guards trees
	trees map[treeOf]*block
}

type treeOf struct {
	tenant recording.Tenant
	tree   Tree
}

// block is the rest of the newest reserved block of one tree.
type block struct {
	mu   sync.Mutex // guards next and end; held while a block is reserved
	next uint64
	end  uint64 // next == end: nothing left; end == 0: nothing reserved yet
}

// NewReserver hands out slots of trees whose reservations store keeps.
func NewReserver(store Store) *Reserver {
	return &Reserver{store: store, trees: map[treeOf]*block{}}
}

// Next gives a fresh slot, never 0.
func (r *Reserver) Next(ctx context.Context, tenant recording.Tenant, tree Tree) (uint64, error) {
	b := r.block(treeOf{tenant, tree})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == b.end {
		if err := r.reserve(ctx, treeOf{tenant, tree}, b); err != nil {
			return 0, fmt.Errorf("reserve slots of tree %d: %w", tree, err)
		}
	}
	slot := b.next
	b.next++
	return slot, nil
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

// reserve takes the lowest block that nobody has. Blocks are taken in order,
// so the taken ones have no gap and a search by halves finds their end.
func (r *Reserver) reserve(ctx context.Context, t treeOf, b *block) error {
	n := b.end / blockSize
	if b.end == 0 {
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
		b.next, b.end = n*blockSize, (n+1)*blockSize
		if b.next == 0 {
			b.next = 1 // slot 0 has a meaning of its own
		}
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
