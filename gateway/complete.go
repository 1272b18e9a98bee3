package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// CompleteUpload makes a recording of the parts named. They stay where they
// are; what is written is a sealed list of them, then one transaction. Parts
// that are not named are deleted. Completing what is complete, of the same
// parts, gives what it became.
//
// Killed before the transaction, it leaves the upload open and a list that
// counts for nothing; killed after it, the client that heard nothing completes
// again.
func (g *Gateway) CompleteUpload(ctx context.Context, c Caller, all Completion) (recording.Info, error) {
	grant, err := g.permit(ctx, c, policy.PutEnd, all.target(c))
	if err != nil {
		return recording.Info{}, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return recording.Info{}, err
	}
	defer s.end()
	d, err := g.resume(ctx, s, c, all.UploadID, &grant.event)
	info := recording.Info{}
	if err == nil {
		defer d.dek.Clear()
		info, err = g.complete(ctx, s, d, all)
	}
	if errors.Is(err, recording.ErrNoUpload) && !errors.Is(err, errOtherRecorder) { // it has ended
		return g.completed(ctx, s, c, all, grant.event)
	}
	return info, g.refuseUpload(ctx, s, grant.event, err)
}

// completed answers a completion of an upload that has ended.
func (g *Gateway) completed(ctx context.Context, s scope, c Caller, all Completion, e audit.Event) (recording.Info, error) {
	in, err := g.became(ctx, s, c, all)
	if err != nil {
		return recording.Info{}, g.refuseUpload(ctx, s, e, err)
	}
	e.Recording, e.Version = in.ID, in.Version
	return in.Info, g.explain(ctx, s, e)
}

// became gives the recording that an upload of c's became, of the parts that
// are named. recording.ErrNoUpload: it is none.
func (g *Gateway) became(ctx context.Context, s scope, c Caller, all Completion) (unsealed, error) {
	v, err := g.catalog.Version(ctx, s.tenant.ID, all.Version)
	if errors.Is(err, recording.ErrNotFound) {
		return unsealed{}, recording.ErrNoUpload
	}
	if err != nil {
		return unsealed{}, unavailable(err)
	}
	if v.State != catalog.Committed || v.Parts == 0 || !s.isName(v.Name, all.Bucket, all.Name) {
		return unsealed{}, recording.ErrNoUpload
	}
	b, err := g.bucket(ctx, s, all.Bucket)
	if err != nil {
		return unsealed{}, err
	}
	in, err := g.unsealNamed(ctx, s, b, all.Name, v)
	if err != nil {
		return unsealed{}, err
	}
	in.dek.Clear()
	if in.Facts.Recorder != c.Who || in.end.Named != all.named() {
		return unsealed{}, recording.ErrNoUpload
	}
	return in, nil
}

