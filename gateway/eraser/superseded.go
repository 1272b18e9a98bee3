package eraser

import (
	"bytes"
	"context"
	"encoding/binary"
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
	Kept  []keytree.PackID `json:"kept"` // of those heads too, and needed still

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
//	deleted   the packs that were noted and have no page of the newest head, and the heads
//	          before the noted one
//
// So a copy that is younger finds the head that it has, all heads and packs after it, and
// every page below. Nothing goes before all erasures that were asked for before the noted
// epoch have their certificates, which are made from heads. That of epoch 0 stays: it says
// that the tenant was planted.
func (e *Eraser) DropSuperseded(ctx context.Context, id recording.Tenant) error {
	if e.Superseded == 0 {
		return nil
	}
	head, packs, err := e.packsUpTo(ctx, id)
	if err != nil || head.Kind != keytree.HeadPunctured {
		return err
	}
	due, used, err := e.noteSuperseded(ctx, head, packs)
	if err != nil || len(due) == 0 {
		return err
	}
	return e.drop(ctx, id, due, used)
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

// noteSuperseded notes what a head supersedes, unless that is done, and gives the notes
// that are due and the packs that the head needs. It takes no longer than a lease, since
// it holds the root.
func (e *Eraser) noteSuperseded(ctx context.Context, head keytree.Head, packs map[uint64]keytree.PackID) (due []superseded, used map[keytree.PackID]bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, keytree.LeaseTime)
	defer cancel()
	older, err := e.older(ctx, head)
	if err != nil || older {
		return nil, nil, err
	}
	keys, err := keytree.Unwrap(ctx, e.Keys, e.Pages, head)
	if err != nil {
		return nil, nil, distrust(head.Tenant, head, err)
	}
	defer keys.Clear()
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return nil, nil, err
	}
	defer settings.Clear()
	notes, err := e.notes(ctx, head.Tenant, settings)
	if err == nil {
		due, err = e.dueNotes(ctx, notes)
	}
	noted := len(notes) > 0 && notes[len(notes)-1].epoch >= head.Epoch
	if err != nil || noted && len(due) == 0 {
		return nil, nil, err
	}
	if used, err = keys.Packs(ctx); err == nil && !noted {
		err = e.note(ctx, head, settings, notes, packs, used)
	}
	return due, used, err
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

// dueNotes gives the notes that are old enough, but the newest: that says what the next
// has to look at.
func (e *Eraser) dueNotes(ctx context.Context, notes []superseded) (due []superseded, err error) {
	first, _, err := e.clocks(ctx)
	for _, n := range notes[:max(len(notes)-1, 0)] {
		if first.Sub(n.At) > e.Superseded {
			due = append(due, n)
		}
	}
	return due, err
}

// clocks gives the earlier and the later of what this machine and the database say.
func (e *Eraser) clocks(ctx context.Context) (first, last time.Time, err error) {
	here := now()
	there, err := e.Catalog.Clock(ctx)
	if there.Before(here) {
		return there, here, err
	}
	return here, there, err
}

// note notes what the heads before one need and it does not.
func (e *Eraser) note(ctx context.Context, head keytree.Head, settings keytree.Key, notes []superseded, of map[uint64]keytree.PackID, used map[keytree.PackID]bool) error {
	var before superseded
	if len(notes) > 0 {
		before = notes[len(notes)-1]
	}
	packs := before.Kept
	for epoch := before.epoch; epoch < head.Epoch; epoch++ {
		if id, ok := of[epoch]; ok {
			packs = append(packs, id)
		}
	}
	n := superseded{epoch: head.Epoch}
	for _, id := range packs {
		if used[id] {
			n.Kept = append(n.Kept, id)
		} else {
			n.Packs = append(n.Packs, id)
		}
	}
	var err error
	if _, n.At, err = e.clocks(ctx); err != nil {
		return err
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
func (e *Eraser) drop(ctx context.Context, t recording.Tenant, due []superseded, used map[keytree.PackID]bool) error {
	until := due[len(due)-1].epoch
	certified, err := e.certifiedBefore(ctx, t, until)
	if err != nil || !certified {
		return err
	}
	var keys []string
	for _, n := range due {
		for _, id := range n.Packs {
			if !used[id] {
				keys = append(keys, keytree.PackKey(t, id))
			}
		}
	}
	heads, err := e.headsBefore(ctx, t, until)
	if err != nil {
		return err
	}
	keys = append(keys, heads...)
	for _, key := range keys {
		if gone := e.Blobs.Delete(ctx, key); err == nil {
			err = gone
		}
	}
	if err != nil {
		return err
	}
	if err := e.forgetNotes(ctx, t, due); err != nil {
		return err
	}
	e.Logger.Info("superseded heads and packs deleted", "tenant", t.String(), "before", until, "heads", len(heads), "packs", len(keys)-len(heads))
	return nil
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
