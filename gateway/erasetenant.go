package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// EraseTenant destroys the tenant's key for good. It returns once reads and
// writes are refused and the request is durable; the rest goes on by itself,
// across restarts and on any replica:
//
//	erasing    the request is the last entry of the journal, and everything is refused
//	recorded   the store has in clear what the certificate will say of the request
//	committed  a head that says erased is created in the store
//	destroyed  the provider has destroyed every version of the root, verified
//	drained    no lease that was given before can still be held
//	certified  the store has the certificate
//	erased     the catalog says so, and has the certificate too
//
// Killed anywhere, the next poll of any replica takes it up; every step may be
// repeated. Erasing again gives the erasure, with its certificate once there is one,
// and without its salt. recording.ErrHeld: the tenant has a hold.
func (g *Gateway) EraseTenant(ctx context.Context, c Caller, name, reason string) (TenantInfo, error) {
	p, err := g.administer(ctx, c, policy.EraseAll, name)
	if err != nil {
		return TenantInfo{}, err
	}
	if err := checkReason(reason); err != nil {
		return TenantInfo{}, err
	}
	if p.tenant.State.Err() == recording.ErrTenantErased {
		if err := g.explain(ctx, scope{}, p.event); err != nil {
			return TenantInfo{}, err
		}
		return g.tenantErasure(ctx, tenantInfo(p.tenant))
	}
	var salt claim.Salt
	rand.Read(salt[:]) // never fails: crypto/rand ends the program instead
	commitment, err := claim.Commitment(salt, claim.Scope{Kind: claim.OfTenant, Tenant: p.tenant.ID.String()})
	if err != nil {
		return TenantInfo{}, err
	}
	info, err := g.setState(ctx, p, entry{At: now(), State: catalog.TenantErasing, Erase: &eraseEntry{reason, commitment[:]}})
	if err != nil {
		return TenantInfo{}, err
	}
	info, err = g.tenantErasure(ctx, info)
	info.Erasure.Salt = salt
	return info, err
}

// tenantErasure adds to what is told of a tenant its own erasure.
func (g *Gateway) tenantErasure(ctx context.Context, info TenantInfo) (TenantInfo, error) {
	row, err := g.catalog.Erasure(ctx, info.ID, recording.ErasureOf(info.ID))
	if errors.Is(err, recording.ErrNoErasure) { // of whose erasure nothing is left but the head
		return info, nil
	}
	info.Erasure = erasureInfo(row)
	return info, unavailable(err)
}

// ownErasure is the row of the erasure of the tenant that an entry asks for; nil if it
// asks for none.
func (s scope) ownErasure(e entry) *catalog.ErasureRow {
	if e.Erase == nil {
		return nil
	}
	return &catalog.ErasureRow{
		ID: recording.ErasureOf(s.tenant.ID), Tenant: s.tenant.ID, Scope: catalog.ScopeTenant,
		Who: e.Event.Who, Reason: e.Erase.Reason, Commitment: e.Erase.Commitment, AskedAt: e.At,
	}
}

// Erasures are tried again after eraseRetry until they succeed.
const eraseRetry = 5 * time.Second

// driveErasure carries a tenant's erasure to its end in the background, once
// in this process however often it is asked.
func (g *Gateway) driveErasure(t recording.Tenant) {
	if _, running := g.erasures.LoadOrStore(t, struct{}{}); running {
		return
	}
	g.working.Go(func() {
		defer g.erasures.Delete(t)
		for {
			err := g.eraseTenant(g.life, t)
			if err == nil || g.life.Err() != nil {
				return
			}
			g.log.Error("erasure of tenant goes on later", "tenant", t.String(), "error", err)
			select {
			case <-g.life.Done():
				return
			case <-time.After(eraseRetry):
			}
		}
	})
}

