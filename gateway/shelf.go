package gateway

import (
	"container/list"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// The bytes that views may take, as view.cost counts them. A recording with a
// name of 40 bytes costs about 245, so a tenant's shelf holds 68,000.
const (
	shelfLimit   = 16 << 20 // of one tenant
	shelvesLimit = 64 << 20 // of all tenants
)

// shelves keep directories as listings found them, so that the next page need
// not unseal them again. They hold names in clear: a tenant's shelf goes when
// the lease of its root ends, for whatever reason, and at most LeaseTime after
// it was put up. Nothing on a shelf is believed to be so still; see lister.look.
type shelves struct {
	mu           sync.Mutex // guards all below, and all of every shelf
	of           map[recording.Tenant]*shelf
	cost         int
	uses         uint64 // counts looks, for what was used longest ago
	hits, misses uint64 // of looks
}

// ShelfStats says how often a listing found a directory as it was seen before.
type ShelfStats struct {
	Hits, Misses uint64
	Bytes        int // that all shelves take now
}

func (s *shelves) stats() ShelfStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ShelfStats{Hits: s.hits, Misses: s.misses, Bytes: s.cost}
}

// shelf is one tenant's. It is put up before the keys are leased that unseal
// what will stand on it, so that it cannot outlast them.
type shelf struct {
	shelves *shelves
	tenant  recording.Tenant
	places  map[catalog.Index]*list.Element
	order   list.List // of *stand, last used first
	cost    int
	gone    bool        // it keeps nothing any more
	end     *time.Timer // takes it down
}

type stand struct {
	dir  catalog.Index
	view *view
	used uint64
}

func newShelves() *shelves { return &shelves{of: map[recording.Tenant]*shelf{}} }

// shelf gives a tenant's shelf, and puts one up if it has none.
func (s *shelves) shelf(t recording.Tenant) *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.of[t]; ok {
		return have
	}
	made := &shelf{shelves: s, tenant: t, places: map[catalog.Index]*list.Element{}}
	made.end = time.AfterFunc(keytree.LeaseTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		made.takeDown()
	})
	s.of[t] = made
	return made
}

// drop takes down a tenant's shelf. Listings that hold it keep nothing more.
func (s *shelves) drop(t recording.Tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.of[t]; ok {
		have.takeDown()
	}
}

// close takes down every shelf.
func (s *shelves) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, have := range s.of {
		have.takeDown()
	}
}

func (s *shelf) takeDown() {
	if s.gone {
		return
	}
	s.gone = true
	s.end.Stop()
	s.shelves.cost -= s.cost
	delete(s.shelves.of, s.tenant)
	s.places, s.cost = nil, 0
	s.order.Init()
}

// view gives a directory as it was seen last; an empty view if it was not.
func (s *shelf) view(dir catalog.Index) *view {
	s.shelves.mu.Lock()
	defer s.shelves.mu.Unlock()
	e, ok := s.places[dir]
	if !ok {
		s.shelves.misses++
		return &view{}
	}
	s.shelves.hits++
	s.order.MoveToFront(e)
	s.shelves.uses++
	e.Value.(*stand).used = s.shelves.uses
	return e.Value.(*stand).view
}

// keep puts is in the place of was, which it grew out of. If another listing
// was first, only what both saw is kept: either may know of an erasure that
// the other does not. For the same reason nothing is kept if was is gone.
func (s *shelf) keep(dir catalog.Index, was, is *view) {
	s.shelves.mu.Lock()
	defer s.shelves.mu.Unlock()
	if s.gone {
		return
	}
	e, ok := s.places[dir]
	if !ok && !was.empty() {
		return
	}
	if ok {
		if now := e.Value.(*stand).view; now != was {
			is = now.common(is)
		}
		s.remove(e)
	}
	if is.empty() || is.cost() > shelfLimit {
		return
	}
	s.shelves.uses++
	s.places[dir] = s.order.PushFront(&stand{dir, is, s.shelves.uses})
	s.cost += is.cost()
	s.shelves.cost += is.cost()
	for s.cost > shelfLimit {
		s.remove(s.order.Back())
	}
	for s.shelves.cost > shelvesLimit {
		oldest := s.shelves.oldest()
		oldest.remove(oldest.order.Back())
	}
}

// forget takes down what is known of a directory that is in use no more.
func (s *shelf) forget(dir catalog.Index) {
	s.shelves.mu.Lock()
	defer s.shelves.mu.Unlock()
	if e, ok := s.places[dir]; ok {
		s.remove(e)
	}
}

// emptied forgets a directory that has no recordings directly in it, if they
// are remembered.
func (s *shelf) emptied(dir catalog.Index) {
	s.shelves.mu.Lock()
	defer s.shelves.mu.Unlock()
	if e, ok := s.places[dir]; ok && len(e.Value.(*stand).view.recordings) > 0 {
		s.remove(e)
	}
}

func (s *shelf) remove(e *list.Element) {
	p := s.order.Remove(e).(*stand)
	delete(s.places, p.dir)
	s.cost -= p.view.cost()
	s.shelves.cost -= p.view.cost()
}

// oldest gives the shelf of the view that was used longest ago. There is one.
func (s *shelves) oldest() (found *shelf) {
	least := uint64(0)
	for _, have := range s.of {
		if e := have.order.Back(); e != nil && (found == nil || e.Value.(*stand).used < least) {
			found, least = have, e.Value.(*stand).used
		}
	}
	return found
}
