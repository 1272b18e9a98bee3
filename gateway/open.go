package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Recording is a recording opened for one caller, whose access is in the log.
type Recording struct {
	Info recording.Info

	gateway *Gateway
	dek     keytree.Key
	pieces  []piece
	session *session
	asked   time.Time // shortly before the catalog said that the tenant is active
}

// Open permits c to read a recording, durably in the log; no byte is read yet.
func (g *Gateway) Open(ctx context.Context, c Caller, b recording.Bucket, n recording.Name) (*Recording, error) {
	return g.OpenVersion(ctx, c, b, n, recording.Version{})
}

// OpenVersion is Open for any version of a name; the zero one is the current.
// recording.ErrNoVersion: there is none such, or it cannot be opened any more.
func (g *Gateway) OpenVersion(ctx context.Context, c Caller, b recording.Bucket, n recording.Name, version recording.Version) (*Recording, error) {
	asked := time.Now()
	in, session, err := g.access(ctx, c, policy.Open, b, n, version)
	if err != nil {
		in.dek.Clear()
		return nil, err
	}
	return &Recording{Info: in.Info, gateway: g, dek: in.dek, pieces: in.pieces, session: session, asked: asked}, nil
}

// Stat tells of a recording without opening it.
func (g *Gateway) Stat(ctx context.Context, c Caller, b recording.Bucket, n recording.Name) (recording.Info, error) {
	return g.StatVersion(ctx, c, b, n, recording.Version{})
}

// StatVersion is Stat for any version of a name; the zero one is the current.
func (g *Gateway) StatVersion(ctx context.Context, c Caller, b recording.Bucket, n recording.Name, version recording.Version) (recording.Info, error) {
	in, _, err := g.access(ctx, c, policy.Stat, b, n, version)
	in.dek.Clear()
	return in.Info, err
}

// access decides, finds, explains and unseals, in that order.
func (g *Gateway) access(ctx context.Context, c Caller, a policy.Action, b recording.Bucket, n recording.Name, version recording.Version) (unsealed, *session, error) {
	none := unsealed{}
	grant, err := g.permit(ctx, c, a, policy.Target{Tenant: c.Tenant, Bucket: b, Name: n})
	if err != nil {
		return none, nil, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return none, nil, err
	}
	defer s.end()
	found, v, err := g.findVersion(ctx, s, b, n, version)
	if err != nil {
		return none, nil, g.noBucket(ctx, s, grant.event, err)
	}
	if v == nil || v.State != catalog.Committed { // the log tells a search by trial
		grant.event.Bucket = found.id
		return none, nil, g.refuse(ctx, s, grant.event, "not-found", missing(version))
	}
	session, err := g.session(ctx, s, c, found, v, grant.event)
	if err != nil {
		return none, nil, err
	}
	in, err := g.unsealNamed(ctx, s, found, n, *v)
	if err == nil {
		err = g.locate(ctx, &in, *v)
	}
	return in, session, err
}

// session joins the caller's access session, or opens one once its event is durable.
func (g *Gateway) session(ctx context.Context, s scope, c Caller, b bucket, v *catalog.Version, e audit.Event) (*session, error) {
	key := c.sessionKey(e.Action, v.Version)
	if in := g.sessions.find(key); in != nil {
		audit.Durable(ctx) // the event that granted it
		return in, nil
	}
	e.Bucket, e.Recording, e.Version = b.id, v.Recording, v.Version
	if err := g.explain(ctx, s, e); err != nil {
		return nil, err
	}
	return g.sessions.add(key, s.tenant, e), nil
}

// missing says what there is none of.
func missing(v recording.Version) error {
	if v == (recording.Version{}) {
		return recording.ErrNotFound
	}
	return recording.ErrNoVersion
}

// find looks up a name: its bucket, and what stands under it, nil if nothing.
func (g *Gateway) find(ctx context.Context, s scope, b recording.Bucket, n recording.Name) (bucket, *catalog.Version, error) {
	return g.findVersion(ctx, s, b, n, recording.Version{})
}

