package eraser

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// maxEntry is more than any entry of a journal has, in bytes.
const maxEntry = 64 << 10

// announced reports whether the slot is that of a generation of blind indexes that rows
// were to leave, as a sealed entry of the tenant's journal says.
func (e *Eraser) announced(ctx context.Context, t recording.Tenant, keys *keytree.Keys, slot keytree.Slot) (bool, error) {
	all, err := e.Catalog.Generations(ctx, t)
	if err != nil {
		return false, err
	}
	for _, of := range all {
		if keytree.IndexSlot(of.Generation) == slot.Number {
			left, err := e.leaves(ctx, t, keys, of.Journal)
			return left == of.Generation, err
		}
	}
	return false, nil
}

// leaves is the generation that an entry of a journal says rows are to leave, 0 if it
// is another or none.
func (e *Eraser) leaves(ctx context.Context, t recording.Tenant, keys *keytree.Keys, sequence int64) (uint32, error) {
	settings, err := keys.System(ctx, keytree.SettingsSlot())
	if err != nil {
		return 0, err
	}
	defer settings.Clear()
	body, err := e.Blobs.Open(ctx, keytree.JournalKey(t, sequence), 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer body.Close()
	sealed, err := io.ReadAll(io.LimitReader(body, maxEntry))
	if err != nil {
		return 0, err
	}
	var entry struct{ Generation uint32 }
	plain, err := keytree.Open(settings, keytree.LabelJournal, keytree.JournalBind(t, sequence), sealed)
	if err != nil || json.Unmarshal(plain, &entry) != nil { // none of ours
		return 0, nil
	}
	return entry.Generation, nil
}
