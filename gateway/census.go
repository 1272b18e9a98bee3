package gateway

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// Orphans are blobs that no row knows of. They are counted and never deleted:
// that a row is missing says nothing.
type Orphans struct {
	At         time.Time // when they were counted
	Seen       int64     // blobs in the store that were looked at
	Recordings int64     // blobs of recordings without a row
	Bytes      int64     // that those take
	Tenants    int64     // heads, journal entries and slots of tenants without a row
}

// censusMost bounds how many blobs are remembered at a time, by 8 bytes each;
// of a larger vault the store is listed more than once.
const censusMost = 8 << 20

// census lists the store, and looks for blobs without a row. It reads whole
// tables and lists the whole store, a request for a thousand blobs, so it is
// made when an operator asks. A blob younger than a lease is left out: its row
// may be younger than the tables as they were read.
func (g *Gateway) census(ctx context.Context) (*Orphans, error) {
	n, err := g.catalog.CountBlobs(ctx)
	if err != nil {
		return nil, err
	}
	out := &Orphans{At: now()}
	seed, passes := maphash.MakeSeed(), uint64(n/censusMost+1)
	for pass := range passes {
		c := counting{seed: seed, pass: pass, passes: passes, before: out.At.Add(-g.sweeps.config.Lease)}
		if err := c.count(ctx, g, out); err != nil {
			return nil, err
		}
	}
	g.sweeps.mu.Lock()
	defer g.sweeps.mu.Unlock()
	g.sweeps.status.Orphans = *out
	return out, nil
}

// counting is one pass: it looks at the blobs whose keys hash to it.
type counting struct {
	seed         maphash.Seed
	pass, passes uint64
	before       time.Time
	known        []uint64
	tenants      map[string]bool
}

// mine gives a key's hash, and whether it is of this pass.
func (c *counting) mine(key string) (uint64, bool) {
	h := maphash.String(c.seed, key)
	return h, h%c.passes == c.pass
}

// learn remembers the blobs of this pass that each names.
func (c *counting) learn(ctx context.Context, each func(context.Context, func(string)) error) error {
	err := each(ctx, func(key string) {
		if h, mine := c.mine(key); mine && key != "" {
			c.known = append(c.known, h)
		}
	})
	slices.Sort(c.known)
	return err
}

// knows reports whether a blob of this pass was named. That it was not is certain.
func (c *counting) knows(hash uint64) bool {
	_, known := slices.BinarySearch(c.known, hash)
	return known
}

func (c *counting) count(ctx context.Context, g *Gateway, out *Orphans) error {
	if err := c.learn(ctx, g.catalog.EachBlob); err != nil {
		return err
	}
	tenants, err := g.catalog.Tenants(ctx)
	if err != nil {
		return err
	}
	c.tenants = tenantSet(tenants)
	for info, err := range g.blobs.List(ctx, "") {
		if err != nil {
			return err
		}
		h, mine := c.mine(info.Key)
		if !mine || info.ModTime.After(c.before) {
			continue
		}
		out.Seen++
		c.look(h, info.Key, info.Size, out)
	}
	return nil
}

// look counts a blob if no row knows of it.
func (c *counting) look(hash uint64, key string, size int64, out *Orphans) {
	kind, rest, _ := strings.Cut(key, "/")
	switch kind {
	case "recordings":
		if !c.knows(hash) {
			out.Recordings++
			out.Bytes += size
		}
	case "sweep", "probe", "doctor", "clock", "signers": // anchors, what probes of readiness, checks of the store and looks at its clock have left, and keys that sign: nobody's
	default:
		if tenant, _, _ := strings.Cut(rest, "/"); !c.tenants[tenant] {
			out.Tenants++
		}
	}
}

func tenantSet(all []catalog.Tenant) map[string]bool {
	set := make(map[string]bool, len(all))
	for _, t := range all {
		set[recording.Tenant.String(t.ID)] = true
	}
	return set
}