// findVersion looks up one version of a name, replaced ones too; the zero one
// is what stands under the name.
func (g *Gateway) findVersion(ctx context.Context, s scope, b recording.Bucket, n recording.Name, version recording.Version) (bucket, *catalog.Version, error) {
	var found catalog.Found
	var err error
	for _, by := range s.generations() {
		name := by.nameIndex(b, n)
		found, err = seek(ctx, g, s, recording.ErrNoBucket, func(by scope) (catalog.Found, error) {
			if version == (recording.Version{}) {
				return g.catalog.Find(ctx, s.tenant.ID, by.bucketIndex(b), name)
			}
			return g.catalog.FindVersion(ctx, s.tenant.ID, by.bucketIndex(b), name, version)
		})
		if err != nil {
			return bucket{}, nil, err
		}
		if found.Version != nil {
			break
		}
	}
	if found.Version == nil {
		if err := g.upToDate(ctx, s); err != nil {
			return bucket{}, nil, err
		}
	}
	if err := found.Tenant.State.Err(); err != nil {
		return bucket{}, nil, err
	}
	opened, err := s.openBucket(ctx, found.Bucket)
	return opened, found.Version, err
}

// unsealed is what a version's row says once its data key is at hand.
type unsealed struct {
	recording.Info
	id     recording.Identity
	dek    keytree.Key
	end    recording.EndFacts
	layout *envelope.Layout // of its one blob, or of the list of its parts
	pieces []piece          // where its bytes are, once located
}

// unsealNamed is unseal of what was found under a name. Who writes rows can
// move another recording's under it, but cannot seal the name into it.
func (g *Gateway) unsealNamed(ctx context.Context, s scope, b bucket, n recording.Name, v catalog.Version) (unsealed, error) {
	in, err := g.unsealMoved(ctx, s, b, v)
	if err != nil {
		return unsealed{}, err
	}
	if in.Name != n {
		in.dek.Clear()
		return unsealed{}, damaged(in.id, errors.New("the row of another name"))
	}
	return in, nil
}

// unseal opens a version's row. Whatever does not open was changed by someone
// who may not: recording.ErrIntegrity.
func (s scope) unseal(ctx context.Context, b bucket, v catalog.Version) (unsealed, error) {
	id := recording.Identity{Tenant: s.tenant.ID, Recording: v.Recording, Version: v.Version}
	dek, err := s.keys.UnwrapDEK(ctx, id, keySlots(v.Slots), v.WrappedDEK)
	if err != nil {
		return unsealed{}, unopened(id, err)
	}
	defer dek.Clear() // what is given has a copy
	f, err := openFacts(dek, id, uint64(v.Slots.Recording), v.SealedFacts)
	if err != nil {
		return unsealed{}, damaged(id, err)
	}
	part := uint32(wholeUpload)
	if v.Parts > 0 {
		part = envelope.ListPart
	}
	layout, err := envelope.OpenLayout(dek, id, part, v.SealedEnd)
	if err != nil {
		return unsealed{}, damaged(id, err)
	}
	var end recording.EndFacts
	if json.Unmarshal(layout.EndFacts(), &end) != nil {
		return unsealed{}, damaged(id, errors.New("malformed facts"))
	}
	if f.Bucket != b.Name || int64(end.Parts) != v.Parts || end.Parts == 0 && end.Size != layout.SourceSize() {
		return unsealed{}, damaged(id, errors.New("facts contradict the row"))
	}
	return unsealed{Info: info(id, b, f, end), id: id, dek: dek, end: end, layout: layout}, nil
}

