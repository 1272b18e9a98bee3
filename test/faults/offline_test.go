package faults_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// offlineCommand is one that works beside no server, and the failpoints that it passes
// on the way to what it is for.
type offlineCommand struct {
	name   string
	run    func(d *deeds) (map[string]any, error)
	passes []string
}

var offline = []offlineCommand{
	{"recover vault", func(d *deeds) (map[string]any, error) { return d.s.RecoverVault() }, []string{
		"txBegin", "txCommit", "txCommitted", "recoverReopen", "recoverRotate", "packCreate", "rootWrap", "headCommit", "recoverFollow",
		"pagesFollow", "headFollow", "rootRetire", "epochEffective",
	}},
	{"rebuild", func(d *deeds) (map[string]any, error) { return d.s.Rebuild() }, []string{
		"txBegin", "txCommit", "txCommitted", "journalApply", "pagesFollow", "headFollow",
	}},
}

// TestOfflineFailpoints crashes the commands that work beside no server, and has them
// fail, where they pass a durable step, and runs them again, as their help says to do.
// What was kept is there, and what was erased is gone.
func TestOfflineFailpoints(t *testing.T) {
	t.Parallel()
	d := newDeeds(t)
	for _, name := range []string{"one", "two", "gone"} {
		d.must(d.client.putText(t.Context(), name, "hello"))
	}
	d.keep("one")
	d.keep("two")
	d.s.Stop()
	keys := t.TempDir()
	d.must(os.CopyFS(keys, os.DirFS(filepath.Join(d.s.Dir, "keys"))))
	d.restart()
	var e erasure
	d.must(d.s.Lethe(&e, "erase", "--tenant", "acme", "--recording", "calls/gone"))
	d.must(d.untilDestroyed(e))
	first := d.firstHead()
	d.s.Stop()
	for _, command := range offline {
		for _, name := range command.passes {
			for _, f := range sized(t, faults[:1], faults, faults) {
				t.Run(command.name+"/"+name+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					c := d.copy(t)
					if command.name == "rebuild" {
						c.s.DropCatalog()
					} else {
						inUse := filepath.Join(c.s.Dir, "keys")
						c.must(errors.Join(os.RemoveAll(inUse), os.CopyFS(inUse, os.DirFS(keys))))
					}
					c.sufferOffline(command, name, f)
					if err := c.s.Behind().Opens(t.Context(), first); !errors.Is(err, keytree.ErrForgotten) {
						t.Errorf("the root from before the erasure opens with %v, want ErrForgotten", err)
					}
				})
			}
		}
	}
}

// copy is a server on a copy of what d has, which is stopped. It is to be started yet.
func (d *deeds) copy(t *testing.T) *deeds {
	t.Helper()
	return &deeds{t: t, s: &failing{t: t, System: d.s.CopyOf(t, "GOFAIL_HTTP=")}, keys: d.keys, kept: d.kept}
}

// sufferOffline runs a command that fails at a failpoint, and again, and starts the
// server: everything kept is there.
func (d *deeds) sufferOffline(command offlineCommand, name string, f fault) {
	d.t.Helper()
	d.s.Set(failpoints(name + "=" + f.terms))
	_, err := command.run(d)
	d.s.Set(failpoints())
	if f.name == "crash" && (err == nil || !strings.Contains(err.Error(), "killed")) {
		d.t.Errorf("it was not reached: %v", err)
	}
	if f.name == "sleep" && err != nil {
		d.t.Error(err)
	}
	_, err = command.run(d)
	for end := time.Now().Add(time.Minute); err != nil && strings.Contains(err.Error(), "leaves its lease") && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
		_, err = command.run(d)
	}
	if err != nil {
		d.t.Fatalf("again: %v", err)
	}
	d.s.Start()
	d.client = newClient(d.t, d.s.S3, d.keys, "calls")
	d.complete()
}

// failpoints is the environment in which failpoints do something.
func failpoints(armed ...string) string {
	return "GOFAIL_FAILPOINTS=" + strings.Join(slices.Insert(armed, 0, `sqliteVFS=return("faulty")`), ";")
}

// firstHead is the tenant's head from before every erasure.
func (d *deeds) firstHead() keytree.Head {
	d.t.Helper()
	var list struct{ Tenants []struct{ ID string } }
	d.must(d.s.Lethe(&list, "tenant", "list"))
	id, err := recording.ParseTenant(list.Tenants[0].ID)
	d.must(err)
	h, err := d.s.Behind().Head(d.t.Context(), id, 0)
	d.must(err)
	return h
}
