package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// CreateUpload begins an upload in parts. It is an intent in the catalog and
// nothing else: any replica takes its parts, for as long as it gets some.
func (g *Gateway) CreateUpload(ctx context.Context, c Caller, d Description) (UploadID, error) {
	id := UploadID{Bucket: d.Bucket, Name: d.Name}
	grant, err := g.permit(ctx, c, policy.Put, id.target(c))
	if err != nil {
		return id, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return id, err
	}
	defer s.end()
	b, taken, err := g.find(ctx, s, d.Bucket, d.Name)
	if err != nil {
		return id, g.noBucket(ctx, s, grant.event, err)
	}
	grant.event.Bucket = b.id
	err = g.inStage(ctx, s, func(s scope) error {
		made, err := g.draft(ctx, s, b, taken, c, d, grant.event)
		if err != nil {
			return err
		}
		defer made.dek.Clear()
		id.Version = made.id.Version
		return g.beginUpload(ctx, s, made)
	})
	return id, err
}

func (g *Gateway) beginUpload(ctx context.Context, s scope, d *draft) error {
	record, err := s.seal(ctx, d.event)
	if err != nil {
		return err
	}
	// gofail: var uploadBegin string
	// return failpoint(uploadBegin)
	return unavailable(d.onOpenDay(ctx, s, func() error {
		return g.catalog.BeginUpload(ctx, catalog.Upload{
			Intent: d.intent(""), WrappedDEK: d.prefix.WrappedDEK[:], SealedFacts: d.prefix.SealedFacts,
		}, []audit.Record{record})
	}))
}

func (id UploadID) target(c Caller) policy.Target {
	return policy.Target{Tenant: c.Tenant, Bucket: id.Bucket, Name: id.Name}
}

// errOtherRecorder: the upload is open, and another's.
var errOtherRecorder = fmt.Errorf("%w: another access key began it", recording.ErrNoUpload)

// resume finds an open upload for its recorder, as its draft was. Nobody else
// may add to it: the recording will say that this recorder put it. What it finds
// it notes in e.
func (g *Gateway) resume(ctx context.Context, s scope, c Caller, id UploadID, e *audit.Event) (*draft, error) {
	d, err := g.openUpload(ctx, s, id, e)
	if err != nil {
		return nil, err
	}
	if d.facts.Recorder != c.Who {
		d.dek.Clear()
		return nil, errOtherRecorder
	}
	return d, nil
}

// openUpload finds an open upload under the name it is for, and notes in e what
// it finds.
func (g *Gateway) openUpload(ctx context.Context, s scope, id UploadID, e *audit.Event) (*draft, error) {
	b, err := g.bucket(ctx, s, id.Bucket)
	if err != nil {
		return nil, err
	}
	e.Bucket = b.id
	up, err := g.catalog.Upload(ctx, s.tenant.ID, id.Version)
	if err != nil && !errors.Is(err, recording.ErrNotFound) {
		return nil, unavailable(err)
	}
	if err != nil || up.Bucket != b.id {
		return nil, recording.ErrNoUpload
	}
	d, err := s.redraft(ctx, b, up, *e)
	if err != nil {
		return nil, err
	}
	if d.facts.Name != id.Name {
		d.dek.Clear()
		return nil, recording.ErrNoUpload
	}
	d.event.Recording, d.event.Version = up.Recording, up.Version
	*e = d.event
	return d, nil
}

// refuseUpload logs that there is no such upload for a caller, if err is that.
func (g *Gateway) refuseUpload(ctx context.Context, s scope, e audit.Event, err error) error {
	switch {
	case errors.Is(err, errOtherRecorder):
		return g.refuse(ctx, s, e, "other-recorder", err)
	case errors.Is(err, recording.ErrNoUpload):
		return g.refuse(ctx, s, e, "no-upload", err)
	}
	return g.noBucket(ctx, s, e, err)
}

// redraft opens what the catalog keeps of an open upload.
func (s scope) redraft(ctx context.Context, b bucket, up catalog.Upload, e audit.Event) (*draft, error) {
	d := &draft{
		bucket: b, slots: keySlots(up.Slots), event: e,
		id: recording.Identity{Tenant: s.tenant.ID, Recording: up.Recording, Version: up.Version},
	}
	var err error
	d.dek, err = s.keys.UnwrapDEK(ctx, d.id, d.slots, up.WrappedDEK)
	if errors.Is(err, keytree.ErrPunctured) { // its subject or day was erased meanwhile
		return nil, recording.ErrNoUpload
	}
	if err != nil {
		return nil, unopened(d.id, err)
	}
	if err := d.open(up); err != nil {
		d.dek.Clear()
		return nil, damaged(d.id, err)
	}
	return d, nil
}

