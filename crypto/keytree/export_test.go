package keytree

import (
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// NewLeasesAt leases by a clock the test moves.
func NewLeasesAt(p Provider, now func() time.Duration, ended func(recording.Tenant)) *Leases {
	l := NewLeases(p, ended)
	l.now = now
	return l
}

// Common counts the keys that the lease of k keeps.
func Common(k *Keys) int {
	k.common.mu.Lock()
	defer k.common.mu.Unlock()
	kept := 0
	for _, key := range k.common.keys {
		if !key.IsZero() {
			kept++
		}
	}
	return kept
}
