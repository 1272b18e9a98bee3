package eraser

import (
	"context"
	"maps"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// mayGo gives those slots of rows, which come first, that go with the next epoch, and
// reports whether there are more. What was not asked for is passed over, unless an
// operator has decided to puncture it, and takes nobody's place; it is told of for as
// long as its row is there. No erasure waits for what it did not ask for.
func (e *Eraser) mayGo(ctx context.Context, t recording.Tenant, keys *keytree.Keys, rows []catalog.Tombstone, more bool, how Unproved) ([]keytree.Slot, bool, error) {
	const most = keytree.MostPunctures
	due, err := e.asked(ctx, t, keys, rows)
	due.decide(how)
	for err == nil && more && len(due.slots) < most {
		if rows, _, more, err = e.Catalog.ToPuncture(ctx, t, most+len(due.unasked)); err == nil {
			due, err = e.asked(ctx, t, keys, rows)
			due.decide(how)
		}
	}
	if len(due.unasked) > 0 {
		e.counts.unasked.Add(uint64(len(due.unasked)))
		e.Logger.Error("the catalog has tombstones that nobody asked for; they are passed over, and no key is destroyed for them. Who wrote them?",
			"tenant", t.String(), "slots", len(due.unasked), "tree", due.unasked[0].Tree, "first", due.unasked[0].Number)
	}
	if err == nil {
		err = e.Catalog.Disown(ctx, t, due.foreign)
	}
	if len(due.slots) > most { // what was passed over is gone by now
		due.slots, more = due.slots[:most], true
	}
	return due.slots, more, err
}

// due is what rows say is to be punctured.
type due struct {
	slots   []keytree.Slot      // of which something else than the rows says so too
	unasked []keytree.Slot      // the others
	foreign []catalog.Tombstone // of these, what is said to be of an erasure whose record opens and does not name it
}

// decide takes for asked for what an operator has decided to puncture.
func (d *due) decide(how Unproved) {
	if how != Puncture {
		return
	}
	never := func(s keytree.Slot) bool { return s.MayGo() != nil }
	d.slots = append(d.slots, slices.DeleteFunc(slices.Clone(d.unasked), never)...)
	d.unasked = slices.DeleteFunc(d.unasked, func(s keytree.Slot) bool { return !never(s) })
}

// asked tells the slots of rows that something else than the rows says were to be
// punctured from others: who writes rows would else have a key destroyed.
//
//   - Of an erasure, its sealed record has to name the slot. Nobody can make one who
//     does not have the tenant's keys.
//   - A scrap has to be of the recordings tree: what was replaced, aborted, filed
//     elsewhere or released. Who writes one can as well write that the version was
//     aborted, and a sweep would delete its blob.
//   - Or of a generation of blind indexes, if a sealed entry of the journal says that
//     rows were to leave it. Who says falsely that all have makes them be found no more
//     until the catalog is rebuilt, as who deletes their indexes does.
func (e *Eraser) asked(ctx context.Context, t recording.Tenant, keys *keytree.Keys, rows []catalog.Tombstone) (d due, err error) {
	named, err := e.named(ctx, t, keys, rows)
	if err != nil {
		return d, err
	}
	for _, row := range rows {
		slot := slotOf(row.Slot)
		scrap := row.Erasure == (recording.ErasureID{}) && slot.Tree == keytree.Recordings
		if row.Erasure == (recording.ErasureID{}) && slot.Tree == keytree.System {
			if scrap, err = e.announced(ctx, t, keys, slot); err != nil {
				return due{}, err
			}
		}
		byRecord, opened := named[row]
		if slot.MayGo() == nil && (scrap || byRecord) {
			d.slots = append(d.slots, slot)
			continue
		}
		d.unasked = append(d.unasked, slot)
		if opened && !byRecord {
			d.foreign = append(d.foreign, row)
		}
	}
	return d, nil
}

// named tells, of the rows whose erasure has a record that opens, whether it names them.
func (e *Eraser) named(ctx context.Context, t recording.Tenant, keys *keytree.Keys, rows []catalog.Tombstone) (map[catalog.Tombstone]bool, error) {
	named, of := map[catalog.Tombstone]bool{}, map[recording.ErasureID][]catalog.Tombstone{}
	for _, row := range rows {
		if row.Erasure != (recording.ErasureID{}) {
			of[row.Erasure] = append(of[row.Erasure], row)
		}
	}
	if len(of) == 0 {
		return nil, nil
	}
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return nil, err
	}
	defer settings.Clear()
	return named, e.Catalog.EachRecord(ctx, t, slices.Collect(maps.Keys(of)), func(r catalog.SealedRecord) {
		s, err := OpenRecord(settings, t, r.Base, r.ID, r.Sealed)
		if err != nil { // nobody asked for it
			return
		}
		for _, row := range of[r.ID] {
			named[row] = false
		}
		for _, slot := range s.Slots {
			row := catalog.Tombstone{Slot: catalog.Slot(slot), Erasure: r.ID}
			if _, due := named[row]; due { // of a million others are
				named[row] = true
			}
		}
	})
}

func slotOf(s catalog.Slot) keytree.Slot {
	return keytree.Slot{Tree: keytree.Tree(s.Tree), Number: uint64(s.Number)}
}
