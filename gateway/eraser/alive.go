package eraser

import (
	"context"
	"fmt"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// alive gives what forbids certificates of erasures: that the newest keys still have a
// slot which the sealed record names, whatever rows say of it, or that there is no such
// record. Who writes rows would else be certified what never was destroyed. What is there
// still is due again, whatever rows say; a page that is lost says nothing of that.
func (e *Eraser) alive(ctx context.Context, t recording.Tenant, rows []catalog.ErasureRow) (map[recording.ErasureID]error, error) {
	row, err := e.Catalog.Tenant(ctx, t)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	head, err := ownHead(row)
	if err != nil {
		return nil, err
	}
	keys, err := keytree.Unwrap(ctx, e.Keys, e.Pages, head)
	if err != nil {
		return nil, distrust(t, head, err)
	}
	defer keys.Clear()
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return nil, err
	}
	defer settings.Clear()
	forbidden, of := map[recording.ErasureID]error{}, map[keytree.Slot][]recording.ErasureID{}
	for _, row := range rows {
		s, err := OpenRecord(settings, t, row.Base, row.ID, row.Record)
		if err != nil {
			forbidden[row.ID] = err
			continue
		}
		for _, stated := range s.Slots {
			slot := slotOf(catalog.Slot(stated))
			of[slot] = append(of[slot], row.ID)
		}
	}
	slots := make([]keytree.Slot, 0, len(of))
	for slot := range of {
		slots = append(slots, slot)
	}
	slices.SortFunc(slots, keytree.Slot.Compare)
	for some := range slices.Chunk(slots, keytree.MostPunctures) {
		open, _, lost, err := e.following().ask(ctx, head, some)
		if err != nil {
			return nil, distrust(t, head, err)
		}
		var again []catalog.Tombstone
		for _, slot := range open {
			for _, id := range of[slot] {
				again = append(again, catalog.Tombstone{Slot: catalog.Slot{Tree: int64(slot.Tree), Number: int64(slot.Number)}, Erasure: id})
			}
		}
		if err := e.Catalog.Undone(ctx, t, again); err != nil {
			return nil, err
		}
		for _, slot := range append(open, lost...) {
			for _, id := range of[slot] {
				forbidden[id] = fmt.Errorf("%w: erasure %v is said to be done, and slot %d of tree %d still has its key", recording.ErrIncident, id, slot.Number, slot.Tree)
			}
		}
	}
	return forbidden, nil
}
