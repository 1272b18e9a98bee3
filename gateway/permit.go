package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// grant is a decision in the caller's favour that the log does not have yet.
// Whoever holds one completes its event with what was found, and lets nothing
// through before the event is durable.
type grant struct{ event audit.Event }

// permit is the first line of every method. It decides; a refusal is durable
// in the log before the caller hears of it.
func (g *Gateway) permit(ctx context.Context, c Caller, a policy.Action, t policy.Target) (_ grant, err error) {
	ctx, end := g.step(ctx, "permit")
	defer func() { end(err) }()
	e := c.event(a)
	if e.Tenant == (recording.Tenant{}) {
		e.Tenant = t.Tenant
	}
	reason := policy.Access(c.Principal, a, t)
	if reason == policy.NoReason {
		return grant{e}, nil
	}
	s := g.scopeForLog(ctx, c)
	defer s.end()
	return grant{}, g.refuse(ctx, s, e, string(reason), fmt.Errorf("%w: %s", recording.ErrDenied, reason))
}

// refuse logs that an act is refused and gives why, once that is durable.
func (g *Gateway) refuse(ctx context.Context, s scope, e audit.Event, reason string, why error) error {
	e.Outcome, e.Reason = audit.Denied, reason
	if err := g.explain(ctx, s, e); err != nil {
		return err
	}
	return why
}

// noBucket gives why a bucket was not found. That there is none is a refusal,
// and in the log: it tells a search by trial.
func (g *Gateway) noBucket(ctx context.Context, s scope, e audit.Event, err error) error {
	if errors.Is(err, recording.ErrNoBucket) {
		return g.refuse(ctx, s, e, "no-bucket", err)
	}
	return err
}

// Refused logs that a request with a known access key failed verification.
func (g *Gateway) Refused(ctx context.Context, c Caller, reason string) error {
	s := g.scopeForLog(ctx, c)
	defer s.end()
	return g.refuse(ctx, s, c.event(authenticate), reason, nil)
}

// authenticate is the action of events about a caller who was not let in.
const authenticate policy.Action = "authenticate"

// maxAgent bounds what is kept of a program's name for itself, in bytes.
const maxAgent = 256

// agent is the program's name for itself, cut.
func (c Caller) agent() string {
	return strings.ToValidUTF8(c.Agent[:min(len(c.Agent), maxAgent)], "")
}

// event begins the event of what c asks for.
func (c Caller) event(a policy.Action) audit.Event {
	return audit.Event{
		Tenant:  c.Tenant,
		At:      now(),
		Who:     c.Who,
		Action:  string(a),
		Outcome: audit.Allowed,
		Request: c.Request,
		Detail:  audit.Detail{Purpose: c.Purpose, From: c.From, Agent: c.agent()},
	}
}

// explain makes an event durable.
func (g *Gateway) explain(ctx context.Context, s scope, e audit.Event) error {
	record, err := s.seal(ctx, e)
	if err != nil {
		return err
	}
	within, end := g.observer.Begin(ctx, observe.Call{Part: observe.Audit, Operation: "write"})
	err = g.audit.Write(within, record)
	end(observe.OutcomeOf(err, []error{recording.ErrUnavailable, audit.ErrClosed}, nil))
	if err != nil {
		return fmt.Errorf("%w: log: %w", recording.ErrUnavailable, err)
	}
	return nil
}

// scopeForLog gives the keys an event's detail is sealed under, or none where
// they are away: the event is then kept without its detail. The caller ends it.
func (g *Gateway) scopeForLog(ctx context.Context, c Caller) scope {
	if c.tenant.Head == nil {
		return scope{}
	}
	s, err := g.unlock(ctx, c.tenant)
	if err != nil {
		return scope{}
	}
	return s
}
