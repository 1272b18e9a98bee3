package catalogtest

import (
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
)

// testReopen punctures slots a second time, without a word to their erasures.
func testReopen(t *testing.T, v *Vault) {
	ctx := t.Context()
	erasure := v.queue(t, v.askedDay(9)).Erasure.ID
	day := v.toPuncture(t)[0]
	row := catalog.Tombstone{Slot: day, Erasure: erasure}
	unknown := catalog.Slot{Tree: catalog.TreeRecordings, Number: 77}
	must(t, v.FollowHead(ctx, v.follow(1, day)))
	for epoch, want := range [][]catalog.Tombstone{{row}, {row}, nil} {
		got, err := v.PuncturedSince(ctx, v.Tenant, int64(epoch))
		must(t, err)
		wantEqual(t, "PuncturedSince", got, want)
	}
	told := event(v.Tenant, now())
	for range 2 { // repeated
		must(t, v.Reopen(ctx, v.Tenant, []catalog.Slot{unknown, day, unknown}, []audit.Record{told}))
	}
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 2)
	all, err := v.PuncturedSince(ctx, v.Tenant, 9)
	must(t, err)
	wantEqual(t, "PuncturedSince", all, []catalog.Tombstone{{Slot: unknown}, row})
	v.wantState(t, erasure, catalog.ErasurePunctured, 2)
	must(t, v.FollowHead(ctx, v.follow(2, day, unknown)))
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 0)
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", events, []audit.Record{told})
}

// testUndone has an erasure begin again of which a row said falsely that all is punctured,
// and leaves one that is certified.
func testUndone(t *testing.T, v *Vault) {
	ctx := t.Context()
	erasure := v.queue(t, v.askedDay(9)).Erasure.ID
	day := v.toPuncture(t)[0]
	row := catalog.Tombstone{Slot: day, Erasure: erasure}
	must(t, v.FollowHead(ctx, v.follow(1, day)))
	v.wantState(t, erasure, catalog.ErasurePunctured, 2)
	must(t, v.Undone(ctx, v.Tenant, []catalog.Tombstone{row}))
	v.wantState(t, erasure, catalog.ErasureQueued, 0)
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 1)
	must(t, v.FollowHead(ctx, v.follow(2, day)))
	v.wantState(t, erasure, catalog.ErasurePunctured, 3)
	must(t, v.Undone(ctx, v.Tenant, []catalog.Tombstone{{Slot: catalog.Slot{Tree: catalog.TreeRecordings, Number: 77}, Erasure: erasure}}))
	must(t, v.FollowHead(ctx, v.follow(3, catalog.Slot{Tree: catalog.TreeRecordings, Number: 77}))) // without a row of its own before
	v.wantState(t, erasure, catalog.ErasurePunctured, 4)
}
