package faults_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/gofail/code"

	"github.com/lethe-vault/lethe/test/system"
)

// built is a lethe of which every comment "gofail:" has become a failpoint, and
// whose SQLite writes through failpoints too.
type built struct {
	binary string
	names  []string // of its failpoints
}

func withFailpoints(t testing.TB) built {
	t.Helper()
	b, err := buildWithFailpoints()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// buildWithFailpoints builds from a copy, since gofail rewrites sources, and keeps
// what it built in the user's cache until the sources change.
var buildWithFailpoints = sync.OnceValues(func() (b built, err error) {
	c := sourceCopy{files: map[string][]byte{}}
	if err := c.all(); err != nil {
		return b, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return b, err
	}
	kept := filepath.Join(cache, "lethe-failpoints")
	b = built{filepath.Join(kept, c.hash()), c.names}
	if now := time.Now(); os.Chtimes(b.binary, now, now) == nil {
		return b, nil
	}
	if err := forgetOld(kept); err != nil {
		return b, err
	}
	return b, c.build(b.binary)
})

// forgetOld removes what was built and not used for longer than any run takes: another
// run, from other sources, may be under way.
func forgetOld(kept string) error {
	all, err := os.ReadDir(kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range all {
		about, gone := e.Info()
		if gone != nil || time.Since(about.ModTime()) < 2*24*time.Hour {
			continue
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(kept, e.Name())))
	}
	return err
}

// TestOtherBuildsAreKept: those of another run are not removed, and old ones are.
func TestOtherBuildsAreKept(t *testing.T) {
	kept := t.TempDir()
	for name, age := range map[string]time.Duration{"other": time.Hour, "old": 30 * 24 * time.Hour} {
		path, then := filepath.Join(kept, name), time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, nil, 0o700), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	err := forgetOld(kept)
	if left, _ := filepath.Glob(filepath.Join(kept, "*")); err != nil || len(left) != 1 || filepath.Base(left[0]) != "other" {
		t.Errorf("%q are left, %v", left, err)
	}
	if err := forgetOld(filepath.Join(kept, "nothing")); err != nil {
		t.Error(err)
	}
}

// sourceCopy holds what the program is built from, failpoints enabled.
type sourceCopy struct {
	root  string            // of the module
	files map[string][]byte // by path below the root
	names []string          // of the failpoints
}

// hash tells one copy from another.
func (c *sourceCopy) hash() string {
	sum := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(c.files)) {
		fmt.Fprintf(sum, "%q %d ", path, len(c.files[path]))
		sum.Write(c.files[path])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// build builds the program, whole or not at all.
func (c *sourceCopy) build(binary string) error {
	dir, err := os.MkdirTemp("", "lethe-failpoints-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for path, b := range c.files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(binary), 0o700); err != nil {
		return err
	}
	part := fmt.Sprintf("%s.%d", binary, os.Getpid())
	cmd := exec.Command("go", "build", "-o", part, "./cmd/lethe")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build with failpoints: %w\n%s", err, out)
	}
	return os.Rename(part, binary)
}

// goPackage is what go list says of a package.
type goPackage struct {
	Name, Dir           string
	GoFiles, EmbedFiles []string
	Module              *struct{ Main bool }
}

func (c *sourceCopy) all() error {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	c.root = filepath.Dir(strings.TrimSpace(string(mod)))
	list, err := exec.Command("go", "list", "-deps", "-json=Name,Dir,GoFiles,EmbedFiles,Module", "github.com/lethe-vault/lethe/cmd/lethe").Output()
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := c.file(goPackage{Dir: c.root}, name); err != nil {
			return err
		}
	}
	for d := json.NewDecoder(bytes.NewReader(list)); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			return err
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		if err := c.goPackage(p); err != nil {
			return err
		}
	}
	return nil
}

