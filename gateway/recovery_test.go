package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// A replica that rolls forward another's change must not swallow its event.
func TestReplicasLoseNoEventOfAChange(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	replicas := []*gatewaytest.Fixture{f, gatewaytest.On(t, f.Parts), gatewaytest.On(t, f.Parts)}
	admin := f.Tenant("acme")
	const changes = 45
	var wg sync.WaitGroup
	for i := range changes {
		wg.Go(func() {
			g, name := replicas[i%len(replicas)], recording.Bucket(fmt.Sprintf("bucket-%d", i))
			err := recording.ErrUnavailable
			for errors.Is(err, recording.ErrUnavailable) {
				err = g.CreateBucket(t.Context(), g.Operator(), "acme", gateway.BucketSettings{Name: name})
			}
			if err != nil {
				t.Errorf("CreateBucket: %v", err)
			}
		})
	}
	wg.Wait()
	if n := allowed(events(t, f, admin, "bucket.create")); n != changes {
		t.Errorf("%d buckets were made, and %d events say so", changes, n)
	}
}

// Once its entry is durable a change has been made, even if its client was
// told that it failed: it bites at the next request and is in the log.
func TestRevocationThatFailedHalfwayBites(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			dir := t.TempDir()
			var reader gateway.Caller
			halfway := func(t *testing.T, f *gatewaytest.Fixture) {
				_, reader = f.Pair("acme", gateway.BucketSettings{Name: calls})
				mend := breakLog(t, f)
				if _, err := f.RevokeTenant(t.Context(), f.Operator(), "acme"); err == nil {
					t.Fatal("RevokeTenant succeeded without its event")
				}
				mend()
			}
			bites := func(t *testing.T, f *gatewaytest.Fixture) {
				if _, err := f.Credential(t.Context(), reader.Who); !errors.Is(err, recording.ErrTenantRevoked) {
					t.Errorf("first Credential after it: %v, want ErrTenantRevoked", err)
				}
				if n := allowed(events(t, f, reader, "tenant.revoke")); n != 1 {
					t.Errorf("%d events of the revocation, want 1", n)
				}
				if _, err := f.RestoreTenant(t.Context(), f.Operator(), "acme"); err != nil {
					t.Errorf("RestoreTenant: %v", err)
				}
				if _, err := f.Credential(t.Context(), reader.Who); err != nil {
					t.Errorf("Credential after restore: %v", err)
				}
			}
			if !restart {
				f := gatewaytest.In(t, dir)
				halfway(t, f)
				bites(t, f)
				return
			}
			t.Run("before", func(t *testing.T) { halfway(t, gatewaytest.In(t, dir)) })
			t.Run("after", func(t *testing.T) { bites(t, gatewaytest.In(t, dir)) })
		})
	}
}

// An operator who was told that a revocation failed, and restores, must not be
// surprised by it later.
func TestRestoreOverridesARevocationThatFailedHalfway(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	_, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mend := breakLog(t, f)
	if _, err := f.RevokeTenant(t.Context(), f.Operator(), "acme"); err == nil {
		t.Fatal("RevokeTenant succeeded without its event")
	}
	mend()
	if in, err := f.RestoreTenant(t.Context(), f.Operator(), "acme"); err != nil || in.State != "active" {
		t.Fatalf("RestoreTenant = %q, %v", in.State, err)
	}
	f.Bucket("acme", gateway.BucketSettings{Name: "more"})
	if _, err := f.Credential(t.Context(), reader.Who); err != nil {
		t.Errorf("Credential: %v: the restored tenant was revoked again by a bucket", err)
	}
}

// What is journalled must be readable again, or the tenant is lost with its
// catalog.
func TestEverySettingFitsTheJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var copied map[string][]byte
	t.Run("before", func(t *testing.T) { gatewaytest.In(t, dir).Tenant("acme") })
	copied = copyCatalog(t, dir)
	t.Run("later", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		long := gateway.BucketSettings{Name: "long", Purpose: strings.Repeat("p", 100_000)}
		if err := f.CreateBucket(t.Context(), f.Operator(), "acme", long); !errors.Is(err, recording.ErrSettings) {
			t.Errorf("CreateBucket with a purpose of 100 KB: %v, want ErrSettings", err)
		}
		loud := f.Operator()
		loud.Agent = strings.Repeat("a", 100_000)
		if err := f.CreateBucket(t.Context(), loud, "acme", gateway.BucketSettings{Name: calls}); err != nil {
			t.Errorf("CreateBucket by a client with a long name: %v", err)
		}
	})
	putBack(t, copied, dir)
	t.Run("restored", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		key, _ := f.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: string(calls)})
		if _, err := f.Gateway.Bucket(t.Context(), f.Caller(key), calls); err != nil {
			t.Errorf("Bucket after the catalog was rolled forward: %v", err)
		}
	})
}

// A client that goes away in the middle leaves nothing and is nobody's error.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	content := sound(1, 1<<20)
	u, body := gatewaytest.Upload(calls, "a", content), gated(content)
	u.Body = gatewaytest.NewBody(body)
	ctx, leave := context.WithCancel(t.Context())
	put := make(chan error, 1)
	go func() {
		_, err := f.Put(ctx, recorder, u)
		put <- err
	}()
	<-body.reached
	leave()
	close(body.open)
	if err := <-put; !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want context.Canceled", err)
	}
	if n := blobs(t, f, "recordings/"); n != 0 {
		t.Errorf("%d blobs remain", n)
	}
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", content)); err != nil {
		t.Errorf("Put again: %v", err)
	}
	f.Gateway.Close()
	if len(f.Log.String()) != 0 {
		t.Errorf("log:\n%s", f.Log)
	}
}

