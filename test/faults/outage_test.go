package faults_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

const (
	answersWithin  = 15 * time.Second // while a part is down
	recoversWithin = 10 * time.Second // once it is back
	leaseTime      = 30 * time.Second // keytree.LeaseTime
)

// outage is a part that a server loses, and what it cannot do without it.
type outage struct {
	name     string
	down, up func(*testing.T, *system.System)
	refused  []string // operations; the others may go on or be refused
	leased   bool     // nothing is refused before the tenant's lease has run out
}

var (
	everything = []string{"put new", "put again", "get", "get range", "head", "list"}
	contents   = []string{"put new", "get", "get range"}
)

var outages = []outage{
	{"database stopped",
		func(_ *testing.T, s *system.System) { s.Postgres.Stop() },
		func(t *testing.T, s *system.System) { s.Postgres.Start(t) },
		everything, false},
	{"database killed",
		func(_ *testing.T, s *system.System) { s.Postgres.Kill() },
		func(t *testing.T, s *system.System) { s.Postgres.Start(t) },
		everything, false},
	{"store stopped",
		func(_ *testing.T, s *system.System) { s.Store.Stop() },
		func(t *testing.T, s *system.System) { s.Store.Start(t) },
		contents, false},
	{"store killed",
		func(_ *testing.T, s *system.System) { s.Store.Kill() },
		func(t *testing.T, s *system.System) { s.Store.Start(t) },
		contents, false},
	{"Vault sealed",
		func(t *testing.T, s *system.System) { s.Vault.Seal(t) },
		func(t *testing.T, s *system.System) { s.Vault.Unseal(t) },
		everything, true},
	{"Vault killed",
		func(_ *testing.T, s *system.System) { s.Vault.Kill() },
		func(t *testing.T, s *system.System) { s.Vault.Start(t) },
		everything, true},
}

// TestOutages takes each part away from a server. It says that it is
// unavailable, never that something is missing, forbidden or erased, and works
// again by itself once the part is back.
func TestOutages(t *testing.T) {
	t.Parallel()
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			v := newVault(t)
			v.suffer(o)
			if t.Failed() {
				t.Log(v.s.Log())
			}
		})
	}
}

// suffer is one outage, from before it to after it.
func (v *vault) suffer(o outage) {
	if err := v.works(); err != nil {
		v.t.Fatalf("before the outage: %v", err)
	}
	upload := beginUpload(v.t, v.s, v.keys, "long.wav")
	o.down(v.t, v.s)
	if o.leased {
		v.lasts()
	}
	v.refuses(o)
	v.probe(false)
	v.finish(upload, o.leased)
	v.refuses(o)
	o.up(v.t, v.s)
	v.recovers()
	v.probe(true)
	if err := v.client.put(v.t.Context(), upload.name, upload.content); err != nil {
		v.t.Errorf("upload that was under way, sent again: %v", err)
	}
	v.sent[upload.name], v.kept[upload.name] = upload.content, upload.content
	v.complete()
	v.nothingErased()
}

// vault is a server with the recording a.wav.
type vault struct {
	t        *testing.T
	s        *system.System
	keys     system.Keys // may read and write anything of the tenant
	stored   content     // a.wav
	client   client
	leasedAt time.Time          // shortly before the tenant's key was leased
	sent     map[string]content // all uploads, by name
	kept     map[string]content // those that were acknowledged
}

func newVault(t *testing.T) *vault {
	v := &vault{t: t, s: system.Scaled(t), stored: newContent(1_000_000), sent: map[string]content{}, kept: map[string]content{}}
	v.s.Pair("acme", "calls")
	err := v.s.Lethe(&v.keys, "reader", "create", "--tenant", "acme", "all", "--bucket", "*", "--write")
	if err != nil {
		t.Fatal(err)
	}
	v.s.Stop()
	v.s.ReachStoreDirectly()
	v.s.Start()
	v.leasedAt = time.Now()
	v.client = newClient(t, v.s.S3, v.keys, "calls")
	if err := v.client.put(t.Context(), "a.wav", v.stored); err != nil {
		t.Fatal(err)
	}
	v.sent["a.wav"], v.kept["a.wav"] = v.stored, v.stored
	return v
}

// operation is one of the things clients do all the time.
type operation struct {
	name    string
	request *http.Request
	status  int       // when it works
	body    io.Reader // when it works; nil is not looked at
	done    func()    // called when it has worked
}

func (v *vault) operations() []operation {
	fresh, name := newContent(300_000), fmt.Sprintf("%d.wav", len(v.sent))
	v.sent[name] = fresh
	list := []operation{
		{"put new", newRequest(v.t, "PUT", v.s.S3+"/calls/"+name, &fresh), 200, nil, func() { v.kept[name] = fresh }},
		{"put again", newRequest(v.t, "PUT", v.s.S3+"/calls/a.wav", &v.stored), 200, nil, func() {}},
		{"get", newRequest(v.t, "GET", v.s.S3+"/calls/a.wav", nil), 200, v.stored.reader(), func() {}},
		{"get range", newRequest(v.t, "GET", v.s.S3+"/calls/a.wav", nil), 206, v.stored.span(500_000, 100_000), func() {}},
		{"head", newRequest(v.t, "HEAD", v.s.S3+"/calls/a.wav", nil), 200, nil, func() {}},
		{"list", newRequest(v.t, "GET", v.s.S3+"/calls?list-type=2", nil), 200, nil, func() {}},
	}
	list[3].request.Header.Set("Range", "bytes=500000-599999")
	for _, op := range list {
		sign(v.t, op.request, v.keys)
	}
	return list
}

var errUnavailable = errors.New("answered that the vault is unavailable")

