package eraser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// inspectEvery is how often the provider is asked what it has of each tenant's root,
// beside when an eraser starts. It costs one request a tenant.
const inspectEvery = time.Hour

// restoredAdvice is what to do about a provider that is older than a tenant's head.
const restoredAdvice = "stop the erasers and run lethe recover vault"

// inspectAlways inspects all tenants, until ctx ends.
func (e *Eraser) inspectAlways(ctx context.Context) {
	again := time.NewTicker(inspectEvery)
	defer again.Stop()
	for ctx.Err() == nil {
		if err := e.Inspect(ctx); err != nil && ctx.Err() == nil {
			e.Logger.Warn("versions of roots not looked at", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-again.C:
		}
	}
}

// Inspect asks the provider what it has of each tenant's root. What is older than the
// tenant's head and is there again is destroyed again; what is wrong otherwise is
// logged. Only a restored copy of the provider can be the cause. So keys of tenants
// that are erased are looked for only if something was found: Vault counts that as
// requests which it had to refuse.
func (e *Eraser) Inspect(ctx context.Context) error {
	tenants, err := e.Catalog.Tenants(ctx)
	if err != nil {
		return err
	}
	erased := func(t catalog.Tenant) bool { return t.State == catalog.TenantErased }
	restored := false
	for _, t := range tenants {
		if !erased(t) {
			restored = e.inspectLogged(ctx, t, e.inspect) || restored
		}
	}
	for _, t := range tenants {
		if restored && erased(t) {
			e.inspectLogged(ctx, t, e.inspectErased)
		}
	}
	return ctx.Err()
}

// inspectLogged inspects a tenant and reports whether its provider was restored.
func (e *Eraser) inspectLogged(ctx context.Context, t catalog.Tenant, how func(context.Context, catalog.Tenant) (bool, error)) (restored bool) {
	err := fault.Contain(func() (err error) {
		restored, err = how(ctx, t)
		return err
	})
	if err == nil || ctx.Err() != nil {
		return restored
	}
	level := slog.LevelWarn
	if errors.Is(err, recording.ErrIncident) {
		level, restored = slog.LevelError, true
	}
	e.Logger.Log(ctx, level, "the provider does not have a tenant's root as it should", "tenant", t.ID.String(), "error", err, "do", restoredAdvice)
	return restored
}

// inspectErased finds the key of an erased tenant that is there again. To destroy it
// takes its journal: lethe recover vault.
func (e *Eraser) inspectErased(ctx context.Context, t catalog.Tenant) (bool, error) {
	_, err := e.Keys.Versions(ctx, keytree.RootOf(t.ID))
	switch {
	case errors.Is(err, keytree.ErrForgotten):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, fmt.Errorf("%w: %v is erased, and its key is there again", recording.ErrIncident, t.ID)
}

func (e *Eraser) inspect(ctx context.Context, t catalog.Tenant) (restored bool, err error) {
	if t.State == catalog.TenantErasing {
		return false, nil // its destruction is under way
	}
	has, err := e.Keys.Versions(ctx, keytree.RootOf(t.ID))
	if err != nil {
		return false, distrust(t.ID, keytree.Head{Epoch: uint64(t.Epoch)}, err)
	}
	head, err := ownHead(t)
	switch {
	case err != nil:
		return false, err
	case has.Latest < head.Version:
		return true, distrust(t.ID, head, keytree.ErrRolledBack)
	case has.Oldest >= head.Version:
		return false, nil
	}
	return e.inspectLeased(ctx, t.ID)
}

// inspectLeased looks again at a tenant that an epoch may be under way of. Another
// process that drives it is left to it.
func (e *Eraser) inspectLeased(ctx context.Context, id recording.Tenant) (revived bool, err error) {
	mine, err := e.Catalog.LeaseEpochs(ctx, id, e.holder, leaseFor)
	if err != nil || !mine {
		return false, err
	}
	t, err := e.Catalog.Tenant(ctx, id)
	if err == nil {
		err = e.follow(ctx, &t)
	}
	if err == nil {
		revived, err = e.retireAgain(ctx, t)
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryAfter)
	defer cancel()
	return revived, errors.Join(err, e.Catalog.LeaveEpochs(leaving, id, e.holder))
}

// retireAgain destroys versions older than a tenant's head that were destroyed before
// and are there again, and reports whether there were any. The head is read back and
// opened first, as for every destruction. An epoch that is not effective yet is none of
// these: finishing it is all there is to do.
func (e *Eraser) retireAgain(ctx context.Context, t catalog.Tenant) (revived bool, err error) {
	open, err := e.Catalog.UnfinishedEpochs(ctx, t.ID)
	if err != nil {
		return false, err
	}
	if len(open) > 0 {
		return false, e.finish(ctx, t)
	}
	head, err := ownHead(t)
	if err != nil {
		return false, err
	}
	if revived, err = e.older(ctx, head); err != nil || !revived {
		return revived, err
	}
	event, err := audit.Seal(keytree.Key{}, audit.Event{
		Tenant: t.ID, At: now(), Who: "lethe", Action: "keys.retire-again", Outcome: audit.Allowed,
	})
	if err != nil {
		return true, err
	}
	if err := e.readBack(ctx, head); err != nil {
		return true, err
	}
	if err := e.Catalog.AppendEvents(ctx, []audit.Record{event}); err != nil {
		return true, err
	}
	e.counts.revived.Add(1)
	e.Logger.Error("versions of a tenant's root that were destroyed are at the provider again: it was restored from a copy. They are destroyed again; "+
		"while that copy exists, whoever has it opens what was erased since", "tenant", t.ID.String(), "epoch", head.Epoch)
	_, err = e.retire(ctx, head)
	return true, err
}

// older reports whether the provider has versions of a root older than a head's.
func (e *Eraser) older(ctx context.Context, head keytree.Head) (bool, error) {
	has, err := e.Keys.Versions(ctx, keytree.RootOf(head.Tenant))
	if err != nil {
		return false, distrust(head.Tenant, head, err)
	}
	return has.Oldest < head.Version, nil
}
