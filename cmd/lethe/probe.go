package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// probe finds out whether blobs can be created, by creating one and deleting
// it. Where a lock forbids the deletion, that blob is all that is ever left: as
// long as it is there, creating it again must be refused because it is.
type probe struct {
	blobs blob.Store
	log   *slog.Logger
	left  string // key of a blob that could not be deleted
}

// probeContent is what a probe holds: nothing of anyone's.
var probeContent = []byte("lethe\n")

// check is called by one at a time.
func (p *probe) check(ctx context.Context) error {
	if p.left != "" && p.blobs.Delete(ctx, p.left) != nil {
		err := p.create(ctx, p.left)
		if errors.Is(err, blob.ErrExists) {
			return nil
		}
		return err
	}
	p.left = ""
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	key := "probe/" + hex.EncodeToString(b[:])
	if err := p.create(ctx, key); err != nil {
		return err
	}
	if err := p.blobs.Delete(ctx, key); err != nil {
		p.left = key
		p.log.Warn("probe blob left in the store", "key", key, "error", err)
	}
	return nil
}

func (p *probe) create(ctx context.Context, key string) error {
	return p.blobs.Create(ctx, key, bytes.NewReader(probeContent), int64(len(probeContent)))
}
