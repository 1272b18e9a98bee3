package catalogtest

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

const racers = 32

// race runs f racers times at once and gives what each reported.
func race(f func(i int) error) []error {
	errs := make([]error, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

func (v *Vault) commits(t *testing.T, name func() catalog.Index, how catalog.Overwrite) []catalog.Commit {
	t.Helper()
	cms := make([]catalog.Commit, racers)
	for i := range cms {
		cms[i] = v.Commit(v.Intend(t), name())
		cms[i].Overwrite = how
	}
	return cms
}

func testRaceForName(t *testing.T, v *Vault) {
	name := Random()
	cms := v.commits(t, func() catalog.Index { return name }, catalog.Never)
	var winners []recording.Version
	for i, err := range race(func(i int) error { return v.Create(t.Context(), cms[i], nil) }) {
		if err == nil {
			winners = append(winners, cms[i].Version)
			continue
		}
		wantErr(t, "Create", err, recording.ErrExists)
		wantEqual(t, "state of a loser", v.State(t, cms[i].Version), catalog.Intended)
	}
	wantEqual(t, "winners", winners, []recording.Version{v.Current(t, name)})
}

func testRaceToReplace(t *testing.T, v *Vault) {
	name := Random()
	cms := v.commits(t, func() catalog.Index { return name }, catalog.Replace)
	for _, err := range race(func(i int) error { return v.Create(t.Context(), cms[i], nil) }) {
		wantErr(t, "Create", err, nil)
	}
	current := v.Current(t, name)
	for _, cm := range cms {
		want := catalog.Replaced
		if cm.Version == current {
			want = catalog.Committed
		}
		wantEqual(t, "state", v.State(t, cm.Version), want)
	}
}

func testManyNames(t *testing.T, v *Vault) {
	cms := v.commits(t, Random, catalog.Never)
	for i, err := range race(func(i int) error { return v.Create(t.Context(), cms[i], nil) }) {
		wantErr(t, "Create", err, nil)
		wantEqual(t, "current version", v.Current(t, cms[i].Content.Name), cms[i].Version)
	}
}

func testRaceForSlot(t *testing.T, v *Vault) {
	subject := Random()
	slots := make([]int64, racers)
	for _, err := range race(func(i int) (err error) {
		slots[i], err = v.SubjectSlot(t.Context(), v.Tenant, subject, int64(i))
		return err
	}) {
		wantErr(t, "SubjectSlot", err, nil)
	}
	for _, slot := range slots {
		wantEqual(t, "slot", slot, slots[0])
	}
}

// testRaceWithRevocation: a Create that overlaps a revocation comes before or
// after it, and its answer says which; one that begins after it is refused.
func testRaceWithRevocation(t *testing.T, v *Vault) {
	cms := v.commits(t, Random, catalog.Never)
	late := v.commits(t, Random, catalog.Never)
	errs := race(func(i int) error {
		if i != racers/2 {
			return v.Create(t.Context(), cms[i], nil)
		}
		time.Sleep(5 * time.Millisecond)
		if err := v.Next(t, catalog.Change{State: catalog.TenantRevoked}); err != nil {
			return err
		}
		for _, cm := range late {
			wantErr(t, "Create after a revocation", v.Create(t.Context(), cm, nil), recording.ErrTenantRevoked)
		}
		return nil
	})
	created, err := v.committed(t.Context(), cms)
	must(t, err)
	for i, err := range errs {
		if err != nil {
			wantErr(t, "Create", err, recording.ErrTenantRevoked)
		}
		if i != racers/2 && (err == nil) != created[cms[i].Version] {
			t.Errorf("Create = %v, yet committed: %v", err, created[cms[i].Version])
		}
	}
}

// committed gives which of cms are recordings.
func (v *Vault) committed(ctx context.Context, cms []catalog.Commit) (map[recording.Version]bool, error) {
	set := map[recording.Version]bool{}
	for _, cm := range cms {
		got, err := v.Version(ctx, v.Tenant, cm.Version)
		if err != nil {
			return nil, err
		}
		set[cm.Version] = got.State == catalog.Committed
	}
	return set, nil
}

func testCancelledCreate(t *testing.T, v *Vault) {
	cms := v.commits(t, Random, catalog.Never)
	start := time.Now()
	must(t, errors.Join(race(func(i int) error { return v.Create(t.Context(), cms[i], nil) })...))
	usual := time.Since(start) // of many at once: cancellations fall before, on and after COMMIT
	cms = v.commits(t, Random, catalog.Never)
	errs := race(func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(usual))
		defer cancel()
		return v.Create(ctx, cms[i], nil)
	})
	for i, err := range errs {
		if err != nil {
			wantErr(t, "Create", err, context.DeadlineExceeded)
		}
		want := catalog.Committed
		if err != nil {
			want = catalog.Intended
		}
		wantEqual(t, "state", v.State(t, cms[i].Version), want)
	}
}

