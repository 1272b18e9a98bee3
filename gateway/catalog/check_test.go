package catalog_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/catalog/catalogtest"
	"github.com/lethe-vault/lethe/test/servers"
)

func wants(t *testing.T, s catalog.Survey, want map[string]finding.Level) {
	t.Helper()
	got := map[string]finding.Level{}
	for _, f := range s.List {
		if got[f.Check] != finding.Failure {
			got[f.Check] = f.Level
		}
	}
	for check, is := range want {
		if got[check] != is {
			t.Errorf("%s is %q, want %q: %+v", check, got[check], is, s.List)
		}
	}
}

// sound is what a catalog on a server that keeps its word is found to be.
var sound = map[string]finding.Level{
	"catalog.reach": finding.OK, "catalog.tls": finding.OK, "catalog.version": finding.OK, "catalog.durability": finding.OK,
	"catalog.isolation": finding.OK, "catalog.schema": finding.OK, "catalog.primary": "",
}

func TestCheckPostgreSQL(t *testing.T) {
	t.Parallel()
	dsn := servers.SharedPostgreSQL(t).Database(t)
	wants(t, catalog.Check(t.Context(), dsn), map[string]finding.Level{"catalog.schema": finding.Skipped, "catalog.isolation": finding.OK})
	v := catalogtest.NewVault(t, dsn)
	s := catalog.Check(t.Context(), dsn)
	wants(t, s, sound)
	wants(t, s, map[string]finding.Level{"catalog.role": finding.Advice, "catalog.checksums": finding.Advice, "catalog.standby": finding.Advice})
	if len(s.Tenants) != 1 || s.Tenants[0] != v.Tenant || !s.Clocked || s.Clock.Abs() > time.Second {
		t.Errorf("Check() = %v %v %v", s.Tenants, s.Clocked, s.Clock)
	}
	db := connect(t, dsn)
	var left int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE tablename LIKE 'lethe_doctor%'`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d tables are left, %v", left, err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
		t.Fatal(err)
	}
	wants(t, catalog.Check(t.Context(), dsn), map[string]finding.Level{"catalog.schema": finding.Failure})
}

// A role of its own is no superuser; one whose commits do not wait loses them.
func TestCheckFindsSettings(t *testing.T) {
	t.Parallel()
	pg := servers.SharedPostgreSQL(t)
	dsn := pg.Database(t)
	catalogtest.NewVault(t, dsn)
	db := connect(t, dsn)
	name := dsn[strings.LastIndex(dsn, "/")+1 : strings.Index(dsn, "?")]
	for _, q := range []string{`CREATE ROLE ` + name + ` LOGIN PASSWORD 'canary-password'`, `GRANT ALL ON SCHEMA public TO ` + name,
		`GRANT SELECT ON ALL TABLES IN SCHEMA public TO ` + name, `ALTER ROLE ` + name + ` SET synchronous_commit = off`} {
		if _, err := db.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	as := strings.Replace(dsn, "lethe@", name+":canary-password@", 1)
	s := catalog.Check(t.Context(), as)
	wants(t, s, map[string]finding.Level{"catalog.role": finding.OK, "catalog.durability": finding.Failure, "catalog.isolation": finding.OK})
	for _, dsn := range []string{as, strings.Replace(as, fmt.Sprint(pg.Port), "1", 1), strings.Replace(as, "127.0.0.1", "192.0.2.1", 1) + "&connect_timeout=1"} {
		if found := fmt.Sprint(catalog.Check(t.Context(), dsn).List); strings.Contains(found, "canary") {
			t.Errorf("Check() = %s, which holds the password", found)
		}
	}
}

// A cluster that does not sync is found out.
func TestCheckFindsFsyncOff(t *testing.T) {
	t.Parallel()
	pg := servers.PostgreSQL(t)
	dsn := pg.Database(t)
	for _, q := range []string{`ALTER SYSTEM SET fsync = off`, `ALTER SYSTEM SET full_page_writes = off`} {
		if _, err := connect(t, dsn).Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	pg.Restart(t)
	s := catalog.Check(t.Context(), dsn)
	wants(t, s, map[string]finding.Level{"catalog.durability": finding.Failure})
	if found := fmt.Sprint(s.List); !strings.Contains(found, "fsync is off") || !strings.Contains(found, "full_page_writes is off") {
		t.Errorf("Check() = %s", found)
	}
}

// What is not serializable is seen not to be.
func TestWriteSkew(t *testing.T) {
	t.Parallel()
	dsn := servers.SharedPostgreSQL(t).Database(t)
	for level, want := range map[sql.IsolationLevel]bool{sql.LevelSerializable: false, sql.LevelRepeatableRead: true} {
		if skewed, err := catalog.WriteSkew(t.Context(), dsn, level); err != nil || skewed != want {
			t.Errorf("%v: skewed %t, %v", level, skewed, err)
		}
	}
}

func TestCheckEncryption(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]finding.Level{
		"postgres://u@127.0.0.1:1/d?sslmode=disable":                     finding.OK,
		"postgres://u@localhost:1/d":                                     finding.OK,
		"postgres://u@192.0.2.1/d?sslmode=disable&connect_timeout=1":     finding.Failure,
		"postgres://u@192.0.2.1/d?connect_timeout=1":                     finding.Failure,
		"postgres://u@192.0.2.1/d?sslmode=require&connect_timeout=1":     finding.Warning,
		"postgres://u@192.0.2.1/d?sslmode=verify-full&connect_timeout=1": finding.OK,
	} {
		begun := time.Now()
		wants(t, catalog.Check(t.Context(), dsn), map[string]finding.Level{"catalog.tls": want, "catalog.reach": finding.Failure})
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("%s: found after %v", dsn, took)
		}
	}
}

func TestCheckSQLite(t *testing.T) {
	t.Parallel()
	dsn := sqliteDSN(t)
	file := strings.TrimPrefix(dsn, "sqlite:")
	wants(t, catalog.Check(t.Context(), dsn), map[string]finding.Level{"catalog.reach": finding.Skipped, "catalog.schema": ""})
	if _, err := os.Stat(file); err == nil {
		t.Error("Check made the file")
	}
	v := catalogtest.NewVault(t, dsn) // which keeps it open
	s := catalog.Check(t.Context(), dsn)
	wants(t, s, map[string]finding.Level{"catalog.reach": finding.OK, "catalog.mode": finding.OK, "catalog.durability": finding.OK, "catalog.schema": finding.OK})
	if len(s.Tenants) != 1 || s.Tenants[0] != v.Tenant || s.Clocked {
		t.Errorf("Check() = %v %v", s.Tenants, s.Clocked)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	wants(t, catalog.Check(t.Context(), dsn), map[string]finding.Level{"catalog.mode": finding.Warning})
	damaged := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(damaged, []byte(strings.Repeat("not a database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	wants(t, catalog.Check(t.Context(), "sqlite:"+damaged), map[string]finding.Level{"catalog.reach": finding.Failure})
}
