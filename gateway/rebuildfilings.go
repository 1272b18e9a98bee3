package gateway

import (
	"context"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// filedAnew looks blobs up again as what their versions were last filed under since, as
// far as that opens. Where they say that they are may be erased, and no tombstone tell.
func (r *rebuild) filedAnew(ctx context.Context, s scope, all []*found) error {
	for _, f := range all {
		if f.err != nil {
			continue
		}
		filings, err := r.filingsOf(ctx, s, f.id().Version)
		if err != nil {
			return err
		}
		stored, from := *f.prefix, f.slots()
		for _, of := range filings {
			f.filedAs(of)
			buried, err := r.catalog.Tombstones(ctx, s.tenant.ID, slotsOf(f))
			if err != nil {
				return err
			}
			if len(buried) == 0 {
				f.buried, f.from = false, &from
				break
			}
			*f.prefix, f.sealed = stored, nil
		}
	}
	return nil
}

// filedAs has a blob say what a filing of its version does.
func (f *found) filedAs(of keytree.Filing) {
	f.prefix.Slots = [3]uint64{of.Slots.Recording, of.Slots.Subject, of.Slots.Day}
	f.prefix.WrappedDEK, f.sealed = of.Wrapped, of.Facts
}

// filingsOf reads the filings of a version that open, the latest first, once.
func (r *rebuild) filingsOf(ctx context.Context, s scope, v recording.Version) (filings []keytree.Filing, err error) {
	t := s.tenant.ID
	keys := r.filed[t][v]
	if filings, known := r.filings[v]; known || len(keys) == 0 {
		return filings, nil
	}
	filings, err = r.following().Filings(ctx, t, v, keys)
	if err == nil {
		filings, err = eraser.OpenFilings(ctx, s.keys, filings)
	}
	if err == nil {
		r.filings[v] = filings
	}
	return filings, err
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
