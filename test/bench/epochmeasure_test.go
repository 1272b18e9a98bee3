package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// The cases: what one epoch takes.
const (
	oneErasure   = "one erasure"
	oneSubject   = "one subject"   // with many recordings
	manyErasures = "many erasures" // of a recording each, anywhere
)

// ones is how often a single erasure is measured in each round.
const ones = 3

// own names this process, which does what a server with the eraser's role does.
const own = "lethe"

// epochSample is one epoch.
type epochSample struct {
	sample                     // took and cpu from the start of the epoch until what was erased is out of reach
	asked        time.Duration // until the request was durable; 0 where it was not measured
	tree         time.Duration // CPU of the tree alone, without asking anyone
	slots        int           // punctured
	before       int64         // slots that were punctured before
	written      int64         // bytes, to the store
	store, vault map[string]int
	certified    time.Duration // for each certificate
	settled      time.Duration // rows of what lay below a subject
}

// measureEpochs runs everything.
func measureEpochs(t testing.TB, o epochOptions) epochReport {
	t.Helper()
	r := epochReport{Began: time.Now(), Machine: thisMachine(), Options: o}
	for _, side := range strings.Split(o.Sides, ",") {
		if side == "direct" { // which erases nothing
			continue
		}
		for _, slots := range o.Slots {
			samples := map[string][]epochSample{}
			p := newParts(t, side)
			tenants, each := o.tenants(slots)
			for i := range tenants {
				fmt.Fprintf(os.Stderr, "\r%s, %d slots, %v ", side, slots, time.Since(r.Began).Round(time.Second))
				v := newGrown(t, p, o, int64(i), slots, each)
				for round := range each {
					v.round(t, round, samples)
				}
			}
			for _, name := range []string{oneErasure, oneSubject, manyErasures} {
				r.Results = append(r.Results, newEpochResult(side, slots, name, samples[name]))
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	r.Took = time.Since(r.Began)
	r.Targets = r.judge()
	return r
}

// tenants says how many tenants have how many rounds each: a small one is used up by one.
func (o epochOptions) tenants(slots int64) (tenants, rounds int) {
	if min(slots, o.Rows) < int64(2*o.Many*o.Rounds) {
		return o.Rounds, 1
	}
	return 1, o.Rounds
}

// one is the row of a recording that is erased by itself.
func (v *grown) one(round, i int) int64 { return int64(i+1)*v.rows/(ones+1) + int64(round) }

func (v *grown) round(t testing.TB, round int, to map[string][]epochSample) {
	t.Helper()
	for i := range ones {
		version, _ := v.row(v.one(round, i))
		to[oneErasure] = append(to[oneErasure], v.measure(t, oneErasure, func() {
			v.ask(t, catalog.NewErasure{ErasureRow: catalog.ErasureRow{Scope: catalog.ScopeVersion}, Recording: recording.ID(version), Version: version})
		}))
	}
	subject := subjectIndex(int64(round + 1))
	s := v.measure(t, oneSubject, func() {
		v.ask(t, catalog.NewErasure{ErasureRow: catalog.ErasureRow{Scope: catalog.ScopeSubject}, Subject: &catalog.Indexed{Index: subject}})
	})
	s.settled = v.settle(t)
	to[oneSubject] = append(to[oneSubject], s)
	slots := v.fresh(v.o.Many)
	to[manyErasures] = append(to[manyErasures], v.measure(t, manyErasures, func() { v.bury(t, slots) }))
}

// ask does what is done before a request to erase is answered.
func (v *grown) ask(t testing.TB, n catalog.NewErasure) {
	t.Helper()
	n.ID, n.Tenant, n.AskedAt = recording.NewErasureID(), v.id, time.Now()
	n.Who, n.Reason, n.Commitment = "acme", "deleted over S3", make([]byte, 32)
	n.Erasable = func([]catalog.Hold) error { return nil } // there are none
	n.Record = func(base int64, slots []catalog.Slot, versions []recording.Version) ([]byte, error) {
		return eraser.StatementOf(n.ErasureRow, slots, versions).Seal(v.settings, v.id, base)
	}
	event, err := audit.Seal(keytree.Key{}, audit.Event{Tenant: v.id, At: n.AskedAt, Who: n.Who, Action: "erase", Outcome: audit.Allowed})
	if err != nil {
		t.Fatal(err)
	}
	done, err := v.catalog.QueueErasure(t.Context(), n, []audit.Record{event})
	if err != nil || done.Again {
		t.Fatalf("erase a %s of %d slots: %v, %t", n.Scope, v.slots, err, done.Again)
	}
	if err := eraser.Record(t.Context(), v.store, v.catalog, done.Erasure); err != nil {
		t.Fatal(err)
	}
}

// measure has something erased and takes it to the end of its epoch; then the
// certificates, of many a few.
func (v *grown) measure(t testing.TB, name string, erase func()) (s epochSample) {
	t.Helper()
	began := time.Now()
	erase()
	asked := time.Since(began)
	if name == manyErasures {
		asked = 0 // nobody asked: see bury
	}
	tree, slots := v.treeTime(t)
	before := v.now(t)
	debug.FreeOSMemory()
	v.store.take()
	v.parts.asked.take(t)
	stop := v.profiled(t, name)
	finish := v.account(t)
	v.drive(t, v.eraser)
	s = epochSample{sample: finish(), asked: asked, tree: tree, slots: slots, before: v.punctured}
	stop()
	s.cpu[own] = s.cpu["client"] // finer than what the kernel tells of others
	delete(s.cpu, "client")
	s.store, s.written = v.store.take()
	s.vault = v.parts.asked.take(t)
	if after := v.now(t); after.Epoch != before.Epoch+1 {
		t.Fatalf("%s: epoch %d after %d", name, after.Epoch, before.Epoch)
	}
	v.punctured += int64(slots)
	s.certified = v.certify(t, slots)
	return s
}

// someCertificates is of how many of many erasures the certificates are measured.
const someCertificates = 1000

// certify is the time that each certificate takes.
func (v *grown) certify(t testing.TB, erasures int) time.Duration {
	t.Helper()
	if erasures > someCertificates {
		v.certified(t, someCertificates)
		erasures = someCertificates
	}
	began := time.Now()
	v.drive(t, v.certifier)
	took := time.Since(began) / time.Duration(erasures)
	if open, err := v.catalog.TenantsToPuncture(t.Context(), time.Hour); err != nil || len(open) > 0 {
		t.Fatalf("something is left to do: %v, %v", open, err)
	}
	return took
}

// settle closes the rows of what lay below a subject.
func (v *grown) settle(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	for more := true; more; {
		var err error
		if _, more, err = v.catalog.SettleTombstoned(t.Context(), v.id, 1000); err != nil {
			t.Fatalf("settle a subject: %v", err)
		}
	}
	return time.Since(began)
}

// profiled keeps a CPU profile of the epochs of many erasures.
func (v *grown) profiled(t testing.TB, name string) (stop func()) {
	t.Helper()
	if v.o.Profiles == "" || name != manyErasures {
		return func() {}
	}
	f, err := os.Create(filepath.Join(v.o.Profiles, fmt.Sprintf("epoch_%s_%d.pprof", v.name, v.slots)))
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}
}
