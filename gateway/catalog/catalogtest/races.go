package catalogtest

import (
	"context"
	"errors"
	"math/rand/v2"
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
	tenant, err := v.Catalog.Tenant(t.Context(), v.Tenant)
	must(t, err)
	must(t, v.Close())

	v.Catalog = Open(t, v.DSN)
	must(t, v.Ping(t.Context()))
	again, err := v.Catalog.Tenant(t.Context(), v.Tenant)
	must(t, err)
	wantEqual(t, "Tenant", again, tenant)
	found, err := v.Find(t.Context(), v.Tenant, v.Bucket.Index, name)
	must(t, err)
	wantEqual(t, "Find", found.Version.Content, cm.Content)
}
