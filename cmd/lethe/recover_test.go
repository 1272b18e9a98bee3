package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keysOf reads the keys of the tenants of an embedded server.
func keysOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "keys", "t-*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no keys in %s: %v", dir, err)
	}
	keys := map[string][]byte{}
	for _, f := range files {
		if keys[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// Keys are put back from a copy. The server refuses the tenant, and what its
// administrator reads leads to lethe recover vault, which waits for the server to end.
func TestRecoverVault(t *testing.T) {
	t.Parallel()
	s := newErasing(t)
	copied := keysOf(t, s.dir)
	answers[any](t, append([]string{"erase", "--recording", "calls/" + awkward}, s.flags...)...)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		now := keysOf(t, s.dir)
		changed := false
		for f := range copied {
			changed = changed || string(now[f]) != string(copied[f]) && len(now[f]) == len(copied[f]) // rotated and trimmed
		}
		if changed {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no key was destroyed")
		}
	}
	if status, _, errs := lethe(t, "recover", "vault", "--data", s.dir); status != failed || !strings.Contains(errs, "in use by another process") {
		t.Errorf("beside a server: %d %s", status, errs)
	}
	s.stop()
	for f, b := range copied {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := startServer(t, s.dir)
	status, _, errs := lethe(t, "recorder", "create", "r2", "--bucket", "calls", "--tenant", "acme", "--data", s.dir)
	if status != failed || !strings.Contains(errs, "lethe recover vault") {
		t.Errorf("a restored provider: %d %s", status, errs)
	}
	again.stop()
	dry := answers[recovery](t, "recover", "vault", "--dry-run", "--data", s.dir)
	if len(dry.Tenants) != 1 || dry.Tenants[0].State != "restored" || dry.Tenants[0].Slots != 1 || dry.Tenants[0].Head != 0 || !dry.OK || !dry.DryRun {
		t.Errorf("dry run: %+v", dry)
	}
	status, out, errs := lethe(t, "recover", "vault", "--data", s.dir)
	if status != done || !strings.Contains(out, "acme") || !strings.Contains(out, "restored") {
		t.Errorf("lethe recover vault = %d %s%s", status, out, errs)
	}
	startServer(t, s.dir)
	answers[any](t, "recorder", "create", "r3", "--bucket", "calls", "--tenant", "acme", "--data", s.dir)

	if status, _, errs := lethe(t, "recover", "vault", "--tenant", "nobody", "--data", t.TempDir()); status != failed || errs == "" {
		t.Errorf("a tenant that is not there: %d %s", status, errs)
	}
}
