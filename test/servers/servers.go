// Package servers gives tests the real servers that Lethe works with: Vault,
// MinIO, versitygw and PostgreSQL, each in a scratch directory on a free
// loopback port, up when the call returns and gone when the test ends.
//
// Vault(t) and its like belong to one test. SharedVault(t) and its like are
// started once for a test binary and end with it, however it ends; tests share
// them by taking a mount, bucket or database each.
//
// The servers, and two clients that no Debian package carries, are built from
// modules of their own under test/tools, once for a machine: by
// test/servers/build, or by the first test that wants one, which may then
// outlast go test's timeout. PostgreSQL is the system's. A test fails
// when a server cannot be had; nothing here skips. Linux only: servers are tied
// to the life of the test binary by a parent-death signal.
package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// A tool is a program built from its own module, test/tools/<name>.
type tool struct {
	name string
	pkg  string // what go build is asked for there
	tags string
}

var (
	vaultTool     = tool{name: "vault", pkg: ".", tags: "minimal"}
	minioTool     = tool{name: "minio", pkg: "github.com/minio/minio"}
	versitygwTool = tool{name: "versitygw", pkg: "github.com/versity/versitygw/cmd/versitygw"}
	mcTool        = tool{name: "mc", pkg: "github.com/minio/mc"}
)

// Build builds every server and client that is not in the cache yet. The first
// time this takes some twenty minutes of processor time, later ones nothing.
func Build(ctx context.Context) error {
	for _, t := range []tool{vaultTool, minioTool, versitygwTool, mcTool} {
		if _, err := t.binary(ctx); err != nil {
			return err
		}
	}
	_, err := javaScriptSDK(ctx)
	return err
}

// binary gives the path of the built program, building it if no process has yet.
func (t tool) binary(ctx context.Context) (string, error) {
	return once(t.name, t.name, runtime.Version(), func(module, path string) error {
		return t.build(ctx, module, path)
	})
}

// once gives the path of what make makes of test/tools/<name>, named as in the
// cache's directory for these sources and this version of what compiles them,
// and calls make if no process has done so yet. Processes that want the same
// thing wait for each other.
func once(name, made, version string, make func(module, path string) error) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "test", "tools", name)
	dir, err := home(module, name, version)
	if err != nil {
		return "", fmt.Errorf("servers: cache of %s: %w", name, err)
	}
	path := filepath.Join(dir, made)
	unlock, err := lock(filepath.Join(dir, "LOCK"))
	if err != nil {
		return "", fmt.Errorf("servers: lock %s: %w", name, err)
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, make(module, path)
}

// home is the cache's directory for what this version makes of this module.
func home(module, name, version string) (string, error) {
	sum, err := hashFiles(module)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "lethe-test", name+"-"+sum+"-"+version)
	return dir, os.MkdirAll(dir, 0o755)
}

// build makes the binary beside path and moves it there when it is whole.
func (t tool) build(ctx context.Context, module, path string) error {
	part := path + ".part"
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-tags", t.tags,
		"-trimpath", "-ldflags", "-s -w", "-o", part, t.pkg)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off", "GODEBUG=", "GOFIPS140=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servers: build %s: %w\n%s", t.name, err, out)
	}
	return os.Rename(part, path)
}

// hashFiles digests the names and contents of a module's own files.
func hashFiles(dir string) (string, error) {
	h := sha256.New()
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", e.Name(), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// lock waits for an exclusive lock between processes.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// moduleRoot finds the repository from the directory a test runs in.
var moduleRoot = sync.OnceValues(func() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "test", "tools", "vault", "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("servers: no test/tools above the working directory: %w", fs.ErrNotExist)
		}
		dir = parent
	}
})

// must ends the test when a shared server could not be had.
func must[S any](t testing.TB, server func() (S, error)) S {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sharedDir makes a directory that is removed when this process has ended,
// even by SIGKILL: a shell waits on a pipe whose other end only we hold.
func sharedDir(pattern string) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", err
	}
	cmd := exec.Command("/bin/sh", "-c", `read -r _; sleep 1; exec rm -rf -- "$1"`, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	heldOpen.Store(dir, alive)
	return dir, nil
}

// heldOpen keeps the pipes of sharedDir from being collected, by directory.
var heldOpen sync.Map
