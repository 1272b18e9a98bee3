package gateway

import "context"

// FlushSessions logs what was served now instead of at the next tick.
func (g *Gateway) FlushSessions(ctx context.Context) { g.sessions.flush(ctx) }

// ReapOnce gives up stale uploads now instead of at the next tick.
func (g *Gateway) ReapOnce(ctx context.Context) error { return g.reapOnce(ctx) }

// WholeDigest gives the digest of parts joined.
func WholeDigest(name string, parts []PartInfo) string {
	stored := make([]storedPart, len(parts))
	for i, p := range parts {
		stored[i].PartInfo = p
	}
	return wholeDigest(name, stored)
}
