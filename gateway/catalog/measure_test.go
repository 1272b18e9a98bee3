package catalog_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/catalog/catalogtest"
	"github.com/lethe-vault/lethe/test/servers"
)

func TestMeasure(t *testing.T) {
	if os.Getenv("MEASURE") == "" {
		t.Skip()
	}
	for _, db := range []string{"SQLite", "PostgreSQL"} {
		t.Run(db, func(t *testing.T) {
			dsn := ""
			if db == "SQLite" {
				dsn = sqliteDSN(t)
			} else {
				dsn = servers.SharedPostgreSQL(t).Database(t)
			}
			v := catalogtest.NewVault(t, dsn)
			cm, err := v.Put(t, catalogtest.Random(), catalog.Never)
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range measureRows(db, os.Getenv("MEASURE") == "after") {
				if err := v.Exec(t.Context(), q); err != nil {
					t.Fatal(err, q)
				}
			}
			version, err := v.Version(t.Context(), v.Tenant, cm.Version)
			if err != nil {
				t.Fatal(err)
			}
			_ = version
			time1 := func(what string, n int, f func()) {
				f()
				start := time.Now()
				for range n {
					f()
				}
				t.Logf("%s %s: %v", db, what, time.Since(start)/time.Duration(n))
			}
			time1("Find", 5000, func() {
				if v.Current(t, cm.Content.Name) == [16]byte{} {
					t.Fatal("not found")
				}
			})
			dir := catalog.Index{1}
			time1("VersionsIn 100k", 5, func() {
				ids, err := v.VersionsIn(t.Context(), v.Tenant, dir)
				if err != nil || len(ids) < 90000 {
					t.Fatal(err, len(ids))
				}
			})
			ids, _ := v.VersionsIn(t.Context(), v.Tenant, dir)
			time1("Versions of 500", 50, func() {
				if _, err := v.Versions(t.Context(), v.Tenant, ids[:500]); err != nil {
					t.Fatal(err)
				}
			})
			time1("Put", 500, func() {
				if _, err := v.Put(t, catalogtest.Random(), catalog.Never); err != nil {
					t.Fatal(err)
				}
			})
			fmt.Fprintln(os.Stderr)
		})
	}
}

func measureRows(db string, after bool) []string {
	seq := `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 300000)`
	h := func(what string, n int) string {
		if db == "SQLite" {
			return fmt.Sprintf("randomblob(%d)", n)
		}
		return fmt.Sprintf("substr(sha256(int8send(%s)) || sha256(int8send(-%s)), 1, %d)", what, what, n)
	}
	zero := "zeroblob(31)"
	dirs := "CAST(x'01' || zeroblob(31) AS BLOB)"
	cast := func(s string) string { return s }
	if db == "SQLite" {
		dirs = "CASE WHEN n <= 100000 THEN CAST(x'0100000000000000000000000000000000000000000000000000000000000000' AS BLOB) ELSE randomblob(32) END"
	} else {
		dirs = `CASE WHEN n <= 100000 THEN '\x0100000000000000000000000000000000000000000000000000000000000000'::bytea ELSE sha256(int8send(n/30)) END`
	}
	_ = zero
	_ = cast
	q := []string{seq + ` INSERT INTO versions (version, tenant, bucket, recording, state, is_current, blob, slot_recording, slot_subject, slot_day, created_at,
		committed_at, name_index, dir_index, size, stored_size, class, wrapped_dek, sealed_facts, sealed_end, parts, seen_at)
		SELECT ` + h("n", 16) + `, v.tenant, v.bucket, ` + h("n+7", 16) + `, 'committed', TRUE, v.blob || n, n, 10 + n % 40000, 20000 + n / 1000, n,
		n, ` + h("n+9", 32) + `, ` + dirs + `, 1, 1, 'B', v.wrapped_dek, v.sealed_facts, v.sealed_end, 0, 0 FROM s, versions v`}
	if after {
		q = append(q, seq+` INSERT INTO punctures SELECT v.tenant, 1, 1000000 + n, v.version, 1, 0, TRUE FROM s, (SELECT * FROM versions WHERE slot_recording > 100000000) v WHERE n < 200000`,
			seq+` INSERT INTO punctures SELECT v.tenant, 2, 1000000 + n, v.version, 1, 0, TRUE FROM s, (SELECT * FROM versions WHERE slot_recording > 100000000) v WHERE n < 50000`,
			seq+` INSERT INTO punctures SELECT v.tenant, 2, 10 + n, v.version, 1, 0, TRUE FROM s, (SELECT * FROM versions WHERE slot_recording > 100000000) v WHERE n < 200`,
			seq+` INSERT INTO punctures SELECT v.tenant, 3, 10000 + n, v.version, 1, 0, TRUE FROM s, (SELECT * FROM versions WHERE slot_recording > 100000000) v WHERE n < 3000`)
	}
	return append(q, "ANALYZE")
}
