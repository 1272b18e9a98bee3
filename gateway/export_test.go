package gateway

import (
	"context"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// FlushSessions logs what was served now instead of at the next tick.
func (g *Gateway) FlushSessions(ctx context.Context) { g.sessions.flush(ctx) }

// SweepOnce sweeps now instead of at the next tick.
func (g *Gateway) SweepOnce(ctx context.Context) (SweepReport, error) { return g.sweep(ctx) }

// PunctureNow moves a tenant to an epoch in which nothing that waits is left.
func (g *Gateway) PunctureNow(ctx context.Context, id recording.Tenant) error {
	return eraser.New(g.eraser.Config).Drive(ctx, id)
}

// OpenHold tries to read what a hold says.
func (g *Gateway) OpenHold(ctx context.Context, t catalog.Tenant, h catalog.Hold) error {
	s, err := g.enter(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	_, err = s.holdInfo(ctx, h)
	return err
}

// WholeDigest gives the digest of parts joined.
func WholeDigest(name string, parts []PartInfo) string {
	stored := make([]storedPart, len(parts))
	for i, p := range parts {
		stored[i].PartInfo = p
	}
	return wholeDigest(name, stored)
}
