package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

const (
	rebuildMany    = 100     // blobs that are looked at, and then written, at a time
	rebuildWorkers = 16      // reads of the store at a time
	maxList        = 8 << 20 // of a list of 10,000 parts
)

// everyBlob hands over the blobs of recordings that no row knows of, some at a time.
// Memory is bounded as a census's is: of a larger vault the store is listed more
// than once. A hash that two blobs share would hide one of them, once in some
// 10^5 rebuilds of ten million; another rebuild hashes otherwise.
func (r *rebuild) everyBlob(ctx context.Context, of []recording.Tenant, do func(context.Context, recording.Tenant, []blob.Info) error) error {
	n, err := r.catalog.CountBlobs(ctx)
	if err != nil {
		return err
	}
	seed, passes := maphash.MakeSeed(), uint64(n/censusMost+1)
	for pass := range passes {
		c := counting{seed: seed, pass: pass, passes: passes}
		if err := c.learn(ctx, r.catalog.EachSettledBlob); err != nil {
			return err
		}
		for _, t := range of {
			if err := r.blobsOf(ctx, t, &c, do); err != nil {
				return fmt.Errorf("recordings of %v: %w", t, err)
			}
		}
	}
	return nil
}

func (r *rebuild) blobsOf(ctx context.Context, t recording.Tenant, c *counting, do func(context.Context, recording.Tenant, []blob.Info) error) error {
	var some []blob.Info
	for info, err := range r.blobs.List(ctx, fmt.Sprintf("recordings/%v/", t)) {
		if err != nil {
			return err
		}
		if h, mine := c.mine(info.Key); !mine || c.knows(h) {
			continue
		}
		if some = append(some, info); len(some) == rebuildMany {
			if err := do(ctx, t, some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	if len(some) == 0 {
		return nil
	}
	return do(ctx, t, some)
}

// scope opens a tenant for some blobs, which take less time than a lease.
func (r *rebuild) scope(ctx context.Context, id recording.Tenant) (scope, error) {
	t, err := r.catalog.Tenant(ctx, id)
	if err != nil {
		return scope{}, err
	}
	keys, err := r.keys(ctx, &t)
	if err != nil {
		return scope{}, err
	}
	return r.indexed(ctx, t, keys)
}

// found is a blob, and as much of it as was read.
type found struct {
	blob.Info
	at     *blobAt
	prefix *envelope.Prefix
	buried bool               // one of its slots has a tombstone
	from   *keytree.Slots     // where its blob says it is filed, if that was done anew since
	sealed []byte             // facts, as they were filed anew; empty: those of the prefix count
	row    *catalog.Version   // of its version, nil if there is none
	err    error              // why it is not read any further
	dek    keytree.Key        // zero before it is opened
	facts  recording.Facts    //
	end    recording.EndFacts //
	layout *envelope.Layout   //
	list   []byte             // of a list of parts
	parts  []envelope.Part    //
	pieces []catalog.Part     // rows of those
	stored int64              // bytes of all blobs of the recording
	bucket bucket             // of its name now
}

func (f *found) id() recording.Identity { return f.prefix.Identity }

func (f *found) slots() keytree.Slots {
	return keytree.Slots{Recording: f.prefix.Slots[0], Subject: f.prefix.Slots[1], Day: f.prefix.Slots[2]}
}

func (f *found) sealedFacts() []byte {
	if len(f.sealed) > 0 {
		return f.sealed
	}
	return f.prefix.SealedFacts
}

// isPart reports whether it is one of several blobs that a list tells of.
func (f *found) isPart() bool {
	return f.prefix.Part != wholeUpload && f.prefix.Part != envelope.ListPart
}

// errNotOurs: a blob begins as none of this tenant does.
var errNotOurs = errors.New("not a blob of this tenant")

// fatal reports what is no fault of a blob and ends a rebuild.
func fatal(err error) bool {
	for _, known := range []error{blob.ErrUnavailable, keytree.ErrUnavailable, recording.ErrUnavailable, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// look reads the prefixes of blobs, and what the catalog has of them. Blobs that
// are gone by now are left out.
func (r *rebuild) look(ctx context.Context, s scope, infos []blob.Info) ([]*found, error) {
	t := s.tenant.ID
	all := make([]*found, len(infos))
	for i, info := range infos {
		all[i] = &found{Info: info}
	}
	err := r.each(ctx, all, func(ctx context.Context, f *found) error {
		f.at = &blobAt{store: r.blobs, Info: f.Info}
		f.prefix, f.err = f.at.prefix(ctx)
		if f.err == nil && f.id().Tenant != t {
			f.err = errNotOurs
		}
		return f.err
	})
	if err != nil {
		return nil, err
	}
	there := all[:0]
	for _, f := range all {
		if !errors.Is(f.err, fs.ErrNotExist) {
			there = append(there, f)
		}
	}
	if err := r.lookUp(ctx, t, there); err != nil {
		return nil, err
	}
	return there, r.filedAnew(ctx, s, there)
}

// each works on all, some at a time, and gives an error that is no fault of a blob.
func (r *rebuild) each(ctx context.Context, all []*found, do func(context.Context, *found) error) error {
	working, ctx := errgroup.WithContext(ctx)
	working.SetLimit(rebuildWorkers)
	for _, f := range all {
		working.Go(func() error {
			return fault.Contain(func() error {
				if err := do(ctx, f); fatal(err) {
					return err
				}
				return nil
			})
		})
	}
	return working.Wait()
}

// lookUp asks the catalog for rows and tombstones.
func (r *rebuild) lookUp(ctx context.Context, t recording.Tenant, all []*found) error {
	var versions []recording.Version
	var slots []catalog.Slot
	for _, f := range all {
		if f.err == nil {
			versions = append(versions, f.id().Version)
			slots = append(slots, slotsOf(f)...)
		}
	}
	rows, err := r.catalog.VersionsOf(ctx, t, versions)
	if err != nil {
		return err
	}
	of := map[recording.Version]*catalog.Version{}
	for i := range rows {
		of[rows[i].Version] = &rows[i]
	}
	buried, err := r.catalog.Tombstones(ctx, t, slots)
	if err != nil {
		return err
	}
	gone := map[catalog.Slot]bool{}
	for _, s := range buried {
		gone[s] = true
	}
	for _, f := range all {
		if f.err != nil {
			continue
		}
		f.row = of[f.id().Version]
		for _, s := range slotsOf(f) {
			f.buried = f.buried || gone[s]
		}
	}
	return nil
}

func slotsOf(f *found) []catalog.Slot {
	s := slotRow(f.slots())
	return []catalog.Slot{
		{Tree: catalog.TreeRecordings, Number: s.Recording},
		{Tree: catalog.TreeSubjects, Number: s.Subject},
		{Tree: catalog.TreeDays, Number: s.Day},
	}
}

// open reads all that a blob says of itself, and verifies that it is whole as far as
// its last segments tell. The caller clears f.dek.
func (r *rebuild) open(ctx context.Context, s scope, f *found) (err error) {
	if f.dek, err = s.keys.UnwrapDEK(ctx, f.id(), f.slots(), f.prefix.WrappedDEK[:]); err != nil {
		return err
	}
	if f.facts, err = openFacts(f.dek, f.id(), f.slots().Recording, f.sealedFacts()); err != nil {
		return err
	}
	if f.layout, err = f.at.layout(ctx, f.dek, f.prefix); err != nil {
		return err
	}
	if json.Unmarshal(f.layout.EndFacts(), &f.end) != nil {
		return errors.New("malformed end facts")
	}
	if f.prefix.Part != envelope.ListPart && f.end.Size != f.layout.SourceSize() {
		return errors.New("its end facts contradict its length")
	}
	f.stored = f.layout.StoredSize()
	if f.prefix.Part == envelope.ListPart {
		return r.openList(ctx, f)
	}
	return nil
}

// openList reads a list of parts, and verifies that all that are on it are there.
func (r *rebuild) openList(ctx context.Context, f *found) error {
	if f.layout.SourceSize() > maxList {
		return errors.New("its list of parts is too long")
	}
	body, err := r.blobs.Open(ctx, f.Key, 0, -1)
	if err != nil {
		return err
	}
	defer body.Close()
	source, err := envelope.Open(f.dek, f.layout, body, envelope.Unguarded)
	if err != nil {
		return err
	}
	defer source.Close()
	if f.list, err = io.ReadAll(source); err != nil {
		return err
	}
	if sum := sha256.Sum256(f.list); hex.EncodeToString(sum[:]) != f.end.PartList {
		return errors.New("another list of parts")
	}
	if f.parts, err = envelope.ParseParts(f.id(), f.list); err != nil {
		return err
	}
	return r.openParts(ctx, f)
}

func (r *rebuild) openParts(ctx context.Context, f *found) error {
	size := int64(0)
	for _, p := range f.parts {
		if err := r.openPart(ctx, f, p); err != nil {
			return fmt.Errorf("part %d: %w", p.Layout.Part(), err)
		}
		size += p.Layout.SourceSize()
		f.stored += p.Layout.StoredSize()
		f.pieces = append(f.pieces, catalog.Part{
			Blob: blobKey(f.id().Tenant, p.Blob), Number: int64(p.Layout.Part()), StoredSize: p.Layout.StoredSize(), CreatedAt: f.facts.CreatedAt,
		})
	}
	if size != f.end.Size || len(f.parts) != f.end.Parts {
		return errors.New("its list of parts contradicts its end facts")
	}
	f.pieces = append(f.pieces, catalog.Part{
		Blob: f.Key, Number: envelope.ListPart, StoredSize: f.layout.StoredSize(), CreatedAt: f.facts.CreatedAt,
	})
	return nil
}

// openPart verifies that a part is there and is what the list says.
func (r *rebuild) openPart(ctx context.Context, f *found, p envelope.Part) error {
	info := blob.Info{Key: blobKey(f.id().Tenant, p.Blob), Size: p.Layout.StoredSize()}
	at := &blobAt{store: r.blobs, Info: info}
	prefix, err := at.prefix(ctx)
	if err != nil {
		return err
	}
	layout, err := at.layout(ctx, f.dek, prefix)
	if err != nil {
		return err
	}
	if !p.Layout.Describes(layout) {
		return errors.New("another blob than the list says")
	}
	return nil
}

// blobAt reads a blob from anywhere, and keeps what it read last. Its prefix and
// header come with one read of the store, mostly, and its last segments with another.
type blobAt struct {
	blob.Info
	store blob.Store
	ctx   context.Context // of the call that is under way
	from  int64
	last  []byte
	err   error // of the store
}

const (
	headMost   = 16 << 10  // of what is read for the prefix first
	prefixMost = 1 << 16   // more than any prefix has with its facts
	tailMost   = 128 << 10 // of the last segments
)

// prefix reads what the blob begins with.
func (b *blobAt) prefix(ctx context.Context) (p *envelope.Prefix, err error) {
	b.ctx = ctx
	for _, most := range []int64{headMost, prefixMost} {
		if err := b.fetch(0, min(b.Size, most)); err != nil {
			return nil, err
		}
		p, err = envelope.ReadPrefix(bytes.NewReader(b.last))
		if !errors.Is(err, envelope.ErrTruncated) || b.Size <= most {
			break
		}
	}
	return p, err
}

// layout reads the header and the end of the blob, and lets go what was read.
func (b *blobAt) layout(ctx context.Context, dek keytree.Key, p *envelope.Prefix) (*envelope.Layout, error) {
	b.ctx, b.err = ctx, nil
	defer func() { b.last = nil }()
	l, err := envelope.ReadLayout(dek, p, b, b.Size)
	if err != nil && b.err != nil {
		return nil, b.err
	}
	return l, err
}

// ReadAt implements io.ReaderAt.
func (b *blobAt) ReadAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	if off < b.from || end > b.from+int64(len(b.last)) {
		from := off
		if off < b.Size && b.Size-tailMost < off { // all of the end
			from = max(b.Size-tailMost, 0)
		}
		if err := b.fetch(from, max(end, min(b.Size, from+tailMost))-from); err != nil {
			return 0, err
		}
	}
	if n := copy(p, b.last[min(off-b.from, int64(len(b.last))):]); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

func (b *blobAt) fetch(off, n int64) error {
	body, err := b.store.Open(b.ctx, b.Key, off, n)
	if err == nil {
		b.from = off
		b.last, err = io.ReadAll(body)
		body.Close()
	}
	b.err = err
	return err
}

// endedAt is the order of versions: of blobs that do not say, when they were begun.
func (f *found) endedAt() time.Time {
	if f.end.EndedAt.IsZero() {
		return f.facts.CreatedAt
	}
	return f.end.EndedAt
}
