package faults_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

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

// buildWithFailpoints builds from a copy, since gofail rewrites sources. Go's own
// cache spares compiling what has not changed: with -trimpath it does not look at
// where the copy is.
var buildWithFailpoints = sync.OnceValues(func() (b built, err error) {
	dir, err := os.MkdirTemp("", "lethe-failpoints-")
	if err != nil {
		return b, err
	}
	c := sourceCopy{to: dir}
	if err := c.all(); err != nil {
		return b, err
	}
	b = built{filepath.Join(dir, "lethe"), c.names}
	cmd := exec.Command("go", "build", "-trimpath", "-o", b.binary, "./cmd/lethe")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return b, fmt.Errorf("build with failpoints: %w\n%s", err, out)
	}
	return b, nil
})

// sourceCopy copies what the program is built from, failpoints enabled.
type sourceCopy struct {
	from, to string
	names    []string // of the failpoints
}

// goPackage is what go list says of a package.
type goPackage struct {
	Name, Dir           string
	GoFiles, EmbedFiles []string
	Module              *struct{ Main bool }
}

func (c *sourceCopy) all() error {
	root, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return err
	}
	c.from = filepath.Dir(strings.TrimSpace(string(root)))
	list, err := exec.Command("go", "list", "-deps", "-json=Name,Dir,GoFiles,EmbedFiles,Module", "github.com/lethe-vault/lethe/cmd/lethe").Output()
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := c.file(c.from, name); err != nil {
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
		if err := c.file(p.Dir, name); err != nil {
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
	return c.write(c.place(p.Dir, "added_"+strings.TrimSuffix(name, ".txt")), p.Name, bytes.ReplaceAll(b, []byte("PACKAGE"), []byte(p.Name)))
}

func (c *sourceCopy) place(dir, name string) string {
	return filepath.Join(c.to, strings.TrimPrefix(dir, c.from), name)
}

func (c *sourceCopy) file(dir, name string) error {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	return c.write(c.place(dir, name), filepath.Base(dir), b)
}

// write writes a file, and the variables of its failpoints beside it.
func (c *sourceCopy) write(path, pkg string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if filepath.Ext(path) != ".go" {
		return os.WriteFile(path, b, 0o600)
	}
	if strings.Contains(path, "/cmd/lethe/") {
		pkg = "main"
	}
	var out, variables bytes.Buffer
	points, err := code.ToFailpoints(&out, bytes.NewReader(b))
	if err != nil || len(points) == 0 {
		return joinWrite(err, path, b)
	}
	for _, p := range points {
		c.names = append(c.names, p.Name())
	}
	if err := code.NewBinding(pkg, points).Write(&variables); err != nil {
		return err
	}
	return joinWrite(joinWrite(nil, path, out.Bytes()), strings.TrimSuffix(path, ".go")+".fail.go", variables.Bytes())
}

// joinWrite writes a file unless err says that it makes no sense.
func joinWrite(err error, path string, b []byte) error {
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
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
		"GOFAIL_HTTP="+tell, `GOFAIL_FAILPOINTS=sqliteVFS=return("faulty")`)}
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
	got := slices.DeleteFunc(slices.Clone(withFailpoints(t).names), func(name string) bool { return name == "sqliteVFS" })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the sources have failpoints %q,\nthe table of steps has %q", got, want)
	}
	if len(got) < 30 {
		t.Errorf("%d failpoints, at least 30 are due", len(got))
	}
}
