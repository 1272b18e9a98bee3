package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// restoreSome restores the recordings that are among some blobs: those that are
// whole, open and are not erased. What it passes over is left to leaveSome.
func (r *rebuild) restoreSome(ctx context.Context, t recording.Tenant, infos []blob.Info) error {
	s, err := r.scope(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	all, err := r.look(ctx, s, infos)
	if err != nil {
		return err
	}
	var some []*found
	for _, f := range all {
		if f.err == nil && !f.buried && f.mayBe() {
			some = append(some, f)
		}
	}
	defer forget(some)
	if err := r.each(ctx, some, func(ctx context.Context, f *found) error {
		f.err = r.open(ctx, s, f)
		return f.err
	}); err != nil {
		return err
	}
	fresh, err := r.choose(ctx, s, some)
	if err != nil || len(fresh) == 0 {
		return err
	}
	return r.settleNames(ctx, s, fresh)
}

func forget(all []*found) {
	for _, f := range all {
		f.dek.Clear()
	}
}

// mayBe reports whether a blob may be what a recording is to be read from: nothing
// is known of its version, or only that it was begun with this blob, or it is
// another list of one that came in parts.
func (f *found) mayBe() bool {
	switch {
	case f.isPart():
		return false
	case f.row == nil:
		return true
	case f.prefix.Part == envelope.ListPart:
		return f.row.State == catalog.Intended && f.row.Blob == "" || f.relists()
	}
	return f.row.State == catalog.Intended && f.row.Blob == f.Key
}

// relists reports whether a list is another than its recording has.
func (f *found) relists() bool {
	return f.row != nil && f.prefix.Part == envelope.ListPart && f.row.State == catalog.Committed && f.row.Parts > 0
}

// choose gives one blob for each version: of several lists the last, since a
// completion that succeeded is the last one, and the parts that it did not name are
// gone.
func (r *rebuild) choose(ctx context.Context, s scope, all []*found) ([]*found, error) {
	buckets, err := r.bucketsOf(ctx, s)
	if err != nil {
		return nil, err
	}
	of := map[recording.Version]*found{}
	var order []recording.Version
	for _, f := range all {
		if f.err != nil {
			if f.prefix.Part == envelope.ListPart && !errors.Is(f.err, keytree.ErrPunctured) {
				r.incomplete[f.id().Version] = true
			}
			continue
		}
		b, there := buckets[f.facts.Bucket]
		if !there || f.relists() && !f.endedAt().After(f.row.CommittedAt) {
			continue
		}
		f.bucket = b
		v := f.id().Version
		if of[v] == nil {
			order = append(order, v)
		}
		if of[v] == nil || f.endedAt().After(of[v].endedAt()) {
			of[v] = f
		}
	}
	fresh := make([]*found, len(order))
	for i, v := range order {
		fresh[i] = of[v]
		delete(r.incomplete, v)
	}
	return fresh, nil
}

// bucketsOf gives a tenant's buckets by their names.
func (r *rebuild) bucketsOf(ctx context.Context, s scope) (map[recording.Bucket]bucket, error) {
	if of, ok := r.buckets[s.tenant.ID]; ok {
		return of, nil
	}
	rows, err := r.catalog.Buckets(ctx, s.tenant.ID)
	if err != nil {
		return nil, err
	}
	of := map[recording.Bucket]bucket{}
	for _, row := range rows {
		b, err := s.openBucket(ctx, row)
		if err != nil {
			return nil, err
		}
		of[b.Name] = b
	}
	r.buckets[s.tenant.ID] = of
	return of, nil
}

// named are the versions of one name: those that are to be restored, and those that
// have rows.
type named struct {
	mode  Overwrite
	all   []*namesake
	fresh map[*namesake]*found
	was   map[*namesake]catalog.Version
}

// settleNames decides what the names of some blobs stand for, and writes their rows.
func (r *rebuild) settleNames(ctx context.Context, s scope, fresh []*found) error {
	of, err := r.gather(ctx, s, fresh)
	if err != nil {
		return err
	}
	var rows []catalog.Restored
	var others []catalog.Placed
	var contested []recording.Identity
	for _, n := range of {
		settleName(n.mode, n.all)
		for _, v := range n.all {
			f, was := n.fresh[v], n.was[v]
			switch {
			case f != nil && v.contested && f.row != nil && !f.relists(): // the catalog knows that it was not committed before
				continue
			case f != nil:
				row, err := s.restored(f, v)
				if err != nil {
					return err
				}
				rows = append(rows, row)
			case v.state != was.State || v.current != was.Current:
				others = append(others, catalog.Placed{Version: v.Version, State: v.state, Current: v.current})
			}
			if v.contested {
				contested = append(contested, v.Identity)
			}
		}
	}
	if err := r.catalog.RestoreVersions(ctx, rows, others); err != nil {
		return err
	}
	r.count(rows, contested)
	return nil
}

func (r *rebuild) count(rows []catalog.Restored, contested []recording.Identity) {
	for _, row := range rows {
		r.report.Recordings++
		if row.State == catalog.Replaced {
			r.report.Replaced++
		}
	}
	for _, id := range contested {
		r.log.Warn("two recordings of one name exclude each other; both are kept", "tenant", id.Tenant.String(), "version", id.Version.String())
		r.report.Contested.add(id)
	}
}

// gather brings together what has each of the names of some blobs.
func (r *rebuild) gather(ctx context.Context, s scope, fresh []*found) (map[catalog.Index]*named, error) {
	of := map[catalog.Index]*named{}
	again := map[recording.Version]bool{}
	var names []catalog.Index
	for _, f := range fresh {
		index := s.nameIndex(f.facts.Bucket, f.facts.Name)
		n := of[index]
		if n == nil {
			n = &named{mode: f.bucket.Overwrite, fresh: map[*namesake]*found{}, was: map[*namesake]catalog.Version{}}
			of[index], names = n, append(names, index)
		}
		v := &namesake{
			Identity: f.id(), created: f.facts.CreatedAt, ended: f.endedAt(), parts: f.end.Parts > 0,
			onlyNew: f.end.OnlyNew, opens: true, state: catalog.Committed,
		}
		n.all, n.fresh[v] = append(n.all, v), f
		again[f.id().Version] = true
	}
	rows, err := r.catalog.Namesakes(ctx, s.tenant.ID, names)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if again[row.Version] {
			continue
		}
		v, err := s.namesake(ctx, row)
		if err != nil {
			return nil, err
		}
		n := of[row.Name]
		n.all, n.was[v] = append(n.all, v), row
	}
	return of, nil
}

