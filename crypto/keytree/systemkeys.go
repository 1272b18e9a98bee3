package keytree

import "sync"

// mostSystemKeys bounds the keys that a lease keeps: of settings, credentials,
// generations of indexes and months, of which few are in use at a time.
const mostSystemKeys = 16

// systemKeys keeps the system keys that were derived under a lease, since every
// request wants the same few. They go when the root does.
type systemKeys struct {
	mu      sync.Mutex // guards all below
	cleared bool
	n       int
	slots   [mostSystemKeys]uint64
	keys    [mostSystemKeys]Key
}

func (c *systemKeys) find(slot uint64) (k Key, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, kept := range c.slots[:c.n] {
		if kept == slot {
			return c.keys[i], true
		}
	}
	return k, false
}

// keep keeps a key that find did not, where there is room.
func (c *systemKeys) keep(slot uint64, k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.cleared && c.n < mostSystemKeys { // two may keep the same: no harm
		c.slots[c.n], c.keys[c.n] = slot, k
		c.n++
	}
}

// clear overwrites what is kept, and nothing is kept from then on.
func (c *systemKeys) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.keys[:])
	c.cleared, c.n = true, 0
}
