package keytree

import (
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// NewLeasesAt leases by a clock the test moves.
func NewLeasesAt(p Provider, now func() time.Duration, ended func(recording.Tenant)) *Leases {
	l := NewLeases(p, nil, ended)
	l.now = now
	return l
}

// SystemKeysKept counts the keys that the lease of k keeps.
func SystemKeysKept(k *Keys) int {
	k.system.mu.Lock()
	defer k.system.mu.Unlock()
	kept := 0
	for _, key := range k.system.keys {
		if !key.IsZero() {
			kept++
		}
	}
	return kept
}

// ParsePack reads a pack without a head.
func ParsePack(id PackID, b []byte) (Pack, error) { return parsePack(id, b) }
