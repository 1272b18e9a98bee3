package catalog_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-vault/lethe/gateway/catalog/catalogtest"
)

func sqliteDSN(t testing.TB) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "catalog.db")
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	catalogtest.Run(t, sqliteDSN)
}

func TestSQLiteFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a dir with 100% odd #name?&x=y")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	catalogtest.NewVault(t, "sqlite:"+filepath.Join(dir, "catalog.db"))
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("ReadDir() = %v, %v", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.FileMode(0o600) {
			t.Errorf("%s has mode %v, want 0600", f.Name(), info.Mode())
		}
	}
}