func (g *Gateway) eraseTenant(ctx context.Context, id recording.Tenant) error {
	t, err := g.catalog.Tenant(ctx, id)
	if err != nil || t.State != catalog.TenantErasing {
		return err
	}
	if err := g.following().Follow(ctx, &t); err != nil && !errors.Is(err, recording.ErrTenantErased) {
		return unavailable(err)
	}
	if err := g.confirm(ctx, t); err != nil {
		return err
	}
	certain, err := g.recordErasure(ctx, id)
	if err != nil {
		return unavailable(err)
	}
	// gofail: var erasureCommit string
	// return failpoint(erasureCommit)
	head, err := g.commitErased(ctx, t)
	if err != nil {
		return err
	}
	g.leases.Drop(id)
	// gofail: var erasureDestroy string
	// return failpoint(erasureDestroy)
	if err := g.provider.Destroy(ctx, keytree.RootOf(id)); err != nil {
		return fmt.Errorf("destroy root of %v: %w", id, err)
	}
	// gofail: var erasureDestroyed string
	// return failpoint(erasureDestroyed)

	// From here no replica can lease the root, whatever state it believes in,
	// and within stateAge none believes in another.
	if err := sleep(ctx, stateAge+keytree.LeaseTime); err != nil {
		return err
	}
	g.leases.Drop(id)
	var signed []byte
	var events []audit.Record
	if certain {
		if signed, events, err = g.eraser.CertifyTenant(ctx, head); err != nil {
			return unavailable(err)
		}
	}
	// gofail: var erasureEnd string
	// return failpoint(erasureEnd)
	err = g.catalog.Erased(ctx, id, catalog.Head{Epoch: int64(head.Epoch), Bytes: head.Marshal()}, signed, events)
	if err == nil {
		g.log.Info("tenant erased", "tenant", id.String(), "epoch", head.Epoch)
	}
	return err
}

// recordErasure makes durable what a certificate needs, and reports whether there can be
// one: not of an erasure of which neither catalog nor store say who asked for it, as when
// the key was gone before anyone could record that. It goes on all the same.
func (g *Gateway) recordErasure(ctx context.Context, id recording.Tenant) (certain bool, err error) {
	err = g.eraser.RecordTenant(ctx, id)
	if errors.Is(err, recording.ErrNoErasure) || errors.Is(err, keytree.ErrForgotten) {
		g.log.Error("the erasure of a tenant gets no certificate: what it would say was not recorded", "tenant", id.String(), "error", err)
		return false, nil
	}
	return err == nil, err
}

// confirm makes sure that the tenant's erasure was asked for: no key is
// destroyed because of what a row says, which whoever writes the database can
// say too. The last entry of the journal, sealed under the tenant's key, must
// say it. That key is opened by the head in the store, since the row's may have
// been written so that it opens nothing. Once the provider has forgotten all of the
// key, it cannot be asked and nothing can be lost.
func (g *Gateway) confirm(ctx context.Context, t catalog.Tenant) error {
	head, err := keytree.ReadHead(ctx, g.blobs, t.ID, uint64(t.Epoch))
	if err != nil {
		return unavailable(err)
	}
	keys, err := keytree.Unwrap(ctx, g.provider, keytree.InStore(g.blobs), head)
	if errors.Is(err, keytree.ErrForgotten) {
		return g.destroyed(ctx, t.ID)
	}
	if err != nil {
		return unavailable(err)
	}
	defer keys.Clear()
	sealed, err := g.readEntry(ctx, t.ID, t.Journal)
	if err != nil {
		return unavailable(err)
	}
	e, err := openEntry(ctx, keys, t.ID, t.Journal, sealed)
	if err == nil && e.State != catalog.TenantErasing {
		err = fmt.Errorf("%w: the catalog says that %v is to be erased, and its journal does not", recording.ErrIncident, t.ID)
	}
	return err
}

// destroyed makes sure that nothing is left of a tenant's key: that one version is
// gone says only that the tenant has moved on.
func (g *Gateway) destroyed(ctx context.Context, id recording.Tenant) error {
	_, err := g.provider.Versions(ctx, keytree.RootOf(id))
	switch {
	case errors.Is(err, keytree.ErrForgotten):
		return nil
	case err != nil:
		return unavailable(err)
	}
	return fmt.Errorf("%w: the newest head of %v does not open, and its key is there", recording.ErrIncident, id)
}

// commitErased creates the head that says erased, or finds it created. An epoch
// that was committed before is followed first.
func (g *Gateway) commitErased(ctx context.Context, t catalog.Tenant) (keytree.Head, error) {
	for {
		head := keytree.Head{Kind: keytree.HeadErased, Tenant: t.ID, Epoch: uint64(t.Epoch) + 1}
		err := keytree.Commit(ctx, g.blobs, head)
		if !errors.Is(err, fs.ErrExist) {
			return head, err
		}
		found, err := keytree.ReadHead(ctx, g.blobs, t.ID, head.Epoch)
		if err != nil || found.Kind == keytree.HeadErased {
			return found, err
		}
		if err := g.following().Follow(ctx, &t); err != nil && !errors.Is(err, recording.ErrTenantErased) {
			return head, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
