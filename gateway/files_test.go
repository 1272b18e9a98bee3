package gateway_test

import (
	"os"
	"path/filepath"
	"testing"
)

// copyCatalog reads the files of a stopped gateway's catalog.
func copyCatalog(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "catalog.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no catalog in %s", dir)
	}
	out := map[string][]byte{}
	for _, f := range files {
		if out[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// putBack replaces a stopped gateway's catalog.
func putBack(t *testing.T, files map[string][]byte, dir string) {
	t.Helper()
	for name := range copyCatalog(t, dir) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
