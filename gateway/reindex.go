package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// DefaultReindexEvery is how long what was erased may be confirmed by an index in a
// backup, before rows move.
const DefaultReindexEvery = 7 * 24 * time.Hour

const (
	reindexLook  = 2 * time.Second  // for generations that are to be forgotten
	reindexAgain = 10 * time.Second // after what failed
	reindexDue   = time.Minute      // for tenants whose rows are to move
	reindexLease = 10 * time.Second
	reindexFor   = 10 * time.Minute // of one tenant, before others have their turn
	reindexStuck = 2 * reindexFor   // longer than a turn, and a batch
	reindexBatch = 100
)

// ReindexInfo tells how far the generation of blind indexes is that a tenant's rows
// last left.
type ReindexInfo struct {
	State       string // none, announced, moving, moved, forgotten
	AnnouncedAt time.Time
	MovingAt    time.Time // what was asked to be erased before can be confirmed by no index once the generation is forgotten
	MovedAt     time.Time
	ForgottenAt time.Time
	Moved       int64 // versions
	Damaged     int64 // versions that do not open, and so stay where they are found no more
	Linkable    bool  // something was erased since, or what is under way began, for which rows have to move again
}

// Reindex has the rows of a tenant move to the next generation of blind indexes, and
// the key of the one they leave be forgotten: then no index in a backup confirms what
// was erased before. It returns once that is durable; the rest goes on by itself:
//
//	announced  an entry of the journal: readers look under the next generation too
//	moving     no request goes on that does not know of it; what is written is under the
//	           next, and rows move in batches
//	moved      nothing is under the older one
//	forgotten  its key is punctured by an epoch, and no lease of an older root is left
//
// If nothing was erased since rows last moved there is nothing to do, and one that is
// under way is joined.
func (g *Gateway) Reindex(ctx context.Context, c Caller, tenant string) (ReindexInfo, error) {
	p, err := g.administer(ctx, c, policy.Reindex, tenant)
	if err != nil {
		return ReindexInfo{}, err
	}
	s, err := g.enter(ctx, p.tenant)
	if err != nil {
		return ReindexInfo{}, err
	}
	defer s.end()
	linkable, err := g.catalog.Linkable(ctx, s.tenant.ID, s.tenant.Stage.Written())
	if err != nil {
		return ReindexInfo{}, unavailable(err)
	}
	if linkable {
		err = g.change(ctx, s, entry{At: now(), Generation: s.tenant.Stage.Older()}, p.event)
	}
	if !linkable || errors.Is(err, errLeaving) {
		err = g.explain(ctx, s, p.event)
	}
	if err != nil {
		return ReindexInfo{}, err
	}
	return g.reindexed(ctx, s.tenant.ID)
}

// Reindexed tells how far it is.
func (g *Gateway) Reindexed(ctx context.Context, c Caller, tenant string) (ReindexInfo, error) {
	p, err := g.administer(ctx, c, policy.Reindex, tenant)
	if err != nil {
		return ReindexInfo{}, err
	}
	if err := g.explain(ctx, scope{}, p.event); err != nil {
		return ReindexInfo{}, err
	}
	return g.reindexed(ctx, p.tenant.ID)
}

func (g *Gateway) reindexed(ctx context.Context, id recording.Tenant) (ReindexInfo, error) {
	t, err := g.catalog.Tenant(ctx, id)
	if err != nil {
		return ReindexInfo{}, unavailable(err)
	}
	info := ReindexInfo{State: "none"}
	if info.Linkable, err = g.catalog.Linkable(ctx, id, t.Stage.Newer()); err != nil {
		return info, unavailable(err)
	}
	all, err := g.catalog.Generations(ctx, id)
	if err != nil || len(all) == 0 {
		return info, unavailable(err)
	}
	of := all[0]
	info.AnnouncedAt, info.MovingAt, info.MovedAt, info.ForgottenAt = of.AnnouncedAt, of.MovingAt, of.MovedAt, of.ForgottenAt
	info.Moved, info.Damaged = of.Moved, of.Damaged
	switch {
	case !of.ForgottenAt.IsZero():
		info.State = "forgotten"
	case !of.MovedAt.IsZero():
		info.State = "moved"
	case !of.MovingAt.IsZero():
		info.State = "moving"
	default:
		info.State = "announced"
	}
	return info, nil
}

