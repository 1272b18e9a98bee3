package eraser

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// undone tells the erasures, of some that rows say are effective, that are not: a key
// that the sealed request names can still be had of the newest head. Who writes the
// catalog would else have it certified that what lives is erased. They begin again. A
// page that is lost says nothing.
func (e *Eraser) undone(ctx context.Context, id recording.Tenant, rows []catalog.ErasureRow) (map[recording.ErasureID]error, error) {
	t, err := e.Catalog.Tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	head, err := ownHead(t)
	if err != nil {
		return nil, err
	}
	of, undone, err := e.requested(ctx, head, rows)
	if err != nil {
		return nil, err
	}
	open, _, _, err := e.following().ask(ctx, head, slices.SortedFunc(maps.Keys(of), keytree.Slot.Compare))
	if err != nil || len(open) == 0 {
		return undone, err
	}
	var again []catalog.Tombstone
	for _, s := range open {
		for _, erasure := range of[s] {
			again = append(again, catalog.Tombstone{Slot: catalog.Slot{Tree: int64(s.Tree), Number: int64(s.Number)}, Erasure: erasure})
			undone[erasure] = fmt.Errorf("%w: the catalog says that slot %d of tree %d is punctured, and its key is there; who wrote that?", recording.ErrIncident, s.Number, s.Tree)
		}
	}
	return undone, e.Catalog.Undone(ctx, id, again)
}

// requested gives the slots that the sealed requests of erasures name, each with those
// that name it, and the erasures whose requests do not open.
func (e *Eraser) requested(ctx context.Context, head keytree.Head, rows []catalog.ErasureRow) (of map[keytree.Slot][]recording.ErasureID, bad map[recording.ErasureID]error, err error) {
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
	of, bad = map[keytree.Slot][]recording.ErasureID{}, map[recording.ErasureID]error{}
	for _, row := range rows {
		s, err := OpenRecord(settings, head.Tenant, row.Base, row.ID, row.Record)
		if err != nil {
			bad[row.ID] = err
		}
		for _, stated := range s.Slots {
			slot := slotOf(catalog.Slot(stated))
			of[slot] = append(of[slot], row.ID)
		}
	}
	return of, bad, nil
}
