package localkeys_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/keytree/providertest"
	"github.com/lethe-vault/lethe/crypto/localkeys"
)

func open(t *testing.T, dir string) *localkeys.Provider {
	t.Helper()
	p, err := localkeys.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func relabel(wrapped []byte, version int) []byte {
	b := slices.Clone(wrapped)
	binary.BigEndian.PutUint32(b[2:], uint32(version))
	return b
}

func TestProvider(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Instance {
		dir := t.TempDir()
		return providertest.Instance{
			Provider: open(t, dir),
			Relabel:  relabel,
			Outages: []providertest.Outage{
				{Name: "a damaged file", Begin: each(dir, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })},
				{Name: "a file cut short", Begin: each(dir, func(b []byte) []byte { return b[:len(b)-1] })},
				{Name: "an empty file", Begin: each(dir, func([]byte) []byte { return nil })},
				{Name: "a file of zeros", Begin: each(dir, func(b []byte) []byte { return make([]byte, len(b)) })},
				{Name: "an emptied directory", Begin: func(t *testing.T) func() { return empty(t, dir) }},
			},
		}
	})
}

// each changes every key file and gives the function that changes it back.
func each(dir string, change func([]byte) []byte) func(*testing.T) func() {
	return func(t *testing.T) func() {
		before := read(t, dir)
		for name, b := range before {
			if name != "LOCK" {
				write(t, dir, map[string][]byte{name: change(slices.Clone(b))})
			}
		}
		return func() { write(t, dir, before) }
	}
}

// empty removes every file and gives the function that brings them back.
func empty(t *testing.T, dir string) func() {
	before := read(t, dir)
	for name := range before {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return func() { write(t, dir, before) }
}

// read gives every file of dir by name.
func read(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func write(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A history is a root that was brought to version 3 and then retired below it.
type history struct {
	root          keytree.Root
	key           keytree.Key
	old, fresh    []byte // wrapped under 2 and 3
	before, after []byte // the root's file
}

func record(t *testing.T) (h history) {
	t.Helper()
	dir := t.TempDir()
	p := open(t, dir)
	h = history{root: providertest.NewRoot(), key: keytree.NewKey()}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(p.Create(t.Context(), h.root))
	for range 2 {
		_, err := p.Rotate(t.Context(), h.root)
		do(err)
	}
	var err error
	h.old, err = p.Wrap(t.Context(), h.root, 2, h.key, nil)
	do(err)
	h.fresh, err = p.Wrap(t.Context(), h.root, 3, h.key, nil)
	do(err)
	h.before = read(t, dir)[string(h.root)]
	do(p.Retire(t.Context(), h.root, 3))
	h.after = read(t, dir)[string(h.root)]
	return h
}

// Every state that a crash can leave while a file is replaced opens, as the
// former content before the rename and as the new one after it; nothing is
// left over, and once the new content counts no byte of an old key is.
func TestCrashes(t *testing.T) {
	h := record(t)
	root := string(h.root)
	for _, crash := range []struct {
		name    string
		files   map[string][]byte
		linked  bool // root.old is a second name of root
		retired bool
	}{
		{"nothing written", map[string][]byte{root: h.before}, false, false},
		{"next empty", map[string][]byte{root: h.before, root + ".new": nil}, false, false},
		{"next half written", map[string][]byte{root: h.before, root + ".new": h.after[:40]}, false, false},
		{"next written", map[string][]byte{root: h.before, root + ".new": h.after}, false, false},
		{"former linked", map[string][]byte{root: h.before, root + ".new": h.after}, true, false},
		{"renamed", map[string][]byte{root: h.after, root + ".old": h.before}, false, true},
		{"half overwritten", map[string][]byte{root: h.after, root + ".old": append(make([]byte, 50), h.before[50:]...)}, false, true},
		{"overwritten", map[string][]byte{root: h.after, root + ".old": make([]byte, len(h.before))}, false, true},
		{"removed", map[string][]byte{root: h.after}, false, true},
	} {
		t.Run(crash.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, crash.files)
			if crash.linked {
				if err := os.Link(filepath.Join(dir, root), filepath.Join(dir, root+".old")); err != nil {
					t.Fatal(err)
				}
			}
			spy := watch(t, filepath.Join(dir, root+".old"))
			p := open(t, dir)
			h.check(t, p, crash.retired)
			if files := read(t, dir); len(files) != 2 {
				t.Fatalf("%d files are left, want LOCK and the root's", len(files))
			}
			if crash.retired {
				spy.isOverwritten(t)
			}
			if err := p.Retire(t.Context(), h.root, 3); err != nil {
				t.Fatal(err)
			}
			h.check(t, p, true)
		})
	}
}

// check unwraps both wrappings and wants the old one to open unless retired.
func (h history) check(t *testing.T, p *localkeys.Provider, retired bool) {
	t.Helper()
	k, err := p.Unwrap(t.Context(), h.root, h.fresh, nil)
	if err != nil || !k.Equal(h.key) {
		t.Fatalf("Unwrap of the newest: %v, or another key", err)
	}
	_, err = p.Unwrap(t.Context(), h.root, h.old, nil)
	if want := (map[bool]error{true: keytree.ErrForgotten})[retired]; !errors.Is(err, want) {
		t.Fatalf("Unwrap of the old: %v, want %v", err, want)
	}
}

// A spy keeps a file open past its removal, as a disk keeps its blocks.
type spy struct{ f *os.File }

func watch(t *testing.T, path string) spy {
	t.Helper()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return spy{}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return spy{f}
}

func (s spy) isOverwritten(t *testing.T) {
	t.Helper()
	if s.f == nil {
		return
	}
	info, err := s.f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := s.f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, make([]byte, len(b))) {
		t.Fatal("the former content was not overwritten")
	}
}

