package gateway_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
)

// failedOver is a gateway that another server of its catalog takes over from under, which
// has not heard of what was done since it was copied.
type failedOver struct {
	*gatewaytest.Fixture // on the server that fails
	recorder, reader     gateway.Caller
	primary              *servers.PostgresServer
	parts                gatewaytest.Parts // on either, of a process that goes on
}

// newFailedOver puts some recordings, and copies the catalog then.
func newFailedOver(t *testing.T, b gateway.BucketSettings, names ...recording.Name) (failedOver, *gatewaytest.Fixture) {
	t.Helper()
	f := failedOver{primary: servers.PostgreSQL(t)}
	dsn := f.primary.Database(t)
	f.parts = onPostgres(t, dsn)
	f.Fixture = gatewaytest.On(t, f.parts)
	f.recorder, f.reader = f.Pair("acme", b)
	mustPut(t, f.Fixture, f.recorder, "", names...)
	replica := f.primary.Replica(t)
	f.parts.Catalog = openPostgres(t, servers.Either(t, f.primary, replica, dsn))
	other := gatewaytest.On(t, f.parts)
	if got := read(t, other, f.reader, names[0]); len(got) != 1000 { // it has caught up
		t.Fatalf("read %d bytes", len(got))
	}
	return f, other
}

// patiently does what fails for as long as the catalog has no server.
func patiently(t *testing.T, do func() error) error {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := do()
		if !errors.Is(err, recording.ErrUnavailable) || time.Now().After(end) {
			return err
		}
	}
}

// A hold that the server which took over has not heard of forbids an erasure from the
// first request on.
func TestHoldOutlivesFailover(t *testing.T) {
	t.Parallel()
	f, other := newFailedOver(t, gateway.BucketSettings{Name: calls}, "held", "free")
	mustHold(t, f.Fixture, onRecording("held"))
	f.primary.Stop()
	err := patiently(t, func() error {
		_, err := other.EraseFor(t.Context(), other.Operator(), "acme", ofRecording("held"))
		return err
	})
	if !errors.Is(err, recording.ErrHeld) {
		t.Errorf("erase what is held: %v, want ErrHeld", err)
	}
	if _, err := other.EraseFor(t.Context(), other.Operator(), "acme", ofRecording("free")); err != nil {
		t.Errorf("erase what is not held: %v", err)
	}
}

// Nor does what is put under its name replace it.
func TestHeldIsKeptAfterFailover(t *testing.T) {
	t.Parallel()
	f, other := newFailedOver(t, gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace}, "held")
	mustHold(t, f.Fixture, onRecording("held"))
	was := versionOf(t, f.Fixture, f.reader, "held")
	f.primary.Stop()
	err := patiently(t, func() error {
		_, err := other.Put(t.Context(), f.recorder, gatewaytest.Upload(calls, "held", sound(2, 500)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.PunctureNow(t.Context(), tenantOf(t, other).ID); err != nil {
		t.Fatal(err)
	}
	if err := other.UnwrapRow(t.Context(), tenantOf(t, other), was); err != nil {
		t.Errorf("what is held, after its name was taken: %v", err)
	}
}

// A filing that the server which took over has not heard of is erased with its recording.
func TestErasureTakesFilingsThatAFailoverLost(t *testing.T) {
	t.Parallel()
	f, other := newFailedOver(t, gateway.BucketSettings{Name: calls, RetentionDays: 90}, "a", "kept")
	first := versionOf(t, f.Fixture, f.reader, "a")
	if err := f.Refile(t.Context(), first, keytree.Nobody, 90<<16|30_000); err != nil {
		t.Fatal(err)
	}
	filed := versionOf(t, f.Fixture, f.reader, "a")
	f.primary.Stop()
	var info gateway.ErasureInfo
	err := patiently(t, func() (err error) {
		info, err = other.EraseFor(t.Context(), other.Operator(), "acme", ofRecording("a"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	effective(t, other, info.ID)
	wantGone(t, other, "a", first)
	wantGone(t, other, "a where it was filed anew", filed)
	if got := read(t, other, f.reader, "kept"); len(got) != 1000 {
		t.Errorf("read %d bytes of what was kept", len(got))
	}
}

// So is one that an older copy of the catalog lacks, once a sweep has found it to be one.
func TestErasureTakesFilingsThatAnOlderCatalogLacks(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "a")
	older := gatewaytest.On(t, behind(t, f))
	if got := read(t, older, reader, "a"); len(got) != 1000 { // it has caught up
		t.Fatalf("read %d bytes", len(got))
	}
	if err := f.Refile(t.Context(), versionOf(t, f, reader, "a"), keytree.Nobody, 90<<16|30_000); err != nil {
		t.Fatal(err)
	}
	filed := versionOf(t, f, reader, "a")
	sweep(t, f)
	if r := sweep(t, older); !r.Restored {
		t.Fatalf("the sweep did %+v", r)
	}
	effective(t, older, erase(t, older, "a"))
	wantGone(t, older, "a where it was filed anew", filed)
}

// A filing whose author goes on where nobody has heard of it is not forgotten.
func TestFilingThatACatalogNeverHeardOf(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "a")
	parts := f.Parts
	parts.Blobs = faultyStore{f.Blobs, func(key string) error {
		if strings.HasPrefix(key, "refiled/") { // another server took over just now
			execute(t, f.Dir, `DELETE FROM filings`)
		}
		return nil
	}}
	g := gatewaytest.On(t, parts)
	if err := g.Refile(t.Context(), versionOf(t, g, reader, "a"), keytree.Nobody, 90<<16|30_000); !errors.Is(err, catalog.ErrMisfiled) {
		t.Fatalf("refile: %v, want ErrMisfiled", err)
	}
	filed := versionOf(t, f, reader, "a")
	if n := blobs(t, f, keytree.FilingKey(filed.Tenant, filed.Version, uint64(filed.Slots.Recording))); n != 1 {
		t.Error("it is not filed where the store has it")
	}
	effective(t, f, erase(t, f, "a"))
	wantGone(t, f, "a where it was filed anew", filed)
}