// openFacts opens the facts of a version that is filed under a recording slot. Those
// from before it was filed there are none: they may have been corrected since.
func openFacts(dek keytree.Key, id recording.Identity, slot uint64, sealed []byte) (f recording.Facts, err error) {
	b, err := envelope.OpenFacts(dek, id, sealed)
	switch {
	case err != nil:
	case json.Unmarshal(b, &f) != nil:
		err = errors.New("malformed facts")
	case f.Slot != 0 && f.Slot != slot:
		err = errors.New("facts from before it was filed anew")
	}
	return f, err
}

// wholeUpload is the part number of a recording that came in one piece.
const wholeUpload = 0

// unopened says why a data key does not open. That a slot is punctured is the word
// of a head, which only who may move the tenant can have made.
func unopened(id recording.Identity, err error) error {
	switch {
	case errors.Is(err, keytree.ErrPunctured):
		return fmt.Errorf("%w: version %v", recording.ErrErased, id.Version)
	case errors.Is(err, keytree.ErrSealed), errors.Is(err, keytree.ErrPage), errors.Is(err, fs.ErrNotExist):
		return damaged(id, err)
	}
	return unavailable(err)
}

func damaged(id recording.Identity, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: version %v: %w", recording.ErrIntegrity, id.Version, err)
}

func keySlots(s catalog.Slots) keytree.Slots {
	return keytree.Slots{Recording: uint64(s.Recording), Subject: uint64(s.Subject), Day: uint64(s.Day)}
}

// info is what a caller learns of a version.
func info(id recording.Identity, b bucket, f recording.Facts, end recording.EndFacts) recording.Info {
	return recording.Info{
		ID:        id.Recording,
		Version:   id.Version,
		Name:      f.Name,
		Size:      end.Size,
		ETag:      etag(id.Version, b, end),
		CreatedAt: f.CreatedAt,
		Class:     end.Class,
		Facts:     f,
		Digests:   end.Digests,
		Parts:     end.Parts,
		Composite: end.Composite,
	}
}

// etag is opaque unless the bucket asks for MD5. The opaque one is dashed, so
// that no client takes it for a digest, and so is that of parts, as S3's is.
func etag(v recording.Version, b bucket, end recording.EndFacts) string {
	of := v.String()
	if b.ETag == ETagMD5 && end.Parts > 0 && end.Composite[md5Digest] != "" {
		of = end.Composite[md5Digest]
	} else if b.ETag == ETagMD5 && end.Digests[md5Digest] != "" {
		return end.Digests[md5Digest]
	}
	return fmt.Sprintf("%s-%d", of, max(end.Parts, 1))
}

// Close clears the recording's key. Ranges that are being read go on.
func (r *Recording) Close() { r.dek.Clear() }

// Range reads n bytes from off, which lie within the recording, with one read
// of the store, or one for each part in which they lie. What it gives has been
// verified. It ends early, with an error, when the tenant is revoked or erased
// on the way.
func (r *Recording) Range(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > r.Info.Size || n > r.Info.Size-off {
		return nil, recording.ErrRange
	}
	rest := cut(r.pieces, off, n)
	if len(rest) == 0 {
		return io.NopCloser(eof{}), nil
	}
	ctx, end := r.gateway.step(ctx, "open stream")
	out := &stream{ctx: ctx, recording: r, dek: r.dek, off: off, seen: time.Now(), rest: rest, tenant: r.session.tenant, ended: end}
	if err := out.next(); err != nil {
		end(err)
		out.dek.Clear()
		return nil, err
	}
	r.gateway.sessions.begin(r.session)
	return out, nil
}

// gone judges that something a version needs is not there. A row that says
// erased explains it; without one, someone took it who may not.
func (g *Gateway) gone(ctx context.Context, t recording.Tenant, version recording.Version, what string) error {
	v, err := g.catalog.Version(ctx, t, version)
	if err != nil && !errors.Is(err, recording.ErrNotFound) {
		return unavailable(err)
	}
	if v.State == catalog.Erased {
		return recording.ErrErased
	}
	return fmt.Errorf("%w: version %v: %s", recording.ErrIntegrity, version, what)
}

// eof is an empty body.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
