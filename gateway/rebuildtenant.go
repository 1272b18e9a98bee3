package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// tenant lets the catalog have a tenant as the store has it, but for its recordings,
// and reports whether those are to be looked for.
func (r *rebuild) tenant(ctx context.Context, l lineage) (open bool, err error) {
	newest, err := keytree.ReadHead(ctx, r.blobs, l.tenant, l.last)
	if err != nil {
		return false, err
	}
	if l.erased {
		gone, err := r.erased(ctx, newest)
		if err != nil || gone || l.last == l.first {
			return false, err
		}
		// Its erasure was interrupted: what it was before says that it was asked for.
		if newest, err = keytree.ReadHead(ctx, r.blobs, l.tenant, l.last-1); err != nil {
			return false, err
		}
	}
	t, err := r.rollTo(ctx, l, newest)
	if err != nil || t.ID == (recording.Tenant{}) {
		return false, err
	}
	switch {
	case t.State == catalog.TenantErased:
		r.report.TenantsErased++
		return false, nil
	case t.State == catalog.TenantErasing: // its key is there still, and its certificate will count what is lost
		r.report.TenantsErased++
		return true, r.erasures(ctx, &t)
	case l.erased:
		return false, fmt.Errorf("%w: its newest head says that it is erased, and its journal does not", recording.ErrIncident)
	}
	r.report.Tenants++
	return true, r.erasures(ctx, &t)
}

// erased makes a tenant erased whose head says so and whose key is gone, and reports
// whether it is.
func (r *rebuild) erased(ctx context.Context, head keytree.Head) (gone bool, err error) {
	_, err = r.provider.Versions(ctx, keytree.RootOf(head.Tenant))
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, keytree.ErrForgotten) {
		return false, err
	}
	ended, err := r.eraser.Ended(ctx)
	if err != nil {
		return false, err
	}
	var own *catalog.ErasureRow
	key := eraser.EndingKey(head.Tenant, recording.ErasureOf(head.Tenant))
	switch erasure, err := ended.Erasure(ctx, head.Tenant, key); {
	case errors.Is(err, eraser.ErrNotOurs):
		r.unknown(key, err.Error())
	case err == nil:
		own = &erasure
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	row := catalog.Tenant{ID: head.Tenant, Name: head.Tenant.String(), State: catalog.TenantErased, CreatedAt: now()}
	if own != nil && own.Certificate == nil { // it goes on: an eraser verifies and signs
		row.State = catalog.TenantErasing
		if head, err = keytree.ReadHead(ctx, r.blobs, head.Tenant, head.Epoch-1); err != nil {
			return false, err
		}
	}
	if err := r.ended(ctx, ended, head.Tenant); err != nil {
		return false, err
	}
	row.Epoch, row.Head = int64(head.Epoch), head.Marshal()
	if _, err := r.catalog.RestoreErased(ctx, row, own); err != nil {
		return false, err
	}
	restored, err := ended.RestoreCertified(ctx, head.Tenant, r.unknown)
	if r.report.Erasures += restored; err != nil {
		return false, err
	}
	r.report.TenantsErased++
	return true, nil
}

// ended restores the erasures that ended with their tenant, beside its own.
func (r *rebuild) ended(ctx context.Context, ended eraser.Ended, t recording.Tenant) error {
	for info, err := range r.blobs.List(ctx, eraser.EndedBase(t)) {
		if err != nil {
			return err
		}
		row, err := ended.Erasure(ctx, t, info.Key)
		if errors.Is(err, eraser.ErrNotOurs) {
			r.unknown(info.Key, err.Error())
			continue
		}
		if err != nil {
			return err
		}
		lost, err := r.catalog.RestoreEnded(ctx, row)
		if err != nil {
			return err
		}
		if lost {
			r.report.Erasures++
		}
	}
	return nil
}

