package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Put stores a recording. When it returns nil, the recording is durable; when
// it returns an error, nothing is visible under the name that was not before,
// unless the error is recording.ErrUnavailable: then the same put may be
// repeated, and finds its own content.
func (g *Gateway) Put(ctx context.Context, c Caller, u Upload) (recording.Info, error) {
	grant, err := g.permit(ctx, c, policy.Put, policy.Target{Tenant: c.Tenant, Bucket: u.Bucket, Name: u.Name})
	if err != nil {
		return recording.Info{}, err
	}
	s, err := g.enter(ctx, c.tenant)
	if err != nil {
		return recording.Info{}, err
	}
	defer s.end()
	b, taken, err := g.find(ctx, s, u.Bucket, u.Name)
	if errors.Is(err, recording.ErrNoBucket) {
		return recording.Info{}, g.refuse(ctx, s, grant.event, "no-bucket", err)
	}
	if err != nil {
		return recording.Info{}, err
	}
	grant.event.Bucket = b.id
	if err := g.admit(ctx, s, b, u, grant.event); err != nil {
		return recording.Info{}, err
	}
	if u.OnlyNew {
		b.Overwrite = OverwriteNever
	}
	if taken != nil && b.Overwrite == OverwriteNever {
		return g.putAgain(ctx, s, b, *taken, u, grant.event)
	}
	p, err := g.intend(ctx, s, b, taken, c, u, grant.event)
	if err != nil {
		return recording.Info{}, err
	}
	s.end() // a body may take hours, and a root is not kept for that long
	info, err := g.fulfil(ctx, p)
	if errors.Is(err, recording.ErrExists) { // another put of this name was first
		return g.lostRace(ctx, p.id.Tenant, b, u)
	}
	return info, err
}

// admit refuses what the bucket would not take, before any byte is read.
func (g *Gateway) admit(ctx context.Context, s scope, b bucket, u Upload, e audit.Event) error {
	if u.Size > recording.MaxSize {
		return g.refuse(ctx, s, e, "too-large", recording.ErrTooLarge)
	}
	if !u.Class.AtLeast(b.MinClass) {
		return g.refuse(ctx, s, e, "class-too-weak", recording.ErrClassTooWeak)
	}
	return nil
}

// put is an upload under way: everything drawn and derived for one version.
type put struct {
	Upload
	bucket bucket
	id     recording.Identity
	slots  keytree.Slots
	blob   string
	facts  recording.Facts
	prefix envelope.Prefix
	dek    keytree.Key
	event  audit.Event
}

// intend takes slots and commits the intent with the event that permits it.
// Killed after this, the intent stays open and sweep aborts it.
func (g *Gateway) intend(ctx context.Context, s scope, b bucket, taken *catalog.Version, c Caller, u Upload, e audit.Event) (*put, error) {
	p := &put{
		Upload: u,
		bucket: b,
		id:     identity(s.tenant.ID, taken),
		blob:   blobKey(s.tenant.ID),
		facts:  facts(b, c, u),
		dek:    keytree.NewKey(),
		event:  e,
	}
	p.event.Recording, p.event.Version = p.id.Recording, p.id.Version
	var err error
	if p.slots, err = g.take(ctx, s, b, p.facts); err != nil {
		return nil, unavailable(err)
	}
	if p.prefix, err = p.seal(ctx, s); err != nil {
		return nil, err
	}
	record, err := s.seal(ctx, p.event)
	if err != nil {
		return nil, err
	}
	err = g.catalog.Begin(ctx, catalog.Intent{
		Version: p.id.Version, Tenant: p.id.Tenant, Bucket: b.id, Recording: p.id.Recording,
		Blob: p.blob, Slots: slotRow(p.slots), CreatedAt: p.facts.CreatedAt,
	}, []audit.Record{record})
	return p, unavailable(err)
}

// identity draws a version, of the recording that has the name if one does.
func identity(t recording.Tenant, taken *catalog.Version) recording.Identity {
	id := recording.Identity{Tenant: t, Recording: recording.NewID(), Version: recording.NewVersion()}
	if taken != nil {
		id.Recording = taken.Recording
	}
	return id
}

// facts gathers what is known when an upload begins.
func facts(b bucket, c Caller, u Upload) recording.Facts {
	f := recording.Facts{
		Bucket:      u.Bucket,
		Name:        u.Name,
		ContentType: u.ContentType,
		Headers:     u.Headers,
		Recorder:    c.Who,
		CreatedAt:   now(),
	}
	f.ReadMetadata(u.Metadata)
	if f.Purpose == "" {
		f.Purpose = orDefault(c.Purpose, b.Purpose)
	}
	return f
}

// take gives the three slots a recording will hang from.
func (g *Gateway) take(ctx context.Context, s scope, b bucket, f recording.Facts) (slots keytree.Slots, err error) {
	slots.Day = keytree.DaySlot(b.RetentionDays, f.CreatedAt)
	if slots.Recording, err = g.slots.Next(ctx, s.tenant.ID, keytree.Recordings); err != nil {
		return slots, err
	}
	slots.Subject = keytree.Nobody
	if len(f.Subjects) > 0 {
		slots.Subject, err = g.subjectSlot(ctx, s, f.Subjects[0])
	}
	return slots, err
}

// subjectSlot gives a data subject's slot, a fresh one at their first call.
func (g *Gateway) subjectSlot(ctx context.Context, s scope, sub recording.Subject) (uint64, error) {
	index := s.subjectIndex(sub)
	slot, found, err := g.catalog.LookupSubject(ctx, s.tenant.ID, index)
	if err != nil || found {
		return uint64(slot), err
	}
	fresh, err := g.slots.Next(ctx, s.tenant.ID, keytree.Subjects)
	if err != nil {
		return 0, err
	}
	slot, err = g.catalog.SubjectSlot(ctx, s.tenant.ID, index, int64(fresh))
	return uint64(slot), err
}

