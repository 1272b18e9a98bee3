package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/crypto/envelope"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// draft is a version on its way: everything drawn and derived for it before
// any of it is stored.
type draft struct {
	bucket  bucket
	id      recording.Identity
	slots   keytree.Slots
	stage   catalog.Stage   // in which they were taken
	terms   []catalog.Index // if it tells of several subjects
	facts   recording.Facts
	prefix  envelope.Prefix // of a whole upload
	dek     keytree.Key
	event   audit.Event // of what was permitted
	after   time.Time   // when what stood under the name was committed; zero if nothing did
	onlyNew bool        // refuse a name that is taken, whatever the bucket says
}

// draft takes slots and draws identity and data key.
func (g *Gateway) draft(ctx context.Context, s scope, b bucket, taken *catalog.Version, c Caller, d Description, e audit.Event) (*draft, error) {
	out := &draft{
		bucket: b,
		id:     identity(s.tenant.ID, taken),
		facts:  facts(b, c, d),
		dek:    keytree.NewKey(),
		event:  e,
		stage:  s.tenant.Stage,
	}
	if taken != nil {
		out.after = taken.CommittedAt
	}
	out.event.Recording, out.event.Version = out.id.Recording, out.id.Version
	var err error
	if out.slots, err = g.take(ctx, s, b, out.facts); err == nil {
		out.facts.Slot = out.slots.Recording
		out.terms = s.begunTerms(out.facts)
		out.prefix, err = out.seal(ctx, s)
	}
	if err != nil {
		out.dek.Clear()
		return nil, unavailable(err)
	}
	return out, nil
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
func facts(b bucket, c Caller, d Description) recording.Facts {
	f := recording.Facts{
		Bucket:       d.Bucket,
		Name:         d.Name,
		ContentType:  d.ContentType,
		Headers:      d.Headers,
		Recorder:     c.Who,
		CreatedAt:    now(),
		Checksum:     d.Checksum,
		FullChecksum: d.FullChecksum,
	}
	f.ReadMetadata(d.Metadata)
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
	slot, found, err := g.catalog.LookupSubject(ctx, s.tenant.ID, s.subjectIndex(sub)) // under an older one it is left
	if err != nil || found {
		return uint64(slot), unavailable(err)
	}
	fresh, err := g.slots.Next(ctx, s.tenant.ID, keytree.Subjects)
	if err != nil {
		return 0, err
	}
	err = g.inStage(ctx, s, func(s scope) (err error) {
		slot, err = g.catalog.SubjectSlot(ctx, s.tenant.ID, s.subject(sub), int64(fresh))
		return err
	})
	return uint64(slot), err
}

// lookupSubject gives a data subject's slot, and whether it has one.
func (g *Gateway) lookupSubject(ctx context.Context, s scope, sub recording.Subject) (slot int64, found bool, err error) {
	slot, err = seek(ctx, g, s, recording.ErrNotFound, func(by scope) (int64, error) {
		slot, found, err := g.catalog.LookupSubject(ctx, s.tenant.ID, by.subjectIndex(sub))
		if err == nil && !found {
			err = recording.ErrNotFound
		}
		return slot, err
	})
	if errors.Is(err, recording.ErrNotFound) {
		return 0, false, nil
	}
	return slot, err == nil, err
}

// seal seals the facts and wraps the data key. The key of a day that was erased while
// it was being filled is forgotten: what comes from then on goes with the next.
// ErrTombstoned: its subject was erased meanwhile.
func (d *draft) seal(ctx context.Context, s scope) (envelope.Prefix, error) {
	sealed, err := sealFacts(d.dek, d.id, d.facts)
	if err != nil {
		return envelope.Prefix{}, err
	}
	wrapped, err := s.keys.WrapDEK(ctx, d.id, d.slots, d.dek)
	if errors.Is(err, keytree.ErrPunctured) {
		d.later()
		wrapped, err = s.keys.WrapDEK(ctx, d.id, d.slots, d.dek)
	}
	if errors.Is(err, keytree.ErrPunctured) {
		err = catalog.ErrTombstoned
	}
	if err != nil {
		return envelope.Prefix{}, err
	}
	return prefixOf(d.id, d.slots, wrapped, sealed), nil
}

func sealFacts(dek keytree.Key, id recording.Identity, f recording.Facts) ([]byte, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, errors.New("encode facts") // the cause could quote them
	}
	return envelope.SealFacts(dek, id, b)
}

// onOpenDay begins a draft. If the day on which it would expire was erased, and its key
// is not yet forgotten, it expires on the next: a day that is erased stays empty. That one
// is open, since it is not to be erased before it is filled, unless clocks disagree.
func (d *draft) onOpenDay(ctx context.Context, s scope, begin func() error) error {
	err := begin()
	if !errors.Is(err, catalog.ErrDayTombstoned) {
		return err
	}
	d.later()
	if d.prefix, err = d.seal(ctx, s); err != nil {
		return err
	}
	return begin()
}

