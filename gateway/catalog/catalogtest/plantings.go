package catalogtest

import (
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

func testPlantings(t *testing.T, v *Vault) {
	ctx := t.Context()
	first := catalog.Planting{Tenant: recording.NewTenant(), AskedAt: now()}
	second := catalog.Planting{Tenant: recording.NewTenant(), AskedAt: first.AskedAt.Add(time.Second)}
	for _, p := range []catalog.Planting{second, first, first} { // asked twice is asked
		must(t, v.AskPlanting(ctx, p))
	}
	for limit, want := range map[int][]catalog.Planting{1: {first}, 5: {first, second}} {
		got, err := v.Plantings(ctx, limit, 0)
		must(t, err)
		wantEqual(t, "Plantings", got, want)
	}
	got, err := v.Plantings(ctx, 5, 1)
	must(t, err)
	wantEqual(t, "Plantings after the first", got, []catalog.Planting{second})
	for range 2 { // ended twice is ended
		must(t, v.EndPlanting(ctx, first.Tenant))
	}
	for tenant, want := range map[recording.Tenant]bool{first.Tenant: false, second.Tenant: true} {
		got, err := v.Planting(ctx, tenant)
		must(t, err)
		wantEqual(t, "Planting", got, want)
	}
}
