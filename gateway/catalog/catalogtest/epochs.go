package catalogtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// follow draws the head of the epoch after one.
func (v *Vault) follow(from int64, slots ...catalog.Slot) catalog.Follow {
	return catalog.Follow{
		Tenant: v.Tenant, Head: catalog.Head{Epoch: from + 1, Bytes: fmt.Appendf(nil, "head %d", from+1)},
		From: from, Version: from + 10, Slots: slots, At: now(),
	}
}

func (v *Vault) wantState(t testing.TB, id recording.ErasureID, state catalog.ErasureState, epoch int64) {
	t.Helper()
	e, err := v.Erasure(t.Context(), v.Tenant, id)
	must(t, err)
	if e.State != state || e.Epoch != epoch {
		t.Errorf("erasure is %s by epoch %d, want %s by %d", e.State, e.Epoch, state, epoch)
	}
}

func (v *Vault) wantToPuncture(t testing.TB, scrapAge time.Duration, want bool) {
	t.Helper()
	tenants, err := v.TenantsToPuncture(t.Context(), scrapAge)
	must(t, err)
	if got := slices.Contains(tenants, v.Tenant); got != want || len(tenants) > 1 {
		t.Errorf("TenantsToPuncture = %v, want the tenant: %t", tenants, want)
	}
}

// testEpochs drives an erasure from its tombstones to its certificate.
func testEpochs(t *testing.T, v *Vault) {
	ctx := t.Context()
	v.wantToPuncture(t, 0, false)
	v.series(t, Random(), Random(), catalog.Never, catalog.KeepVersions)
	one := v.queue(t, v.askedOf(recording.ID(v.Bucket.ID))).Erasure.ID
	slots := v.toPuncture(t)
	day := v.queue(t, v.askedDay(9)).Erasure.ID
	v.wantToPuncture(t, time.Hour, true)

	wantErr(t, "FollowHead(of a later epoch)", v.FollowHead(ctx, v.follow(2, slots...)), catalog.ErrBehind)
	stranger := v.follow(1)
	stranger.Tenant = recording.NewTenant()
	wantErr(t, "FollowHead(of another tenant)", v.FollowHead(ctx, stranger), recording.ErrNoTenant)
	first := v.follow(1, slots[0])
	must(t, v.FollowHead(ctx, first))
	v.wantState(t, one, catalog.ErasureQueued, 0) // it has another slot
	second := v.follow(2, slots[1], slots[0], slots[1])
	for range 2 { // repeated
		must(t, v.FollowHead(ctx, second))
	}
	v.wantState(t, one, catalog.ErasurePunctured, 3)
	v.wantState(t, day, catalog.ErasureQueued, 0)
	wantErr(t, "FollowHead(behind)", v.FollowHead(ctx, first), catalog.ErrBehind)
	forged := second
	forged.Head.Bytes = []byte("another head")
	wantErr(t, "FollowHead(another head)", v.FollowHead(ctx, forged), catalog.ErrBehind)
	tenant, err := v.Catalog.Tenant(ctx, v.Tenant)
	must(t, err)
	if tenant.Epoch != 3 || string(tenant.Head) != "head 3" {
		t.Errorf("tenant is at epoch %d, %s", tenant.Epoch, tenant.Head)
	}
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{{Tree: catalog.TreeDays, Number: 9}})

	open, err := v.UnfinishedEpochs(ctx, v.Tenant)
	must(t, err)
	wantEqual(t, "UnfinishedEpochs", open, []catalog.EpochRow{
		{Tenant: v.Tenant, Epoch: 2, Version: 11, Slots: 1, CommittedAt: first.At},
		{Tenant: v.Tenant, Epoch: 3, Version: 12, Slots: 3, CommittedAt: second.At},
	})
	done := open[1]
	done.EffectiveAt, done.OldestBefore, done.OldestAfter = now(), 3, 12
	must(t, v.EpochEffective(ctx, done))
	again := done
	again.EffectiveAt, again.OldestBefore = now().Add(time.Hour), 12
	must(t, v.EpochEffective(ctx, again))
	v.wantState(t, one, catalog.ErasureEffective, 3)
	wantErr(t, "EpochEffective(unknown)", v.EpochEffective(ctx, catalog.EpochRow{Tenant: v.Tenant, Epoch: 9}), recording.ErrNotFound)
	open, err = v.UnfinishedEpochs(ctx, v.Tenant)
	must(t, err)
	wantEqual(t, "unfinished epochs", len(open), 1)
	took, err := v.EpochsOf(ctx, v.Tenant, []catalog.ErasureRow{{ID: one}, {ID: day}})
	must(t, err)
	wantEqual(t, "EpochsOf", took, map[recording.ErasureID][]catalog.EpochRow{one: {open[0], done}})
	took, err = v.EpochsOf(ctx, recording.NewTenant(), []catalog.ErasureRow{{ID: one}})
	must(t, err)
	wantEqual(t, "EpochsOf(of another tenant)", len(took), 0)

	v.wantToCertify(t, 0) // not in the store
	must(t, v.Recorded(ctx, v.Tenant, one))
	v.wantToCertify(t, time.Hour)
	v.wantToCertify(t, 0, one)
	v.certify(t, one, day)
	v.wantToCertify(t, 0)
}