// namesake tells of a version by its row. One that does not open has no name.
func (s scope) namesake(ctx context.Context, row catalog.Version) (*namesake, error) {
	v := &namesake{
		Identity: recording.Identity{Tenant: row.Tenant, Recording: row.Recording, Version: row.Version},
		created:  row.CreatedAt, ended: row.CommittedAt, parts: row.Parts > 0, state: row.State, current: row.Current,
	}
	dek, err := s.keys.UnwrapDEK(ctx, v.Identity, keySlots(row.Slots), row.WrappedDEK)
	if fatal(err) {
		return nil, err
	}
	if err != nil {
		return v, nil
	}
	defer dek.Clear()
	part := uint32(wholeUpload)
	if row.Parts > 0 {
		part = envelope.ListPart
	}
	layout, err := envelope.OpenLayout(dek, v.Identity, part, row.SealedEnd)
	var end recording.EndFacts
	if err == nil && json.Unmarshal(layout.EndFacts(), &end) == nil {
		v.opens, v.onlyNew = true, end.OnlyNew
	}
	return v, nil
}

// restored is the row of a recording as its commit wrote it.
func (s scope) restored(f *found, v *namesake) (catalog.Restored, error) {
	sealed, err := f.layout.Seal(f.dek)
	if err != nil {
		return catalog.Restored{}, err
	}
	d := draft{bucket: f.bucket, id: f.id(), slots: f.slots(), facts: f.facts, prefix: *f.prefix}
	d.prefix.SealedFacts = f.sealedFacts()
	key := f.Key
	if f.list != nil {
		key = ""
	}
	out := catalog.Restored{Directories: s.directories(f.facts.Bucket, string(f.facts.Name)), Terms: s.terms(f.facts), Generation: s.tenant.Stage.Written(), Relist: f.relists()}
	out.Version = catalog.Version{Intent: d.intent(key), State: v.state, Current: v.current, Content: d.content(f.end, f.stored, sealed)}
	out.CommittedAt = f.endedAt()
	out.Name = s.nameIndex(f.facts.Bucket, f.facts.Name)
	out.Directory = s.dirIndex(f.facts.Bucket, directory(string(f.facts.Name)))
	out.Subject = s.hangsFrom(f.facts, out.Version)
	if f.from != nil {
		out.Refiled = &catalog.Refiling{
			Tenant: f.id().Tenant, Version: f.id().Version, From: slotRow(*f.from), To: slotRow(f.slots()),
			Blob: keytree.FilingKey(f.id().Tenant, f.id().Version, f.slots().Recording),
		}
	}
	if f.list != nil {
		list := catalog.PartList{Blob: f.Key, StoredSize: f.layout.StoredSize()}
		if list.Sealed, err = envelope.SealParts(f.dek, f.id(), f.list); err != nil {
			return out, err
		}
		out.List, out.Listed = &list, f.pieces
	}
	return out, nil
}

