package storecheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/lethe-vault/lethe/gateway/blob"
)

const useAnother = "use a store that honours If-None-Match: *; on this one two processes can fork a tenant's keys"

// rivals create one key at the same time.
const rivals = 8

// exclusive lets rivals create one key: one of them wins, it stays the winner,
// and no later one replaces it.
func (c *check) exclusive(ctx context.Context) {
	winner, err := c.race(ctx, "race")
	switch late := c.put(ctx, "race", []byte("late")); {
	case err != nil:
	case late == nil:
		err = errors.New("a key that was taken was written again")
	case !errors.Is(late, blob.ErrExists):
		err = fmt.Errorf("a key that was taken was refused with another error: %w", late)
	}
	if err == nil {
		var got []byte
		if got, err = c.read(ctx, "race", 0, -1); err == nil && !bytes.Equal(got, winner) {
			err = errors.New("what is stored is not what the one that was told yes had written")
		}
	}
	if err != nil {
		c.Fail("store.exclusive", "the store does not create exclusively: "+err.Error(), useAnother)
		return
	}
	c.OK("store.exclusive", fmt.Sprintf("of %d creations of one key at the same time, one succeeds", rivals))
}

// race gives what the one winner wrote.
func (c *check) race(ctx context.Context, name string) (winner []byte, err error) {
	bodies, errs := make([][]byte, rivals), make([]error, rivals)
	c.made[c.base+name] = true
	var racing sync.WaitGroup
	for i := range rivals {
		bodies[i] = random(1 << 10)
		racing.Go(func() {
			errs[i] = c.store.Create(ctx, c.base+name, bytes.NewReader(bodies[i]), int64(len(bodies[i])))
		})
	}
	racing.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			winner, won = bodies[i], won+1
		}
	}
	switch won {
	case 1:
		return winner, nil
	case 0:
		return nil, fmt.Errorf("of %d creations of one key none succeeded: %w", rivals, errs[0])
	}
	return nil, fmt.Errorf("of %d creations of one key %d succeeded", rivals, won)
}

// exclusiveInParts does the same for a body of unknown length, which goes as a
// multipart upload.
func (c *check) exclusiveInParts(ctx context.Context) {
	body := random(inParts)
	create := func() error {
		return c.store.Create(ctx, c.base+"parts", bytes.NewReader(body), -1)
	}
	c.made[c.base+"parts"] = true
	first, second := create(), create()
	switch {
	case first != nil:
		c.Fail("store.parts", "a blob of unknown length cannot be created: "+first.Error(), "give this credential the right to multipart uploads")
	case second == nil:
		c.Fail("store.parts", "a key that was taken was written again by an upload in parts", useAnother)
	case !errors.Is(second, blob.ErrExists):
		c.Fail("store.parts", "a key that was taken was refused with another error: "+second.Error(), useAnother)
	default:
		c.OK("store.parts", "uploads in parts create exclusively, too")
	}
}
