package gateway

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/lethe-vault/lethe/gateway/catalog"
)

// Anchors are empty blobs of the store, the newest first in its order:
//
//	sweep/<2^63-1 less the number, 16 hex digits>-<nonce, 32 hex digits>
//
// A sweep aborts only uploads that are open, but in a catalog that was put back
// from a copy an upload may be open that was acknowledged since. So each sweep
// writes an anchor, to the catalog and then to the store; a store that has one
// the catalog does not know of has seen a later catalog than this. A standby that
// took over may lack commits that are younger than the last anchor, which its
// database tells by being on another timeline.
const anchorPrefix = "sweep/"

// anchorsKept bounds the older anchors that one sweep deletes.
const anchorsKept = 16

func anchorKey(a catalog.Anchor) string {
	return fmt.Sprintf("%s%016x-%s", anchorPrefix, uint64(1<<63-1-a.Number), hex.EncodeToString(a.Nonce[:]))
}

func parseAnchor(key string) (a catalog.Anchor, ok bool) {
	var number uint64
	place, nonce, _ := strings.Cut(strings.TrimPrefix(key, anchorPrefix), "-")
	b, err := hex.DecodeString(nonce)
	if _, scanned := fmt.Sscanf(place, "%016x", &number); err != nil || scanned != nil || len(b) != len(a.Nonce) {
		return a, false
	}
	a.Number, a.Nonce = int64(1<<63-1-number), [16]byte(b)
	return a, anchorKey(a) == key
}

// anchor writes the next anchor, and gives it as the catalog has it. Restored
// says that the catalog was found to be older than the store.
func (g *Gateway) anchor(ctx context.Context) (now catalog.Anchor, restored bool, err error) {
	stored, err := g.storedAnchors(ctx) // before the catalog's, which is written first
	if err != nil {
		return now, false, err
	}
	newest := catalog.Anchor{}
	if len(stored) > 0 {
		newest = stored[0]
	}
	now, restored, err = g.catalog.Advance(ctx, newest, place())
	if err == nil && restored {
		g.log.Error("the catalog is an older copy of itself, or took over from another: uploads that it has open were perhaps completed since, and none of them is given up",
			"number", now.Number, "store", newest.Number)
	}
	// gofail: var anchorWrite string
	// return now, restored, failpoint(anchorWrite)
	if err == nil {
		err = g.writeAnchor(ctx, now)
	}
	if err == nil {
		g.dropAnchors(ctx, stored)
	}
	return now, restored, err
}

func (g *Gateway) writeAnchor(ctx context.Context, a catalog.Anchor) error {
	err := g.blobs.Create(ctx, anchorKey(a), bytes.NewReader(nil), 0)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// storedAnchors gives the newest anchors of the store, newest first.
func (g *Gateway) storedAnchors(ctx context.Context) (out []catalog.Anchor, err error) {
	for info, err := range g.blobs.List(ctx, anchorPrefix) {
		if err != nil {
			return nil, err
		}
		if a, ok := parseAnchor(info.Key); ok {
			out = append(out, a)
		}
		if len(out) == anchorsKept {
			break
		}
	}
	return out, nil
}

// dropAnchors deletes anchors that newer ones follow. Nothing hangs from it: one
// that a lock holds stays.
func (g *Gateway) dropAnchors(ctx context.Context, older []catalog.Anchor) {
	for _, a := range older {
		ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
		err := g.blobs.Delete(ctx, anchorKey(a))
		cancel()
		if err != nil {
			return
		}
	}
}
