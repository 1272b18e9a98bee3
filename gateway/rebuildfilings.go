package gateway

import (
	"context"

	"github.com/lethe-vault/lethe/recording"
)

// filedAnew looks blobs up again that lie below a tombstone by what they say of
// themselves, as what their versions were filed under since.
func (r *rebuild) filedAnew(ctx context.Context, t recording.Tenant, all []*found) error {
	for _, f := range all {
		if f.err != nil || !f.buried || len(r.filed[t][f.id().Version]) == 0 {
			continue
		}
		v := f.id().Version
		filings, known := r.filings[v]
		if !known {
			var err error
			if filings, err = r.following().Filings(ctx, t, v, r.filed[t][v]); err != nil {
				return err
			}
			r.filings[v] = filings
		}
		stored, from := *f.prefix, f.slots()
		for _, of := range filings {
			f.prefix.Slots = [3]uint64{of.Slots.Recording, of.Slots.Subject, of.Slots.Day}
			f.prefix.WrappedDEK = of.Wrapped
			f.sealed = of.Facts
			buried, err := r.catalog.Tombstones(ctx, t, slotsOf(f))
			if err != nil {
				return err
			}
			if f.buried = len(buried) > 0; !f.buried {
				f.from = &from
				break
			}
		}
		if f.buried {
			*f.prefix, f.sealed = stored, nil
		}
	}
	return nil
}

// refileAll lets the catalog have a tenant's recordings where they were last filed.
func (r *rebuild) refileAll(ctx context.Context, t recording.Tenant) error {
	s, err := r.scope(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	return r.following().RefileAll(ctx, t, s.keys)
}
