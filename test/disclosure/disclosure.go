// Package disclosure is the attacker against whom Lethe erases: who kept every
// byte ever written, arrives now, and gets from the key provider what it still
// has. It derives all that follows, and says which keys are within reach.
//
// It knows the forms from test/decryptor, and so from the documents alone. What
// ought to be within reach is for its callers to say.
package disclosure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/test/decryptor"
)

// Attacker keeps what was written of one tenant. It is for one goroutine.
type Attacker struct {
	tenant [16]byte
	heads  []decryptor.Head
	pages  map[decryptor.Node][]page
	below  map[decryptor.Node]uint32 // which children of a node have had pages, a bit for each
	wraps  map[[48]byte][]decryptor.Wrap
	tries  map[nodeKey]*tries
	inside map[[32]byte][]*tries // which keys open a page that has this secret

	closed int // how often Close was called

	// What was known when Close was last called.
	roots  map[[32]byte]bool
	above  map[[32]byte]bool // what tops has
	tops   [4][]decryptor.Holder
	opened map[decryptor.Node][]children
	next   []nodeKey // known, but not yet tried
}

// page is one that was ever written of a node.
type page struct {
	epoch  uint64
	sealed []byte
}

type children = *[32]decryptor.Holder

// nodeKey is a key found at a node, whatever it is for.
type nodeKey struct {
	node decryptor.Node
	key  [32]byte
}

// tries is what a key has opened of the pages of its node. Pages are only ever
// added, so none is tried twice.
type tries struct {
	done   int
	opened []children
	known  int // by which call of Close
}

// New is an attacker of a tenant who has kept nothing yet.
func New(tenant [16]byte) *Attacker {
	return &Attacker{
		tenant: tenant,
		pages:  map[decryptor.Node][]page{},
		below:  map[decryptor.Node]uint32{},
		wraps:  map[[48]byte][]decryptor.Wrap{},
		tries:  map[nodeKey]*tries{},
		inside: map[[32]byte][]*tries{},
	}
}

// Add keeps a blob of the store if it is one that tells of the tenant's keys: a
// head, a pack, a recording's. The same key may be added again with other bytes.
func (a *Attacker) Add(key string, blob []byte) error {
	kind, _, _ := strings.Cut(key, "/")
	switch kind {
	case "head":
		return a.AddHead(blob)
	case "pages":
		return a.AddPack(blob)
	case "recordings":
		w, err := decryptor.WrapOf(blob)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		a.AddWrap(w)
	}
	return nil
}

// AddHead keeps a head, wherever it was found.
func (a *Attacker) AddHead(blob []byte) error {
	h, err := decryptor.ParseHead(blob)
	if err == nil && h.Tenant == a.tenant {
		a.heads = append(a.heads, h)
	}
	return err
}

// AddPack keeps the pages of a pack, whether a head names it or not.
func (a *Attacker) AddPack(blob []byte) error {
	p, err := decryptor.ParsePack(blob)
	if err != nil || p.Tenant != a.tenant {
		return err
	}
	for _, of := range p.Pages {
		a.AddPage(of.Node, p.Epoch, of.Sealed)
	}
	return nil
}

// AddPage keeps one page that an epoch wrote.
func (a *Attacker) AddPage(n decryptor.Node, epoch uint64, sealed []byte) {
	a.pages[n] = append(a.pages[n], page{epoch, sealed})
	if n.Level > 0 {
		above := decryptor.Node{Tree: n.Tree, Level: n.Level - 1, Index: n.Index >> 5}
		a.below[above] |= 1 << (n.Index & 31)
	}
}

// AddWrap keeps a wrapped data key: from a blob, a row, or a backup of either.
func (a *Attacker) AddWrap(w decryptor.Wrap) {
	if [16]byte(w.Identity[:16]) == a.tenant {
		a.wraps[w.Identity] = append(a.wraps[w.Identity], w)
	}
}

// Close derives all that can be had now, and forgets what could be had before:
// unwrap asks the provider for the root secret in a head. Every root is tried on
// every top page, and every key of a node on every page of that node, not only on
// those where it belongs.
func (a *Attacker) Close(unwrap func(decryptor.Head) (root [32]byte, ok bool)) {
	a.closed++
	a.roots, a.above = map[[32]byte]bool{}, map[[32]byte]bool{}
	a.tops = [4][]decryptor.Holder{}
	a.opened = map[decryptor.Node][]children{}
	for _, h := range a.heads {
		root, ok := unwrap(h)
		if !ok {
			continue
		}
		if h.Kind == decryptor.KindSeed {
			a.learnTops(h, root)
		}
		if a.roots[root] {
			continue
		}
		a.roots[root] = true
		for _, other := range a.heads {
			if other.Kind == decryptor.KindPunctured {
				a.learnTops(other, root)
			}
		}
	}
	for len(a.next) > 0 {
		k := a.next[len(a.next)-1]
		a.next = a.next[:len(a.next)-1]
		a.try(k)
	}
}

