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