func testReopened(t *testing.T, v *Vault) {
	name := Random()
	cm, err := v.Put(t, name, catalog.Never)
	must(t, err)
	tenant := v.row(t)
	must(t, v.Close())

	v.Catalog = Open(t, v.DSN)
	must(t, v.Ping(t.Context()))
	wantEqual(t, "Tenant", v.row(t), tenant)
	found, err := v.Find(t.Context(), v.Tenant, v.Bucket.Index, name)
	must(t, err)
	wantEqual(t, "Find", found.Version.Content, cm.Content)
}

// A Create that overlaps the erasure of its subject or its day comes before or
// after it: in either case nobody reads it, and if it came before it is settled.
func testRaceWithTombstone(t *testing.T, v *Vault) {
	ctx := t.Context()
	subject := Random()
	_, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	for round, erase := range []catalog.NewErasure{v.askedSubject(subject), v.askedDay(9)} {
		begun := make([]catalog.Intent, racers)
		cms := make([]catalog.Commit, racers)
		for i := range begun {
			begun[i] = v.Intent()
			begun[i].Slots.Day = 9
			begun[i].Slots.Subject = int64(70 + round) // the other is not erased
			if begun[i].Recording = recording.NewID(); round == 0 {
				begun[i].Slots.Day = 8
			}
			must(t, v.Begin(ctx, begun[i], nil))
			cms[i] = v.Commit(begun[i], Random())
		}
		settled := map[recording.Version]bool{}
		errs := race(func(i int) error {
			if i != racers/2 {
				return v.Create(ctx, cms[i], nil)
			}
			time.Sleep(5 * time.Millisecond)
			if _, err := v.QueueErasure(ctx, erase, nil); err != nil {
				return err
			}
			wantErr(t, "Create after the erasure", v.Create(ctx, cms[i], nil), catalog.ErrTombstoned)
			for more := true; more; { // while others are still being created
				var gone []catalog.Version
				var err error
				if gone, more, err = v.SettleTombstoned(ctx, v.Tenant, 3); err != nil {
					return err
				}
				for _, g := range gone {
					settled[g.Version] = true
				}
			}
			return nil
		})
		for _, g := range v.settle(t, 10) {
			settled[g.Version] = true
		}
		for i, err := range errs {
			if i == racers/2 {
				must(t, err)
				continue
			}
			if err != nil {
				wantErr(t, "Create", err, catalog.ErrTombstoned)
			}
			wantEqual(t, "current version", v.Current(t, cms[i].Content.Name), recording.Version{})
			if (err == nil) != settled[cms[i].Version] {
				t.Errorf("Create = %v, yet settled: %t", err, settled[cms[i].Version])
			}
		}
		t.Logf("%d of %d were created before", len(settled), racers)
	}
}

// Of many erasures of one thing one does it, and the others find that one.
func testRaceToQueue(t *testing.T, v *Vault) {
	subject, second := Random(), Random()
	_, err := v.SubjectSlot(t.Context(), v.Tenant, subject, 70)
	must(t, err)
	in, _ := v.under(t, 71, 5, Random(), second)
	single, _ := v.under(t, 71, 5)
	for what, ask := range map[string]func() catalog.NewErasure{
		"recording":      func() catalog.NewErasure { return v.askedOf(single.Recording) },
		"subject":        func() catalog.NewErasure { return v.askedSubject(subject) },
		"second subject": func() catalog.NewErasure { return v.askedSubject(second) },
		"day":            func() catalog.NewErasure { return v.askedDay(6) },
	} {
		queued := make([]catalog.Queued, racers)
		must(t, errors.Join(race(func(i int) (err error) {
			queued[i], err = v.QueueErasure(t.Context(), ask(), nil)
			return err
		})...))
		var did []recording.ErasureID
		for _, q := range queued {
			if !q.Again {
				did = append(did, q.Erasure.ID)
			}
		}
		if len(did) != 1 {
			t.Fatalf("%d erasures of one %s, want one", len(did), what)
		}
		for _, q := range queued {
			known := what == "recording" || what == "day"
			if q.Again && known != (q.Erasure.ID == did[0]) {
				t.Errorf("erased again by %v, want %v: %t", q.Erasure.ID, did[0], known)
			}
		}
	}
	wantEqual(t, "slots to puncture", sortedSlots(v.toPuncture(t)), sortedSlots([]catalog.Slot{
		own(in), own(single), {Tree: catalog.TreeSubjects, Number: 70}, {Tree: catalog.TreeDays, Number: 6},
	}))
}

func sortedSlots(slots []catalog.Slot) []catalog.Slot {
	return slices.SortedFunc(slices.Values(slots), func(a, b catalog.Slot) int {
		return cmp.Or(cmp.Compare(a.Tree, b.Tree), cmp.Compare(a.Number, b.Number))
	})
}