func TestOldBytesAreOverwritten(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	root := providertest.NewRoot()
	if err := p.Create(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	for _, op := range []func() error{
		func() error { _, err := p.Rotate(t.Context(), root); return err },
		func() error { return p.Retire(t.Context(), root, 2) },
		func() error { return p.Destroy(t.Context(), root) },
	} {
		spy := watch(t, filepath.Join(dir, string(root)))
		if err := op(); err != nil {
			t.Fatal(err)
		}
		spy.isOverwritten(t)
	}
}

// A copy of the directory from before a rotation is older than what was
// wrapped after it.
func TestOlderCopy(t *testing.T) {
	dir, older := t.TempDir(), t.TempDir()
	p := open(t, dir)
	root := providertest.NewRoot()
	if err := p.Create(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	write(t, older, read(t, dir))
	if _, err := p.Rotate(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	wrapped, err := p.Wrap(t.Context(), root, 2, keytree.NewKey(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, older).Unwrap(t.Context(), root, wrapped, nil); !errors.Is(err, keytree.ErrRolledBack) {
		t.Fatalf("Unwrap in the older copy: %v, want ErrRolledBack", err)
	}
}

func TestDestroyedNameStaysTaken(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	root := providertest.NewRoot()
	if err := errors.Join(p.Create(t.Context(), root), p.Destroy(t.Context(), root), p.Close()); err != nil {
		t.Fatal(err)
	}
	p = open(t, dir)
	if err := p.Create(t.Context(), root); !errors.Is(err, keytree.ErrForgotten) {
		t.Fatalf("Create after Destroy: %v, want ErrForgotten", err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "keys")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := open(t, dir)
	if err := p.Create(t.Context(), providertest.NewRoot()); err != nil {
		t.Fatal(err)
	}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		want := os.FileMode(0o600)
		if info.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", info.Name(), info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir)
	if _, err := localkeys.New(dir); !errors.Is(err, localkeys.ErrLocked) {
		t.Fatalf("New on a directory in use: %v, want ErrLocked", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// A key file under another root's name is damage, not that root's key.
func TestSwappedFiles(t *testing.T) {
	h := record(t)
	other := providertest.NewRoot()
	dir := t.TempDir()
	write(t, dir, map[string][]byte{string(other): h.after})
	p := open(t, dir)
	if _, err := p.Versions(t.Context(), other); !errors.Is(err, keytree.ErrUnavailable) {
		t.Fatalf("Versions: %v, want ErrUnavailable", err)
	}
}

func FuzzParse(f *testing.F) {
	root := providertest.NewRoot()
	f.Add(make([]byte, 16), false)
	f.Add([]byte("LETHEK1\x00\x00\x00\x00\x01\x00\x00\x00\x01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), true)
	f.Fuzz(func(t *testing.T, b []byte, signed bool) {
		if signed {
			b = localkeys.Sign(root, b)
		}
		again, err := localkeys.Reparse(root, b)
		if err == nil && !bytes.Equal(again, b) {
			t.Fatal("a file was read that would not be written")
		}
	})
}
