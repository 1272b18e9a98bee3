package eraser

import (
	"context"
	"errors"
	"io/fs"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// divide tells slots whose keys a head still has from those that it has punctured,
// whoever says what of them. One that it cannot tell of, because a page is lost, is
// taken to be there: nothing is done because of it.
func (f Following) divide(ctx context.Context, h keytree.Head, slots []keytree.Slot) (open, gone []keytree.Slot, err error) {
	if len(slots) == 0 {
		return nil, nil, nil
	}
	ahead, err := f.Pages.Ahead(ctx, h.Tenant, slots)
	if err != nil {
		return nil, nil, err
	}
	keys, err := keytree.Unwrap(ctx, f.Keys, ahead, h)
	if err != nil {
		return nil, nil, err
	}
	defer keys.Clear()
	way := keys.Follow()
	defer way.Clear()
	for _, s := range slots {
		key, err := way.Slot(ctx, s.Tree, s.Number)
		key.Clear()
		switch {
		case errors.Is(err, keytree.ErrPunctured):
			gone = append(gone, s)
		case err == nil, errors.Is(err, keytree.ErrPage), errors.Is(err, fs.ErrNotExist):
			open = append(open, s)
		default:
			return nil, nil, err
		}
	}
	return open, gone, nil
}