// open reads the facts of an open upload, whose key is known.
func (d *draft) open(up catalog.Upload) error {
	var err error
	if d.facts, err = openFacts(d.dek, d.id, d.slots.Recording, up.SealedFacts); err != nil {
		return err
	}
	if d.facts.Bucket != d.bucket.Name {
		return errors.New("facts of another bucket")
	}
	// UnwrapDEK accepts no other length.
	d.prefix = prefixOf(d.id, d.slots, [keytree.WrappedSize]byte(up.WrappedDEK), up.SealedFacts)
	return nil
}

// AbortUpload gives up an upload in parts and deletes what was stored of it.
// Whoever may put under its name may do so.
func (g *Gateway) AbortUpload(ctx context.Context, c Caller, id UploadID) error {
	grant, err := g.permit(ctx, c, policy.PutAbort, id.target(c))
	if err != nil {
		return err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return err
	}
	defer s.end()
	d, err := g.openUpload(ctx, s, id, &grant.event)
	if err != nil {
		return g.refuseUpload(ctx, s, grant.event, err)
	}
	d.dek.Clear()
	if err := g.explain(ctx, s, grant.event); err != nil {
		return err
	}
	return g.abortUpload(ctx, s.tenant.ID, id.Version)
}

// abortUpload ends an upload and deletes its blobs. A part that is on its way
// meanwhile finds the upload gone, and deletes its own.
func (g *Gateway) abortUpload(ctx context.Context, t recording.Tenant, v recording.Version) error {
	err := g.catalog.Abort(ctx, t, v)
	if errors.Is(err, catalog.ErrCommitted) { // completed first
		return recording.ErrNoUpload
	}
	if err != nil {
		return unavailable(err)
	}
	// gofail: var uploadAborted string
	// return failpoint(uploadAborted)
	g.removeResidues(ctx, t, v)
	return nil
}

// removeResidues deletes the blobs of a version that count no more. What cannot
// be deleted now keeps its residue, and is left to sweep.
func (g *Gateway) removeResidues(ctx context.Context, t recording.Tenant, v recording.Version) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	left, err := g.catalog.Residues(ctx, t, v)
	for _, r := range left {
		if err = g.remove(ctx, r); err != nil {
			break
		}
	}
	if err != nil {
		g.log.Warn("blobs left to sweep", "version", v.String(), "error", err)
	}
}

// remove deletes a blob, and then the row that knows of it: but that of one
// which the store never said was there stays, since it may yet appear.
func (g *Gateway) remove(ctx context.Context, r catalog.Residue) error {
	// gofail: var residueDelete string
	// return failpoint(residueDelete)
	if err := g.blobs.Delete(ctx, r.Blob); err != nil || !r.Certain {
		return err
	}
	// gofail: var residueForget string
	// return failpoint(residueForget)
	return g.catalog.Forget(ctx, []catalog.Residue{r}, nil)
}

// Uploads gives the open uploads in a bucket whose names begin with prefix, in
// the order of their names, the oldest first of one name.
func (g *Gateway) Uploads(ctx context.Context, c Caller, b recording.Bucket, prefix string) ([]OpenUpload, error) {
	target := policy.Target{Tenant: c.Tenant, Bucket: b, Name: recording.Name(prefix)}
	grant, err := g.permit(ctx, c, policy.List, target)
	if err != nil {
		return nil, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return nil, err
	}
	defer s.end()
	opened, err := g.bucket(ctx, s, b)
	if err != nil {
		return nil, g.noBucket(ctx, s, grant.event, err)
	}
	grant.event.Bucket = opened.id
	if err := g.explain(ctx, s, grant.event); err != nil {
		return nil, err
	}
	rows, err := g.catalog.Uploads(ctx, s.tenant.ID, opened.id)
	if err != nil {
		return nil, unavailable(err)
	}
	return s.openUploads(ctx, opened, rows, prefix)
}

func (s scope) openUploads(ctx context.Context, b bucket, rows []catalog.Upload, prefix string) ([]OpenUpload, error) {
	var out []OpenUpload
	for _, row := range rows {
		d, err := s.redraft(ctx, b, row, audit.Event{})
		if errors.Is(err, recording.ErrNoUpload) {
			continue
		}
		if err != nil {
			return nil, err
		}
		d.dek.Clear()
		if !strings.HasPrefix(string(d.facts.Name), prefix) {
			continue
		}
		out = append(out, OpenUpload{
			UploadID: UploadID{b.Name, d.facts.Name, row.Version}, Recorder: d.facts.Recorder, CreatedAt: row.CreatedAt,
			Checksum: d.facts.Checksum, FullChecksum: d.facts.FullChecksum,
		})
	}
	slices.SortStableFunc(out, func(a, b OpenUpload) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}
