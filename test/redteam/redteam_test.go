package redteam

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/blind"
	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
)

// TestRedTeam is the script, on the embedded default and on Vault, PostgreSQL and
// MinIO, whose bucket keeps every version or locks it. LETHE_REDTEAM=full has all of
// them, and has the indexes made anew, which takes minutes.
//
// The thief has copies from all times, of an embedded directory too; of its keys, as
// they are when he attacks.
func TestRedTeam(t *testing.T) {
	stores := map[string]servers.BucketKind{
		"versioned": servers.Versioned, "governance": servers.Governance, "compliance": servers.Compliance,
	}
	if !full() {
		stores = map[string]servers.BucketKind{"compliance": servers.Compliance}
	}
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		script(t, &thief{t: t, s: system.Embedded(t)})
	})
	for name, kind := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script(t, onServers(t, kind))
		})
	}
}

func full() bool { return os.Getenv("LETHE_REDTEAM") == "full" }

// onServers watches a server on Vault, MinIO and PostgreSQL.
func onServers(t *testing.T, kind servers.BucketKind) *thief {
	store, database := servers.MinIO(t), servers.PostgreSQL(t)
	th := &thief{t: t, kind: kind, bucket: store.Bucket(t, kind), archive: database.Archive(t), database: servers.PostgreSQL(t)}
	th.s = system.On(t, servers.Vault(t), store, database, "LETHE_STORE_BUCKET="+th.bucket)
	return th
}

