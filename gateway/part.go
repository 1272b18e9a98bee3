package gateway

import (
	"context"
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

// PutPart stores one part of an upload, straight into a blob of its own. Sent
// again it takes the place of what was there, whole or not at all. Parts come
// in any order, of any size, many at a time.
func (g *Gateway) PutPart(ctx context.Context, c Caller, u PartUpload) (PartInfo, error) {
	grant, err := g.permit(ctx, c, policy.PutPart, u.target(c))
	if err != nil {
		return PartInfo{}, err
	}
	if u.Number < 1 || u.Number > recording.MaxPart {
		return PartInfo{}, recording.ErrPartNumber
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return PartInfo{}, err
	}
	defer s.end()
	d, err := g.resume(ctx, s, c, u.UploadID, &grant.event)
	if err != nil {
		return PartInfo{}, g.refuseUpload(ctx, s, grant.event, err)
	}
	defer d.dek.Clear()
	if err := g.admit(ctx, s, d.bucket, u.Sent, d.event); err != nil {
		return PartInfo{}, err
	}
	if d.facts.Checksum != "" && u.Checksum != d.facts.Checksum {
		return PartInfo{}, g.refuse(ctx, s, d.event, "checksum-missing", recording.ErrPartDigest)
	}
	p, err := g.intendPart(ctx, s, d, int64(u.Number))
	if err != nil {
		return PartInfo{}, err
	}
	s.end() // as in Put
	return g.fulfilPart(ctx, d, p, u.Sent)
}

// intendPart commits an attempt with the event that permits it. Killed after
// this, it stays open until sweep drops it.
func (g *Gateway) intendPart(ctx context.Context, s scope, d *draft, number int64) (catalog.Part, error) {
	p := catalog.Part{
		Blob: blobKey(d.id.Tenant, place()), Version: d.id.Version, Tenant: d.id.Tenant, Number: number, CreatedAt: now(),
	}
	record, err := s.seal(ctx, d.event)
	if err != nil {
		return p, err
	}
	// gofail: var partBegin string
	// return p, failpoint(partBegin)
	return p, uploadError(g.catalog.BeginPart(ctx, p, []audit.Record{record}))
}

// uploadError is unavailable, of an upload that may have ended meanwhile.
func uploadError(err error) error {
	if errors.Is(err, catalog.ErrDropped) {
		return fmt.Errorf("%w: %w", errGivenUp, err)
	}
	if errors.Is(err, catalog.ErrAborted) {
		return recording.ErrNoUpload
	}
	return unavailable(err)
}

// fulfilPart streams the body and makes it the part of its number.
func (g *Gateway) fulfilPart(ctx context.Context, d *draft, p catalog.Part, sent Sent) (PartInfo, error) {
	ctx, rest := g.partAlive(ctx, p)
	defer rest()
	b := sealing{draft: d, sent: sent, part: uint32(p.Number), blob: p.Blob}
	tag := place() // what tells one attempt from another
	b.end.ETag = hex.EncodeToString(tag[:]) + "-1"
	layout, err := g.store(ctx, &b)
	if err == nil {
		p.StoredSize = layout.StoredSize()
		p.Sealed, err = layout.Seal(d.dek)
	}
	replaced := false
	if err == nil {
		// gofail: var partStore string
		// g.giveUpPart(ctx, p, errAllSent)
		// return PartInfo{}, failpoint(partStore)
		replaced, err = g.catalog.StorePart(ctx, p)
	}
	if errors.Is(err, catalog.ErrUnknown) { // it may be stored: its upload's end will know
		return PartInfo{}, unavailable(err)
	}
	if err != nil {
		err = given(ctx, err)
		g.giveUpPart(ctx, p, err)
		return PartInfo{}, uploadError(err)
	}
	// gofail: var partStored string
	// return PartInfo{}, failpoint(partStored)
	if replaced {
		g.removeResidues(ctx, d.id.Tenant, d.id.Version)
	}
	return partInfo(d.bucket, p, b.end), nil
}

// giveUpPart drops an attempt that failed for a reason, and only then deletes
// its blob.
func (g *Gateway) giveUpPart(ctx context.Context, p catalog.Part, why error) {
	ctx, cancel := givingUp(ctx, why)
	defer cancel()
	err := g.catalog.DropPart(ctx, p.Tenant, p.Blob)
	if errors.Is(err, recording.ErrNotFound) {
		err = g.catalog.Leave(ctx, p)
	}
	if err == nil {
		// gofail: var partDropped string
		// err = failpoint(partDropped)
		err = g.remove(ctx, catalog.Residue{Blob: p.Blob, Tenant: p.Tenant, Version: p.Version, Certain: !errors.Is(why, errAllSent)})
	}
	if err != nil {
		g.log.Warn("part left open", "version", p.Version.String(), "error", err)
	}
}

func partInfo(b bucket, p catalog.Part, end recording.EndFacts) PartInfo {
	info := PartInfo{Number: int(p.Number), Size: end.Size, ETag: end.ETag, Digests: end.Digests, StoredAt: p.CreatedAt}
	if sum := end.Digests[md5Digest]; b.ETag == ETagMD5 && sum != "" {
		info.ETag = sum
	}
	return info
}

// storedPart is a part as the catalog has it, with its layout unsealed.
type storedPart struct {
	catalog.Part
	PartInfo
	class  recording.Class
	layout *envelope.Layout
}

// storedParts opens the parts of an open upload, in the order of their numbers.
// recording.ErrNoUpload: it was completed meanwhile.
func (g *Gateway) storedParts(ctx context.Context, d *draft) ([]storedPart, error) {
	rows, err := g.catalog.Parts(ctx, d.id.Tenant, d.id.Version)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]storedPart, len(rows))
	for i, row := range rows {
		if row.Sealed == nil {
			return nil, recording.ErrNoUpload
		}
		layout, err := envelope.OpenLayout(d.dek, d.id, uint32(row.Number), row.Sealed)
		if err != nil {
			return nil, damaged(d.id, err)
		}
		var end recording.EndFacts
		if json.Unmarshal(layout.EndFacts(), &end) != nil || end.Size != layout.SourceSize() {
			return nil, damaged(d.id, errors.New("malformed end facts of a part"))
		}
		out[i] = storedPart{row, partInfo(d.bucket, row, end), end.Class, layout}
	}
	return out, nil
}

// Parts gives the parts of an open upload that are stored, to its recorder.
func (g *Gateway) Parts(ctx context.Context, c Caller, id UploadID) (Parts, error) {
	grant, err := g.permit(ctx, c, policy.SeeParts, id.target(c))
	if err != nil {
		return Parts{}, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return Parts{}, err
	}
	defer s.end()
	d, err := g.resume(ctx, s, c, id, &grant.event)
	if err != nil {
		return Parts{}, g.refuseUpload(ctx, s, grant.event, err)
	}
	defer d.dek.Clear()
	if err := g.explain(ctx, s, d.event); err != nil {
		return Parts{}, err
	}
	stored, err := g.storedParts(ctx, d)
	out := Parts{Checksum: d.facts.Checksum, FullChecksum: d.facts.FullChecksum}
	for _, p := range stored {
		out.Parts = append(out.Parts, p.PartInfo)
	}
	return out, err
}