// rollTo makes a tenant's row, if there is none, and rolls it forward: its heads up
// to the newest that opens, then its journal. A tenant without a journal gives none.
func (r *rebuild) rollTo(ctx context.Context, l lineage, newest keytree.Head) (t catalog.Tenant, err error) {
	t, err = r.catalog.Tenant(ctx, l.tenant)
	if errors.Is(err, recording.ErrNoTenant) {
		t, err = r.firstEntry(ctx, l, newest)
		if errors.Is(err, fs.ErrNotExist) {
			r.report.Abandoned++
			return catalog.Tenant{}, nil
		}
	}
	if err != nil {
		return t, err
	}
	was, journal := t.Epoch, t.Journal
	generation, err := r.leaveOlder(ctx, &t, newest)
	if err != nil {
		return t, err
	}
	if err := r.following().FollowTo(ctx, &t, newest); err != nil {
		return t, err
	}
	if t.Epoch > int64(newest.Epoch) {
		return t, fmt.Errorf("%w: the catalog has a head of epoch %d that the store lacks", recording.ErrIncident, t.Epoch)
	}
	r.report.Heads += t.Epoch - was
	if err := r.moveRows(ctx, &t, generation); err != nil {
		return t, err
	}
	if err := r.rollForward(ctx, &t); err != nil {
		return t, err
	}
	r.report.Entries += t.Journal - journal
	return t, nil
}

// firstEntry makes a tenant's row of the first entry of its journal, with the first
// of its heads, so that all that follow are followed. fs.ErrNotExist: there is none.
func (r *rebuild) firstEntry(ctx context.Context, l lineage, newest keytree.Head) (t catalog.Tenant, err error) {
	sealed, err := r.readEntry(ctx, l.tenant, 1)
	if err != nil {
		return t, err
	}
	keys, err := keytree.Unwrap(ctx, r.provider, keytree.InStore(r.blobs), newest)
	if err != nil {
		return t, err
	}
	defer keys.Clear()
	e, err := openEntry(ctx, keys, l.tenant, 1, sealed)
	if err == nil && e.Tenant == nil {
		err = fmt.Errorf("%w: the journal of %v does not begin with it", recording.ErrIncident, l.tenant)
	}
	if err != nil {
		return t, err
	}
	first, err := keytree.ReadHead(ctx, r.blobs, l.tenant, l.first)
	if err != nil {
		return t, err
	}
	s := scope{tenant: catalog.Tenant{ID: l.tenant, Epoch: int64(l.first), Head: first.Marshal()}, keys: keys}
	generation, _, err := r.generation(ctx, s)
	if err != nil {
		return t, err
	}
	s.tenant.Stage = catalog.SettledUnder(generation)
	if err := r.apply(ctx, s, 1, e); err != nil {
		return t, err
	}
	r.report.TenantsAdded++
	r.report.Entries++
	return r.catalog.Tenant(ctx, l.tenant)
}

// erasures restores a tenant's erasures and their certificates, and erases the rows
// of what lies below tombstones.
func (r *rebuild) erasures(ctx context.Context, t *catalog.Tenant) error {
	keys, err := r.keys(ctx, t)
	if err != nil {
		return err
	}
	defer keys.Clear()
	_, err = r.following().RequeueAll(ctx, t.ID, keys)
	if err == nil {
		err = r.catalog.DateRestored(ctx, t.ID, t.Stage.Written())
	}
	if err == nil {
		err = r.following().Recertify(ctx, *t, keys)
	}
	for more := true; more && err == nil; {
		var gone []catalog.Version
		gone, more, err = r.catalog.SettleTombstoned(ctx, t.ID, sweepBatch)
		r.report.Settled += int64(len(gone))
	}
	return err
}

// following is the gateway's, which counts what was lost.
func (r *rebuild) following() eraser.Following {
	f := r.Gateway.following()
	f.Lost = func() { r.report.Lost++ }
	f.Restored = func(t recording.Tenant, lost []recording.ErasureID) { r.report.Erasures += int64(len(lost)) }
	return f
}