func (v *Vault) wantToCertify(t testing.TB, drained time.Duration, want ...recording.ErasureID) {
	t.Helper()
	var after catalog.ErasureCursor
	var got []recording.ErasureID
	for {
		some, err := v.ToCertify(t.Context(), v.Tenant, drained, after, 1)
		must(t, err)
		if len(some) == 0 {
			break
		}
		got, after = append(got, some[0].ID), some[0].Cursor()
	}
	wantEqual(t, "ToCertify", got, want)
}

// certificate is one of an erasure.
func (v *Vault) certificate(id recording.ErasureID, signed string) catalog.Certificate {
	return catalog.Certificate{ID: id, Signed: []byte(signed), Event: event(v.Tenant, now())}
}

// certify ends an erasure, and no other that is only queued.
func (v *Vault) certify(t testing.TB, id, queued recording.ErasureID) {
	t.Helper()
	ctx := t.Context()
	for _, end := range []func(context.Context, ...catalog.Certificate) error{v.certifyAll, v.unlinkAll} {
		wantErr(t, "certify unknown", end(ctx, v.certificate(recording.NewErasureID(), "c")), recording.ErrNoErasure)
		wantErr(t, "certify queued", end(ctx, v.certificate(queued, "c")), catalog.ErrTransition)
	}
	wantErr(t, "Certify(one and queued)", v.certifyAll(ctx, v.certificate(id, "c"), v.certificate(queued, "c")), catalog.ErrTransition)
	wantErr(t, "Unlink(effective)", v.unlinkAll(ctx, v.certificate(id, "c")), catalog.ErrTransition)
	first := v.certificate(id, "certificate")
	must(t, v.certifyAll(ctx, first))
	must(t, v.certifyAll(ctx, v.certificate(id, "another")))
	e, err := v.Erasure(ctx, v.Tenant, id)
	must(t, err)
	if e.State != catalog.ErasureCertified || string(e.Certificate) != "certificate" || time.Since(e.CertifiedAt).Abs() > time.Minute {
		t.Errorf("erasure is %s since %v with %q", e.State, e.CertifiedAt, e.Certificate)
	}
	events, err := v.Events(ctx, v.Tenant, time.Unix(0, 0), now().Add(time.Hour), 10)
	must(t, err)
	wantEqual(t, "events", events, []audit.Record{first.Event})
}

