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
	open, gone, lost, err := f.ask(ctx, h, slots)
	return append(open, lost...), gone, err
}

// ask tells slots whose keys a head still has from those that it has punctured and
// those of which it cannot tell, because a page is lost.
func (f Following) ask(ctx context.Context, h keytree.Head, slots []keytree.Slot) (open, gone, lost []keytree.Slot, err error) {
	if len(slots) == 0 {
		return nil, nil, nil, nil
	}
	ahead, err := f.Pages.Ahead(ctx, h.Tenant, slots)
	if err != nil {
		return nil, nil, nil, err
	}
	keys, err := keytree.Unwrap(ctx, f.Keys, ahead, h)
	if err != nil {
		return nil, nil, nil, err
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
		case err == nil:
			open = append(open, s)
		case errors.Is(err, keytree.ErrPage), errors.Is(err, fs.ErrNotExist):
			lost = append(lost, s)
		default:
			return nil, nil, nil, err
		}
	}
	return open, gone, lost, nil
}