// announced is a generation that an entry of the journal says rows are to leave.
func announced(generation uint32, sequence int64) *catalog.Announced {
	return &catalog.Announced{Generation: generation, Slot: int64(keytree.IndexSlot(generation)), Journal: sequence}
}

// errLeaving: rows are leaving a generation already, or the one before is not forgotten.
var errLeaving = errors.New("gateway: rows are leaving a generation already")

// mayLeave decides whether rows may leave a generation for the next.
func (g *Gateway) mayLeave(ctx context.Context, s scope, generation uint32) error {
	all, err := g.catalog.Generations(ctx, s.tenant.ID)
	if err != nil {
		return unavailable(err)
	}
	open := slices.ContainsFunc(all, func(of catalog.Generation) bool { return of.ForgottenAt.IsZero() })
	if open || s.tenant.Stage != catalog.SettledUnder(generation) {
		return errLeaving
	}
	return nil
}

// ReindexStatus is what a process knows of the rows that it moves.
type ReindexStatus struct {
	Moved    int64         // versions
	Damaged  int64         // versions that did not open
	Failures int64         // times that a tenant's moving was broken off
	Running  int64         // tenants whose rows leave a generation, or whose key is not forgotten yet
	Oldest   time.Duration // since the first of these was announced
}

// reindexing is what a gateway keeps of it.
type reindexing struct {
	every  time.Duration // below 0: on demand alone
	view   time.Duration // viewFor
	after  time.Duration // announceFor, also of what has moved
	turn   time.Duration // reindexFor
	holder [16]byte      // names this process in leases
	noted[ReindexStatus]
}

func newReindexing(c Config) *reindexing {
	r := &reindexing{every: cmp.Or(c.ReindexEvery, DefaultReindexEvery), view: viewFor, after: announceFor, turn: cmp.Or(c.turn, reindexFor)}
	if c.announce != 0 {
		r.view, r.after = c.announce/2, c.announce
	}
	rand.Read(r.holder[:]) // never fails: crypto/rand ends the program instead
	return r
}

// reindexAlways sees to generations until the gateway is closed. Many may do so at
// once: they save each other work by leases, and are safe without them.
func (g *Gateway) reindexAlways() {
	due, wait := time.Now(), reindexLook
	for ; sleep(g.life, wait) == nil; wait = reindexLook {
		err := fault.Contain(func() error {
			var err error
			if g.reindexes.every > 0 && time.Now().After(due) {
				due = time.Now().Add(reindexDue)
				err = g.announceDue(g.life)
			}
			return errors.Join(err, g.forgetOlder(g.life))
		})
		if err != nil && g.life.Err() == nil {
			g.log.Warn("indexes not renewed; it goes on soon", "error", err)
			wait = reindexAgain
		}
	}
}

// announceDue has rows move of tenants that erased something long ago.
func (g *Gateway) announceDue(ctx context.Context) error {
	due, err := g.catalog.TenantsToReindex(ctx, g.reindexes.every)
	for _, t := range due {
		if failed := g.announce(ctx, t); failed != nil {
			err = errors.Join(err, fmt.Errorf("tenant %v: %w", t, failed))
		}
	}
	return err
}

