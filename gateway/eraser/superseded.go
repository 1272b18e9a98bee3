package eraser

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// supersededEvery is how often superseded heads and packs are looked for.
const supersededEvery = 24 * time.Hour

// superseded is what no head from an epoch on needs of those before it. It is sealed
// in the store: packs are deleted because of it, and who writes rows may not say which.
type superseded struct {
	At    time.Time        `json:"at"` // not before that epoch was effective
	Packs []keytree.PackID `json:"packs"`
	Kept  []keytree.PackID `json:"kept"` // of epochs before it, and needed still

	epoch uint64
}

func supersededPrefix(t recording.Tenant) string { return fmt.Sprintf("superseded/%v/", t) }

func supersededKey(t recording.Tenant, epoch uint64) string {
	return fmt.Sprintf("%s%016x", supersededPrefix(t), epoch)
}

func supersededBind(t recording.Tenant, epoch uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte{}, t[:]...), epoch)
}

// dropAlways drops what is superseded, until ctx ends.
func (e *Eraser) dropAlways(ctx context.Context) {
	again := time.NewTicker(supersededEvery)
	defer again.Stop()
	for ctx.Err() == nil {
		tenants, err := e.Catalog.Tenants(ctx)
		for _, t := range tenants {
			if err := e.DropSuperseded(ctx, t.ID); err != nil && ctx.Err() == nil {
				e.Logger.Warn("superseded heads and packs are left for now", "tenant", t.ID.String(), "error", err)
			}
		}
		if err != nil && ctx.Err() == nil {
			e.Logger.Warn("superseded heads and packs not looked for", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-again.C:
		}
	}
}

// DropSuperseded deletes heads and packs that no copy of provider or catalog can need any
// more, in two steps that are Superseded apart:
//
//	noted     the newest head was walked, while the provider opened no older one: where no
//	          page of it stands, neither it nor a later one needs
//	deleted   the packs that were noted and have no page of the newest head, the heads
//	          before the noted one, and packs of those epochs that never got a head
//
// So a copy that is younger finds the head that it has, all heads and packs after it, and
// every page below. Nothing goes before all erasures that were asked for before the noted
// epoch have their certificates, which are made from heads. That of epoch 0 stays: it says
// that the tenant was planted. Both steps have the lease of the tenant's epochs, as a
// recovery has, which may go on from an older head than the newest.
func (e *Eraser) DropSuperseded(ctx context.Context, id recording.Tenant) error {
	if e.Superseded == 0 {
		return nil
	}
	head, packs, err := e.packsUpTo(ctx, id)
	if err != nil || head.Kind != keytree.HeadPunctured {
		return err
	}
	var d droppable
	err = e.alone(ctx, id, func(ctx context.Context) error {
		d, err = e.noteSuperseded(ctx, head, packs)
		return err
	})
	if err != nil || len(d.due) == 0 {
		return err
	}
	return e.drop(ctx, id, d)
}

// The bounds of how long a tenant's epochs are kept from who drives them, who may have
// erasures waiting, and of how long they are waited for.
const (
	droppedAtOnce = 100 // blobs, before the lease is left
	aloneTries    = 100
	aloneAgain    = 100 * time.Millisecond
)

// alone does something while nobody has the lease of a tenant's epochs, not even this
// process for something else. ErrDriven: someone always had it.
func (e *Eraser) alone(ctx context.Context, id recording.Tenant, do func(context.Context) error) error {
	var holder [16]byte
	rand.Read(holder[:]) // never fails
	for range aloneTries {
		if mine, err := e.leased(ctx, id, holder, do); err != nil || mine {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(aloneAgain):
		}
	}
	return ErrDriven
}

// packsUpTo gives the newest head of a tenant that is not erased, and the packs of those
// before it that no note looked at. To read them takes long, so it is not left to who
// holds a root, and goes on until no head is new.
func (e *Eraser) packsUpTo(ctx context.Context, id recording.Tenant) (head keytree.Head, packs map[uint64]keytree.PackID, err error) {
	next, err := e.lastNote(ctx, id)
	if err != nil {
		return head, nil, err
	}
	for packs = map[uint64]keytree.PackID{}; ; {
		t, err := e.Catalog.Tenant(ctx, id)
		if err != nil || t.State.Err() == recording.ErrTenantErased {
			return keytree.Head{}, nil, err
		}
		if head, err = ownHead(t); err != nil || next >= head.Epoch {
			return head, packs, err
		}
		for ; next < head.Epoch; next++ {
			pack, ok, err := e.packOf(ctx, id, next)
			if err != nil {
				return head, nil, err
			}
			if ok {
				packs[next] = pack
			}
		}
	}
}

// lastNote is the epoch of a tenant's newest note, 0 if there is none.
func (e *Eraser) lastNote(ctx context.Context, id recording.Tenant) (last uint64, err error) {
	for info, err := range e.Blobs.List(ctx, supersededPrefix(id)) {
		if err != nil {
			return 0, err
		}
		if epoch, ok := noteEpoch(id, info.Key); ok {
			last = max(last, epoch)
		}
	}
	return last, nil
}

// droppable is what may be deleted of a tenant.
type droppable struct {
	due    []superseded
	needed map[keytree.PackID]bool // by the newest head, or what is not due yet
}

// noteSuperseded notes what a head supersedes, unless that is done, and gives what may be
// deleted. It takes no longer than a lease, since it holds the root.
func (e *Eraser) noteSuperseded(ctx context.Context, head keytree.Head, packs map[uint64]keytree.PackID) (d droppable, err error) {
	ctx, cancel := context.WithTimeout(ctx, keytree.LeaseTime)
	defer cancel()
	older, err := e.older(ctx, head)
	if err != nil || older {
		return d, err
	}
	keys, err := keytree.Unwrap(ctx, e.Keys, e.Pages, head)
	if err != nil {
		return d, distrust(head.Tenant, head, err)
	}
	defer keys.Clear()
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return d, err
	}
	defer settings.Clear()
	notes, err := e.notes(ctx, head.Tenant, settings)
	if err != nil {
		return d, err
	}
	noted := len(notes) > 0 && notes[len(notes)-1].epoch >= head.Epoch
	if noted && len(notes) == 1 {
		return d, nil
	}
	first, last, err := e.Clocks(ctx)
	if err != nil {
		return d, err
	}
	due := e.dueNotes(notes, first.At)
	if noted && len(due) == 0 {
		return d, nil
	}
	needed, err := keys.Packs(ctx)
	if err == nil && !noted {
		err = e.note(ctx, head, settings, notes, packs, needed, last.At)
	}
	if err != nil {
		return d, err
	}
	needed[head.Pack] = true
	for _, id := range packs {
		needed[id] = true
	}
	for _, n := range notes[len(due):] {
		for _, id := range append(n.Packs, n.Kept...) {
			needed[id] = true
		}
	}
	return droppable{due, needed}, nil
}

