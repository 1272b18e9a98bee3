package redteam

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// restore puts a copy of the catalog in the place of the server's, which must be
// stopped. Store and keys are those of now.
func (th *thief) restore(d dump) {
	th.t.Helper()
	from := th.load(d)
	if th.s.Store != nil {
		th.s.Set("LETHE_CATALOG=" + from)
		return
	}
	files, err := filepath.Glob(filepath.Join(th.s.Dir, "catalog.db*"))
	if err != nil || len(files) == 0 {
		th.t.Fatalf("no catalog in %s", th.s.Dir)
	}
	for _, path := range files {
		if err := os.Remove(path); err != nil {
			th.t.Fatal(err)
		}
	}
	th.walk(d.path, func(name string, _ []byte) {
		copyFile(th.t, filepath.Join(th.s.Dir, name), filepath.Join(d.path, name))
	})
}

// serveRestored has a server run on every dump there is. It serves nothing that was
// erased since, and takes calls, to which nothing happens. If it lacks more than calls
// that came since it was last served, which leave no trace but their blobs, it tells to
// rebuild. Then it serves all that lives. A tenant it may refuse altogether, with some
// other status.
func (th *thief) serveRestored(v *vault, also ...int) {
	th.t.Helper()
	th.s.Stop()
	known := v.live()
	for _, d := range th.dumps {
		when := "on the dump of when " + d.when
		th.restore(d)
		from := len(th.s.Log())
		th.s.Start()
		missing := v.answers(when, also...)
		if len(also) == 0 {
			v.record("calls", 750, survivor)
		}
		th.s.Stop()
		lacks := slices.ContainsFunc(missing, func(c *call) bool { return slices.Contains(known, c) })
		if told := th.s.Log()[from:]; lacks && !strings.Contains(told, "lethe rebuild") {
			th.t.Errorf("%s: %v are missing, and the log does not say what to do", when, missing)
		}
		report, err := th.rebuild()
		if err != nil || report["complete"] != true {
			th.t.Errorf("%s: rebuild: %v, %v", when, report, err)
		}
		th.s.Start()
		v.whole(when + ", rebuilt")
		th.s.Stop()
		th.t.Logf("%s: %d recordings were missing before the rebuild", when, len(missing))
	}
	th.s.Start()
}

// rebuild waits for PostgreSQL, where a session stands for a moment after its client
// has ended.
func (th *thief) rebuild() (report map[string]any, err error) {
	th.t.Helper()
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		report, err = th.s.Rebuild()
		if err == nil || !strings.Contains(err.Error(), "in use by other processes") || time.Since(begun) > 20*time.Second {
			return report, err
		}
	}
}

// exploits shows that an old snapshot of the keys, which was put back, opens what was
// erased since: that is why its life ends before an erasure is complete.
func (th *thief) exploits(v *vault) {
	th.t.Helper()
	th.copyStore()
	l := th.attack(th.provider())
	opened := 0
	for _, c := range v.gones() {
		if _, ok := l.keys[c.version]; ok {
			opened++
		}
	}
	if opened == 0 {
		th.t.Error("an old snapshot of the keys opens nothing: the thief is no thief")
	}
	th.t.Logf("with an old snapshot of the keys %v; %d recordings of those were erased", l, opened)
	th.confirms("with an old snapshot of the keys", guessed(l.indexes), erased, mistaken, survivor, held, returned, stranger)
}

// isRefused checks that a server on the old keys serves nothing, and says what to do.
func (th *thief) isRefused(v *vault) {
	th.t.Helper()
	from := len(th.s.Log())
	th.s.Start()
	for _, c := range v.calls {
		if c.tenant != tenant || c.version == "" {
			continue // the other tenant had no epoch since
		}
		if got, refused := v.read(c); len(got) > 0 || refused != http.StatusInternalServerError {
			th.t.Errorf("on old keys: %v: %d bytes, status %d", c, len(got), refused)
		}
	}
	th.s.Stop()
	if !strings.Contains(th.s.Log()[from:], "lethe recover vault") {
		th.t.Error("on old keys: the log does not say what to do")
	}
}

// recovers follows that advice, after which all that lives is served, and nothing else.
func (th *thief) recovers(v *vault) {
	th.t.Helper()
	report, err := th.s.RecoverVault()
	if err != nil || report["ok"] != true {
		th.t.Errorf("recover vault: %v, %v", report, err)
	}
	th.s.Start()
	v.whole("recovered")
	th.come("the keys were recovered")
}
