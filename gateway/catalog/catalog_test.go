package catalog_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/catalog/catalogtest"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
)

// eachDatabase runs test on an empty database of each kind.
func eachDatabase(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Run("SQLite", func(t *testing.T) { test(t, sqliteDSN(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { test(t, servers.SharedPostgreSQL(t).Database(t)) })
}

// fill writes n recordings, eight at a time.
func fill(t testing.TB, v *catalogtest.Vault, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				in := v.Intent()
				in.Recording = recording.NewID()
				cm := v.Commit(in, catalogtest.Random())
				cm.Directories = []catalog.Directory{{Index: cm.Content.Directory, Parent: catalogtest.Random()}}
				if err := v.Begin(t.Context(), in, nil); err != nil {
					t.Errorf("Begin() = %v", err)
				}
				if err := v.Create(t.Context(), cm, nil); err != nil {
					t.Errorf("Create() = %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// A program leaves the tables of a newer one alone.
func TestOpenRefusesNewerSchema(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		cat := catalogtest.Open(t, dsn)
		if err := cat.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
			t.Fatal(err)
		}
		again, err := catalog.Open(t.Context(), dsn)
		if err == nil {
			again.Close()
		}
		if !errors.Is(err, catalog.ErrNewer) {
			t.Errorf("Open() = %v, want ErrNewer", err)
		}
	})
}

func TestHotQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		v := catalogtest.NewVault(t, dsn)
		fill(t, v, 2000)
		for i := range 500 { // else a table is so small that reading all of it is cheaper
			ch := catalog.Change{
				Tenant: [16]byte{byte(i), byte(i >> 8), 1}, Sequence: 1,
				New:        &catalog.NewTenant{Name: fmt.Sprint("tenant ", i), Head: catalog.Head{Bytes: make([]byte, 300)}},
				Token:      &catalog.Token{Hash: catalogtest.Random(), Sealed: []byte("sealed")},
				Credential: &catalog.Credential{AccessKey: fmt.Sprint("AK", i), Kind: "reader", Sealed: make([]byte, 100)},
				Bucket:     &catalog.Bucket{ID: [16]byte{byte(i), byte(i >> 8), 1}, Sealed: make([]byte, 200)},
			}
			if err := v.Apply(t.Context(), ch); err != nil {
				t.Fatal(err)
			}
		}
		for _, rows := range others {
			if err := v.Exec(t.Context(), rows); err != nil {
				t.Fatal(err)
			}
		}
		cm, err := v.Put(t, catalogtest.Random(), catalog.Never)
		if err != nil {
			t.Fatal(err)
		}
		version, err := v.Version(t.Context(), v.Tenant, cm.Version)
		if err != nil {
			t.Fatal(err)
		}
		wantIndexes(t, v.Catalog, catalog.HotQueries(version, v.Bucket.Index))
		wantIndexes(t, v.Catalog, v.SweepQueries())
		wantIndexes(t, v.Catalog, catalog.ErasureQueries(version))
		wantIndexes(t, v.Catalog, v.EpochQueries(version))
		wantIndexes(t, v.Catalog, catalog.GenerationQueries(version))
		if err := v.Exec(t.Context(), "ANALYZE"); err != nil {
			t.Fatal(err)
		}
		wantIndexes(t, v.Catalog, catalog.HotQueries(version, v.Bucket.Index))
		wantIndexes(t, v.Catalog, v.SweepQueries())
		wantIndexes(t, v.Catalog, catalog.ErasureQueries(version))
		wantIndexes(t, v.Catalog, v.EpochQueries(version))
		wantIndexes(t, v.Catalog, catalog.GenerationQueries(version))
	})
}

// An epoch of very many erasures is followed in one transaction, whose time is
// bounded, also where the database has seen only few before and planned for those.
func TestManyErasuresInYoungVault(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, dsn string) {
		v := catalogtest.NewVault(t, dsn)
		follow := func(epoch, from, to int64) {
			t.Helper()
			f := catalog.Follow{
				Tenant: v.Tenant, Head: catalog.Head{Epoch: epoch + 1, Bytes: []byte{byte(epoch)}}, From: epoch, At: time.Now(),
			}
			for n := from; n <= to; n++ {
				f.Slots = append(f.Slots, catalog.Slot{Tree: catalog.TreeRecordings, Number: n})
			}
			if err := v.FollowHead(t.Context(), f); err != nil {
				t.Fatalf("FollowHead() of %d slots = %v", len(f.Slots), err)
			}
		}
		for epoch := range int64(10) {
			erasures(t, v, epoch+1, epoch+1)
			follow(epoch+1, epoch+1, epoch+1)
		}
		if err := v.Exec(t.Context(), "ANALYZE"); err != nil {
			t.Fatal(err)
		}
		const last = 10_010
		erasures(t, v, 11, last)
		follow(11, 11, last)
		rows, err := v.Erasures(t.Context(), v.Tenant, catalog.ErasureCursor{}, last)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range rows {
			if e.State != catalog.ErasurePunctured {
				t.Fatalf("an erasure is %s, want punctured", e.State)
			}
		}
		if len(rows) != last {
			t.Errorf("%d erasures, want %d", len(rows), last)
		}
	})
}

