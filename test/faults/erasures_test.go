package faults_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
)

// goneWithin is how soon after an erasure was acknowledged a read that was under way
// must have ended. One that is begun later is refused at once.
const goneWithin = 5 * time.Second

// certifiedWithin is how soon an erasure has its certificate once nothing fails any
// more: leases of 30 s have to end, and replicas have to learn of it.
const certifiedWithin = 2 * time.Minute

// TestErasuresUnderFaults erases recordings and persons while others are put and
// all are read, the erased too, and while whatever Lethe consists of is killed and
// stopped. Nothing erased is read again, nothing is said to be destroyed before it
// is, every erasure that was acknowledged gets its certificate, and all else is there.
func TestErasuresUnderFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start     func(testing.TB) []*system.System
		erasures  int
		certified int // how many certificates are waited for
	}{
		"embedded": {alone, sized(t, 12, 100, 1000), sized(t, 2, 100, 1000)},
		"apart":    {apart, sized(t, 10, 200, 2000), sized(t, 0, 200, 2000)},
		"replicas": {together, sized(t, 8, 200, 2000), sized(t, 0, 200, 2000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newErasures(t, c.start(t), c.erasures)
			e.run(c.certified)
			if t.Failed() {
				for _, s := range e.all {
					t.Logf("%s", lastWarnings(s.Log()))
				}
			}
		})
	}
}