// testUnlink has the certificates of a generation replaced once that is forgotten.
func testUnlink(t *testing.T, v *Vault) {
	ctx := t.Context()
	var ids []recording.ErasureID
	for day := range int64(3) {
		n := v.askedDay(100 + day)
		v.queue(t, n)
		must(t, v.Recorded(ctx, v.Tenant, n.ID))
		must(t, v.FollowHead(ctx, v.follow(1+day, catalog.Slot{Tree: catalog.TreeDays, Number: 100 + day})))
		must(t, v.EpochEffective(ctx, catalog.EpochRow{Tenant: v.Tenant, Epoch: 2 + day, EffectiveAt: now()}))
		ids = append(ids, n.ID)
	}
	must(t, v.certifyAll(ctx, v.certificate(ids[0], "first"), v.certificate(ids[1], "first"))) // and not the last
	v.behind(t, `INSERT INTO generations (tenant, generation, slot, journal, announced_at) SELECT id, 1, 7, 2, 0 FROM tenants`)
	v.wantToUnlink(t)
	v.behind(t, `UPDATE generations SET forgotten_at = 7000000`)
	v.wantToUnlink(t, ids[:2]...)
	at := time.Unix(7, 0).UTC()
	for _, signed := range []string{"second", "third"} {
		must(t, v.Unlink(ctx, v.Tenant, at, []catalog.Certificate{v.certificate(ids[0], signed)}))
	}
	e, err := v.Erasure(ctx, v.Tenant, ids[0])
	must(t, err)
	wantEqual(t, "erasure", []any{e.State, string(e.Certificate), e.UnlinkableAt}, []any{catalog.ErasureCertified, "second", at})
	v.wantToUnlink(t, ids[1])
	must(t, v.certifyAll(ctx, v.certificate(ids[2], "first")))
	v.wantToUnlink(t, ids[1:]...)
	must(t, v.unlinkAll(ctx, v.certificate(ids[1], "second"), v.certificate(ids[2], "second")))
	v.wantToUnlink(t)
}

func (v *Vault) wantToUnlink(t testing.TB, want ...recording.ErasureID) {
	t.Helper()
	ctx := t.Context()
	var got []recording.ErasureID
	generations, err := v.Unlinkable(ctx, v.Tenant)
	must(t, err)
	for _, g := range generations {
		for after := (catalog.ErasureCursor{}); ; {
			some, err := v.ToUnlink(ctx, v.Tenant, g.Generation, after, 1)
			must(t, err)
			if len(some) == 0 {
				break
			}
			got, after = append(got, some[0].ID), some[0].Cursor()
		}
	}
	wantEqual(t, "ToUnlink", got, want)
	tenants, err := v.TenantsToUnlink(ctx)
	must(t, err)
	wantEqual(t, "TenantsToUnlink", len(tenants), min(len(want), 1))
}

func (v *Vault) certifyAll(ctx context.Context, all ...catalog.Certificate) error {
	return v.Certify(ctx, v.Tenant, all)
}

func (v *Vault) unlinkAll(ctx context.Context, all ...catalog.Certificate) error {
	return v.Unlink(ctx, v.Tenant, now(), all)
}

// An erasure of nothing but scraps whose slots are punctured already is as far
// as their epoch.
func testEraseScraps(t *testing.T, v *Vault) {
	ctx := t.Context()
	for i, state := range []catalog.ErasureState{catalog.ErasurePunctured, catalog.ErasureEffective} {
		in := v.series(t, Random(), Random(), catalog.Never, catalog.Replace)
		from := int64(1 + i)
		must(t, v.FollowHead(ctx, v.follow(from, v.toPuncture(t)...)))
		if state == catalog.ErasureEffective {
			must(t, v.EpochEffective(ctx, catalog.EpochRow{Tenant: v.Tenant, Epoch: from + 1, EffectiveAt: now()}))
		}
		n := v.asked(catalog.ScopeVersion)
		n.Recording, n.Version = in[0].Recording, in[0].Version
		q := v.queue(t, n)
		wantEqual(t, "erased before", q.Again, false)
		wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 0)
		v.wantState(t, n.ID, state, from+1)
		wantEqual(t, "state", q.Erasure.State, state)
	}
}

// Scraps wait for each other; what is revoked is driven, and what is erased is not.
func testScraps(t *testing.T, v *Vault) {
	ctx := t.Context()
	in := v.Intend(t)
	must(t, v.Abort(ctx, v.Tenant, in.Version))
	must(t, v.Abort(ctx, v.Tenant, in.Version)) // repeated
	v.series(t, Random(), Random(), catalog.Never, catalog.KeepVersions)
	wantEqual(t, "slots to puncture", v.toPuncture(t), []catalog.Slot{own(in)})
	v.wantToPuncture(t, time.Hour, false)
	v.wantToPuncture(t, -time.Hour, true)
	must(t, v.Next(t, catalog.Change{State: catalog.TenantRevoked}))
	v.wantToPuncture(t, -time.Hour, true)
	must(t, v.FollowHead(ctx, v.follow(1, own(in))))
	v.wantToPuncture(t, time.Hour, true) // its epoch is not effective
	must(t, v.EpochEffective(ctx, catalog.EpochRow{Tenant: v.Tenant, Epoch: 2, EffectiveAt: now()}))
	v.wantToPuncture(t, -time.Hour, false)
	must(t, v.FollowHead(ctx, v.follow(2)))
	must(t, v.Next(t, catalog.Change{State: catalog.TenantErasing}))
	v.wantToPuncture(t, -time.Hour, false)
}

