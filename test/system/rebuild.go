package system

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// TakeCatalog copies the catalog alone, and not the store. The server must be
// stopped.
func (s *System) TakeCatalog() {
	s.t.Helper()
	if s.Store != nil {
		s.catalog.env = []string{s.copyDatabase()}
		return
	}
	s.catalog.dir = s.t.TempDir()
	for _, path := range s.database() {
		s.copyFile(filepath.Join(s.catalog.dir, filepath.Base(path)), path)
	}
}

// PutBackCatalog puts the copy in the catalog's place. The server must be stopped.
func (s *System) PutBackCatalog() {
	s.t.Helper()
	if s.Store != nil {
		s.env = append(s.env, s.catalog.env...)
		return
	}
	s.DropCatalog()
	copies, err := filepath.Glob(filepath.Join(s.catalog.dir, "*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range copies {
		s.copyFile(filepath.Join(s.Dir, filepath.Base(path)), path)
	}
}

// DropCatalog loses the catalog: what takes its place is empty. The server must be
// stopped.
func (s *System) DropCatalog() {
	s.t.Helper()
	if s.Store != nil {
		s.env = append(s.env, "LETHE_CATALOG="+s.Postgres.Database(s.t))
		return
	}
	for _, path := range s.database() {
		if err := os.Remove(path); err != nil {
			s.t.Fatal(err)
		}
	}
}

// database gives the files of an embedded catalog.
func (s *System) database() []string {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.Dir, "catalog.db*"))
	if err != nil || len(paths) == 0 {
		s.t.Fatalf("no catalog in %s", s.Dir)
	}
	return paths
}

func (s *System) copyFile(to, from string) {
	s.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// Rebuild runs lethe rebuild with the server's settings, and gives its report. The
// server must be stopped.
func (s *System) Rebuild() (report map[string]any, err error) {
	s.t.Helper()
	return s.stopped("rebuild")
}

// RecoverVault runs lethe recover vault likewise.
func (s *System) RecoverVault(flags ...string) (report map[string]any, err error) {
	s.t.Helper()
	return s.stopped(append([]string{"recover", "vault"}, flags...)...)
}

// stopped runs a command that works without a server, with the server's settings.
func (s *System) stopped(args ...string) (report map[string]any, err error) {
	s.t.Helper()
	all := append(args, "--data", s.Dir, "--json")
	if s.Store != nil {
		all = append(all, "--store-insecure")
	}
	cmd := exec.CommandContext(s.t.Context(), s.binary, append(all, s.flags...)...)
	cmd.Env = append(os.Environ(), s.env...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("lethe %s: %w: %s%s", args[0], err, out, &errs)
	}
	return report, json.Unmarshal(out, &report)
}