// notes reads what was noted of a tenant, oldest first. recording.ErrIncident: what stands
// there is none of ours.
func (e *Eraser) notes(ctx context.Context, t recording.Tenant, settings keytree.Key) (all []superseded, err error) {
	for info, err := range e.Blobs.List(ctx, supersededPrefix(t)) {
		if err != nil {
			return nil, err
		}
		epoch, ok := noteEpoch(t, info.Key)
		if !ok {
			continue
		}
		n := superseded{epoch: epoch}
		sealed, err := e.following().read(ctx, info.Key, maxRecord)
		if err != nil {
			return nil, err
		}
		b, err := keytree.Open(settings, keytree.LabelSuperseded, supersededBind(t, n.epoch), sealed)
		if err == nil {
			err = json.Unmarshal(b, &n)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s in the store is not ours; delete it: %w", recording.ErrIncident, info.Key, err)
		}
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b superseded) int { return int(a.epoch) - int(b.epoch) })
	return all, nil
}

// noteEpoch is the epoch of the note that a key is of.
func noteEpoch(t recording.Tenant, key string) (epoch uint64, ok bool) {
	_, err := fmt.Sscanf(strings.TrimPrefix(key, supersededPrefix(t)), "%016x", &epoch)
	return epoch, err == nil && supersededKey(t, epoch) == key
}