func testEpochLeases(t *testing.T, v *Vault) {
	ctx := t.Context()
	a, b := nonce(), nonce()
	for i, step := range []struct {
		holder [16]byte
		d      time.Duration
		want   bool
	}{
		{a, time.Hour, true},
		{b, time.Hour, false},
		{a, 0, true}, // renewed, and over at once
		{b, time.Hour, true},
		{a, time.Hour, false},
	} {
		got, err := v.LeaseEpochs(ctx, v.Tenant, step.holder, step.d)
		must(t, err)
		wantEqual(t, fmt.Sprint("LeaseEpochs ", i), got, step.want)
	}
	must(t, v.LeaveEpochs(ctx, v.Tenant, a)) // which has none
	got, err := v.LeaseEpochs(ctx, v.Tenant, a, time.Hour)
	must(t, err)
	wantEqual(t, "LeaseEpochs", got, false)
	must(t, v.LeaveEpochs(ctx, v.Tenant, b))
	var leased atomic.Int64
	must(t, errors.Join(race(func(i int) error {
		got, err := v.LeaseEpochs(ctx, v.Tenant, [16]byte{byte(i)}, time.Hour)
		if got {
			leased.Add(1)
		}
		return err
	})...))
	wantEqual(t, "holders at once", leased.Load(), int64(1))
}

func testPages(t *testing.T, v *Vault) {
	ctx := t.Context()
	var pages []catalog.Page
	for i := range int64(250) { // more than one statement
		pages = append(pages, catalog.Page{Tenant: v.Tenant, Tree: catalog.TreeRecordings, Node: 3<<40 | i/2, Epoch: 1 + i%2, Sealed: bytes(40)})
	}
	other := pages[0]
	other.Tree = catalog.TreeDays
	must(t, v.PutPages(ctx, []catalog.Page{other}))
	for range 2 { // repeated
		must(t, v.PutPages(ctx, pages))
	}
	var nodes []int64
	for i := range int64(130) { // the last five are not there
		nodes = append(nodes, 3<<40|i)
	}
	got, err := v.Pages(ctx, v.Tenant, catalog.TreeRecordings, nodes)
	must(t, err)
	slices.SortFunc(got, func(a, b catalog.Page) int { return int(2*(a.Node-b.Node) + a.Epoch - b.Epoch) })
	wantEqual(t, "Pages", got, pages)
	pages[7].Sealed = []byte("the head that was committed")
	must(t, v.PutPages(ctx, pages[7:8]))
	got, err = v.Pages(ctx, v.Tenant, catalog.TreeRecordings, nodes[3:4])
	must(t, err)
	if len(got) != 2 || !slices.ContainsFunc(got, func(p catalog.Page) bool { return string(p.Sealed) == string(pages[7].Sealed) }) {
		t.Errorf("Pages = %+v, want the last one that was put", got)
	}
	left, newest := slices.Clone(pages[:2]), slices.Clone(pages[:1]) // of the first node both
	for i := 3; i < len(pages); i += 2 {
		left, newest = append(left, pages[i]), append(newest, pages[i])
	}
	for range 2 { // repeated
		must(t, v.DropOlderPages(ctx, newest))
	}
	got, err = v.Pages(ctx, v.Tenant, catalog.TreeRecordings, nodes)
	must(t, err)
	slices.SortFunc(got, func(a, b catalog.Page) int { return int(2*(a.Node-b.Node) + a.Epoch - b.Epoch) })
	wantEqual(t, "Pages(that no later one replaced)", got, left)
	got, err = v.Pages(ctx, v.Tenant, catalog.TreeDays, nodes)
	must(t, err)
	wantEqual(t, "Pages(of another tree)", got, []catalog.Page{other})
	got, err = v.Pages(ctx, recording.NewTenant(), catalog.TreeDays, nodes)
	must(t, err)
	wantEqual(t, "Pages(of another tenant)", len(got), 0)
}

