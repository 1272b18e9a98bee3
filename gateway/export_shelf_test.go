package gateway

import (
	"fmt"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// Remembered gives the names that stand on a tenant's shelf.
func (g *Gateway) Remembered(t recording.Tenant) []string { return g.shelves.Remembered(t) }

// DropLease ends a tenant's lease.
func (g *Gateway) DropLease(t recording.Tenant) { g.leases.Drop(t) }

// The bounds of shelves.
const (
	ShelfLimit   = shelfLimit
	ShelvesLimit = shelvesLimit
)

// NewShelves is newShelves.
func NewShelves() *shelves { return newShelves() }

// Shelf is shelf.
func (s *shelves) Shelf(t recording.Tenant) *shelf { return s.shelf(t) }

// Drop is drop.
func (s *shelves) Drop(t recording.Tenant) { s.drop(t) }

// Cost is what all shelves are thought to take, in bytes.
func (s *shelves) Cost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cost
}

// Remembered gives the names on a shelf; nil if there is none.
func (s *shelves) Remembered(t recording.Tenant) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have, ok := s.of[t]
	if !ok {
		return nil
	}
	for e := have.order.Front(); e != nil; e = e.Next() {
		for c := range e.Value.(*stand).view.children() {
			names = append(names, c.name)
		}
	}
	return names
}

// Cost is what the shelf is thought to take, in bytes.
func (s *shelf) Cost() int {
	s.shelves.mu.Lock()
	defer s.shelves.mu.Unlock()
	return s.cost
}

// Has reports whether a directory stands on the shelf, without using it.
func (s *shelf) Has(dir catalog.Index) bool {
	s.shelves.mu.Lock()
	defer s.shelves.mu.Unlock()
	_, ok := s.places[dir]
	return ok
}

// View is view.
func (s *shelf) View(dir catalog.Index) *view { return s.view(dir) }

// Keep is keep.
func (s *shelf) Keep(dir catalog.Index, was, is *view) { s.keep(dir, was, is) }

// Forget is forget.
func (s *shelf) Forget(dir catalog.Index) { s.forget(dir) }

// NewView is a view of recordings with the names given, each a version drawn
// from its name, and of one sub-directory for each name that ends in "/".
func NewView(names ...string) *view {
	var recordings []listed
	dirs := map[catalog.Index]string{}
	for _, n := range names {
		if n[len(n)-1] == '/' {
			dirs[catalog.Index([]byte(fmt.Sprintf("%32.32s", n)))] = n
			continue
		}
		recordings = append(recordings, listed{
			name: n, version: recording.Version([]byte(fmt.Sprintf("%16.16s", n))),
			etag: fmt.Sprintf("%34.34s", n), createdAt: time.Now(), class: recording.ClassB,
		})
	}
	return newView(recordings, dirs)
}
