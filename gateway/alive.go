package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// errGivenUp: an upload showed no sign of life for so long that it was swept, or
// could not show one. It may be sent again.
var errGivenUp = fmt.Errorf("%w: upload showed no sign of life for too long", recording.ErrUnavailable)

// pulse tells, for as long as a body streams, that its writer lives: a call that
// is uploaded while it lasts takes hours. It tells four times in the time of a
// lease, so that what ends within a quarter of it costs nothing. A writer that
// cannot tell for three quarters of a lease gives up by itself, before a sweeper
// does; one that was given up nevertheless fails at its commit.
type pulse struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	tell   func(context.Context) error
	lease  time.Duration
	told   time.Time // when it last began to tell with success; owned by beat

	mu      sync.Mutex // guards the rest
	timer   *time.Timer
	resting bool
}

// stayAlive has tell called until rest is, which the caller does in any case.
// The context ends with errGivenUp as its cause when the upload is lost.
func (g *Gateway) stayAlive(ctx context.Context, tell func(context.Context) error) (_ context.Context, rest func()) {
	p := &pulse{tell: tell, lease: g.sweeps.config.Lease, told: time.Now()}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(p.lease/4, p.beat)
	return p.ctx, p.rest
}

// partAlive is stayAlive for an attempt at a part.
func (g *Gateway) partAlive(ctx context.Context, part catalog.Part) (_ context.Context, rest func()) {
	return g.stayAlive(ctx, func(ctx context.Context) error {
		return g.catalog.PartAlive(ctx, part.Tenant, part.Blob)
	})
}

func (p *pulse) beat() {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(p.ctx, p.lease/4)
	err := p.tell(ctx)
	cancel()
	switch {
	case err == nil:
		p.told = asked
		p.again(p.lease / 4)
	case errors.Is(err, catalog.ErrAborted), time.Since(p.told) > p.lease*3/4:
		p.cancel(errGivenUp)
	default:
		p.again(p.lease / 16)
	}
}

func (p *pulse) again(after time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.resting {
		p.timer.Reset(after)
	}
}

func (p *pulse) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting = true
	p.timer.Stop()
	p.cancel(context.Canceled)
}

// given is err, or errGivenUp if that is why ctx ended and so what failed.
func given(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errGivenUp) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// swept is given, for a whole put: nobody but a sweeper aborts it.
func swept(ctx context.Context, err error) error {
	if errors.Is(err, catalog.ErrAborted) {
		return fmt.Errorf("%w: %w", errGivenUp, err)
	}
	return given(ctx, err)
}