// learnTops learns what a root gives of a head, which may not be its own.
func (a *Attacker) learnTops(h decryptor.Head, root [32]byte) {
	tops, err := h.Tops(root)
	if err != nil {
		return
	}
	for i, top := range tops {
		if top.Kind == decryptor.Gone {
			continue
		}
		a.tops[i] = append(a.tops[i], top)
		a.above[top.Key] = true
		a.next = append(a.next, nodeKey{decryptor.Node{Tree: byte(i + 1)}, top.Key})
	}
}

// try learns what a key gives of its node.
func (a *Attacker) try(k nodeKey) {
	t := a.tries[k]
	if t == nil {
		t = &tries{}
		a.tries[k] = t
	}
	if t.known == a.closed {
		return
	}
	t.known = a.closed
	for _, p := range a.pages[k.node][t.done:] {
		holders, err := decryptor.OpenPage(k.key, a.tenant, k.node, p.epoch, p.sealed)
		if err == nil {
			a.keep(t, &holders)
		}
		t.done++
	}
	a.opened[k.node] = append(a.opened[k.node], t.opened...)
	below := a.below[k.node]
	for _, page := range t.opened {
		for i := range page {
			if below>>i&1 == 1 && page[i].Kind != decryptor.Gone {
				a.next = append(a.next, nodeKey{k.node.Child(i), page[i].Key})
			}
		}
	}
}

// keep keeps what a key has opened.
func (a *Attacker) keep(t *tries, page children) {
	t.opened = append(t.opened, page)
	for i := range page {
		if page[i].Kind != decryptor.Gone {
			a.inside[page[i].Key] = append(a.inside[page[i].Key], t)
		}
	}
}

// Reaches gives the key of a slot if it could be had when Close was called.
func (a *Attacker) Reaches(s decryptor.Slot) (key [32]byte, ok bool) {
	keys := a.reach(s)
	if len(keys) == 0 {
		return key, false
	}
	return keys[0], true
}

// reach gives every key that the attacker may take for the slot's. Unless a node
// had two secrets there is one at most.
func (a *Attacker) reach(s decryptor.Slot) (keys [][32]byte) {
	learn := func(h *decryptor.Holder, n decryptor.Node) {
		if h.Kind != decryptor.Implicit {
			return
		}
		if key := decryptor.Derive(h.Key, a.tenant, n, s); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for i := range a.tops[s.Tree-1] {
		learn(&a.tops[s.Tree-1][i], s.Node(0))
	}
	for level := range 8 {
		child := s.Node(level + 1)
		for _, page := range a.opened[s.Node(level)] {
			learn(&page[child.Index&31], child)
		}
	}
	return keys
}

// Knows reports whether he found these 32 bytes, wherever they were and whatever
// they were for: a secret may leak as a key of another thing.
func (a *Attacker) Knows(secret [32]byte) bool {
	return a.roots[secret] || a.above[secret] ||
		slices.ContainsFunc(a.inside[secret], func(t *tries) bool { return t.known == a.closed })
}

// OpensDEK unwraps a data key if the keys of all its slots could be had.
func (a *Attacker) OpensDEK(w decryptor.Wrap) (dek [32]byte, ok bool) {
	ways := [][3][32]byte{{}}
	for i, s := range w.Slots {
		var further [][3][32]byte
		for _, key := range a.reach(s) {
			for _, way := range ways {
				way[i] = key
				further = append(further, way)
			}
		}
		if ways = further; len(ways) == 0 {
			return dek, false
		}
	}
	for _, way := range ways {
		if dek, err := w.Open(way); err == nil {
			return dek, true
		}
	}
	return dek, false
}

// Opens is OpensDEK of any wrap that he has of a version of a recording: identity
// is tenant ‖ recording ‖ version.
func (a *Attacker) Opens(identity [48]byte) (dek [32]byte, ok bool) {
	for _, w := range a.wraps[identity] {
		if dek, ok := a.OpensDEK(w); ok {
			return dek, true
		}
	}
	return dek, false
}