func (g *Gateway) announce(ctx context.Context, t recording.Tenant) error {
	s, err := g.reenter(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	err = g.change(ctx, s, entry{At: now(), Generation: s.tenant.Stage.Older()}, audit.Event{
		Tenant: t, At: now(), Who: refiler, Action: string(policy.Reindex), Outcome: audit.Allowed, Reason: "schedule",
	})
	if errors.Is(err, errLeaving) {
		err = nil
	}
	return err
}

// forgetOlder takes every generation that is to be forgotten as far as it goes now.
func (g *Gateway) forgetOlder(ctx context.Context) error {
	open, err := g.catalog.OpenGenerations(ctx)
	if err != nil {
		return err
	}
	g.reindexes.note(func(s *ReindexStatus) {
		s.Running, s.Oldest = int64(len(open)), 0
		for _, of := range open {
			s.Oldest = max(s.Oldest, time.Since(of.AnnouncedAt))
		}
	})
	for _, of := range open {
		if failed := g.leave(ctx, of); failed != nil {
			g.reindexes.note(func(s *ReindexStatus) { s.Failures++ })
			err = errors.Join(err, fmt.Errorf("generation %d of tenant %v: %w", of.Generation, of.Tenant, failed))
		}
	}
	return err
}

// leave takes one generation as far as it goes now. Killed anywhere, it goes on from
// what the catalog has, anywhere.
func (g *Gateway) leave(ctx context.Context, of catalog.Generation) error {
	mine, err := g.catalog.LeaseGeneration(ctx, of, g.reindexes.holder, reindexLease)
	if err != nil || !mine {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reindexStuck)
	defer cancel()
	switch {
	case of.MovedAt.IsZero() && of.MovingAt.IsZero():
		return g.beginMove(ctx, of)
	case of.MovedAt.IsZero():
		return g.moveAll(ctx, of)
	case time.Since(of.MovedAt) < g.reindexes.after:
		return nil
	case !of.Buried:
		return g.bury(ctx, of)
	}
	// gofail: var generationForget string
	// return failpoint(generationForget)
	forgotten, err := g.catalog.ForgetGeneration(ctx, of, g.reindexes.after)
	if forgotten {
		g.log.Info("generation of indexes forgotten", "tenant", of.Tenant.String(), "generation", of.Generation, "versions", of.Moved)
	}
	return err
}

// beginMove ends an announcement, once every request knows of it.
func (g *Gateway) beginMove(ctx context.Context, of catalog.Generation) error {
	s, err := g.reenter(ctx, of.Tenant)
	if err != nil {
		return err
	}
	defer s.end()
	if s.tenant.Stage != catalog.SettledUnder(of.Generation)+1 {
		return nil
	}
	m := catalog.Move{
		Tenant: of.Tenant, From: s.tenant.Stage, To: s.tenant.Stage + 1, Journal: s.tenant.Journal, After: g.reindexes.after,
	}
	s.tenant.Stage, s.index, s.beside = m.To, s.beside, s.index
	if err := g.moveFew(ctx, s, &m); err != nil {
		return err
	}
	// gofail: var generationMove string
	// return failpoint(generationMove)
	_, err = g.catalog.BeginMove(ctx, m)
	if errors.Is(err, catalog.ErrStage) { // of another process, or the settings have changed: the next look tells
		err = nil
	}
	return err
}

// endMove settles the tenant under the generation to which all rows have moved. What
// lies below tombstones, and so did not, goes first.
func (g *Gateway) endMove(ctx context.Context, of catalog.Generation) error {
	if err := g.settleTenant(ctx, of.Tenant); err != nil {
		return err
	}
	event, err := audit.Seal(keytree.Key{}, audit.Event{
		Tenant: of.Tenant, At: now(), Who: refiler, Action: "reindexed", Outcome: audit.Allowed,
	})
	if err != nil {
		return err
	}
	// gofail: var generationMoved string
	// return failpoint(generationMoved)
	return unavailable(g.catalog.EndMove(ctx, of.Tenant, catalog.SettledUnder(of.Generation)+2, []audit.Record{event}))
}

// bury drops what is left of a generation that no row is under, and has the next epoch
// puncture its key.
func (g *Gateway) bury(ctx context.Context, of catalog.Generation) error {
	for more := true; more; {
		var err error
		if more, err = g.catalog.DropLeft(ctx, of, reindexBatch); err != nil {
			return unavailable(err)
		}
	}
	for at := (&catalog.ErasureCursor{}); at != nil; {
		var err error
		if at, err = g.catalog.ForgetScopes(ctx, of, *at, reindexBatch); err != nil {
			return unavailable(err)
		}
	}
	// gofail: var generationBury string
	// return failpoint(generationBury)
	if err := g.catalog.BuryGeneration(ctx, of, g.reindexes.after); err != nil {
		return unavailable(err)
	}
	g.eraser.Nudge()
	return nil
}
