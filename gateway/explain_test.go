package gateway_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

func events(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, action string) (out []audit.Record) {
	t.Helper()
	all, err := f.Catalog.Events(t.Context(), c.Tenant, time.Time{}, time.Now().Add(time.Hour), 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Action == action {
			out = append(out, e)
		}
	}
	return out
}

func TestEveryAccessIsExplained(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	reader.From, reader.Request = "192.0.2.7", "REQUEST1"
	in, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // seeking
		r, err := f.Open(t.Context(), reader, calls, "a")
		if err != nil {
			t.Fatal(err)
		}
		span(t, r, int64(i)*100, 50)
	}
	opened := events(t, f, reader, "open")
	if len(opened) != 1 {
		t.Fatalf("100 seeks made %d events, want the one that grants the session", len(opened))
	}
	e := opened[0]
	if e.Who != reader.Who || e.Recording != in.ID || e.Version != in.Version || e.Outcome != audit.Allowed || e.Request != "REQUEST1" || e.Sealed == nil {
		t.Errorf("event = %+v", e.Event)
	}
	elsewhere := reader
	elsewhere.From = "192.0.2.8"
	if _, err := f.Open(t.Context(), elsewhere, calls, "a"); err != nil {
		t.Fatal(err)
	}
	if n := len(events(t, f, reader, "open")); n != 2 {
		t.Errorf("another workstation: %d events, want 2", n)
	}
	f.Open(t.Context(), reader, calls, "missing")
	f.Open(t.Context(), recorder, calls, "a")
	reasons := map[string]int{}
	for _, e := range events(t, f, reader, "open") {
		reasons[string(e.Outcome)+" "+e.Reason]++
	}
	if reasons["denied not-found"] != 1 || reasons["denied wrong-kind"] != 1 {
		t.Errorf("outcomes = %v, want a refusal of each kind", reasons)
	}
	if len(events(t, f, reader, "put")) != 1 || len(events(t, f, reader, "created")) != 1 {
		t.Error("the put is not explained by one decision and one creation")
	}
}

func TestServedRangesAreLogged(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1<<20))); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(t.Context(), reader, calls, "a")
	if err != nil {
		t.Fatal(err)
	}
	span(t, r, 0, 1000)
	span(t, r, 1000, 1000)
	span(t, r, 500_000, 7)
	f.FlushSessions(t.Context())
	served := events(t, f, reader, "served")
	if len(served) != 1 {
		t.Fatalf("%d events of what was served, want 1", len(served))
	}
	e := f.Unseal(served[0])
	if got := e.Detail.Ranges; len(got) != 2 || got[0] != (audit.Range{Off: 0, Len: 2000}) || got[1] != (audit.Range{Off: 500_000, Len: 7}) {
		t.Errorf("ranges = %v", got)
	}
}

// breakLog makes the database refuse events, as a full disk or a lost
// privilege would, and gives what undoes it.
func breakLog(t *testing.T, f *gatewaytest.Fixture) (mend func()) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(f.Dir, "catalog.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	exec := func(q string) {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no events'); END`)
	return func() { exec(`DROP TRIGGER refuse`) }
}

func TestNothingIsServedWhenTheLogCannotBeWritten(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	mend := breakLog(t, f)
	for name, do := range map[string]func() error{
		"open":   func() error { _, err := f.Open(t.Context(), reader, calls, "a"); return err },
		"stat":   func() error { _, err := f.Stat(t.Context(), reader, calls, "a"); return err },
		"list":   func() error { _, err := f.List(t.Context(), reader, calls, gateway.Page{Max: 1}); return err },
		"put":    func() error { _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "b", nil)); return err },
		"refuse": func() error { _, err := f.Open(t.Context(), recorder, calls, "a"); return err },
		"revoke": func() error { _, err := f.RevokeTenant(t.Context(), f.Operator(), "acme"); return err },
	} {
		if err := do(); err == nil || errors.Is(err, recording.ErrDenied) || errors.Is(err, recording.ErrNotFound) {
			t.Errorf("%s while the log cannot be written: %v, want a failure of ours", name, err)
		}
	}
	mend()
	if _, err := f.Open(t.Context(), reader, calls, "b"); !errors.Is(err, recording.ErrTenantRevoked) && !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("Open of what was never logged: %v", err)
	}
}
