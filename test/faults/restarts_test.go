package faults_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// TestDatabaseRestarts restarts PostgreSQL again and again while recorders upload:
// in order, and as if it had crashed. Nothing acknowledged is lost, refusals ask
// to come back, and uploads work again soon after.
func TestDatabaseRestarts(t *testing.T) {
	t.Parallel()
	r := &restarted{t: t, s: system.Scaled(t), kept: map[string]string{}}
	r.s.Pair("acme", "calls")
	if err := r.s.Lethe(&r.keys, "reader", "create", "--tenant", "acme", "all", "--bucket", "calls", "--write"); err != nil {
		t.Fatal(err)
	}
	r.client = newClient(t, r.s.S3, r.keys, "calls")
	stop := r.load()
	for n := range sized(t, 4, 30, 100) {
		time.Sleep(500 * time.Millisecond)
		if n%2 == 0 {
			r.s.Postgres.Stop()
		} else {
			r.s.Postgres.StopImmediately()
		}
		r.s.Postgres.Start(t)
		r.works()
	}
	stop()
	r.complete()
	t.Logf("%d uploads acknowledged, %d refused; works again after %v at most", r.acknowledged, r.refused, r.slowest.Round(time.Millisecond))
	if t.Failed() {
		t.Log(r.s.Log())
	}
}

// restarted is a server whose database is restarted.
type restarted struct {
	t      *testing.T
	s      *system.System
	keys   system.Keys
	client client

	mu                    sync.Mutex // guards the rest
	kept                  map[string]string
	serial                int
	acknowledged, refused int
	slowest               time.Duration
}

// load uploads until it is stopped.
func (r *restarted) load() (stop func()) {
	done := make(chan struct{})
	var uploading sync.WaitGroup
	for range 8 {
		uploading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					r.put()
				}
			}
		})
	}
	return func() {
		close(done)
		uploading.Wait()
	}
}

// put uploads one recording, and reports whether it was acknowledged.
func (r *restarted) put() bool {
	r.mu.Lock()
	r.serial++
	name := spokenName(r.serial)
	r.mu.Unlock()
	err := r.client.putSpoken(r.t.Context(), name)
	status, code := refusal(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.acknowledged++
		r.kept[name] = ""
		return true
	}
	r.refused++
	if !slices.Contains([]string{"ServiceUnavailable", "SlowDown", "InternalError"}, code) {
		r.t.Errorf("%s is refused with %d %s: %v", name, status, code, err)
	}
	return false
}

// works waits until an upload is acknowledged.
func (r *restarted) works() {
	r.t.Helper()
	began := time.Now()
	for !r.put() {
		if time.Since(began) > 3*recoversWithin {
			r.t.Fatalf("no upload works %v after the database is back\n%s", time.Since(began), r.s.Log())
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(began)
	r.slowest = max(r.slowest, took)
	if took > recoversWithin {
		r.t.Errorf("works again only after %v", took)
	}
}

// complete reads and lists what was acknowledged.
func (r *restarted) complete() {
	listed, err := r.client.list(r.t.Context(), "")
	if err != nil {
		r.t.Fatal(err)
	}
	for name := range r.kept {
		if _, ok := listed[name]; !ok {
			r.t.Errorf("%s was acknowledged and is not listed", name)
		}
	}
	for name := range listed {
		if err := r.client.isSpoken(r.t.Context(), name); err != nil {
			r.t.Errorf("%s: %v", name, err)
		}
	}
}
