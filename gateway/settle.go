package gateway

import (
	"context"
	"fmt"

	"github.com/lethe-vault/lethe/recording"
)

// settleErased lets go what lies below erased subjects and days. Nobody reads it
// since its tombstone; from here on its blobs are residues, which go with the rest,
// and its rows are those of erased recordings.
func (g *Gateway) settleErased(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	tenants, err := g.catalog.TenantsToSettle(ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		if err := g.settleTenant(ctx, t); err != nil {
			return fmt.Errorf("settle what %v erased: %w", t, err)
		}
	}
	return nil
}

// settleTenant settles at most what one sweep may take of a tenant.
func (g *Gateway) settleTenant(ctx context.Context, t recording.Tenant) error {
	for range sweepBatches {
		// gofail: var settleRows string
		// return failpoint(settleRows)
		if _, more, err := g.catalog.SettleTombstoned(ctx, t, sweepBatch); err != nil || !more {
			return err
		}
	}
	return nil
}