// Writers, and someone who revokes and restores, meet on two replicas: what
// was acknowledged is there, and nothing is taken for an incident.
func TestPutsRaceRevocations(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	replicas := []*gatewaytest.Fixture{f, gatewaytest.On(t, f.Parts)}
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	done := make(chan struct{})
	var flips, writers sync.WaitGroup
	for i, g := range replicas {
		flips.Go(func() {
			for n := i; ; n++ {
				change := g.RevokeTenant
				if n%2 == 1 {
					change = g.RestoreTenant
				}
				if _, err := change(t.Context(), g.Operator(), "acme"); err != nil && !errors.Is(err, recording.ErrUnavailable) {
					t.Errorf("change of state: %v", err)
				}
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	var mu sync.Mutex
	acknowledged := map[recording.Name]uint64{}
	for w := range 8 {
		writers.Go(func() {
			for i := range 25 {
				name, seed := recording.Name(fmt.Sprintf("%d/%d", w, i)), uint64(w*100+i)
				_, err := replicas[w%2].Put(t.Context(), recorder, gatewaytest.Upload(calls, name, sound(seed, 5000)))
				switch {
				case err == nil:
					mu.Lock()
					acknowledged[name] = seed
					mu.Unlock()
				case !errors.Is(err, recording.ErrTenantRevoked) && !errors.Is(err, recording.ErrUnavailable):
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	flips.Wait()
	if _, err := f.RestoreTenant(t.Context(), f.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
	for name, seed := range acknowledged {
		if got := read(t, f, reader, name); !bytes.Equal(got, sound(seed, 5000)) {
			t.Errorf("%s came back as other bytes", name)
		}
	}
	names, _ := pages(t, f, reader, gateway.Page{Max: 1000})
	if len(names) != len(acknowledged) || blobs(t, f, "recordings/") != len(acknowledged) {
		t.Errorf("%d acknowledged, %d listed, %d blobs", len(acknowledged), len(names), blobs(t, f, "recordings/"))
	}
	for _, g := range replicas {
		g.Gateway.Close()
		if strings.Contains(g.Log.String(), `"level":"ERROR"`) {
			t.Errorf("log:\n%s", g.Log)
		}
	}
}

// A put whose row cannot be written leaves nothing to see, even if its intent
// cannot be given up either.
func TestPutThatCannotBeCommitted(t *testing.T) {
	t.Parallel()
	for refused, left := range map[string]int{"= 'committed'": 0, "IN ('committed', 'aborted')": 1} {
		f := gatewaytest.New(t)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		execute(t, f.Dir, `CREATE TRIGGER refuse BEFORE UPDATE ON versions WHEN NEW.state `+refused+`
			BEGIN SELECT RAISE(ABORT, 'refused'); END`)
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err == nil {
			t.Errorf("state %s refused: Put succeeded", refused)
		}
		if n := blobs(t, f, "recordings/"); n != left {
			t.Errorf("state %s refused: %d blobs remain, want %d", refused, n, left)
		}
		execute(t, f.Dir, `DROP TRIGGER refuse`)
		if _, err := f.Open(t.Context(), reader, calls, "a"); !errors.Is(err, recording.ErrNotFound) {
			t.Errorf("state %s refused: Open: %v, want ErrNotFound", refused, err)
		}
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(2, 1000))); err != nil {
			t.Errorf("state %s refused: Put again: %v", refused, err)
		}
		if n := len(events(t, f, reader, "created")); n != 1 {
			t.Errorf("state %s refused: %d events of a creation, want 1", refused, n)
		}
	}
}

// A copy of the catalog from before an erasure was asked for: the entry in the
// journal goes on with the erasure as soon as a server starts, whoever asks.
func TestErasureIsTakenUpFromTheJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		f.Pair("acme", gateway.BucketSettings{Name: calls})
	})
	copied := copyCatalog(t, dir)
	t.Run("killed after the head", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		broken := gatewaytest.On(t, gatewaytest.Parts{
			Blobs: f.Blobs, Catalog: f.Catalog,
			Keys: &faultyKeys{Provider: f.Keys, destroy: func() error { return errKilled }},
		})
		if _, err := broken.EraseTenant(t.Context(), broken.Operator(), "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
		for blobs(t, f, "head/") < 2 {
			time.Sleep(10 * time.Millisecond)
		}
	})
	putBack(t, copied, dir)
	t.Run("restored", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		until(t, "the tenant is being erased", func() bool { return state(t, f, "acme") == "erasing" })
	})
}

// Who writes rows makes no admin: a token needs the tenant's keys too.
func TestTokenOfAForgedRowIsRefused(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	admin := f.Tenant("acme")
	hash := sha256.Sum256([]byte("lta_forged"))
	execute(t, f.Dir, `INSERT INTO tokens (hash, tenant, sealed, created_at) SELECT ?, tenant, sealed, created_at FROM tokens`, hash[:])
	if c, err := f.Token(t.Context(), gateway.NewSecret("lta_forged")); !errors.Is(err, recording.ErrIntegrity) {
		t.Errorf("Token of a forged row = %v of %v, %v; want ErrIntegrity", c.Kind, admin.Tenant, err)
	}
}
