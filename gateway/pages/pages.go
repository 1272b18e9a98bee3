// Package pages finds the sealed pages of tenants' key trees: in memory, or else in
// the catalog, which keeps a copy of those in use, or else in the store. A page says
// nothing without a root, so it may be kept for as long as there is room.
package pages

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// limit bounds the memory of a Cache, in bytes of sealed pages: some 30,000.
const limit = 32 << 20

// Cache is a keytree.Pages for any number of callers at once.
type Cache struct {
	catalog *catalog.Catalog
	store   keytree.Pages

	mu         sync.Mutex // guards all below
	young, old map[key][]byte
	bytes      int // of young
}

var _ keytree.Pages = (*Cache)(nil)

// key is a page without where it stands in the store: an epoch has one of a node.
type key struct {
	tenant recording.Tenant
	node   keytree.Node
	epoch  uint64
}

func keyOf(id keytree.PageID) key { return key{id.Tenant, id.Node, id.Epoch} }

// New finds pages in a catalog and a store.
func New(c *catalog.Catalog, s keytree.Store) *Cache {
	return &Cache{catalog: c, store: keytree.InStore(s), young: map[key][]byte{}}
}

// Page gives a sealed page. If it is not in memory, one query brings all that lie
// on the way to slot.
func (c *Cache) Page(ctx context.Context, id keytree.PageID, slot uint64) ([]byte, error) {
	if sealed, ok := c.find(keyOf(id)); ok {
		return sealed, nil
	}
	way := []keytree.Slot{{Tree: id.Node.Tree, Number: slot}}
	found, err := c.query(ctx, id.Tenant, id.Node.Tree, nodes(way))
	if err != nil {
		return nil, err
	}
	for k, sealed := range found {
		c.keep(k, sealed)
	}
	if sealed, ok := found[keyOf(id)]; ok {
		return sealed, nil
	}
	return c.Stored(ctx, id)
}

// Stored gives a sealed page from the store, and keeps that in memory, whatever the
// catalog has: who writes rows of pages would else make a tenant unreadable until
// they are others.
func (c *Cache) Stored(ctx context.Context, id keytree.PageID) ([]byte, error) {
	sealed, err := c.store.Stored(ctx, id)
	if err == nil {
		c.replace(keyOf(id), sealed)
	}
	return sealed, err
}

func (c *Cache) find(k key) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sealed, ok := c.young[k]; ok {
		return sealed, true
	}
	sealed, ok := c.old[k]
	if ok {
		c.put(k, sealed)
	}
	return sealed, ok
}

func (c *Cache) keep(k key, sealed []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(k, sealed)
}

// replace is keep of what takes the place of another.
func (c *Cache) replace(k key, sealed []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes -= len(c.young[k])
	delete(c.young, k)
	delete(c.old, k)
	c.put(k, sealed)
}

// put makes a page one of those used last, what is there of it before what is new;
// those of which there are too many, used before, are let go. c.mu is held.
func (c *Cache) put(k key, sealed []byte) {
	if _, ok := c.young[k]; ok {
		return
	}
	if was, ok := c.old[k]; ok {
		sealed = was
	}
	if c.bytes+len(sealed) > limit/2 {
		c.old, c.young, c.bytes = c.young, map[key][]byte{}, 0
	}
	c.young[k] = sealed
	c.bytes += len(sealed)
}

// query asks the catalog for pages of nodes.
func (c *Cache) query(ctx context.Context, t recording.Tenant, tree keytree.Tree, of []int64) (map[key][]byte, error) {
	rows, err := c.catalog.Pages(ctx, t, int64(tree), of)
	if err != nil {
		return nil, fmt.Errorf("find pages of %v: %w", t, err)
	}
	found := make(map[key][]byte, len(rows))
	for _, r := range rows {
		found[key{t, nodeOf(r), uint64(r.Epoch)}] = r.Sealed
	}
	return found, nil
}

// most bounds the nodes of one query.
const most = 500

// Ahead gives a Pages for one use that has, all at once, what the ways to many slots
// need of the catalog. It is c where something is missing.
func (c *Cache) Ahead(ctx context.Context, t recording.Tenant, slots []keytree.Slot) (keytree.Pages, error) {
	a := ahead{rest: c, found: map[key][]byte{}}
	for _, tree := range []keytree.Tree{keytree.Recordings, keytree.Subjects, keytree.Days, keytree.System} {
		of := slices.DeleteFunc(slices.Clone(slots), func(s keytree.Slot) bool { return s.Tree != tree })
		for some := range slices.Chunk(nodes(of), most) {
			found, err := c.query(ctx, t, tree, some)
			if err != nil {
				return nil, err
			}
			for k, sealed := range found {
				a.found[k] = sealed
			}
		}
	}
	return a, nil
}

type ahead struct {
	rest  *Cache
	found map[key][]byte
}

func (a ahead) Stored(ctx context.Context, id keytree.PageID) ([]byte, error) {
	return a.rest.Stored(ctx, id)
}

func (a ahead) Page(ctx context.Context, id keytree.PageID, slot uint64) ([]byte, error) {
	if sealed, ok := a.found[keyOf(id)]; ok {
		return sealed, nil
	}
	return a.rest.Page(ctx, id, slot)
}

// indexBits is how a row tells a level from an index, which has 35 bits at most.
const indexBits = 40

// Row is a page for the catalog.
func Row(p keytree.Page) catalog.Page {
	return catalog.Page{
		Tenant: p.ID.Tenant, Tree: int64(p.ID.Node.Tree), Epoch: int64(p.ID.Epoch),
		Node: number(p.ID.Node), Sealed: p.Sealed,
	}
}

func number(n keytree.Node) int64 { return int64(n.Level)<<indexBits | int64(n.Index) }

func nodeOf(r catalog.Page) keytree.Node {
	return keytree.Node{
		Tree: keytree.Tree(r.Tree), Level: uint8(r.Node >> indexBits), Index: uint64(r.Node) & (1<<indexBits - 1),
	}
}

// nodes gives the numbers of all nodes on the ways to slots of one tree, each once.
func nodes(slots []keytree.Slot) []int64 {
	var out []int64
	for _, s := range slots {
		for _, n := range s.Way() {
			out = append(out, number(n))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