// goPackage copies a package, with what failpoints need if it has any.
func (c *sourceCopy) goPackage(p goPackage) error {
	before := len(c.names)
	for _, name := range append(p.GoFiles, p.EmbedFiles...) {
		if err := c.file(p, name); err != nil {
			return err
		}
	}
	if p.Name == "main" {
		if err := c.add(p, "vfs.go.txt"); err != nil {
			return err
		}
	}
	if len(c.names) == before {
		return nil
	}
	return c.add(p, "failpoint.go.txt")
}

// add adds a file of testdata to a package.
func (c *sourceCopy) add(p goPackage, name string) error {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		return err
	}
	return c.enable(p, "added_"+strings.TrimSuffix(name, ".txt"), bytes.ReplaceAll(b, []byte("PACKAGE"), []byte(p.Name)))
}

func (c *sourceCopy) file(p goPackage, name string) error {
	b, err := os.ReadFile(filepath.Join(p.Dir, name))
	if err != nil {
		return err
	}
	return c.enable(p, name, b)
}

// enable takes a file, with its failpoints enabled, and beside it their variables.
func (c *sourceCopy) enable(p goPackage, name string, b []byte) error {
	path := filepath.Join(strings.TrimPrefix(p.Dir, c.root), name)
	c.files[path] = b
	if filepath.Ext(name) != ".go" {
		return nil
	}
	var out, variables bytes.Buffer
	points, err := code.ToFailpoints(&out, bytes.NewReader(b))
	if err != nil || len(points) == 0 {
		return err
	}
	for _, point := range points {
		c.names = append(c.names, point.Name())
	}
	c.files[path] = out.Bytes()
	err = code.NewBinding(p.Name, points).Write(&variables)
	c.files[strings.TrimSuffix(path, ".go")+".fail.go"] = variables.Bytes()
	return err
}

// failing is an embedded server with failpoints that can be told what to do.
type failing struct {
	*system.System
	t    *testing.T
	tell string // the address that failpoints are told at
}

// newFailing starts a server in dir.
func newFailing(t *testing.T, dir string) *failing {
	t.Helper()
	tell := freeAddress(t)
	return &failing{t: t, tell: "http://" + tell, System: system.EmbeddedOf(t, withFailpoints(t).binary, dir,
		"GOFAIL_HTTP="+tell, failpoints())}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// arm has a failpoint do something from now on: see gofail's terms.
func (f *failing) arm(name, terms string) {
	f.t.Helper()
	if status, said := f.ask("PUT", name, terms); status != http.StatusNoContent {
		f.t.Fatalf("arm %s with %q: %d %s", name, terms, status, said)
	}
}

// disarm ends that, and reports whether it ever did anything. A server that is
// gone tells nothing.
func (f *failing) disarm(name string) (fired bool) {
	f.t.Helper()
	_, count := f.ask("GET", name+"/count", "")
	f.ask("DELETE", name, "")
	return count != "" && count != "0"
}

func (f *failing) ask(method, path, body string) (status int, said string) {
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.tell+"/"+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	b, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(b)
}

// TestEveryFailpointIsUsed holds the table of steps to the sources: a durable step
// that gets a failpoint must get a row, and a row needs its failpoint.
func TestEveryFailpointIsUsed(t *testing.T) {
	t.Parallel()
	var want []string
	for _, s := range steps {
		want = append(want, s.failpoint)
	}
	for _, command := range offline {
		want = append(want, command.passes...)
	}
	got := slices.DeleteFunc(slices.Clone(withFailpoints(t).names), func(name string) bool {
		return name == "sqliteVFS"
	})
	slices.Sort(got)
	slices.Sort(want)
	want = slices.Compact(want) // some deeds meet the same one on other ways
	if !slices.Equal(got, want) {
		t.Errorf("the sources have failpoints %q,\nthe table of steps has %q", got, want)
	}
	if len(got) < 30 {
		t.Errorf("%d failpoints, at least 30 are due", len(got))
	}
}
