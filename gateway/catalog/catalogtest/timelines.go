package catalogtest

import (
	"testing"

	"github.com/lethe-vault/lethe/gateway/catalog"
)

// testTimelines: what a hold could forbid is refused to whoever knows the catalog from
// before it was found to be an older copy of itself.
func testTimelines(t *testing.T, v *Vault) {
	ctx, name := t.Context(), Random()
	was, err := v.Timeline(ctx)
	must(t, err)
	_, _, err = v.Advance(ctx, catalog.Anchor{}, nonce())
	must(t, err)
	same, err := v.Timeline(ctx)
	must(t, err)
	wantEqual(t, "Timeline", same, was)
	later := catalog.Anchor{Number: 100, Nonce: nonce()}
	_, restored, err := v.Advance(ctx, later, nonce())
	must(t, err)
	wantEqual(t, "restored", restored, true)
	now, err := v.Timeline(ctx)
	must(t, err)
	if now == was {
		t.Fatalf("Timeline = %q, as before", now)
	}

	first := v.series(t, name, Random(), catalog.Never)[0]
	cm := v.Commit(v.Intend(t), name)
	cm.Overwrite, cm.Timeline = catalog.Replace, was
	wantErr(t, "Create(as known before)", v.Create(ctx, cm, nil), catalog.ErrTimeline)
	wantEqual(t, "state", v.State(t, first.Version), catalog.Committed)
	n := v.askedVersion(first)
	n.Timeline = was
	_, err = v.QueueErasure(ctx, n, nil)
	wantErr(t, "QueueErasure(as known before)", err, catalog.ErrTimeline)
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 0)

	cm.Timeline, n.Timeline = now, now
	must(t, v.Create(ctx, cm, nil))
	wantEqual(t, "state", v.State(t, first.Version), catalog.Replaced)
	v.queue(t, n)
}