// erasures queues erasures of a recording each, one for each of the slots.
func erasures(t *testing.T, v *catalogtest.Vault, from, to int64) {
	t.Helper()
	id := `CAST(printf('%016d', n) AS BLOB)`
	if strings.HasPrefix(v.DSN, "postgres") {
		id = `convert_to(lpad(n::text, 16, '0'), 'UTF8')`
	}
	numbers := fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT %d UNION ALL SELECT n + 1 FROM s WHERE n < %d) `, from, to)
	for _, rows := range []string{
		`INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, asked_at, base, record, recorded, versions, refiled, epoch)
			SELECT ` + id + `, t.id, 'version', 'queued', '', '', t.head, n, 0, t.head, TRUE, 1, 0, 0 FROM s, tenants t`,
		`INSERT INTO punctures (tenant, tree, slot, erasure, since) SELECT t.id, 1, n, ` + id + `, n FROM s, tenants t`,
	} {
		if err := v.Exec(t.Context(), numbers+rows); err != nil {
			t.Fatal(err)
		}
	}
}

// others fill tables that would else be so small that reading all of them is
// cheaper.
var others = []string{
	`INSERT INTO terms SELECT tenant, name_index, version FROM versions`,
	`INSERT INTO part_lists SELECT version, tenant, sealed_facts FROM versions`,
	`INSERT INTO subjects SELECT tenant, name_index, slot_recording, 1 FROM versions`,
	`INSERT INTO pages SELECT tenant, 1, slot_recording, 1, sealed_facts FROM versions`,
	`INSERT INTO filings SELECT tenant, version, slot_recording, 1, slot_recording, 'former', blob, 0 FROM versions`,
	`INSERT INTO holds SELECT version, tenant, recording, NULL, slot_recording, sealed_facts, '', 0, NULL FROM versions WHERE slot_recording % 500 = 0`,
	`INSERT INTO holds SELECT version, tenant, NULL, name_index, slot_recording, sealed_facts, '', 0, NULL
		FROM versions WHERE slot_recording % 500 = 1`,
	`INSERT INTO punctures SELECT tenant, 1, slot_recording - 2000, version, 1, 0, NULL FROM versions`,
	`INSERT INTO punctures SELECT tenant, 2, slot_recording - 2000, NULL, 1, 0, 2 FROM versions WHERE slot_recording % 20 = 0`,
	`INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, scope_index, asked_at, base, record, recorded, versions, refiled, epoch)
		SELECT version, tenant, 'day', 'certified', '', '', dir_index, name_index, slot_recording, 1, sealed_facts, TRUE, 0, 0, 1 FROM versions`,
	`INSERT INTO epochs SELECT tenant, slot_recording, 1, 1, 1, 1, 1, 1, 1 FROM versions`,
}

// open are indexes of what is still to be done, which is little.
var open = regexp.MustCompile(`USING INDEX (punctures_open|erasures_unrecorded) \(tenant=\?\)|SCAN [px] USING (COVERING )?INDEX punctures_unsettled`)

// wantIndexes checks that no query reads a whole table, or all of a tenant.
func wantIndexes(t *testing.T, cat *catalog.Catalog, queries map[string][]any) {
	t.Helper()
	for query, args := range queries {
		plan, err := cat.Explain(t.Context(), query, args...)
		if err != nil {
			t.Fatal(err)
		}
		plan = strings.ReplaceAll(plan, "Seq Scan on anchors", "") // it has one row
		plan = strings.ReplaceAll(plan, "SCAN f\n", "")            // what other steps have found
		plan = strings.ReplaceAll(plan, "SCAN k\n", "")
		plan = strings.ReplaceAll(plan, "SCAN d\n", "")
		plan = strings.ReplaceAll(plan, "Seq Scan on holds", "") // there are few
		plan = strings.ReplaceAll(plan, "USING INDEX holds_time (tenant=?)", "")
		plan = strings.ReplaceAll(plan, "USING INDEX filings_intended (tenant=?)", "") // those under way
		plan = open.ReplaceAllString(plan, "")
		for _, bad := range []string{"Seq Scan", "SCAN ", "(tenant=?)", "Filter: (name_index", "Filter: (dir_index"} {
			if strings.Contains(plan, bad) {
				t.Errorf("%s\nhas in its plan %q:\n%s", query, bad, plan)
			}
		}
	}
}

func TestOpenRefusesOtherAddresses(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"", "mysql://u:secret@h/d", "postgres://u:secret@h:port/d", "sqlite:"} {
		cat, err := catalog.Open(t.Context(), dsn)
		if err == nil {
			cat.Close()
			t.Errorf("Open(%q) = nil, want an error", dsn)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) = %v, which shows the password", dsn, err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for name, dsn := range map[string]func(testing.TB) string{
		"SQLite":     sqliteDSN,
		"PostgreSQL": func(t testing.TB) string { return servers.SharedPostgreSQL(t).Database(t) },
	} {
		b.Run(name, func(b *testing.B) {
			v := catalogtest.NewVault(b, dsn(b))
			fill(b, v, 10_000)
			name := catalogtest.Random()
			if _, err := v.Put(b, name, catalog.Never); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if v.Current(b, name) == [16]byte{} {
					b.Fatal("Find found nothing")
				}
			}
		})
	}
}