// later files the draft under the next day.
func (d *draft) later() { d.slots.Day = keytree.LaterDay(d.slots.Day, d.facts.CreatedAt) }

func prefixOf(id recording.Identity, s keytree.Slots, wrapped [keytree.WrappedSize]byte, facts []byte) envelope.Prefix {
	return envelope.Prefix{
		Identity:    id,
		Slots:       [3]uint64{s.Recording, s.Subject, s.Day},
		WrappedDEK:  wrapped,
		SealedFacts: facts,
	}
}

// intent is the draft for the catalog, to be stored in one blob, or in none of
// its own.
func (d *draft) intent(blob string) catalog.Intent {
	in := catalog.Intent{
		Version: d.id.Version, Tenant: d.id.Tenant, Bucket: d.bucket.id, Recording: d.id.Recording,
		Blob: blob, Slots: slotRow(d.slots), CreatedAt: d.facts.CreatedAt, Stage: d.stage, Terms: d.terms,
	}
	if blob != "" {
		in.Wrapped, in.Facts = d.prefix.WrappedDEK[:], d.prefix.SealedFacts
	}
	return in
}

func slotRow(s keytree.Slots) catalog.Slots {
	return catalog.Slots{Recording: int64(s.Recording), Subject: int64(s.Subject), Day: int64(s.Day)}
}

// place draws 16 bytes that nothing else has, such as where a blob will be.
func place() (p [16]byte) {
	rand.Read(p[:]) // never fails: crypto/rand ends the program instead
	return p
}

// blobKey is the key in the store of the blob at a place.
func blobKey(t recording.Tenant, p [16]byte) string {
	return fmt.Sprintf("recordings/%v/%s/%s", t, hex.EncodeToString(p[:1]), hex.EncodeToString(p[1:]))
}

// placeOf undoes blobKey.
func placeOf(t recording.Tenant, key string) (p [16]byte, err error) {
	digits, ok := strings.CutPrefix(key, fmt.Sprintf("recordings/%v/", t))
	b, err := hex.DecodeString(strings.Replace(digits, "/", "", 1))
	if err != nil || !ok || len(b) != len(p) || blobKey(t, [16]byte(b)) != key {
		return p, fmt.Errorf("%w: a blob's key is not one of its own", recording.ErrIntegrity)
	}
	return [16]byte(b), nil
}

// ended is when the draft's source has ended, by this clock unless another's was
// ahead: it is after what it displaces.
func (d *draft) ended() time.Time {
	at := now()
	if !at.After(d.after) {
		at = d.after.Add(time.Microsecond)
	}
	return at
}

// content is what the catalog keeps of the draft once its bytes are stored.
func (d *draft) content(end recording.EndFacts, stored int64, sealedEnd []byte) catalog.Content {
	return catalog.Content{
		CommittedAt: end.EndedAt, Size: end.Size, StoredSize: stored, Class: end.Class, Parts: int64(end.Parts),
		WrappedDEK: d.prefix.WrappedDEK[:], SealedFacts: d.prefix.SealedFacts, SealedEnd: sealedEnd,
	}
}

// create is the one moment the recording exists. Killed before it, there is an
// intent and blobs that sweep deletes; killed after it, the client that heard
// nothing repeats itself and finds its own content.
func (g *Gateway) create(ctx context.Context, d *draft, content catalog.Content, list *catalog.PartList) error {
	// gofail: var recordingCreate string
	// return failpoint(recordingCreate)
	s, err := g.reenter(ctx, d.id.Tenant)
	if err != nil {
		return err
	}
	defer s.end()
	return g.inStage(ctx, s, func(s scope) error { return g.createIn(ctx, s, d, content, list) })
}

// createIn is create in the stage that a scope knows.
func (g *Gateway) createIn(ctx context.Context, s scope, d *draft, content catalog.Content, list *catalog.PartList) error {
	e := d.event
	e.ID, e.At, e.Action = [16]byte{}, now(), "created"
	record, err := s.seal(ctx, e)
	if err != nil {
		return err
	}
	name := string(d.facts.Name)
	if e.At.After(content.CommittedAt) {
		content.CommittedAt = e.At
	}
	index := s.written(func(by scope) catalog.Index { return by.nameIndex(d.bucket.Name, d.facts.Name) })
	content.Name = index.Index
	content.Directory = s.dirIndex(d.bucket.Name, directory(name))
	return g.catalog.Create(ctx, catalog.Commit{
		Tenant:      d.id.Tenant,
		Stage:       index.Stage,
		OlderName:   index.Older,
		Version:     d.id.Version,
		Overwrite:   catalog.Overwrite(d.bucket.Overwrite),
		Content:     content,
		Directories: s.directories(d.bucket.Name, name),
		Terms:       s.terms(d.facts),
		List:        list,
		Timeline:    s.timeline,
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