// leaveSome decides about blobs that no recording needs: those of what is erased and
// of uploads that never ended become residues, and all others are reported.
func (r *rebuild) leaveSome(ctx context.Context, t recording.Tenant, infos []blob.Info) error {
	s, err := r.scope(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	all, err := r.look(ctx, s, infos)
	if err != nil {
		return err
	}
	defer forget(all)
	if err := r.each(ctx, all, func(ctx context.Context, f *found) error {
		switch {
		case f.err == nil && f.buried:
			return r.doubt(ctx, s, f)
		case f.err == nil:
			f.err = r.open(ctx, s, f)
		}
		return f.err
	}); err != nil {
		return err
	}
	var lost []catalog.Lost
	for _, f := range all {
		l, err := r.leave(ctx, f)
		if err != nil {
			return err
		}
		if l != nil {
			lost = append(lost, *l)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	if err := r.catalog.RestoreLost(ctx, lost); err != nil {
		return err
	}
	for _, l := range lost {
		if l.State == catalog.Erased {
			r.report.Erased++
		} else {
			r.report.Aborted++
		}
	}
	return nil
}

// errDoubted: a row, which may be anybody's, is all that says of a blob that it was erased.
var errDoubted = errors.New("the catalog says that an epoch has forgotten its key, and none has")

// doubt lets the keys decide about a blob below a tombstone: if its own are there, no
// epoch has punctured them, and only an erasure that is queued still says that they go.
func (r *rebuild) doubt(ctx context.Context, s scope, f *found) error {
	dek, err := s.keys.UnwrapDEK(ctx, f.id(), f.slots(), f.prefix.WrappedDEK[:])
	dek.Clear()
	if err != nil {
		return err
	}
	said, err := r.catalog.Punctured(ctx, s.tenant.ID, slotRow(f.slots()))
	if said {
		err = errDoubted
	}
	f.err = err
	return err
}

// leave decides about one blob: it gives what is to become a residue.
func (r *rebuild) leave(ctx context.Context, f *found) (*catalog.Lost, error) {
	switch {
	case errors.Is(f.err, fs.ErrNotExist) && f.prefix == nil:
		return nil, nil
	case f.prefix == nil || errors.Is(f.err, errNotOurs):
		r.unknown(f.Key, f.err.Error())
		return nil, nil
	case f.row != nil:
		return r.leaveKnown(ctx, f)
	case f.buried && f.err == nil, errors.Is(f.err, keytree.ErrPunctured):
		return f.lost(catalog.Erased), nil
	case f.err != nil:
		r.damaged(f.id(), f.Key, f.err)
		return nil, nil
	case f.isPart() && r.incomplete[f.id().Version]:
		r.damaged(f.id(), f.Key, errors.New("its recording's list of parts is damaged"))
		return nil, nil
	case f.isPart():
		return f.lost(catalog.Aborted), nil
	}
	r.unknown(f.Key, "a recording of a bucket that was deleted")
	return nil, nil
}

// leaveKnown is leave for a blob whose version has a row.
func (r *rebuild) leaveKnown(ctx context.Context, f *found) (*catalog.Lost, error) {
	several := f.prefix.Part != wholeUpload
	switch f.row.State {
	case catalog.Erased, catalog.Aborted:
		return f.lost(f.row.State), nil
	case catalog.Intended:
		if !several {
			break
		}
		// Its upload was open when this copy of the catalog was made, and went on.
		err := r.catalog.Abort(ctx, f.row.Tenant, f.row.Version)
		if errors.Is(err, catalog.ErrCommitted) {
			err = nil
		}
		return f.lost(catalog.Aborted), err
	default:
		if several && f.row.Parts > 0 && f.err == nil { // an attempt that another took the place of
			return f.lost(catalog.Aborted), nil
		}
	}
	if f.row.State != catalog.Intended || f.row.Blob != f.Key { // else a sweep aborts it
		r.unknown(f.Key, "another blob of a recording that has its own")
	}
	return nil, nil
}

// lost is the blob as a residue, with what is known of its version.
func (f *found) lost(state catalog.VersionState) *catalog.Lost {
	l := &catalog.Lost{State: state, Part: f.prefix.Part != wholeUpload, Key: f.Key, Intent: catalog.Intent{
		Version: f.id().Version, Tenant: f.id().Tenant, Recording: f.id().Recording, Slots: slotRow(f.slots()), CreatedAt: f.ModTime.UTC(),
	}}
	if !l.Part {
		l.Blob = f.Key
	}
	return l
}