// dueNotes gives the notes that are old enough, oldest first, but the newest: that says
// what the next has to look at.
func (e *Eraser) dueNotes(notes []superseded, at time.Time) []superseded {
	due := 0
	for due < len(notes)-1 && at.Sub(notes[due].At) > e.Superseded {
		due++
	}
	return notes[:due]
}

// note notes what the heads before one need and it does not.
func (e *Eraser) note(ctx context.Context, head keytree.Head, settings keytree.Key, notes []superseded, of map[uint64]keytree.PackID, used map[keytree.PackID]bool, at time.Time) error {
	var before superseded
	if len(notes) > 0 {
		before = notes[len(notes)-1]
	}
	packs := slices.Clone(before.Kept)
	for epoch := before.epoch; epoch < head.Epoch; epoch++ {
		if id, ok := of[epoch]; ok {
			packs = append(packs, id)
		}
	}
	n := superseded{epoch: head.Epoch, At: at}
	for _, id := range packs {
		if !used[id] {
			n.Packs = append(n.Packs, id)
		}
	}
	for id := range used {
		if id != head.Pack {
			n.Kept = append(n.Kept, id)
		}
	}
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	sealed, err := keytree.Seal(settings, keytree.LabelSuperseded, supersededBind(head.Tenant, n.epoch), b)
	if err != nil {
		return err
	}
	err = e.Blobs.Create(ctx, supersededKey(head.Tenant, n.epoch), bytes.NewReader(sealed), int64(len(sealed)))
	if errors.Is(err, fs.ErrExist) { // by another eraser
		err = nil
	}
	return err
}

// packOf gives the pack of an epoch, if the store has one that is as its head says: a
// head that opens no more could name a later one.
func (e *Eraser) packOf(ctx context.Context, t recording.Tenant, epoch uint64) (id keytree.PackID, ok bool, err error) {
	h, err := keytree.ReadHead(ctx, e.Blobs, t, epoch)
	if err == nil && h.Kind == keytree.HeadPunctured {
		_, err = keytree.ReadPack(ctx, e.Blobs, h)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, keytree.ErrHead) || errors.Is(err, keytree.ErrPack) {
		return id, false, nil
	}
	return h.Pack, h.Kind == keytree.HeadPunctured, err
}

