package gateway

import "context"

// FlushSessions logs what was served now instead of at the next tick.
func (g *Gateway) FlushSessions(ctx context.Context) { g.sessions.flush(ctx) }