func script(t *testing.T, th *thief) {
	th.dir, th.blobs, th.seen = t.TempDir(), map[string][]string{}, map[string]bool{}
	v := newVault(t, th.s)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the server warned of:\n%s", warnings(th.s.Log()))
		}
	})

	// Calls are recorded. Some tell of her; some lie in a bucket of the pilot, which is
	// to end; some are replaced, and one is broken off.
	hers := []*call{
		v.record("calls", 300, erased),
		v.record("kept", 100_000, erased),
		v.record("calls", 1, survivor, erased), // a conference
		v.recordInParts("calls", []int{5 << 20, 1000}, erased),
		v.record("every", 70_000, erased),
	}
	hers = append(hers, v.again(hers[4], 500, erased))
	his := []*call{v.record("calls", 2000, held), v.record("kept", 2000, held)}
	v.hold(v.record("calls", 3000, held))
	back := v.record("calls", 4000, returned)
	v.record("calls", 90_000, survivor)
	v.record("kept", 100, survivor)
	v.recordInParts("kept", []int{5 << 20, 70_000}, survivor)
	v.record("calls", 0)
	byName, overS3, oneOfTwo := v.record("calls", 700), v.recordInParts("kept", []int{900}), v.record("every", 800)
	v.again(oneOfTwo, 850)
	pilot := []*call{v.record("pilot", 600), v.record("pilot", 66_000, survivor)}
	v.hold(v.record("pilot", 610))
	released := v.record("pilot", 620)
	hold := v.hold(released)
	mistook := v.recordAs(v.call(tenant, "calls", nil), []string{mistaken}, 640) // a name lives with its call
	taken, longer, kept := v.record("calls", 645, survivor), v.record("pilot", 650), v.record("kept", 655)
	wrong := v.record("calls", 660, mistaken)
	v.recordAs(v.call(other, "calls", []string{stranger}), []string{stranger}, 1000)
	replaced := v.record("latest", 5000)
	th.copyStore()
	v.again(replaced, 5100)
	replaced.erased = true
	v.breakOff("kept", []int{5 << 20}, th.copyStore, erased)
	th.come("all was there")
	putBack := th.snapshot()

	// A recording is erased, one over S3, and one version of another.
	v.erase([]*call{byName}, "--recording", byName.bucket+"/"+byName.name)
	v.erase([]*call{oneOfTwo}, "--recording", oneOfTwo.bucket+"/"+oneOfTwo.name, "--version", oneOfTwo.version)
	v.delete(overS3)
	v.effective()
	v.record("calls", 1100, survivor)
	th.come("recordings were erased")

	// Two calls were put under wrong numbers, one of them hers, and are corrected. Two are
	// to be kept for longer, whereupon one is erased all the same.
	v.refile(mistook, "--subject", survivor)
	v.refile(taken, "--subject", erased)
	for _, c := range []*call{longer, kept} {
		v.refile(c, "--retain-until", time.Now().AddDate(2, 0, 0).Format(time.DateOnly))
	}
	th.come("some were filed anew")
	v.erase([]*call{kept}, "--recording", kept.bucket+"/"+kept.name)

	// Four people are erased. One of his calls is on hold; and one of them calls again.
	v.erase(append(hers, taken), "--subject", erased)
	v.erase(his, "--subject", held)
	v.erase([]*call{wrong}, "--subject", mistaken)
	v.erase([]*call{back}, "--subject", returned)
	v.effective()
	v.record("calls", 1200, returned)
	late := v.record("kept", 1300)
	th.come("people were erased")

	// The day of the pilot is erased, but for what is on hold.
	v.erase(pilot, "--day", v.expiry(pilot[0], 30))
	v.effective()
	v.record("calls", 1400, survivor)
	th.come("a day was erased")

	// What was on hold then, and so was filed anew, is erased too.
	v.lethe(nil, "hold", "release", "--tenant", tenant, hold)
	v.erase([]*call{released}, "--recording", released.bucket+"/"+released.name)
	v.erase([]*call{late}, "--recording", late.bucket+"/"+late.name)
	v.effective()
	v.whole("when all was erased")
	th.sweep()
	th.come("all was erased")
	th.logs(v)

	// Nothing of anyone can be read anywhere, and nothing that was erased be opened.
	th.readsNothing(v)
	l := th.attack(th.provider())
	l.opens(t, "with everything", v)

	// Who may still use the key of the indexes confirms whose calls there were.
	living := []string{survivor, held, returned, stranger}
	th.confirms("by the indexes", guessed(l.indexes), append(living, erased, mistaken)...)

	// Old dumps are put back, and served; meanwhile leases end.
	th.serveRestored(v)

	// With its salt a certificate confirms what it is about. With no salt, or that of
	// another erasure, nothing is confirmed.
	v.certify()
	th.come("all was certified")
	th.logs(v)
	th.readsNothing(v)
	th.confirms("with the salts", guessed(nil, v.salts()...), erased, held, mistaken, returned)
	th.confirms("without its salt", unsalted(v.salts()[0]))

	// The key of the indexes is forgotten too, and confirms nothing any more; a dump from
	// before cannot be served until it is rebuilt.
	if full() {
		v.reindex()
		th.come("the indexes were made anew")
		th.logs(v)
		th.readsNothing(v)
		l = th.attack(th.provider())
		l.opens(t, "with indexes made anew", v)
		th.confirms("by the indexes made anew", guessed(l.indexes), living...)
		th.serveRestored(v, http.StatusInternalServerError)
	}

	// A snapshot of the keys from before is the exception that is stated.
	th.s.Stop()
	putBack()
	th.exploits(v)
	th.isRefused(v)
	th.recovers(v)
	l = th.attack(th.provider())
	l.opens(t, "recovered", v)
	if full() {
		th.confirms("by the indexes, recovered", guessed(l.indexes), living...)
	}

	// Vault itself gives out no more than the keys that are in use, after which it is of
	// no more use to Lethe.
	if th.s.Vault != nil {
		th.attack(th.takenOut()).opens(t, "with keys taken out of Vault", v)
	}
}

// readsNothing checks that no name, no number, no sound and no salt can be read in
// anything that was stored or logged.
func (th *thief) readsNothing(v *vault) {
	th.t.Helper()
	needles := v.unkept()
	for _, text := range []string{canary, erased, mistaken, survivor, held, returned, stranger} {
		blind.AddText(needles, text)
		blind.AddEscaped(needles, text, text)
	}
	searched, err := blind.Search(th.dir, needles)
	if err != nil || searched < 1<<20 {
		th.t.Errorf("%d bytes searched: %v", searched, err)
	}
	th.t.Logf("%d bytes of %d blobs, %d dumps and the logs show no name, number, sound or salt", searched, len(th.blobs), len(th.dumps))
}

// warnings are the last lines of a log that tell of more than what was done.
func warnings(log string) string {
	var told strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"level":"INFO"`) {
			told.WriteString(line)
		}
	}
	return told.String()[max(0, told.Len()-20_000):]
}