// testSettle: what lies below a tombstone is settled a few at a time, and a
// bucket counts as empty before.
func testSettle(t *testing.T, v *Vault) {
	ctx := t.Context()
	subject := Random()
	_, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	var all []recording.Version
	for i := range 25 {
		in, _ := v.under(t, 70+int64(i%2), 20+int64(i%2), Random())
		all = append(all, in.Version)
	}
	tenants, err := v.TenantsToSettle(ctx)
	must(t, err)
	wantEqual(t, "TenantsToSettle", len(tenants), 0)
	wantErr(t, "CloseBucket", v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, nil), recording.ErrBucketNotEmpty)
	day := v.queue(t, v.askedDay(21)).Erasure
	hers := v.queue(t, v.askedSubject(subject)).Erasure
	must(t, v.CloseBucket(ctx, v.Tenant, v.Bucket.ID, nil))
	tenants, err = v.TenantsToSettle(ctx)
	must(t, err)
	wantEqual(t, "TenantsToSettle", tenants, []recording.Tenant{v.Tenant})

	made := func(when string) {
		for id, want := range map[recording.ErasureID]int64{day.ID: 12, hers.ID: 13} {
			n, err := v.Unreadable(ctx, v.Tenant, id)
			must(t, err)
			wantEqual(t, "Unreadable, "+when, n, want)
		}
	}
	made("before anything is settled")
	gone, _, err := v.SettleTombstoned(ctx, v.Tenant, 4)
	must(t, err)
	made("when some is settled")
	gone = append(gone, v.settle(t, 4)...)
	made("when all is settled")
	_, err = v.Unreadable(ctx, recording.NewTenant(), day.ID)
	wantErr(t, "Unreadable(of another tenant)", err, recording.ErrNoErasure)
	wantEqual(t, "settled", sorted(ids(gone)), sorted(all))
	for _, g := range gone {
		got, err := v.Version(ctx, v.Tenant, g.Version)
		must(t, err)
		wantEqual(t, "state", got.State, catalog.Erased)
		left, err := v.Residues(ctx, v.Tenant, g.Version)
		must(t, err)
		wantEqual(t, "residues", len(left), 1)
	}
	for id, want := range map[recording.ErasureID]int64{day.ID: 12, hers.ID: 13} {
		e, err := v.Erasure(ctx, v.Tenant, id)
		must(t, err)
		wantEqual(t, "versions", e.Versions, want)
	}
	tenants, err = v.TenantsToSettle(ctx)
	must(t, err)
	wantEqual(t, "TenantsToSettle", len(tenants), 0)
	wantEqual(t, "settled again", len(v.settle(t, 4)), 0)
}

// testRestoredTombstones: a catalog that lacks tombstones gets them with the
// head, and what lies below is settled, recordings by their own slots too.
func testRestoredTombstones(t *testing.T, v *Vault) {
	ctx := t.Context()
	subject := Random()
	_, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	hers, hersC := v.under(t, 70, 5, subject)
	todays, todaysC := v.under(t, 0, 6)
	single, singleC := v.under(t, 0, 5)
	stays, staysC := v.under(t, 0, 5)
	must(t, v.FollowHead(ctx, v.follow(1, catalog.Slot{Tree: catalog.TreeSubjects, Number: 70},
		catalog.Slot{Tree: catalog.TreeDays, Number: 6}, own(single), catalog.Slot{Tree: catalog.TreeSystem, Number: 4})))
	v.wantUnread(t, hers, hersC, subject)
	v.wantUnread(t, todays, todaysC)
	v.wantUnread(t, single, singleC)
	_, found, err := v.LookupSubject(ctx, v.Tenant, subject)
	must(t, err)
	wantEqual(t, "LookupSubject(punctured)", found, false)
	slot, err := v.SubjectSlot(ctx, v.Tenant, subject, 72)
	must(t, err)
	wantEqual(t, "SubjectSlot", slot, int64(72))
	wantEqual(t, "settled", ids(v.settle(t, 1)), sorted([]recording.Version{hers.Version, todays.Version, single.Version}))
	v.wantErased(t, singleC.Content.Name, single)
	wantEqual(t, "what is not punctured", v.Current(t, staysC.Content.Name), stays.Version)
	wantEqual(t, "slots to puncture", len(v.toPuncture(t)), 0)
}
