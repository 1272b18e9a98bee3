package filestore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/storetest"
)

func open(t *testing.T, dir string) *filestore.Store {
	t.Helper()
	s, err := filestore.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func create(t *testing.T, s blob.Store, key, body string) {
	t.Helper()
	if err := s.Create(t.Context(), key, strings.NewReader(body), int64(len(body))); err != nil {
		t.Fatalf("Create(%q) = %v", key, err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) blob.Store { return open(t, t.TempDir()) })
}

func TestDirectoryBelongsToOneStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	s := open(t, dir)
	if _, err := filestore.New(dir); !errors.Is(err, filestore.ErrInUse) {
		t.Errorf("New of an open directory = %v, want %v", err, filestore.ErrInUse)
	}
	create(t, s, "a/b", "apple")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := open(t, dir).Open(t.Context(), "a/b", 0, -1)
	if err != nil {
		t.Fatalf("Open after New of the directory again = %v", err)
	}
	r.Close()
}

func TestNewRemovesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "tmp", "LEFTOVER")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a leftover of tmp is still there: %v", err)
	}
}

func TestNothingIsLeftInTmp(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	create(t, s, "kept", "apple")
	if err := s.Create(t.Context(), "short", strings.NewReader("app"), 5); err == nil {
		t.Error("a short body is taken")
	}
	entries, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(entries) != 0 {
		t.Errorf("tmp holds %v, %v", entries, err)
	}
}

func TestOnlyTheOwnerMayLook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	create(t, open(t, dir), "a/b", "apple")
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAKeyMayBeginAnother(t *testing.T) {
	s := open(t, t.TempDir())
	for _, key := range []string{"a/b", "a", "a/b/c", "a-"} {
		create(t, s, key, key)
	}
	var got []string
	for info, err := range s.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Key)
	}
	if want := "a a- a/b a/b/c"; strings.Join(got, " ") != want {
		t.Errorf("List = %q, want %q", got, want)
	}
}

func TestALinkLeadsNowhere(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret.blob"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "blobs", "out")); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Open(t.Context(), "out/secret", 0, -1); err == nil {
		r.Close()
		t.Error("Open follows a link out of the directory")
	}
	if err := s.Create(t.Context(), "out/new", strings.NewReader("x"), 1); err == nil {
		t.Error("Create follows a link out of the directory")
	}
}
