package keytree

import "time"

// NewLeasesAt leases by a clock the test moves.
func NewLeasesAt(p Provider, now func() time.Duration) *Leases {
	l := NewLeases(p)
	l.now = now
	return l
}
