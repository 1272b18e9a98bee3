package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

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

// moveAll moves versions until none is left, and settles the tenant, or until its turn is
// over: then it goes on in the next. It takes as long between two batches as the last one
// took, for what else the catalog has to do.
func (g *Gateway) moveAll(ctx context.Context, of catalog.Generation) error {
	for turn := time.Now(); ; {
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
		if time.Since(turn) > g.reindexes.turn {
			return nil
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
		return true, nil
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

// moveIntent has the subjects of an upload under way be found under the generation that is
// written, the first with the slot that it hangs from: nothing else may tell of them yet,
// and their erasure takes the upload all the same.
func (g *Gateway) moveIntent(ctx context.Context, s scope, v catalog.Version, to *catalog.Step) error {
	if v.SealedFacts == nil { // it comes in parts
		up, err := g.catalog.Upload(ctx, v.Tenant, v.Version)
		if errors.Is(err, recording.ErrNotFound) { // it has ended, or nobody can complete it
			to.Begun = append(to.Begun, catalog.Begun{Version: v.Version})
			return nil
		}
		if err != nil {
			return unavailable(err)
		}
		v.WrappedDEK, v.SealedFacts = up.WrappedDEK, up.SealedFacts
	}
	f, err := s.facts(ctx, v)
	if s.lostFor(err) { // it was erased, or nobody can complete it
		to.Begun = append(to.Begun, catalog.Begun{Version: v.Version})
		return nil
	}
	if err != nil || len(f.Subjects) == 0 {
		return err
	}
	if terms := s.begunTerms(f); terms != nil {
		to.Begun = append(to.Begun, catalog.Begun{Version: v.Version, Terms: terms})
	}
	_, err = g.catalog.SubjectSlot(ctx, s.tenant.ID, s.subject(f.Subjects[0]), v.Slots.Subject)
	if errors.Is(err, catalog.ErrTombstoned) { // it was erased, and the upload with it
		err = nil
	}
	return unavailable(err)
}

// moved adds a version to a step, by what is sealed in it. One whose keys are gone was
// erased or replaced since, or lies below a tombstone: a sweep settles it.
func (g *Gateway) moved(ctx context.Context, s scope, v catalog.Version, to *catalog.Step) error {
	if v.State == catalog.Intended {
		return g.moveIntent(ctx, s, v, to)
	}
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
	row, mended := v, (*catalog.Version)(nil)
	if s.lostFor(err) {
		if row, f, err = g.fromStore(ctx, s, v); err == nil {
			mended = &row
			g.log.Error("the row of a recording did not open, and says again what the store does", "tenant", v.Tenant.String(), "version", v.Version.String())
		}
	}
	if err == nil && !s.lost && !s.isName(v.Name, f.Bucket, f.Name) {
		err = damaged(recording.Identity{Version: v.Version}, errors.New("the row of another name"))
	}
	if s.lostFor(err) {
		g.log.Error("a recording does not open, and its indexes stay: they are to be forgotten", "tenant", v.Tenant.String(), "version", v.Version.String(), "error", err)
		to.Damaged++
		return nil
	}
	if err != nil {
		return err
	}
	m := s.moved(f, row)
	m.Filed, m.Mended = v.Slots, mended
	to.Rows = append(to.Rows, m)
	return nil
}

// lostFor reports whether what does not open will not do so later either.
func (s scope) lostFor(err error) bool {
	return !s.waits(err) && (errors.Is(err, recording.ErrErased) || errors.Is(err, recording.ErrIntegrity))
}

// waits reports whether something does not open for want of a page of keys, which may be
// put back, with all that it leads to. A rebuild waits for none: the older key is gone.
func (s scope) waits(err error) bool {
	return !s.lost && (errors.Is(err, keytree.ErrPage) || errors.Is(err, fs.ErrNotExist))
}

// fromStore gives a version whose row does not open as the store has it: filed where its
// row says, or as its blob says, unless that is erased; and its facts. Both are sealed for
// this version, so whoever writes to the store can take them away, and not forge them.
// recording.ErrErased, recording.ErrIntegrity: they do not open either.
func (g *Gateway) fromStore(ctx context.Context, s scope, v catalog.Version) (catalog.Version, recording.Facts, error) {
	id := recording.Identity{Tenant: v.Tenant, Recording: v.Recording, Version: v.Version}
	stored, err := g.inBlob(ctx, id, v.Blob)
	if err != nil {
		return v, recording.Facts{}, err
	}
	filings, err := g.following().Filings(ctx, v.Tenant, v.Version, []string{keytree.FilingKey(v.Tenant, v.Version, uint64(v.Slots.Recording))})
	if err != nil {
		return v, recording.Facts{}, unavailable(err)
	}
	for _, of := range filings { // one, if any
		stored.filedAs(of)
	}
	buried, err := g.catalog.Tombstones(ctx, v.Tenant, slotsOf(stored))
	if err != nil {
		return v, recording.Facts{}, unavailable(err)
	}
	if len(buried) > 0 {
		return v, recording.Facts{}, fmt.Errorf("%w: version %v", recording.ErrErased, v.Version)
	}
	v.Slots, v.WrappedDEK, v.SealedFacts = slotRow(stored.slots()), stored.prefix.WrappedDEK[:], stored.sealedFacts()
	f, err := s.facts(ctx, v)
	return v, f, err
}

// inBlob reads what the blob of a version says of it, or of what came in parts one of
// these.
func (g *Gateway) inBlob(ctx context.Context, id recording.Identity, key string) (*found, error) {
	if key == "" {
		parts, err := g.catalog.Parts(ctx, id.Tenant, id.Version)
		if err != nil {
			return nil, unavailable(err)
		}
		if len(parts) > 0 {
			key = parts[0].Blob
		}
	}
	at := &blobAt{store: g.blobs, Info: blob.Info{Key: key, Size: prefixMost}}
	p, err := at.prefix(ctx)
	switch {
	case at.err != nil && !errors.Is(at.err, fs.ErrNotExist):
		return nil, unavailable(at.err)
	case err != nil: // not as it is: a blob is no page, which may be put back
		return nil, damaged(id, fmt.Errorf("its blob: %v", err))
	case p.Identity != id:
		return nil, damaged(id, errors.New("the blob of another version"))
	}
	return &found{at: at, prefix: p}, nil
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
