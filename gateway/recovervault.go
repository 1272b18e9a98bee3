package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/pages"
	"github.com/lethe-vault/lethe/recording"
)

// VaultRecovery is what it takes to go on after the key provider was restored from a
// copy. Every field is required that does not say what its zero means.
type VaultRecovery struct {
	Blobs   blob.Store
	Catalog *catalog.Catalog
	Keys    keytree.Provider
	Signer  *claim.Signer // whose certificates are believed
	Logger  *slog.Logger

	Tenant string // its name; "" is every one
	How    eraser.Recovery
}

// RecoveredTenant is what was found of a tenant, and done.
type RecoveredTenant struct {
	eraser.Recovered
	ID    recording.Tenant
	Name  string
	State RecoveryState
	Err   error // why it is not recovered
}

// RecoveryState is how a tenant was found.
type RecoveryState string

// The states.
const (
	RecoveryWhole    RecoveryState = "whole"    // the newest head opens, and nothing older does
	RecoveryRevived  RecoveryState = "revived"  // the newest head opens, and older versions were there again
	RecoveryRestored RecoveryState = "restored" // the newest head does not open: the provider is older than it
	RecoveryErased   RecoveryState = "erased"   // the tenant is erased, and its key gone
	RecoveryRisen    RecoveryState = "risen"    // the tenant is erased, and its key was there again
	RecoveryUnknown  RecoveryState = "unknown"  // it could not be found out
)

// RecoverVault brings tenants to where a key provider that was restored from a copy
// opens nothing that was erased. What cannot be recovered says why, and holds up no
// other. It may run beside servers, which refuse an affected tenant until its new head
// is committed; erasers of other processes must not hold its lease.
func RecoverVault(ctx context.Context, r VaultRecovery) ([]RecoveredTenant, error) {
	tenants, err := r.tenants(ctx)
	if err != nil {
		return nil, err
	}
	e := eraser.New(eraser.Config{
		Blobs: r.Blobs, Catalog: r.Catalog, Keys: r.Keys, Pages: pages.New(r.Catalog, r.Blobs), Signer: r.Signer, Logger: r.Logger,
	})
	var all []RecoveredTenant
	for _, t := range tenants {
		found := r.recover(ctx, e, t)
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		all = append(all, found)
	}
	return all, nil
}

func (r VaultRecovery) tenants(ctx context.Context) ([]catalog.Tenant, error) {
	if r.Tenant == "" {
		return r.Catalog.Tenants(ctx)
	}
	t, err := r.Catalog.TenantByName(ctx, r.Tenant)
	return []catalog.Tenant{t}, err
}

func (r VaultRecovery) recover(ctx context.Context, e *eraser.Eraser, t catalog.Tenant) RecoveredTenant {
	of := RecoveredTenant{ID: t.ID, Name: t.Name, State: RecoveryUnknown}
	erased := t.State == catalog.TenantErased
	if !erased {
		of.Recovered, of.Err = e.Recover(ctx, t.ID, r.How)
		erased = errors.Is(of.Err, recording.ErrTenantErased)
	}
	switch {
	case erased:
		of.State, of.Err = r.bury(ctx, e, t)
	case of.Newest != of.Opens:
		of.State = RecoveryRestored
	case of.Revived:
		of.State = RecoveryRevived
	case of.Err == nil, errors.Is(of.Err, eraser.ErrUnproved):
		of.State = RecoveryWhole
	}
	return of
}

// bury destroys the key of an erased tenant that is there again. That the tenant was
// erased, its journal must say, which the key itself opens: neither a row nor a head
// destroys one.
func (r VaultRecovery) bury(ctx context.Context, e *eraser.Eraser, t catalog.Tenant) (RecoveryState, error) {
	_, err := r.Keys.Versions(ctx, keytree.RootOf(t.ID))
	if errors.Is(err, keytree.ErrForgotten) {
		return RecoveryErased, nil
	}
	if err != nil {
		return RecoveryUnknown, err
	}
	if err := r.confirm(ctx, e, t); err != nil || r.How.DryRun {
		return RecoveryRisen, err
	}
	event, err := audit.Seal(keytree.Key{}, audit.Event{
		Tenant: t.ID, At: now(), Who: "lethe", Action: "keys.destroy-again", Outcome: audit.Allowed,
	})
	if err == nil {
		err = r.Catalog.AppendEvents(ctx, []audit.Record{event})
	}
	if err == nil {
		err = r.Keys.Destroy(ctx, keytree.RootOf(t.ID))
	}
	return RecoveryRisen, err
}

// confirm proves that the last entry of a tenant's journal asks for its erasure.
func (r VaultRecovery) confirm(ctx context.Context, e *eraser.Eraser, t catalog.Tenant) error {
	keys, err := e.Opening(ctx, t)
	if err != nil {
		return err
	}
	defer keys.Clear()
	for last := (entry{}); ; t.Journal++ {
		sealed, err := sealedEntry(ctx, r.Blobs, t.ID, t.Journal)
		switch {
		case errors.Is(err, fs.ErrNotExist) && last.State == catalog.TenantErasing:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: %v is said to be erased, and its journal does not say so", recording.ErrIncident, t.ID)
		case err != nil:
			return err
		}
		if last, err = openEntry(ctx, keys, t.ID, t.Journal, sealed); err != nil {
			return err
		}
	}
}
