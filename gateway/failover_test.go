package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
)

// openPostgres opens a catalog for as long as the test lasts.
func openPostgres(t *testing.T, dsn string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// onPostgres gives parts whose catalog is there, and the rest in a directory.
func onPostgres(t *testing.T, dsn string) gatewaytest.Parts {
	t.Helper()
	dir := t.TempDir()
	blobs, err := filestore.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := localkeys.New(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close(); keys.Close() })
	return gatewaytest.Parts{Blobs: blobs, Catalog: openPostgres(t, dsn), Keys: keys}
}

// A standby took over that had not heard of the last commits, no sweep since: it
// has an upload open that was acknowledged, and its blob is not deleted.
func TestSweepAfterFailover(t *testing.T) {
	t.Parallel()
	primary := servers.PostgreSQL(t)
	dsn := primary.Database(t)
	parts := onPostgres(t, dsn)
	f := gatewaytest.On(t, parts)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	sweep(t, f)
	replica, content := putAcross(t, f, recorder, primary)
	if got := read(t, f, reader, "across"); !bytes.Equal(got, content) {
		t.Fatal("other bytes came back")
	}
	parts.Catalog = openPostgres(t, replica.At(t, dsn))
	s := gatewaytest.On(t, parts, sweeping(1))
	if r := sweep(t, s); !r.Restored || r.Held != 1 || r.Puts.Found != 0 {
		t.Errorf("the first sweep did %+v", r)
	}
	for range 3 {
		sweep(t, s)
	}
	if n := blobs(t, s, "recordings/"); n != 1 {
		t.Errorf("%d blobs, want the one that was acknowledged", n)
	}
}

// putAcross puts a recording of which the replica it gives knows only that it was
// begun.
func putAcross(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, primary *servers.PostgresServer) (*servers.PostgresServer, []byte) {
	t.Helper()
	content := sound(1, 1<<20)
	u, body := gatewaytest.Upload(calls, recording.Name("across"), content), gated(content)
	u.Body = gatewaytest.NewBody(body)
	put := make(chan error, 1)
	go func() { // ends with its body
		_, err := f.Put(t.Context(), c, u)
		put <- err
	}()
	<-body.reached
	replica := primary.Replica(t)
	close(body.open)
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	return replica, content
}

// A standby took over that had not heard of a revocation: it is read in the
// store's journal, by a process that goes on.
func TestRevocationOutlivesFailover(t *testing.T) {
	t.Parallel()
	primary := servers.PostgreSQL(t)
	dsn := primary.Database(t)
	parts := onPostgres(t, dsn)
	f := gatewaytest.On(t, parts)
	_, revoked := f.Pair("acme", gateway.BucketSettings{Name: calls})
	_, erased := f.Pair("other", gateway.BucketSettings{Name: calls})
	replica := primary.Replica(t)
	parts.Catalog = openPostgres(t, servers.Either(t, primary, replica, dsn))
	g := gatewaytest.On(t, parts)
	for _, reader := range []gateway.Caller{revoked, erased} {
		if _, err := g.Stat(t.Context(), g.Caller(reader.Who), calls, "a"); !errors.Is(err, recording.ErrNotFound) {
			t.Fatal(err) // but the tenant is known to be current
		}
	}
	if _, err := g.RevokeTenant(t.Context(), g.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.EraseTenant(t.Context(), f.Operator(), "other", "asked for"); err != nil {
		t.Fatal(err)
	}
	primary.Stop()
	for reader, want := range map[string]error{revoked.Who: recording.ErrTenantRevoked, erased.Who: recording.ErrTenantErased} {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			_, err := g.Credential(t.Context(), reader)
			if errors.Is(err, want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("Credential = %v, want %v\n%s", err, want, g.Log)
			}
		}
	}
}

// One replica erases what another streams: the stream ends within the bound that
// is promised, and neither opens it again.
func TestTwoReplicasForget(t *testing.T) {
	t.Parallel()
	parts := onPostgres(t, servers.PostgreSQL(t).Database(t))
	one, other := gatewaytest.On(t, parts), gatewaytest.On(t, parts)
	recorder, reader := one.Pair("acme", gateway.BucketSettings{Name: calls})
	long := sound(1, 32<<20)
	for name, content := range map[recording.Name][]byte{"gone": long, "kept": long[:1000]} {
		if _, err := one.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, content)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := other.Open(t.Context(), reader, calls, "gone")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body, err := r.Range(t.Context(), 0, int64(len(long)))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	ended := make(chan error, 1)
	go func() { ended <- dribble(body) }()
	info, err := one.EraseFor(t.Context(), one.Operator(), "acme",
		gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: "gone", All: true}, Reason: "asked for"})
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := time.Now()
	for _, f := range []*gatewaytest.Fixture{one, other} {
		if _, err := f.Open(t.Context(), reader, calls, "gone"); !errors.Is(err, recording.ErrNotFound) {
			t.Errorf("Open: %v, want ErrNotFound", err)
		}
	}
	select {
	case err := <-ended:
		if !errors.Is(err, recording.ErrErased) {
			t.Errorf("the stream ended with %v, want ErrErased", err)
		}
		t.Logf("the stream ended after %v", time.Since(acknowledged).Round(time.Millisecond))
	case <-time.After(time.Minute):
		t.Fatal("the stream goes on")
	}
	until(t, "the erasure is effective", func() bool {
		info, err = other.Erasure(t.Context(), other.Operator(), info.ID)
		return err == nil && info.State == "effective"
	})
	for _, f := range []*gatewaytest.Fixture{one, other} {
		if got := read(t, f, reader, "kept"); len(got) != 1000 {
			t.Errorf("%d bytes of what was kept", len(got))
		}
	}
}

// dribble reads slowly, so that a stream outlasts what ends it.
func dribble(r io.Reader) error {
	for b := make([]byte, 64<<10); ; time.Sleep(50 * time.Millisecond) {
		if _, err := r.Read(b); err != nil {
			return err
		}
	}
}
