package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

const (
	plantEvery  = time.Second            // an eraser looks for new tenants
	plantMost   = 8                      // in one look, whoever writes the catalog
	plantPoll   = 250 * time.Millisecond // a front looks whether it was done
	plantWithin = 15 * time.Second       // a front waits
)

// plant gives a new tenant its root and its first head. A process that has not
// the role for it asks one that has, through the catalog, and waits;
// recording.ErrNoEraser: none has answered.
func (g *Gateway) plant(ctx context.Context, t recording.Tenant) (keytree.Head, error) {
	if g.roles.Has(Eraser) {
		return keytree.Plant(ctx, g.provider, g.blobs, t)
	}
	if err := g.catalog.AskPlanting(ctx, catalog.Planting{Tenant: t, AskedAt: now()}); err != nil {
		return keytree.Head{}, err
	}
	if err := g.awaitPlanting(ctx, t); err != nil {
		// Nobody waits any more. One that is planted all the same is a root that
		// nothing refers to.
		return keytree.Head{}, errors.Join(err, g.catalog.EndPlanting(context.WithoutCancel(ctx), t))
	}
	return keytree.ReadHead(ctx, g.blobs, t, 0)
}

func (g *Gateway) awaitPlanting(ctx context.Context, t recording.Tenant) error {
	late := time.After(plantWithin)
	for {
		if waits, err := g.catalog.Planting(ctx, t); err != nil || !waits {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return recording.ErrNoEraser
		case <-time.After(plantPoll):
		}
	}
}

// plantAsked plants, until the gateway is closed, what fronts ask for. What fails
// is passed over until all others had their turn.
func (g *Gateway) plantAsked() {
	over := 0
	for pause := plantEvery; sleep(g.life, pause) == nil; {
		pause = plantEvery
		seen, failed := g.plantSome(g.life, over)
		if over += failed; seen < plantMost {
			if over > 0 {
				pause = eraseRetry
			}
			over = 0
		}
	}
}

// plantSome plants what was asked for first, after passing over some, and reports
// how many it saw and how many of them failed.
func (g *Gateway) plantSome(ctx context.Context, over int) (seen, failed int) {
	asked, err := g.catalog.Plantings(ctx, plantMost, over)
	if err != nil && ctx.Err() == nil {
		g.log.Error("new tenants not looked for", "error", err)
		return 0, 1
	}
	for _, p := range asked {
		err := g.plantNew(ctx, p.Tenant)
		if err == nil {
			err = g.catalog.EndPlanting(ctx, p.Tenant)
		}
		if ctx.Err() != nil {
			return 0, 0
		}
		if err != nil {
			failed++
			g.log.Error("a new tenant waits for its root", "tenant", p.Tenant.String(), "error", err)
			continue
		}
		g.log.Info("root of a new tenant made", "tenant", p.Tenant.String())
	}
	return len(asked), failed
}

// plantNew makes the root of a tenant that has no head in the store. One that
// has, whoever asks, is not new: its root is not touched.
func (g *Gateway) plantNew(ctx context.Context, t recording.Tenant) error {
	switch _, err := keytree.ReadHead(ctx, g.blobs, t, 0); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for a head of %v: %w", t, err)
	}
	_, err := keytree.Plant(ctx, g.provider, g.blobs, t)
	if errors.Is(err, fs.ErrExist) { // by another eraser, meanwhile
		return nil
	}
	return err
}
