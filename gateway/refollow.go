package gateway

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// filedAt is a filing by its key in the store.
type filedAt struct {
	version recording.Version
	slot    int64
	key     string
}

func parseFilingKey(t recording.Tenant, key string) (f filedAt, ok bool) {
	version, slot, _ := strings.Cut(strings.TrimPrefix(key, fmt.Sprintf("refiled/%v/", t)), "/")
	id, err := hex.DecodeString(version)
	if err != nil || len(id) != len(f.version) {
		return f, false
	}
	f.version, f.key = recording.Version(id), key
	f.slot, err = strconv.ParseInt(slot, 16, 64)
	return f, err == nil && keytree.FilingKey(t, f.version, uint64(f.slot)) == key
}

// refollow files versions where the store has filings of them that the catalog lacks,
// as an older copy of it does. What lies below a tombstone may have moved out before it
// came, so nothing is settled before this was done.
func (g *Gateway) refollow(ctx context.Context, t *catalog.Tenant) error {
	var some []filedAt
	for info, err := range g.blobs.List(ctx, fmt.Sprintf("refiled/%v/", t.ID)) {
		if err != nil {
			return unavailable(err)
		}
		f, ok := parseFilingKey(t.ID, info.Key)
		if !ok {
			continue
		}
		// All of a version come one after the other, and are decided on at once.
		if len(some) >= sweepBatch && some[len(some)-1].version != f.version {
			if err := g.refollowSome(ctx, t, some); err != nil {
				return err
			}
			some = nil
		}
		some = append(some, f)
	}
	return g.refollowSome(ctx, t, some)
}

func (g *Gateway) refollowSome(ctx context.Context, t *catalog.Tenant, all []filedAt) error {
	slots := make([]int64, len(all))
	for i, f := range all {
		slots[i] = f.slot
	}
	known, err := g.catalog.KnownFilings(ctx, t.ID, slots)
	if err != nil {
		return unavailable(err)
	}
	all = slices.DeleteFunc(all, func(f filedAt) bool { return slices.Contains(known, f.slot) })
	if len(all) == 0 {
		return nil
	}
	keys, err := g.keys(ctx, t)
	if err != nil {
		return err
	}
	defer keys.Clear()
	versions := make([]recording.Version, len(all))
	for i, f := range all {
		versions[i] = f.version
	}
	rows, err := g.catalog.VersionsOf(ctx, t.ID, slices.Compact(versions))
	for i := 0; i < len(rows) && err == nil; i++ {
		err = g.refollowOne(ctx, keys, rows[i], all)
	}
	return unavailable(err)
}

func (g *Gateway) refollowOne(ctx context.Context, keys *keytree.Keys, row catalog.Version, all []filedAt) error {
	id := recording.Identity{Tenant: row.Tenant, Recording: row.Recording, Version: row.Version}
	last, err := g.lastFiling(ctx, keys, id, slices.DeleteFunc(slices.Clone(all), func(f filedAt) bool { return f.version != row.Version }))
	if err != nil || last == nil {
		return err
	}
	return g.catalog.RestoreFiling(ctx, catalog.Refiling{
		Tenant: row.Tenant, Version: row.Version, From: row.Slots, To: slotRow(last.Slots),
		Blob: keytree.FilingKey(row.Tenant, row.Version, last.Slots.Recording),
	}, last.Wrapped[:])
}

// lastFiling gives the latest of a version's filings that opens, nil if none does.
func (g *Gateway) lastFiling(ctx context.Context, keys *keytree.Keys, id recording.Identity, all []filedAt) (last *keytree.Filing, err error) {
	for _, at := range all {
		f, err := g.readFiling(ctx, at.key)
		if fatal(err) {
			return nil, err
		}
		if err != nil || f.Identity != id || int64(f.Slots.Recording) != at.slot || last != nil && !f.At.After(last.At) {
			continue
		}
		dek, err := keys.UnwrapDEK(ctx, id, f.Slots, f.Wrapped[:])
		if fatal(err) {
			return nil, err
		}
		dek.Clear()
		if err == nil {
			last = &f
		}
	}
	return last, nil
}

// maxFiling is more than a filing has.
const maxFiling = 1 << 10

func (g *Gateway) readFiling(ctx context.Context, key string) (keytree.Filing, error) {
	body, err := g.blobs.Open(ctx, key, 0, maxFiling)
	if err != nil {
		return keytree.Filing{}, err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		return keytree.Filing{}, err
	}
	return keytree.ParseFiling(b)
}
