// Package storecheck tries on a store itself what Lethe needs of it. It leaves
// nothing behind that the store lets it delete, and disturbs no server that
// runs on the store.
package storecheck

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/blob"
)

// Prefix begins the keys of all blobs that a check makes.
const Prefix = "doctor/"

// cleanUpWithin bounds the deletions after a check, which its caller's deadline
// does not cut short.
const cleanUpWithin = 10 * time.Second

// inParts is longer than what a Store sends as one request when it does not know
// the size of a body.
const inParts = blob.PartSize + 1

// check is one run on one store.
type check struct {
	finding.List
	store blob.Store
	base  string          // begins the keys of this run
	made  map[string]bool // keys to delete
}

// Run tries the store.
func Run(ctx context.Context, store blob.Store) finding.List {
	c := &check{store: store, base: Prefix + strings.ToLower(rand.Text()) + "/", made: map[string]bool{}}
	if c.create(ctx) {
		for _, try := range []func(context.Context){c.exclusive, c.exclusiveInParts, c.ranges, c.list, c.latency} {
			if ctx.Err() != nil {
				c.Fail("store", "the store was too slow for all checks to end in time", "see store.latency, and the network between here and the store")
				break
			}
			try(ctx)
		}
	}
	c.cleanUp(ctx)
	return c.List
}

func (c *check) put(ctx context.Context, name string, body []byte) error {
	c.made[c.base+name] = true
	return c.store.Create(ctx, c.base+name, bytes.NewReader(body), int64(len(body)))
}

func (c *check) read(ctx context.Context, name string, off, n int64) ([]byte, error) {
	r, err := c.store.Open(ctx, c.base+name, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// random gives bytes that no cache and no compression knows.
func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// create reports whether there is any use in trying more.
func (c *check) create(ctx context.Context) bool {
	body := random(4 << 10)
	if err := c.put(ctx, "first", body); err != nil {
		c.Fail("store.create", "a blob cannot be created: "+err.Error(), "give this credential the right to put objects, and see that the store has room")
		return false
	}
	got, err := c.read(ctx, "first", 0, -1)
	switch {
	case err != nil:
		c.Fail("store.create", "a blob that was just created cannot be read: "+err.Error(), "give this credential the right to get objects")
		return false
	case !bytes.Equal(got, body):
		c.Fail("store.create", "the store gave back other bytes than it was given", "use another store: this one loses what it acknowledged")
		return false
	}
	c.OK("store.create", "a blob is created and read back")
	return true
}

// ranges reads parts of a blob.
func (c *check) ranges(ctx context.Context) {
	body := random(200_000)
	err := c.put(ctx, "ranges", body)
	for _, r := range []struct{ off, n, end int64 }{{0, 1, 1}, {65_536, 65_536, 131_072}, {199_990, 100, 200_000}, {100_000, -1, 200_000}} {
		if err != nil {
			break
		}
		var got []byte
		if got, err = c.read(ctx, "ranges", r.off, r.n); err == nil && !bytes.Equal(got, body[r.off:r.end]) {
			err = fmt.Errorf("bytes %d to %d came as %d others", r.off, r.end, len(got))
		}
	}
	if err != nil {
		c.Fail("store.range", "a range of a blob cannot be read: "+err.Error(), "use a store that honours Range: every play of a recording is one")
		return
	}
	c.OK("store.range", "ranges of a blob are read exactly")
}

// list sees what was just created.
func (c *check) list(ctx context.Context) {
	seen := map[string]bool{}
	var err error
	for info, e := range c.store.List(ctx, c.base) {
		if err = e; err == nil {
			seen[info.Key] = true
		}
	}
	const do = "give this credential the right to list the bucket; Lethe finds there what its database lost"
	switch {
	case err != nil:
		c.Fail("store.list", "the store cannot be listed: "+err.Error(), do)
	case !seen[c.base+"first"]:
		c.Fail("store.list", "a listing lacks a blob that was created before it", "use a store whose listings are consistent")
	default:
		c.OK("store.list", "listings show what was just created")
	}
}

// cleanUp deletes what the run made, and so tries deletion.
func (c *check) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpWithin)
	defer cancel()
	var failed error
	left := 0
	for key := range c.made {
		err := c.store.Delete(ctx, key)
		if err == nil {
			err = c.gone(ctx, key)
		}
		if err != nil {
			failed, left = err, left+1
		}
	}
	if failed == nil {
		c.OK("store.delete", "every version of a blob can be deleted")
		return
	}
	c.Warn("store.delete", fmt.Sprintf("%d blobs of this check could not be deleted and remain below %s: %v", left, c.base, failed),
		"give this credential the right to list and delete versions; where locks forbid it, ciphertext stays until they end, and erasure holds all the same")
}

func (c *check) gone(ctx context.Context, key string) error {
	r, err := c.store.Open(ctx, key, 0, 1)
	if errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	if err == nil {
		r.Close()
		return errors.New("it was deleted and is still there")
	}
	return err
}
