package gateway

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// generation is the last generation of blind indexes that was announced, as catalog
// and journal say: under it, or one before, stands what any copy of the catalog has. It
// gives beside it those that the catalog does not know of.
func (r *rebuild) generation(ctx context.Context, s scope) (last uint32, left []catalog.Announced, err error) {
	all, err := r.catalog.Generations(ctx, s.tenant.ID)
	if err != nil {
		return 0, nil, err
	}
	last = s.tenant.Stage.Newer()
	for _, of := range all {
		last = max(last, of.Generation+1)
	}
	for sequence := s.tenant.Journal + 1; ; sequence++ {
		sealed, err := r.readEntry(ctx, s.tenant.ID, sequence)
		if errors.Is(err, fs.ErrNotExist) {
			return last, left, nil
		}
		if err != nil {
			return 0, nil, err
		}
		e, err := openEntry(ctx, s.keys, s.tenant.ID, sequence, sealed)
		if err != nil {
			return 0, nil, err
		}
		if e.Generation != 0 {
			last = max(last, e.Generation+1)
			left = append(left, *announced(e.Generation, sequence))
		}
	}
}

// leaveOlder has all rows of a tenant be on their way to the last generation that was
// announced, from whichever they are under, and gives it. The key of that may be
// forgotten, so it goes by what is sealed alone.
func (r *rebuild) leaveOlder(ctx context.Context, t *catalog.Tenant, newest keytree.Head) (uint32, error) {
	keys, err := keytree.Unwrap(ctx, r.provider, keytree.InStore(r.blobs), newest)
	if err != nil {
		return 0, err
	}
	s := scope{tenant: *t, keys: keys, lost: true}
	defer s.end()
	last, left, err := r.generation(ctx, s)
	to := catalog.SettledUnder(last) - 1
	if err != nil || t.Stage >= to {
		return last, err
	}
	if s.index, err = keys.System(ctx, keytree.IndexSlot(last)); err != nil {
		return 0, err
	}
	m := catalog.Move{Tenant: t.ID, From: t.Stage, To: to, Journal: t.Journal, Left: left}
	if err := r.moveFew(ctx, s, &m); err != nil {
		return 0, err
	}
	if _, err := r.catalog.BeginMove(ctx, m); err != nil {
		return 0, err
	}
	*t, err = r.catalog.Tenant(ctx, t.ID)
	return last, err
}

// moveRows moves a tenant's rows to the last generation that was announced.
func (r *rebuild) moveRows(ctx context.Context, t *catalog.Tenant, last uint32) error {
	if t.Stage == catalog.SettledUnder(last) {
		return nil
	}
	all, err := r.catalog.Generations(ctx, t.ID)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(of catalog.Generation) bool { return of.Generation == last-1 })
	for done := false; !done; {
		if done, err = r.moveNext(ctx, t.ID, &all[at]); err != nil {
			return err
		}
	}
	if err := r.endMove(ctx, all[at]); err != nil {
		return err
	}
	*t, err = r.catalog.Tenant(ctx, t.ID)
	return err
}

// moveNext moves some rows, by keys that are leased.
func (r *rebuild) moveNext(ctx context.Context, id recording.Tenant, of *catalog.Generation) (done bool, err error) {
	t, err := r.catalog.Tenant(ctx, id)
	if err != nil {
		return false, err
	}
	keys, err := r.keys(ctx, &t)
	if err != nil {
		return false, err
	}
	s := scope{tenant: t, keys: keys, lost: true}
	defer s.end()
	if s.index, err = keys.System(ctx, keytree.IndexSlot(t.Stage.Written())); err != nil {
		return false, err
	}
	return r.moveIn(ctx, s, of)
}