// One of many takes the name of what lies below a tombstone.
func testRaceForBuriedName(t *testing.T, v *Vault) {
	for day, how := range []catalog.Overwrite{catalog.Never, catalog.KeepVersions} {
		in, cm := v.under(t, 0, int64(100+day))
		v.queue(t, v.askedDay(int64(100+day)))
		cms := make([]catalog.Commit, racers)
		for i := range cms {
			next := v.Intent()
			next.Recording = recording.NewID()
			must(t, v.Begin(t.Context(), next, nil))
			cms[i] = v.Commit(next, cm.Content.Name)
			cms[i].Overwrite = how
		}
		var winners []recording.Version
		refusal := map[catalog.Overwrite]error{catalog.Never: recording.ErrExists, catalog.KeepVersions: catalog.ErrMoved}[how]
		for i, err := range race(func(i int) error {
			if i != racers/2 {
				return v.Create(t.Context(), cms[i], nil)
			}
			_, _, err := v.SettleTombstoned(t.Context(), v.Tenant, 10) // which frees it too
			return errors.Join(err, v.Create(t.Context(), cms[i], nil))
		}) {
			if err == nil {
				winners = append(winners, cms[i].Version)
				continue
			}
			wantErr(t, "Create", err, refusal)
		}
		wantEqual(t, "winners", winners, []recording.Version{v.Current(t, cm.Content.Name)})
		v.wantErased(t, cm.Content.Name, in)
	}
}

// A slot that is handed out while its subject is erased is the one before, under
// which nothing can be created any more, or one that is not erased.
func testRaceForSlotOfErased(t *testing.T, v *Vault) {
	ctx := t.Context()
	subject := Random()
	_, err := v.SubjectSlot(ctx, v.Tenant, subject, 70)
	must(t, err)
	begun := make([]catalog.Intent, racers)
	cms := make([]catalog.Commit, racers)
	errs := race(func(i int) error {
		if i == racers/2 {
			_, err := v.QueueErasure(ctx, v.askedSubject(subject), nil)
			return err
		}
		in := v.Intent()
		slot, err := v.SubjectSlot(ctx, v.Tenant, subject, int64(1000+i))
		if err != nil {
			return err
		}
		in.Recording, in.Slots.Subject = recording.NewID(), slot
		begun[i], cms[i] = in, v.Commit(in, Random())
		if err := v.Begin(ctx, in, nil); err != nil {
			return err
		}
		return v.Create(ctx, cms[i], nil)
	})
	fresh, found, err := v.LookupSubject(ctx, v.Tenant, subject)
	must(t, err)
	for i, err := range errs {
		switch {
		case i == racers/2:
			must(t, err)
		case err != nil:
			wantErr(t, "a put", err, catalog.ErrTombstoned)
			wantEqual(t, "slot of one that was refused", begun[i].Slots.Subject, int64(70))
		case begun[i].Slots.Subject == 70:
			wantEqual(t, "current version", v.Current(t, cms[i].Content.Name), recording.Version{})
		default:
			if !found || begun[i].Slots.Subject != fresh {
				t.Errorf("slot %d was handed out, and now it is %d, %t", begun[i].Slots.Subject, fresh, found)
			}
			wantEqual(t, "current version", v.Current(t, cms[i].Content.Name), begun[i].Version)
		}
	}
}

// What is erased while its next version replaces it is erased, or was replaced
// before, and then goes with it: each slot has its tombstone.
func testRaceToQueueAndReplace(t *testing.T, v *Vault) {
	for range 10 {
		name := Random()
		first := v.Intent()
		first.Recording = recording.NewID()
		must(t, v.Begin(t.Context(), first, nil))
		must(t, v.Create(t.Context(), v.Commit(first, name), nil))
		next := v.Intent()
		next.Recording = first.Recording
		must(t, v.Begin(t.Context(), next, nil))
		cm := v.Commit(next, name)
		cm.Overwrite = catalog.Replace
		var created, erased error
		var q catalog.Queued
		var wg sync.WaitGroup
		wg.Go(func() { created = v.Create(t.Context(), cm, nil) })
		wg.Go(func() { q, erased = v.QueueErasure(t.Context(), v.askedOf(first.Recording), nil) })
		wg.Wait()
		must(t, errors.Join(created, erased))
		v.wantErased(t, name, first)
		want := []catalog.Slot{own(first)}
		if v.Current(t, name) != next.Version {
			want = append(want, own(next))
		}
		wantEqual(t, "versions", q.Erasure.Versions, int64(len(want)))
		for _, s := range want {
			if !slices.Contains(v.toPuncture(t), s) {
				t.Errorf("%+v does not wait to be punctured", s)
			}
		}
	}
}
