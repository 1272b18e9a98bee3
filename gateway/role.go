package gateway

import "slices"

// A Role is a share of a gateway's work that a process may have to itself, with
// no more rights at the key provider than that work needs.
type Role string

// The roles.
const (
	Front   Role = "front"   // serves callers; can unwrap roots, and no more
	Eraser  Role = "eraser"  // makes and destroys tenants' roots, and drives erasures to their end
	Sweeper Role = "sweeper" // gives up what was begun and never ended
)

// Roles are those of one process; none means all of them.
type Roles []Role

// Has reports whether r is among the roles.
func (rs Roles) Has(r Role) bool { return len(rs) == 0 || slices.Contains(rs, r) }
