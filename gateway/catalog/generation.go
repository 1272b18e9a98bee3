package catalog

import (
	"context"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// Stage counts what becomes of a tenant's blind indexes, three stages for each
// generation:
//
//	settled    every row is under one generation
//	announced  rows are still, and whoever reads looks under the next one too
//	moving     rows are under either, and what is written is under the next
//
// after which all is settled under that. A request may go on in the stage before for
// as long as an announcement lasts at least, and reads right; what it writes is
// refused with ErrStage.
type Stage int64

// SettledUnder is the stage in which every row is under a generation.
func SettledUnder(generation uint32) Stage { return Stage(generation-1) * 3 }

// Written is the generation of what is written.
func (s Stage) Written() uint32 { return uint32((s+1)/3 + 1) }

// Older is the generation under which rows are, or have been so far.
func (s Stage) Older() uint32 { return uint32(s/3 + 1) }

// Newer is the generation that rows move to, if they do; else Older.
func (s Stage) Newer() uint32 { return uint32((s+2)/3 + 1) }

// Settled reports whether there is one generation only.
func (s Stage) Settled() bool { return s%3 == 0 }

// Moving reports whether rows are under two.
func (s Stage) Moving() bool { return s%3 == 2 }

// Generation is one of a tenant's generations of blind indexes, of which the next was
// announced. Times are zero before what they tell.
type Generation struct {
	Tenant      recording.Tenant
	Generation  uint32
	Slot        int64 // of its key, in the system tree
	Journal     int64 // the entry that announced the next one
	AnnouncedAt time.Time
	MovingAt    time.Time // nothing is written under it from then on
	MovedAt     time.Time // no row is under it any more
	ForgottenAt time.Time // its key is, and no lease of an older root can be left
	Reached     []byte
	Moved       int64 // versions
	Damaged     int64 // versions that do not open, and so stay
	Buried      bool  // its key has a tombstone
}

const generationColumns = `g.tenant, g.generation, g.slot, g.journal, g.announced_at, g.moving_at, g.moved_at, g.forgotten_at, g.reached, g.moved, g.damaged,
	EXISTS (SELECT 1 FROM punctures x WHERE x.slot = g.slot AND x.tree = 4 AND x.tenant = g.tenant)`

func (g *Generation) columns() []any {
	return []any{fixed(g.Tenant[:]), &g.Generation, &g.Slot, &g.Journal, moment{&g.AnnouncedAt}, moment{&g.MovingAt}, moment{&g.MovedAt},
		moment{&g.ForgottenAt}, &g.Reached, &g.Moved, &g.Damaged, &g.Buried}
}

const selectGenerations = `SELECT ` + generationColumns + ` FROM generations g WHERE g.tenant = $1`

// Generations gives a tenant's generations of which the next was announced, the
// newest first.
func (c *Catalog) Generations(ctx context.Context, tenant recording.Tenant) ([]Generation, error) {
	g, err := all[Generation](ctx, c.read("Generations"), selectGenerations+` ORDER BY g.generation DESC`, tenant[:])
	return g, explain(ctx, err)
}