// drop deletes what notes say that are due, and then those notes. What a lock holds
// stays, with the notes.
func (e *Eraser) drop(ctx context.Context, t recording.Tenant, d droppable) error {
	until := d.due[len(d.due)-1].epoch
	certified, err := e.certifiedBefore(ctx, t, until)
	if err != nil || !certified {
		return err
	}
	packs, err := e.packsBefore(ctx, d, t, until)
	if err != nil {
		return err
	}
	heads, err := e.headsBefore(ctx, t, until)
	if err != nil {
		return err
	}
	var failed error
	for some := range slices.Chunk(append(packs, heads...), droppedAtOnce) {
		err := e.alone(ctx, t, func(ctx context.Context) error {
			if err := e.stillNoted(ctx, t, until); err != nil {
				return err
			}
			for _, key := range some {
				if err := e.Blobs.Delete(ctx, key); failed == nil {
					failed = err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if failed != nil {
		return failed
	}
	if err := e.forgetNotes(ctx, t, d.due); err != nil {
		return err
	}
	e.Logger.Info("superseded heads and packs deleted", "tenant", t.String(), "before", until, "heads", len(heads), "packs", len(packs))
	return nil
}

// stillNoted fails if a note is gone: then a recovery has passed over its head, or another
// eraser has deleted what it names.
func (e *Eraser) stillNoted(ctx context.Context, t recording.Tenant, epoch uint64) error {
	note, err := e.Blobs.Open(ctx, supersededKey(t, epoch), 0, 1)
	if err != nil {
		return fmt.Errorf("look again at what was superseded by epoch %d of %v: %w", epoch, t, err)
	}
	return note.Close()
}

// packsBefore gives the keys of packs that nothing needs and that were made for epochs
// before one. Those that notes do not name never got a head, and never will: the head of
// their epoch is another's.
func (e *Eraser) packsBefore(ctx context.Context, d droppable, t recording.Tenant, before uint64) (keys []string, err error) {
	noted := map[string]bool{}
	for _, n := range d.due {
		for _, id := range n.Packs {
			noted[keytree.PackKey(t, id)] = true
		}
	}
	for info, err := range e.Blobs.List(ctx, fmt.Sprintf("pages/%v/", t)) {
		if err != nil {
			return nil, err
		}
		id, ok := packID(t, info.Key)
		if !ok || d.needed[id] {
			continue
		}
		if !noted[info.Key] {
			epoch, err := keytree.PackEpoch(ctx, e.Blobs, t, id)
			if errors.Is(err, keytree.ErrPack) || errors.Is(err, fs.ErrNotExist) || err == nil && epoch >= before {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		keys = append(keys, info.Key)
	}
	return keys, nil
}

// packID is the pack that a key is of.
func packID(t recording.Tenant, key string) (id keytree.PackID, ok bool) {
	b, err := hex.DecodeString(key[strings.LastIndexByte(key, '/')+1:])
	if err != nil || len(b) != len(id) {
		return id, false
	}
	id = keytree.PackID(b)
	return id, keytree.PackKey(t, id) == key
}

func (e *Eraser) forgetNotes(ctx context.Context, t recording.Tenant, notes []superseded) error {
	for _, n := range notes {
		if err := e.Blobs.Delete(ctx, supersededKey(t, n.epoch)); err != nil {
			return err
		}
	}
	return nil
}

// forgetNotesAfter forgets what was noted from heads that a recovery passes over: the
// tree goes on from an older one, which may need what they did not.
func (e *Eraser) forgetNotesAfter(ctx context.Context, opens keytree.Head) error {
	var after []superseded
	for info, err := range e.Blobs.List(ctx, supersededPrefix(opens.Tenant)) {
		if err != nil {
			return err
		}
		if epoch, ok := noteEpoch(opens.Tenant, info.Key); ok && epoch > opens.Epoch {
			after = append(after, superseded{epoch: epoch})
		}
	}
	return e.forgetNotes(ctx, opens.Tenant, after)
}

// certifiedBefore reports whether the store has a certificate of every erasure that was
// asked for before an epoch. What the catalog does not know, though no epoch begins before
// it has learnt of all that was asked for, is punctured anew if it ever comes to know it.
func (e *Eraser) certifiedBefore(ctx context.Context, t recording.Tenant, epoch uint64) (bool, error) {
	certified := map[string]bool{}
	for info, err := range e.Blobs.List(ctx, fmt.Sprintf("certificates/%v/", t)) {
		if err != nil {
			return false, err
		}
		certified[info.Key] = true
	}
	var open []recording.ErasureID
	for r, err := range e.following().records(ctx, t, fmt.Sprintf("%s%v/", recordsBase, t)) {
		if err != nil {
			return false, err
		}
		if r.base < int64(epoch) && !certified[CertificateKey(t, r.id)] {
			open = append(open, r.id)
		}
	}
	known, err := e.Catalog.KnownErasures(ctx, t, open)
	return len(known) == 0, err
}

// headsBefore gives the keys of heads of the store between epoch 0 and another.
func (e *Eraser) headsBefore(ctx context.Context, t recording.Tenant, epoch uint64) (keys []string, err error) {
	for info, err := range e.Blobs.List(ctx, fmt.Sprintf("head/%v/", t)) {
		if err != nil {
			return nil, err
		}
		if keytree.HeadKey(t, 0) < info.Key && info.Key < keytree.HeadKey(t, epoch) {
			keys = append(keys, info.Key)
		}
	}
	return keys, nil
}
