package disclosure_test

import (
	"context"
	"io"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// flaws are mistakes made on purpose, to see that they are found.
type flaws struct {
	counted bool // slots come from a counter in the database
	orphans bool // an erasure does not ask for intended slots to be gone
	forged  bool // parts writes other epochs than it is given, which the product finds on reading back
	parts   func(*world) (keytree.Provider, keytree.Store)
}

func (f flaws) none() bool { return !f.counted && !f.orphans && f.parts == nil }

// The checks above are worth what they find: each of these mistakes, within a
// few tenants' lives.
func TestFlawsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		flaws flaws
		want  kind
	}{
		"a page under its old key":                  {forged(oldPageKey), reachable},
		"a top page under the old root":             {forged(oldRoot), reachable},
		"a page under the secret of its node":       {forged(oldSecret), reachable},
		"an old root under a new version":           {flaws{parts: rewrapping}, reachable},
		"a version destroyed before the head":       {flaws{parts: hasty}, lost},
		"slots from a database that was restored":   {flaws{counted: true}, lost},
		"a wrap under a slot that nobody asked for": {flaws{orphans: true}, reachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rng(t)
			for tenant := range 20 {
				w := newWorld(t, rng, c.flaws)
				for range 60 {
					v := w.round()
					if len(v) == 0 {
						continue
					}
					if !v.has(c.want) {
						t.Fatalf("found %q: %s; want %q", v[0].kind, v[0].what, c.want)
					}
					t.Logf("found in the life of tenant %d, at epoch %d: %s", tenant, w.newest().Epoch, v[0].what)
					return
				}
			}
			t.Error("not found")
		})
	}
}

// It is the old keys that are found, not that there was a forger.
func TestForgingIsNoFlaw(t *testing.T) {
	t.Parallel()
	w := newWorld(t, rng(t), forged(freshKey))
	for range 60 {
		for _, of := range w.round() {
			t.Fatalf("%s: %s", of.kind, of.what)
		}
	}
	if w.forged == 0 {
		t.Error("nothing was forged")
	}
}

// counted hands out slots by counters that stand in the database.
type counted struct {
	reserved
	counters [3]uint64
	backups  [][3]uint64
}

func newCounted(w *world) *counted { return &counted{reserved: reserved{w: w}} }

func (c *counted) count(tree keytree.Tree) uint64 {
	c.backups = append(c.backups, c.counters)
	c.counters[tree]++
	return c.counters[tree]
}

func (c *counted) recording() uint64 { return c.count(keytree.Recordings) }
func (c *counted) subject() uint64   { return c.count(keytree.Subjects) }
func (c *counted) restart()          {}
func (c *counted) restoreDatabase()  { c.counters = c.backups[c.w.rng.IntN(len(c.backups))] }

// hasty is a provider that destroys older versions as soon as something was
// wrapped under a newer one.
func hasty(w *world) (keytree.Provider, keytree.Store) { return hastyKeys{w.keys}, w.store }

type hastyKeys struct{ keytree.Provider }

func (h hastyKeys) Wrap(ctx context.Context, root keytree.Root, version int, k keytree.Key, bind []byte) ([]byte, error) {
	wrapped, err := h.Provider.Wrap(ctx, root, version, k, bind)
	if err != nil {
		return nil, err
	}
	return wrapped, h.Provider.Retire(ctx, root, version)
}

// rewrapping is a provider's "rewrap": whoever retires a version first wraps
// what it wrapped under the next one.
func rewrapping(w *world) (keytree.Provider, keytree.Store) { return rewrapKeys{w.keys, w}, w.store }

type rewrapKeys struct {
	keytree.Provider
	w *world
}

func (r rewrapKeys) Retire(ctx context.Context, root keytree.Root, below int) error {
	for _, h := range r.w.heads {
		old := attackersHead(r.w.t, h)
		secret, err := r.Unwrap(ctx, root, old.Wrapped, decryptor.Bind(old))
		if err != nil || h.Version == below {
			continue
		}
		h.Version, old.Version = below, uint64(below)
		if h.Wrapped, err = r.Wrap(ctx, root, below, secret, decryptor.Bind(old)); err != nil {
			return err
		}
		if err := r.w.attacker.AddHead(h.Marshal()); err != nil {
			return err
		}
	}
	return r.Provider.Retire(ctx, root, below)
}

// forged puts another epoch in the place of each that is committed: it holds back
// the pack until the head comes, and writes both as the craft has them.
func forged(c craft) flaws {
	return flaws{forged: true, parts: func(w *world) (keytree.Provider, keytree.Store) {
		f := &forger{craft: c, w: w, roots: map[string][32]byte{}}
		return forgingKeys{w.keys, f}, forgingStore{w.store, f}
	}}
}

type forgingKeys struct {
	keytree.Provider
	*forger
}

func (k forgingKeys) Wrap(ctx context.Context, root keytree.Root, version int, key keytree.Key, bind []byte) ([]byte, error) {
	wrapped, err := k.Provider.Wrap(ctx, root, version, key, bind)
	k.roots[string(wrapped)] = [32]byte(key.Bytes())
	return wrapped, err
}

type forgingStore struct {
	keytree.Store
	*forger
}

func (s forgingStore) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.create(ctx, key, b)
}
