package gateway

import "context"

// FlushSessions logs what was served now instead of at the next tick.
func (g *Gateway) FlushSessions(ctx context.Context) { g.sessions.flush(ctx) }

// SweepOnce sweeps now instead of at the next tick.
func (g *Gateway) SweepOnce(ctx context.Context) (SweepReport, error) { return g.sweep(ctx) }

// WholeDigest gives the digest of parts joined.
func WholeDigest(name string, parts []PartInfo) string {
	stored := make([]storedPart, len(parts))
	for i, p := range parts {
		stored[i].PartInfo = p
	}
	return wholeDigest(name, stored)
}
