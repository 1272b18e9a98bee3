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
	root   Key
	epoch  uint64
	trails *trails     // nil unless Follow made it
	system *systemKeys // nil unless a lease gave it
}

// Slot derives the key of one leaf.
func (k *Keys) Slot(ctx context.Context, t Tree, slot uint64) (Key, error) {
	if slot > MaxSlot {
		return Key{}, fmt.Errorf("keytree: slot %d is outside the tree", slot)
	}
	if k.root.IsZero() {
		return Key{}, errors.New("keytree: keys were cleared")
	}
	if k.trails != nil {
		return k.trails.slotKey(&k.root, k.tenant, t, slot), ctx.Err()
	}
	return slotKey(&k.root, k.tenant, t, slot), ctx.Err()
}

// System derives the key of a slot of the system tree.
func (k *Keys) System(ctx context.Context, slot uint64) (Key, error) {
	if k.system == nil || k.root.IsZero() {
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
		k.root.Clear()
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

// Unwrap opens a head's root.
func Unwrap(ctx context.Context, p Provider, h Head) (*Keys, error) {
	if h.Kind == HeadErased {
		return nil, ErrErased
	}
	secret, err := p.Unwrap(ctx, RootOf(h.Tenant), h.Wrapped, h.bind())
	if err != nil {
		return nil, fmt.Errorf("unwrap root of %v: %w", h.Tenant, err)
	}
	return &Keys{tenant: h.Tenant, root: secret, epoch: h.Epoch}, nil
}
