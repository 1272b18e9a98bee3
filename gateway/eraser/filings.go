package eraser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// maxFiling is more than any filing has, in bytes.
const maxFiling = 1 << 17

// filed is a version of which the store has filings.
type filed struct {
	version recording.Version
	blobs   []string
	slots   []int64 // of the recordings tree
}

// filedMany is how many of them are looked up at a time.
const filedMany = 100

// filed gives the versions of a tenant of which the store has filings. It lists them
// in their order.
func (f Following) filed(ctx context.Context, t recording.Tenant) iter.Seq2[filed, error] {
	return func(yield func(filed, error) bool) {
		var last filed
		for info, err := range f.Blobs.List(ctx, fmt.Sprintf("refiled/%v/", t)) {
			if err != nil {
				yield(filed{}, err)
				return
			}
			v, slot, ok := keytree.ParseFilingKey(t, info.Key)
			if !ok {
				continue
			}
			if v != last.version && last.blobs != nil {
				if !yield(last, nil) {
					return
				}
				last = filed{}
			}
			last = filed{v, append(last.blobs, info.Key), append(last.slots, int64(slot))}
		}
		if last.blobs != nil {
			yield(last, nil)
		}
	}
}

// Filed lists the versions of a tenant of which the store has filings.
func (f Following) Filed(ctx context.Context, t recording.Tenant) (map[recording.Version][]string, error) {
	of := map[recording.Version][]string{}
	for v, err := range f.filed(ctx, t) {
		if err != nil {
			return nil, err
		}
		of[v.version] = v.blobs
	}
	return of, nil
}

// Filings reads filings of a version, the latest first. What is none of the version's
// is passed over: whoever put it there could as well have deleted what was.
func (f Following) Filings(ctx context.Context, t recording.Tenant, v recording.Version, keys []string) (all []keytree.Filing, err error) {
	for _, key := range keys {
		filing, err := f.filing(ctx, key)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, keytree.ErrFiling) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if filing.Identity.Tenant == t && filing.Identity.Version == v && keytree.FilingKey(t, v, filing.Slots.Recording) == key {
			all = append(all, filing)
		}
	}
	slices.SortFunc(all, func(a, b keytree.Filing) int { return b.At.Compare(a.At) })
	return all, nil
}

func (f Following) filing(ctx context.Context, key string) (keytree.Filing, error) {
	body, err := f.Blobs.Open(ctx, key, 0, -1)
	if err != nil {
		return keytree.Filing{}, err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxFiling))
	if err != nil {
		return keytree.Filing{}, err
	}
	return keytree.ParseFiling(b)
}