// named tells which parts are named, and so one completion from another.
func (all Completion) named() string {
	sum := sha256.New()
	for _, p := range all.Parts {
		fmt.Fprintf(sum, "%d %q\n", p.Number, p.ETag)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// complete lists the parts and makes the recording exist.
func (g *Gateway) complete(ctx context.Context, s scope, d *draft, all Completion) (recording.Info, error) {
	if all.OnlyNew {
		d.bucket.Overwrite = OverwriteNever
	}
	d.onlyNew = all.OnlyNew
	if err := g.lookAhead(ctx, s, d); err != nil {
		return recording.Info{}, err
	}
	stored, err := g.storedParts(ctx, d)
	if err != nil {
		return recording.Info{}, err
	}
	parts, err := choose(stored, all.Parts)
	if err != nil {
		return recording.Info{}, g.refuse(ctx, s, d.event, "parts", err)
	}
	end, err := d.endFacts(parts, all)
	if err != nil {
		return recording.Info{}, g.refuse(ctx, s, d.event, "contradicted", err)
	}
	if !end.Class.AtLeast(d.bucket.MinClass) {
		return recording.Info{}, g.refuse(ctx, s, d.event, "class-too-weak", recording.ErrClassTooWeak)
	}
	p, err := g.intendPart(ctx, s, d, envelope.ListPart)
	if err != nil {
		return recording.Info{}, err
	}
	err = g.fulfilList(ctx, d, p, parts, end)
	switch {
	case err == nil:
		// gofail: var uploadCompleted string
		// return recording.Info{}, failpoint(uploadCompleted)
		g.removeResidues(ctx, d.id.Tenant, d.id.Version)
		return info(d.id, d.bucket, d.facts, end), nil
	case errors.Is(err, catalog.ErrUnknown): // it may exist: its upload's end will know
		return recording.Info{}, unavailable(err)
	}
	err = given(ctx, err)
	g.giveUpPart(ctx, p, err)
	return g.notCompleted(ctx, d, end, err)
}

// lookAhead notes what a completion is to displace, which was put perhaps after
// its upload was begun.
func (g *Gateway) lookAhead(ctx context.Context, s scope, d *draft) error {
	if d.bucket.Overwrite == OverwriteNever {
		return nil
	}
	_, taken, err := g.find(ctx, s, d.bucket.Name, d.facts.Name)
	if taken != nil {
		d.after = taken.CommittedAt
	}
	return err
}

// notCompleted answers a completion that came to nothing: another was first
// under this name, or of this upload, or a part has gone.
func (g *Gateway) notCompleted(ctx context.Context, d *draft, end recording.EndFacts, err error) (recording.Info, error) {
	switch {
	case errors.Is(err, recording.ErrExists):
		info, err := g.lostRace(ctx, d, func(in unsealed) bool { return sameParts(in.end, end) })
		if err == nil { // the same content again: this upload is not needed
			err = g.abortUpload(ctx, d.id.Tenant, d.id.Version)
		}
		return info, err
	case errors.Is(err, catalog.ErrDropped): // its list was swept
		return recording.Info{}, uploadError(err)
	case errors.Is(err, catalog.ErrParts):
		return recording.Info{}, recording.ErrPart
	}
	return recording.Info{}, uploadError(err)
}

// sameParts reports whether both came in parts of the same content: the digest
// of their parts' digests says so.
func sameParts(a, b recording.EndFacts) bool {
	return a.Parts == b.Parts && a.Size == b.Size && a.Composite[sha256Digest] == b.Composite[sha256Digest]
}

// choose gives the stored parts that a client names, which must be in
// ascending order and the ones it knows.
func choose(stored []storedPart, names []PartName) ([]storedPart, error) {
	by := make(map[int]storedPart, len(stored))
	for _, p := range stored {
		by[p.PartInfo.Number] = p
	}
	out, before := make([]storedPart, 0, len(names)), 0
	for _, name := range names {
		p, ok := by[name.Number]
		if name.Number <= before {
			return nil, recording.ErrPartOrder
		}
		if !ok || p.ETag != name.ETag {
			return nil, fmt.Errorf("part %d: %w", name.Number, recording.ErrPart)
		}
		for digest, want := range name.Digests {
			if p.Digests[digest] != want {
				return nil, fmt.Errorf("part %d: %w", name.Number, recording.ErrPart)
			}
		}
		out, before = append(out, p), name.Number
	}
	if len(out) == 0 {
		return nil, recording.ErrPart
	}
	return out, nil
}

// endFacts gathers what is known of the whole, which must be what the client
// says of it.
func (d *draft) endFacts(parts []storedPart, all Completion) (recording.EndFacts, error) {
	end := recording.EndFacts{
		EndedAt: d.ended(), OnlyNew: all.OnlyNew,
		Parts: len(parts), Class: all.Class, Named: all.named(),
		Digests: recording.Digests{}, Composite: recording.Digests{},
	}
	for _, p := range parts {
		end.Size += p.Size
		end.Class = max(end.Class, p.class) // the weakest
	}
	composite := []string{sha256Digest}
	if d.bucket.ETag == ETagMD5 {
		composite = append(composite, md5Digest)
	}
	switch {
	case d.facts.FullChecksum:
		end.Digests[d.facts.Checksum] = wholeDigest(d.facts.Checksum, parts)
	case d.facts.Checksum != "":
		composite = append(composite, d.facts.Checksum)
	}
	for _, name := range composite {
		end.Composite[name] = compositeDigest(name, parts)
	}
	if end.Size > recording.MaxInParts {
		return end, recording.ErrTooLarge
	}
	return end, all.contradicts(end, parts)
}

// contradicts reports recording.ErrShortBody or ErrBadDigest if the whole is
// not what the client expects.
func (all Completion) contradicts(end recording.EndFacts, parts []storedPart) error {
	if all.Size >= 0 && all.Size != end.Size {
		return recording.ErrShortBody
	}
	for name, want := range all.Digests {
		if wholeDigest(name, parts) != want && compositeDigest(name, parts) != want { // minio-go 7.0 writes either without a dash
			return recording.ErrBadDigest
		}
	}
	for name, want := range all.Composite {
		if compositeDigest(name, parts) != want {
			return recording.ErrBadDigest
		}
	}
	return nil
}

// fulfilList stores the list of parts, and makes the recording exist.
func (g *Gateway) fulfilList(ctx context.Context, d *draft, p catalog.Part, parts []storedPart, end recording.EndFacts) error {
	ctx, rest := g.partAlive(ctx, p)
	defer rest()
	listed, list, stored := make([]envelope.Part, len(parts)), catalog.PartList{Blob: p.Blob}, int64(0)
	for i, part := range parts {
		at, err := placeOf(d.id.Tenant, part.Blob)
		if err != nil {
			return err
		}
		listed[i] = envelope.Part{Blob: at, Layout: part.layout}
		list.Parts = append(list.Parts, part.Blob)
		stored += part.StoredSize
	}
	source := envelope.MarshalParts(listed)
	sum := sha256.Sum256(source)
	end.PartList = hex.EncodeToString(sum[:])
	config := envelope.Config{
		DEK: d.dek, Prefix: d.prefix, Source: bytes.NewReader(source),
		End: func() ([]byte, error) { return json.Marshal(end) },
	}
	config.Prefix.Part = envelope.ListPart
	// gofail: var listWrite string
	// return failpoint(listWrite)
	layout, err := g.seal(ctx, config, p.Blob, int64(len(source)))
	if err != nil {
		return err
	}
	sealedEnd, err := layout.Seal(d.dek)
	if err != nil {
		return err
	}
	if list.Sealed, err = envelope.SealParts(d.dek, d.id, source); err != nil {
		return err
	}
	list.StoredSize = layout.StoredSize()
	return g.create(ctx, d, d.content(end, stored+list.StoredSize, sealedEnd), &list)
}
