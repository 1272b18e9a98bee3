package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
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
	holder [16]byte      // names this process in leases
	mu     sync.Mutex    // guards status
	status ReindexStatus
}

func newReindexing(c Config) *reindexing {
	r := &reindexing{every: cmp.Or(c.ReindexEvery, DefaultReindexEvery), view: viewFor, after: announceFor}
	if c.announce != 0 {
		r.view, r.after = c.announce/2, c.announce
	}
	rand.Read(r.holder[:]) // never fails: crypto/rand ends the program instead
	return r
}

func (r *reindexing) note(f func(*ReindexStatus)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.status)
}

func (r *reindexing) stats() (s ReindexStatus) {
	r.note(func(now *ReindexStatus) { s = *now })
	return s
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
	ctx, cancel := context.WithTimeout(ctx, reindexFor)
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

// moveFew gathers what buckets and holds are found by in the stage of a scope.
func (g *Gateway) moveFew(ctx context.Context, s scope, m *catalog.Move) error {
	m.Buckets, m.Holds = map[recording.BucketID]catalog.Index{}, map[recording.HoldID]catalog.Index{}
	buckets, err := g.catalog.Buckets(ctx, s.tenant.ID)
	if err != nil {
		return unavailable(err)
	}
	for _, row := range buckets {
		b, err := s.openBucket(ctx, row)
		if err != nil {
			return err
		}
		m.Buckets[row.ID] = s.bucketIndex(b.Name)
	}
	holds, err := g.catalog.Holds(ctx, s.tenant.ID)
	if err != nil {
		return unavailable(err)
	}
	for _, row := range holds {
		d, err := s.openHold(ctx, row.ID, uint64(row.Slot), row.Sealed)
		if errors.Is(err, keytree.ErrPunctured) { // released since it was read
			continue
		}
		if err != nil {
			return err
		}
		if d.Subject != "" {
			m.Holds[row.ID] = s.subjectIndex(d.Subject)
		}
	}
	return nil
}

// moveAll moves versions until none is left, and settles the tenant. It takes as long
// between two batches as the last one took, for what else the catalog has to do.
func (g *Gateway) moveAll(ctx context.Context, of catalog.Generation) error {
	for {
		began := time.Now()
		done, err := g.moveSome(ctx, &of)
		if errors.Is(err, catalog.ErrBehind) || errors.Is(err, catalog.ErrStage) { // another moves them
			return nil
		}
		if err != nil {
			return err
		}
		if done {
			return g.endMove(ctx, of)
		}
		if mine, err := g.catalog.LeaseGeneration(ctx, of, g.reindexes.holder, reindexLease); err != nil || !mine {
			return err
		}
		if err := sleep(ctx, time.Since(began)); err != nil {
			return err
		}
	}
}

// moveSome moves the next versions, and reports whether there are none.
func (g *Gateway) moveSome(ctx context.Context, of *catalog.Generation) (done bool, err error) {
	s, err := g.reenter(ctx, of.Tenant)
	if err != nil {
		return false, err
	}
	defer s.end()
	if s.tenant.Stage != catalog.SettledUnder(of.Generation)+2 {
		return false, catalog.ErrStage
	}
	return g.moveIn(ctx, s, of)
}

// moveIn is moveSome in the stage that a scope knows.
func (g *Gateway) moveIn(ctx context.Context, s scope, of *catalog.Generation) (done bool, err error) {
	rows, reached, err := g.catalog.ToMove(ctx, of.Tenant, of.Reached, reindexBatch)
	if err != nil {
		return false, unavailable(err)
	}
	if len(rows) == 0 {
		return true, g.moveUploads(ctx, s)
	}
	step := catalog.Step{Tenant: of.Tenant, Stage: s.tenant.Stage, From: of.Reached, Reached: reached}
	for _, v := range rows {
		if err := g.moved(ctx, s, v, &step); err != nil {
			return false, err
		}
	}
	// gofail: var rowsMove string
	// return false, failpoint(rowsMove)
	if err := g.catalog.MoveVersions(ctx, step); err != nil {
		return false, unavailable(err)
	}
	of.Reached, of.Moved = reached, of.Moved+int64(len(step.Rows))
	g.reindexes.note(func(s *ReindexStatus) {
		s.Moved += int64(len(step.Rows))
		s.Damaged += step.Damaged
	})
	return false, nil
}

// moveUploads has the subjects of open uploads be found under the generation that is
// written, with the slots that their parts hang from: of whom no version tells yet, an
// erasure takes the upload all the same.
func (g *Gateway) moveUploads(ctx context.Context, s scope) error {
	buckets, err := g.catalog.Buckets(ctx, s.tenant.ID)
	if err != nil {
		return unavailable(err)
	}
	for _, b := range buckets {
		open, err := g.catalog.Uploads(ctx, s.tenant.ID, b.ID)
		if err != nil {
			return unavailable(err)
		}
		for _, up := range open {
			if err := g.moveUpload(ctx, s, up); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Gateway) moveUpload(ctx context.Context, s scope, up catalog.Upload) error {
	f, err := s.facts(ctx, catalog.Version{Intent: up.Intent, Content: catalog.Content{WrappedDEK: up.WrappedDEK, SealedFacts: up.SealedFacts}})
	if errors.Is(err, recording.ErrErased) || errors.Is(err, recording.ErrIntegrity) { // nobody can complete it
		return nil
	}
	if err != nil || len(f.Subjects) == 0 {
		return err
	}
	_, err = g.catalog.SubjectSlot(ctx, s.tenant.ID, s.subject(f.Subjects[0]), up.Slots.Subject)
	if errors.Is(err, catalog.ErrTombstoned) { // it was erased, and the upload with it
		err = nil
	}
	return unavailable(err)
}

// moved adds a version to a step, by what is sealed in it. One whose keys are gone was
// erased or replaced since, or lies below a tombstone: a sweep settles it.
func (g *Gateway) moved(ctx context.Context, s scope, v catalog.Version, to *catalog.Step) error {
	f, err := s.facts(ctx, v)
	if errors.Is(err, recording.ErrErased) {
		fresh, again := g.catalog.Version(ctx, v.Tenant, v.Version)
		switch {
		case again != nil:
			return unavailable(again)
		case fresh.State == catalog.Replaced:
			to.Dead = append(to.Dead, fresh)
			return nil
		case fresh.State == catalog.Erased:
			return nil
		}
		v = fresh
		f, err = s.facts(ctx, v) // where it was filed since
	}
	if err == nil && !s.lost && !s.isName(v.Name, f.Bucket, f.Name) {
		err = damaged(recording.Identity{Version: v.Version}, errors.New("the row of another name"))
	}
	if !s.lost && (errors.Is(err, keytree.ErrPage) || errors.Is(err, fs.ErrNotExist)) { // a page that may be put back, with all that it leads to
		return err
	}
	if errors.Is(err, recording.ErrErased) || errors.Is(err, recording.ErrIntegrity) {
		g.log.Error("a recording does not open, and its indexes stay: they are to be forgotten", "tenant", v.Tenant.String(), "version", v.Version.String(), "error", err)
		to.Damaged++
		return nil
	}
	if err != nil {
		return err
	}
	to.Rows = append(to.Rows, s.moved(f, v))
	return nil
}

// facts opens what a version's row tells of it.
func (s scope) facts(ctx context.Context, v catalog.Version) (f recording.Facts, err error) {
	id := recording.Identity{Tenant: s.tenant.ID, Recording: v.Recording, Version: v.Version}
	dek, err := s.keys.UnwrapDEK(ctx, id, keySlots(v.Slots), v.WrappedDEK)
	if err != nil {
		return f, unopened(id, err)
	}
	defer dek.Clear()
	if f, err = openFacts(dek, id, uint64(v.Slots.Recording), v.SealedFacts); err != nil {
		return f, damaged(id, err)
	}
	return f, nil
}

// moved is a version by its indexes of the generation that is written.
func (s scope) moved(f recording.Facts, v catalog.Version) catalog.Moved {
	out := catalog.Moved{
		Version: v.Version, Filed: v.Slots, Was: v.Name,
		Name: s.nameIndex(f.Bucket, f.Name), Directory: s.dirIndex(f.Bucket, directory(string(f.Name))),
		Directories: s.directories(f.Bucket, string(f.Name)), Terms: s.terms(f),
	}
	if s.lost {
		out.Subject = s.hangsFrom(f, v)
		return out
	}
	for _, sub := range f.Subjects {
		out.Subjects = append(out.Subjects, s.subject(sub))
	}
	return out
}

// hangsFrom is the index of the subject whose slot a version hangs from, nil if it is
// nobody's.
func (s scope) hangsFrom(f recording.Facts, v catalog.Version) *catalog.Index {
	if len(f.Subjects) == 0 || uint64(v.Slots.Subject) == keytree.Nobody {
		return nil
	}
	index := s.subjectIndex(f.Subjects[0])
	return &index
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