// refile files anew, in a catalog that does not know of it, what the store has
// filings of and an epoch to be followed has punctured where the catalog has it: else
// it would count as erased. It goes by the newest keys, since a filing that a later
// epoch has punctured is no place to be.
func (f Following) refile(ctx context.Context, t recording.Tenant, newest *keytree.Keys, punctured []keytree.Slot) error {
	gone := map[keytree.Slot]bool{}
	for _, s := range punctured {
		gone[s] = s.Tree == keytree.Recordings
	}
	if !slices.ContainsFunc(punctured, func(s keytree.Slot) bool { return gone[s] }) {
		return nil
	}
	of, err := f.Filed(ctx, t)
	if err != nil {
		return err
	}
	for v, keys := range of {
		row, err := f.Catalog.Version(ctx, t, v)
		if errors.Is(err, recording.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if row.State != catalog.Committed || !gone[keytree.Slot{Tree: keytree.Recordings, Number: uint64(row.Slots.Recording)}] {
			continue
		}
		all, err := f.Filings(ctx, t, v, keys)
		if err != nil {
			return err
		}
		if all, err = OpenFilings(ctx, newest, all); err != nil {
			return err
		}
		if err := f.Refile(ctx, newest, row, all); err != nil {
			return err
		}
	}
	return nil
}

// RefileAll lets a catalog that lacks some of what the store has have a tenant's
// recordings where they were last filed, before it learns of what was erased where
// they were; and know of every other filing, so that whatever erases a recording takes
// all its slots. Of what it erased without knowing of them, they are scraps.
func (f Following) RefileAll(ctx context.Context, t recording.Tenant, keys *keytree.Keys) error {
	for of, err := range f.filed(ctx, t) {
		if err == nil {
			err = f.RefileVersion(ctx, t, keys, of.version, of.blobs)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RefileUnknown is RefileAll for versions of which the catalog does not know every
// filing. It reads no other.
func (f Following) RefileUnknown(ctx context.Context, t recording.Tenant, keys *keytree.Keys) error {
	for some, err := range chunks(f.filed(ctx, t), filedMany) {
		if err != nil {
			return err
		}
		var slots []int64
		for _, of := range some {
			slots = append(slots, of.slots...)
		}
		known, err := f.Catalog.KnownFilings(ctx, t, slots)
		if err != nil {
			return err
		}
		for _, of := range some {
			if !slices.ContainsFunc(of.slots, func(slot int64) bool { return !known[slot] }) {
				continue
			}
			if err := f.RefileVersion(ctx, t, keys, of.version, of.blobs); err != nil {
				return err
			}
		}
	}
	return nil
}

// RefileVersion is RefileAll for filings of one version.
func (f Following) RefileVersion(ctx context.Context, t recording.Tenant, keys *keytree.Keys, v recording.Version, blobs []string) error {
	row, err := f.Catalog.Version(ctx, t, v)
	if errors.Is(err, recording.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := f.Filings(ctx, t, v, blobs)
	if err != nil {
		return err
	}
	if all, err = OpenFilings(ctx, keys, all); err != nil {
		return err
	}
	if row.State == catalog.Committed {
		return f.Refile(ctx, keys, row, all)
	}
	return f.scrap(ctx, row, all)
}

// scrap has the slots forgotten of filings that still open and whose version is erased.
// Only who has the tenant's keys can make one that opens, so it names no other's slot.
func (f Following) scrap(ctx context.Context, row catalog.Version, all []keytree.Filing) error {
	slots := make([]int64, len(all))
	for i, of := range all {
		slots[i] = int64(of.Slots.Recording)
	}
	return f.Catalog.ScrapFilings(ctx, row.Tenant, row.Version, slots)
}

// OpenFilings are the filings that open.
func OpenFilings(ctx context.Context, keys *keytree.Keys, all []keytree.Filing) (out []keytree.Filing, err error) {
	for _, of := range all {
		dek, err := keys.UnwrapDEK(ctx, of.Identity, of.Slots, of.Wrapped[:])
		dek.Clear()
		switch {
		case err == nil:
			out = append(out, of)
		case !errors.Is(err, keytree.ErrPunctured) && !errors.Is(err, keytree.ErrSealed):
			return nil, err
		}
	}
	return out, nil
}

// Refile lets the catalog have a version where the first of some filings has it that
// is not erased, unless it is there, and know of the others.
func (f Following) Refile(ctx context.Context, keys *keytree.Keys, row catalog.Version, all []keytree.Filing) error {
	var first *catalog.Refiling
	var as catalog.Refiled
	there := false
	for _, of := range all {
		if int64(of.Slots.Recording) == row.Slots.Recording {
			there = true
			continue
		}
		r := catalog.Refiling{
			Tenant: row.Tenant, Version: row.Version, From: row.Slots,
			To:   catalog.Slots{Recording: int64(of.Slots.Recording), Subject: int64(of.Slots.Subject), Day: int64(of.Slots.Day)},
			Blob: keytree.FilingKey(row.Tenant, row.Version, of.Slots.Recording),
		}
		err := f.Catalog.IntendFiling(ctx, r)
		if errors.Is(err, catalog.ErrTombstoned) || errors.Is(err, catalog.ErrMisfiled) { // of no more use, or known
			continue
		}
		if err != nil {
			return err
		}
		if first != nil || there {
			continue
		}
		as, err = f.Told(ctx, keys, row, of)
		switch {
		case err == nil:
			first = &r
		case !errors.Is(err, recording.ErrIntegrity):
			return err
		}
	}
	if first == nil {
		return nil
	}
	err := f.Catalog.Refile(ctx, *first, as, nil)
	if errors.Is(err, catalog.ErrMisfiled) { // erased meanwhile
		err = nil
	}
	return err
}
