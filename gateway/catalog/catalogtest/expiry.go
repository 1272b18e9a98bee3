package catalogtest

import (
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

func testPassedDays(t *testing.T, v *Vault) {
	ctx := t.Context()
	const today = 20_000
	day := func(class, at int64) int64 { return class<<16 | at }
	for _, d := range []int64{
		0, day(7, today-1), day(7, today), day(7, today+1), day(7, today+2), day(90, today-2), day(90, today-1), day(90, today+50), day(365, today), day(366, today+1),
	} {
		v.under(t, 0, d)
		v.under(t, 0, d)
	}
	v.queue(t, v.askedDay(day(90, today-2)))
	for range 2 { // whether what was erased is settled or not
		got, err := v.PassedDays(ctx, v.Tenant, today)
		must(t, err)
		wantEqual(t, "days that have passed", got, []int64{day(7, today-1), day(7, today), day(90, today-1), day(365, today)})
		v.settle(t, 10)
	}
	none, err := v.PassedDays(ctx, recording.NewTenant(), today)
	must(t, err)
	wantEqual(t, "days of another tenant", len(none), 0)

	for _, step := range []struct {
		note, ask int64
		want      int
	}{{0, today, 1}, {today, today, 0}, {today - 1, today, 0}, {today, today + 1, 1}} {
		if step.note > 0 {
			must(t, v.Expired(ctx, v.Tenant, step.note))
		}
		due, err := v.TenantsToExpire(ctx, step.ask)
		must(t, err)
		wantEqual(t, "tenants to expire", len(due), step.want)
	}
	must(t, v.Next(t, catalog.Change{State: catalog.TenantRevoked}))
	due, err := v.TenantsToExpire(ctx, today+1)
	must(t, err)
	wantEqual(t, "tenants to expire that are revoked", len(due), 0)

	clock, err := v.Clock(ctx)
	must(t, err)
	if off := time.Since(clock); off.Abs() > time.Minute {
		t.Errorf("the database's clock is %v off", off)
	}
}
