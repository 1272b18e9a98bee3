package audit

import (
	"context"
	"sync/atomic"
)

// Trail knows of one request whether an event that explains it is durable. It
// learns that only from what makes events durable: the log, and the catalog's
// transactions; so a front that asks it, once the answer is given, finds out
// an act that its own code forgot to explain.
type Trail struct{ durable atomic.Bool }

type trailKey struct{}

// Follow gives the context of a request whose events a Trail is to follow.
func Follow(ctx context.Context) (context.Context, *Trail) {
	t := &Trail{}
	return context.WithValue(ctx, trailKey{}, t), t
}

// Explained reports whether an event of the request is durable.
func (t *Trail) Explained() bool { return t.durable.Load() }

// Durable tells the trail of ctx, if it has one, that an event of its request
// is durable, or that an earlier one covers it: a session's.
func Durable(ctx context.Context) {
	if t, ok := ctx.Value(trailKey{}).(*Trail); ok {
		t.durable.Store(true)
	}
}

type promiseKey struct{}

// Promised gives the context of a transaction that may write events. made says
// that it was committed: if Promise was called, the events are durable.
func Promised(ctx context.Context) (within context.Context, made func()) {
	p := &atomic.Bool{}
	return context.WithValue(ctx, promiseKey{}, p), func() {
		if p.Load() {
			Durable(ctx)
		}
	}
}

// Promise says that the transaction of ctx writes an event.
func Promise(ctx context.Context) {
	if p, ok := ctx.Value(promiseKey{}).(*atomic.Bool); ok {
		p.Store(true)
	}
}