// do sends an operation's request. nil: it worked. errUnavailable: it was
// refused as an outage should be.
func (v *vault) do(op operation) error {
	began := time.Now()
	a := within(op.request, answersWithin)
	if a.err != nil {
		return fmt.Errorf("%s: no answer after %v: %w", op.name, time.Since(began), a.err)
	}
	if a.status == http.StatusServiceUnavailable {
		return v.unavailable(op.name, a)
	}
	if a.status != op.status {
		return fmt.Errorf("%s: answer %d %q", op.name, a.status, a.body)
	}
	if op.body != nil {
		if err := equals(strings.NewReader(a.body), op.body); err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
	}
	op.done()
	return nil
}

// unavailable gives errUnavailable if a is all that S3 clients need to try again.
func (v *vault) unavailable(what string, a answer) error {
	if a.header.Get("Retry-After") == "" || a.header.Get("X-Amz-Request-Id") == "" {
		return fmt.Errorf("%s: 503 without Retry-After or a request id: %v", what, a.header)
	}
	if what != "head" && a.code(v.t) != "ServiceUnavailable" {
		return fmt.Errorf("%s: answer %q", what, a.body)
	}
	return fmt.Errorf("%s: %w", what, errUnavailable)
}

// works reports whether everything works.
func (v *vault) works() error {
	for _, op := range v.operations() {
		if err := v.do(op); err != nil {
			return err
		}
	}
	return nil
}

// lasts checks that everything goes on while the lease does, and waits until
// it has run out.
func (v *vault) lasts() {
	v.t.Helper()
	for time.Since(v.leasedAt) < leaseTime-2*time.Second {
		if err := v.works(); err != nil {
			v.t.Fatalf("%v into the lease: %v", time.Since(v.leasedAt), err)
		}
		time.Sleep(time.Second)
	}
	for err := v.works(); !errors.Is(err, errUnavailable); err = v.works() {
		cut := errors.Is(err, io.ErrUnexpectedEOF) // a download ends with the lease
		if err != nil && !cut || time.Since(v.leasedAt) > leaseTime+5*time.Second {
			v.t.Fatalf("%v into the lease: %v", time.Since(v.leasedAt), err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// refuses checks that the outage is met by saying so.
func (v *vault) refuses(o outage) {
	v.t.Helper()
	began := time.Now()
	for _, op := range v.operations() {
		err := v.do(op)
		if err == nil && slices.Contains(o.refused, op.name) {
			v.t.Errorf("%s works", op.name)
		}
		if err != nil && !errors.Is(err, errUnavailable) {
			v.t.Error(err)
		}
	}
	v.t.Logf("every operation answered in %v", time.Since(began).Round(time.Millisecond))
}

// recovers waits until everything works.
func (v *vault) recovers() {
	v.t.Helper()
	began := time.Now()
	for err := v.works(); err != nil; err = v.works() {
		if !errors.Is(err, errUnavailable) {
			v.t.Errorf("while the part comes back: %v", err)
		}
		if time.Since(began) > recoversWithin {
			v.t.Fatalf("after %v: %v", time.Since(began), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	v.t.Logf("works again after %v", time.Since(began).Round(time.Millisecond))
}

// probe checks what /readyz says, which may lag by a few seconds.
func (v *vault) probe(ready bool) {
	v.t.Helper()
	want := http.StatusServiceUnavailable
	if ready {
		want = http.StatusOK
	}
	var a answer
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if a = within(newRequest(v.t, "GET", v.s.Ops+"/readyz", nil), answersWithin); a.status == want {
			return
		}
	}
	v.t.Errorf("/readyz: %d %v, want %d", a.status, a.err, want)
}

// finish ends an upload that was under way. It must fail as everything else
// does, unless what is down was needed at its beginning only.
func (v *vault) finish(u halfUpload, mayWork bool) {
	v.t.Helper()
	a := u.end()
	switch {
	case a.err != nil:
		v.t.Errorf("upload under way: %v", a.err)
	case a.status == http.StatusServiceUnavailable:
		if err := v.unavailable("upload under way", a); !errors.Is(err, errUnavailable) {
			v.t.Error(err)
		}
	case a.status != http.StatusOK || !mayWork:
		v.t.Errorf("upload under way: answer %d %q", a.status, a.body)
	}
}

// complete checks that everything acknowledged is whole, and that nothing is
// listed but what is whole.
func (v *vault) complete() {
	v.t.Helper()
	listed, err := v.client.list(v.t.Context(), "")
	if err != nil {
		v.t.Fatal(err)
	}
	for name := range v.kept {
		if _, ok := listed[name]; !ok {
			v.t.Errorf("%s was acknowledged and is not listed", name)
		}
	}
	for name := range listed {
		if err := v.client.check(v.t.Context(), name, v.sent[name]); err != nil {
			v.t.Errorf("%s: %v", name, err)
		}
	}
	v.t.Logf("%d uploads acknowledged, %d listed, %d sent; %+v", len(v.kept), len(listed), len(v.sent), v.s.Stored())
}

// nothingErased checks that no part that was missing was taken for an erasure.
func (v *vault) nothingErased() {
	v.t.Helper()
	var answer struct{ Tenants []struct{ State string } }
	if err := v.s.Lethe(&answer, "tenant", "list"); err != nil || len(answer.Tenants) != 1 || answer.Tenants[0].State != "active" {
		v.t.Errorf("tenants: %+v, %v", answer, err)
	}
	for _, word := range []string{"erased", "incident", "key is gone"} {
		if strings.Contains(v.s.Log(), word) {
			v.t.Errorf("the log speaks of %q", word)
		}
	}
}