func slotRow(s keytree.Slots) catalog.Slots {
	return catalog.Slots{Recording: int64(s.Recording), Subject: int64(s.Subject), Day: int64(s.Day)}
}

// blobKey draws a key for a blob.
func blobKey(t recording.Tenant) string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return fmt.Sprintf("recordings/%v/%s/%s", t, hex.EncodeToString(b[:1]), hex.EncodeToString(b[1:]))
}

// fulfil streams the body into its blob and makes the recording exist. What
// fails before that is given up.
func (g *Gateway) fulfil(ctx context.Context, p *put) (recording.Info, error) {
	defer p.dek.Clear()
	content, end, err := g.store(ctx, p)
	if err == nil {
		err = g.create(ctx, p, content)
	}
	if errors.Is(err, catalog.ErrUnknown) { // it may exist: sweep will know
		return recording.Info{}, unavailable(err)
	}
	if err != nil {
		g.giveUp(ctx, p)
		return recording.Info{}, unavailable(err)
	}
	return info(p.id, p.bucket, p.facts, end), nil
}

// store seals the body straight into the blob store.
func (g *Gateway) store(ctx context.Context, p *put) (catalog.Content, recording.EndFacts, error) {
	body, digests := p.reader()
	var end recording.EndFacts
	config := envelope.Config{
		DEK:    p.dek,
		Prefix: p.prefix,
		Source: body,
		End: func() ([]byte, error) {
			end = recording.EndFacts{Size: p.Size, Digests: digests(), Class: p.Class}
			return json.Marshal(end)
		},
	}
	sealer, err := envelope.Seal(config)
	if err != nil {
		return catalog.Content{}, end, err
	}
	defer sealer.Close()
	size := config.StoredSize(p.Size)
	if err := g.blobs.Create(ctx, p.blob, sealer, size); err != nil {
		return catalog.Content{}, end, fmt.Errorf("create blob of %v: %w", p.id.Version, err)
	}
	sealed, err := sealer.Layout().Seal(p.dek)
	return catalog.Content{
		Size: p.Size, StoredSize: size, Class: p.Class,
		WrappedDEK: p.prefix.WrappedDEK[:], SealedFacts: p.prefix.SealedFacts, SealedEnd: sealed,
	}, end, err
}

// seal seals the facts and wraps the data key.
func (p *put) seal(ctx context.Context, s scope) (envelope.Prefix, error) {
	b, err := json.Marshal(p.facts)
	if err != nil {
		return envelope.Prefix{}, errors.New("encode facts") // the cause could quote them
	}
	sealed, err := envelope.SealFacts(p.dek, p.id, b)
	if err != nil {
		return envelope.Prefix{}, err
	}
	wrapped, err := s.keys.WrapDEK(ctx, p.id, p.slots, p.dek)
	if err != nil {
		return envelope.Prefix{}, err
	}
	return envelope.Prefix{
		Identity:    p.id,
		Slots:       [3]uint64{p.slots.Recording, p.slots.Subject, p.slots.Day},
		WrappedDEK:  wrapped,
		SealedFacts: sealed,
	}, nil
}

// reader gives the body, and what was computed over it once it has ended.
func (p *put) reader() (io.Reader, func() recording.Digests) {
	if p.bucket.ETag != ETagMD5 {
		return p.Body, p.Body.Digests
	}
	return withMD5(p.Body)
}

// create is the one moment the recording exists. Killed before it, there is an
// intent and a blob that sweep deletes; killed after it, the client that heard
// nothing repeats the put and finds its own content.
func (g *Gateway) create(ctx context.Context, p *put, content catalog.Content) error {
	s, err := g.reenter(ctx, p.id.Tenant)
	if err != nil {
		return err
	}
	defer s.end()
	e := p.event
	e.ID, e.At, e.Action = [16]byte{}, now(), "created"
	record, err := s.seal(ctx, e)
	if err != nil {
		return err
	}
	name := string(p.Name)
	content.CommittedAt = e.At
	content.Name = s.nameIndex(p.bucket.Name, p.Name)
	content.Directory = s.dirIndex(p.bucket.Name, directory(name))
	return g.catalog.Create(ctx, catalog.Commit{
		Tenant:      p.id.Tenant,
		Version:     p.id.Version,
		Overwrite:   catalog.Overwrite(p.bucket.Overwrite),
		Content:     content,
		Directories: s.directories(p.bucket.Name, name),
		Terms:       s.terms(p.facts),
	}, []audit.Record{record})
}

// directories gives a name's directories from the bucket's root down.
func (s scope) directories(b recording.Bucket, name string) []catalog.Directory {
	parent := s.dirIndex(b, "")
	out := []catalog.Directory{{Index: parent}}
	dirs := parents(name)
	for i := len(dirs) - 1; i >= 0; i-- {
		d := catalog.Directory{Index: s.dirIndex(b, dirs[i]), Parent: parent}
		out, parent = append(out, d), d.Index
	}
	return out
}

// giveUpTimeout bounds the work after a failed put, whose client is gone.
const giveUpTimeout = 10 * time.Second

// giveUp aborts the intent, and only then deletes the blob: an intent that is
// committed after all keeps its blob. What cannot be done now is left to sweep.
func (g *Gateway) giveUp(ctx context.Context, p *put) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	if err := g.catalog.Abort(ctx, p.id.Tenant, p.id.Version); err != nil {
		g.log.Warn("intent left open", "version", p.id.Version.String(), "error", err)
		return
	}
	if err := g.blobs.Delete(ctx, p.blob); err != nil {
		g.log.Warn("aborted blob left", "version", p.id.Version.String(), "error", err)
	}
}
