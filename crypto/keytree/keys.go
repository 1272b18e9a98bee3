package keytree

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-vault/lethe/recording"
)

// ErrErased: the newest head says that the tenant is erased.
var ErrErased = errors.New("keytree: tenant is erased")

// Keys derives a tenant's keys from its root for as long as the lease that
// gave it lasts. It is a value of one request or one segment; do not keep it.
type Keys struct {
	tenant recording.Tenant
	epoch  uint64
	live   bool // not cleared
	top    tops
	pages  Pages
	trails *trails     // nil unless Follow made it
	system *systemKeys // nil unless a lease gave it
}

var errCleared = errors.New("keytree: keys were cleared")

// Slot derives the key of one leaf. ErrPunctured: it was forgotten. Beneath a node
// under which something was, it needs that node's page: then also the errors of
// Pages.
func (k *Keys) Slot(ctx context.Context, t Tree, slot uint64) (Key, error) {
	if err := (Slot{t, slot}).check(); err != nil {
		return Key{}, err
	}
	if !k.live {
		return Key{}, errCleared
	}
	if k.trails != nil {
		return k.trails.slotKey(ctx, k, t, slot)
	}
	h := *k.top.of(t)
	for level := 0; level < depth; level++ {
		var err error
		if h, err = k.below(ctx, &h, nodeOf(t, level, slot), slot); err != nil {
			return Key{}, err
		}
	}
	return h.leaf(t, slot)
}

// below gives the holder of the child of a node that lies on the way to slot.
func (k *Keys) below(ctx context.Context, h *holder, at Node, slot uint64) (holder, error) {
	if h.kind != explicit {
		return h.below(k.tenant, at, slot), ctx.Err()
	}
	plain, err := k.unseal(ctx, h, slot)
	if err != nil {
		return holder{}, err
	}
	defer clear(plain)
	return one(plain, h.page, at.toward(slot))
}

// below is Keys.below where no page is needed.
func (h *holder) below(tenant recording.Tenant, at Node, slot uint64) holder {
	if h.kind == gone {
		return holder{}
	}
	return holder{kind: implicit, key: childSecret(&h.key, tenant, at, byte(at.toward(slot)))}
}

// leaf gives the key that h, at the bottom of a tree, holds.
func (h *holder) leaf(t Tree, slot uint64) (Key, error) {
	switch h.kind {
	case implicit:
		return h.key, nil
	case gone:
		return Key{}, fmt.Errorf("%w: %d of tree %d", ErrPunctured, slot, t)
	}
	return Key{}, ErrPage
}

// unseal finds and opens the page by which h holds a node. A copy of it may be
// another's: who can change copies gains nothing by it.
func (k *Keys) unseal(ctx context.Context, h *holder, slot uint64) ([]byte, error) {
	sealed, err := k.pages.Page(ctx, h.page, slot)
	if err != nil {
		return nil, err
	}
	if plain, err := openPage(h, sealed); err == nil {
		return plain, nil
	}
	if sealed, err = k.pages.Stored(ctx, h.page); err != nil {
		return nil, err
	}
	return openPage(h, sealed)
}

// Epoch is that of the head whose root they are.
func (k *Keys) Epoch() uint64 { return k.epoch }

// System derives the key of a slot of the system tree.
func (k *Keys) System(ctx context.Context, slot uint64) (Key, error) {
	if k.system == nil || !k.live {
		return k.Slot(ctx, System, slot)
	}
	if key, ok := k.system.find(slot); ok {
		return key, ctx.Err()
	}
	key, err := k.Slot(ctx, System, slot)
	if err == nil {
		k.system.keep(slot, key)
	}
	return key, err
}

// Clear overwrites the root and what was derived on the way; nothing can be
// derived any more. Nil is cleared.
func (k *Keys) Clear() {
	if k != nil {
		k.live = false
		k.top.clear()
		k.trails.clear()
	}
}

// Plant makes a tenant's root at the provider, draws its secret, and commits
// the head of epoch 0 in the store.
func Plant(ctx context.Context, p Provider, s Store, tenant recording.Tenant) (Head, error) {
	root := RootOf(tenant)
	if err := p.Create(ctx, root); err != nil {
		return Head{}, fmt.Errorf("create root of %v: %w", tenant, err)
	}
	secret := NewKey()
	defer secret.Clear()
	h := Head{Kind: HeadSeed, Tenant: tenant, Version: 1}
	var err error
	if h.Wrapped, err = p.Wrap(ctx, root, h.Version, secret, h.bind()); err != nil {
		return Head{}, fmt.Errorf("wrap root of %v: %w", tenant, err)
	}
	return h, Commit(ctx, s, h)
}

// Unwrap opens a head's root, beneath which pages are found where pages says.
func Unwrap(ctx context.Context, p Provider, pages Pages, h Head) (*Keys, error) {
	if h.Kind == HeadErased {
		return nil, ErrErased
	}
	root, err := p.Unwrap(ctx, RootOf(h.Tenant), h.Wrapped, h.bind())
	if err != nil {
		return nil, fmt.Errorf("unwrap root of %v: %w", h.Tenant, err)
	}
	defer root.Clear()
	k := &Keys{tenant: h.Tenant, epoch: h.Epoch, live: true, pages: pages}
	if h.Kind == HeadSeed {
		k.top = deriveTops(&root, h.Tenant)
		return k, nil
	}
	if k.top, err = openTops(root, h.Tenant, h.Epoch, h.Top); err != nil {
		return nil, fmt.Errorf("top page of %v: %w", h.Tenant, err)
	}
	return k, nil
}