// lastWarnings are the last of what a server warned of, but for requests that it
// asked to come back.
func lastWarnings(log string) string {
	var told strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"level":"INFO"`) && !strings.Contains(line, `"status":503`) {
			told.WriteString(line)
		}
	}
	return told.String()[max(0, told.Len()-20_000):]
}

// alone is an embedded server.
func alone(t testing.TB) []*system.System { return []*system.System{system.Embedded(t)} }

// apart is a front, and an eraser that serves nobody.
func apart(t testing.TB) []*system.System {
	front := system.Apart(t)
	return []*system.System{front, front.Process("eraser,sweeper")}
}

// together are two processes that have every role each.
func together(t testing.TB) []*system.System {
	t.Helper()
	one := system.On(t, servers.Vault(t), servers.MinIO(t), servers.PostgreSQL(t))
	return []*system.System{one, one.Replica()}
}

// erasures is a vault of one tenant with the buckets calls and kept, of which the
// second has a retention.
type erasures struct {
	t      *testing.T
	all    []*system.System
	eraser *system.System // the last of all
	fronts []*front
	owner  string
	keys   system.Keys // may read and write
	tenant recording.Tenant
	due    int // how many erasures are to be asked for
	book   *book

	asked  atomic.Int64
	latest atomic.Uint64 // a head that the store has
	over   atomic.Bool   // nothing new is put or asked for
	ended  atomic.Bool   // nor read
	faults map[string]int
}

var buckets = []string{"calls", "kept"}

// front is a process that has S3 and the REST API, wherever it listens now.
type front struct {
	s *system.System

	mu      sync.RWMutex // guards the rest
	s3, api string
	clients map[string]client // by bucket
}

func newErasures(t *testing.T, all []*system.System, due int) *erasures {
	e := &erasures{t: t, all: all, eraser: all[len(all)-1], owner: all[0].OwnerToken(), due: due, book: newBook(t), faults: map[string]int{}}
	var list struct{ Tenants []struct{ ID string } }
	for _, step := range []struct {
		answer any
		args   []string
	}{
		{nil, []string{"tenant", "create", "acme"}},
		{nil, []string{"bucket", "create", "--tenant", "acme", "calls"}},
		{nil, []string{"bucket", "create", "--tenant", "acme", "kept", "--retention", "90d"}},
		{&e.keys, []string{"reader", "create", "--tenant", "acme", "all", "--bucket", "*", "--write"}},
		{&list, []string{"tenant", "list"}},
	} {
		if err := all[0].Lethe(step.answer, step.args...); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if e.tenant, err = recording.ParseTenant(list.Tenants[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.S3 != "" {
			f := &front{s: s}
			e.fronts = append(e.fronts, f)
			f.moved(e)
		}
	}
	return e
}

// moved takes up where a front listens after a start.
func (f *front) moved(e *erasures) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		c.close()
	}
	f.s3, f.api, f.clients = f.s.S3, f.s.API, map[string]client{}
	for _, bucket := range buckets {
		f.clients[bucket] = newClient(e.t, f.s.S3, e.keys, bucket)
	}
}

func (f *front) client(bucket string) client {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.clients[bucket]
}

func (f *front) at() (s3, api string) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.s3, f.api
}

func (e *erasures) anyFront() *front { return e.fronts[rand.N(len(e.fronts))] }

// run erases under faults until as many erasures were asked for as are due, and
// then sees what came of it, waiting for the certificates of the first ones.
func (e *erasures) run(certificates int) {
	var asking, reading sync.WaitGroup
	for range 3 {
		asking.Go(e.write)
		asking.Go(e.erase)
	}
	asking.Go(e.overhear)
	for _, f := range e.fronts {
		reading.Go(func() { e.read(f) })
		reading.Go(func() { e.read(f) })
	}
	reading.Go(e.watch)
	began := time.Now()
	time.Sleep(time.Second) // something has begun
	for n := 0; (e.asked.Load() < int64(e.due) || n < 5) && !e.t.Failed(); n++ {
		e.trouble(n)
		time.Sleep(rand.N(sized(e.t, time.Second, 3*time.Second, 3*time.Second)))
	}
	e.over.Store(true)
	asking.Wait()
	took := time.Since(began)
	e.certified(certificates)
	e.ended.Store(true)
	reading.Wait()
	e.complete()
	e.oneOpens()
	e.t.Logf("%d erasures asked for in %v under %v: %s", e.asked.Load(), took.Round(time.Second), e.faults, e.book)
}

// trouble befalls one part or two.
func (e *erasures) trouble(n int) {
	all := e.troubles()
	struck := map[int]bool{n % len(all): true}
	if n >= len(all) { // each was once
		struck = map[int]bool{rand.N(len(all)): true}
	}
	if rand.N(4) == 0 {
		struck[rand.N(len(all))] = true
	}
	var ups []func()
	for i, part := range all { // in the order in which they can start again
		if struck[i] {
			what := part[rand.N(len(part))]
			e.faults[what.name]++
			what.down()
			ups = append(ups, what.up)
		}
	}
	time.Sleep(rand.N(sized(e.t, time.Second, 3*time.Second, 3*time.Second)))
	for _, up := range ups {
		up()
	}
}

// trouble is what may befall a part, and its end.
type trouble struct {
	name     string
	down, up func()
}

// troubles are what may befall each part. Those that processes of Lethe need to
// start come first.
func (e *erasures) troubles() (all [][]trouble) {
	if s := e.all[0]; s.Store != nil {
		vault, database, store := func() { s.Vault.Start(e.t) }, func() { s.Postgres.Start(e.t) }, func() { s.Store.Start(e.t) }
		all = append(all,
			[]trouble{{"Vault killed", s.Vault.Kill, vault}, {"Vault stopped", s.Vault.Stop, vault}},
			[]trouble{{"database killed", s.Postgres.Kill, database}, {"database stopped", s.Postgres.StopImmediately, database}},
			[]trouble{{"store killed", s.Store.Kill, store}},
		)
	}
	for _, s := range e.all {
		killed := trouble{"Lethe killed", s.Kill, func() { e.start(s) }}
		part := []trouble{killed}
		if s == e.eraser {
			part = []trouble{killed, killed, e.paused(s)}
		}
		all = append(all, part)
	}
	return all
}

func (e *erasures) start(s *system.System) {
	s.Start()
	for _, f := range e.fronts {
		if f.s == s {
			f.moved(e)
		}
	}
}

// paused is a process that stands still, as a suspended machine does, and goes on
// as if nothing had been: for longer than its leases on epochs at times.
func (e *erasures) paused(s *system.System) trouble {
	send := func(sig syscall.Signal) {
		if err := syscall.Kill(s.PID(), sig); err != nil {
			e.t.Error(err)
		}
	}
	return trouble{"eraser paused", func() { send(syscall.SIGSTOP) }, func() {
		time.Sleep(rand.N(sized(e.t, time.Second, 8*time.Second, 8*time.Second)))
		send(syscall.SIGCONT)
	}}
}
