package gateway_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// The provider's word alone never makes an erasure.
func TestProviderThatForgetsIsAnIncident(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	for said, want := range map[error]error{
		keytree.ErrForgotten:   recording.ErrIncident,
		keytree.ErrRolledBack:  recording.ErrIncident,
		keytree.ErrBind:        recording.ErrIncident,
		keytree.ErrUnavailable: recording.ErrUnavailable,
	} {
		var mended atomic.Bool
		keys := &faultyKeys{Provider: f.Keys, unwrap: func() error {
			if mended.Load() {
				return nil
			}
			return said
		}}
		g := gatewaytest.On(t, gatewaytest.Parts{Blobs: f.Blobs, Catalog: f.Catalog, Keys: keys})
		if _, err := g.Credential(t.Context(), reader.Who); !errors.Is(err, want) {
			t.Errorf("Credential when the provider says %v: %v, want %v", said, err, want)
		}
		if _, err := g.Open(t.Context(), reader, calls, "a"); !errors.Is(err, want) {
			t.Errorf("Open when the provider says %v: %v, want %v", said, err, want)
		}
		mended.Store(true)
		if got := read(t, g, reader, "a"); !bytes.Equal(got, sound(1, 1000)) {
			t.Errorf("after the provider said %v the recording is another", said)
		}
	}
}

// Whoever can write to the catalog must gain nothing by giving one tenant the
// keys of another.
func TestHeadOfAnotherTenantIsAnIncident(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	_, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	f.Tenant("mallory")
	execute(t, f.Dir, `UPDATE tenants SET head = (SELECT head FROM tenants WHERE name = 'mallory') WHERE name = 'acme'`)
	if _, err := f.Credential(t.Context(), reader.Who); !errors.Is(err, recording.ErrIncident) {
		t.Errorf("Credential under another tenant's head: %v, want ErrIncident", err)
	}
}

// erasureFaults keep an erasure from going past a step, for as long as the
// parts they give are used.
var erasureFaults = map[string]func(*testing.T, *gatewaytest.Fixture) gatewaytest.Parts{
	"before the head": func(_ *testing.T, f *gatewaytest.Fixture) gatewaytest.Parts {
		p := f.Parts
		p.Blobs = faultyStore{f.Blobs, func(key string) error {
			if strings.HasPrefix(key, "head/") {
				return errKilled
			}
			return nil
		}}
		return p
	},
	"before the key": func(_ *testing.T, f *gatewaytest.Fixture) gatewaytest.Parts {
		p := f.Parts
		p.Keys = &faultyKeys{Provider: f.Keys, destroy: func() error { return errKilled }}
		return p
	},
	"after the key": func(t *testing.T, f *gatewaytest.Fixture) gatewaytest.Parts {
		p := f.Parts
		p.Keys = &faultyKeys{Provider: f.Keys, destroy: func() error {
			row, err := f.Catalog.TenantByName(t.Context(), "acme")
			return errors.Join(err, f.Keys.Destroy(t.Context(), keytree.RootOf(row.ID)), errKilled)
		}}
		return p
	},
	"before the catalog": func(t *testing.T, f *gatewaytest.Fixture) gatewaytest.Parts {
		execute(t, f.Dir, `CREATE TRIGGER refuse BEFORE UPDATE ON tenants WHEN NEW.state = 'erased'
			BEGIN SELECT RAISE(ABORT, 'killed here'); END`)
		return f.Parts
	},
}

var errKilled = errors.New("killed here")

// An erasure is killed at every step, and taken up by the next process.
func TestErasureKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for step, broken := range erasureFaults {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { killErasure(t, broken) })
		})
	}
}

func killErasure(t *testing.T, broken func(*testing.T, *gatewaytest.Fixture) gatewaytest.Parts) {
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	_, other := f.Pair("other", gateway.BucketSettings{Name: calls})
	f.Gateway.Close()
	killed := gatewaytest.On(t, broken(t, f))
	in, err := killed.EraseTenant(t.Context(), killed.Operator(), "acme", "asked for")
	if err != nil || in.State != "erasing" {
		t.Fatalf("EraseTenant = %q, %v", in.State, err)
	}
	salt := in.Erasure.Salt
	time.Sleep(2 * time.Minute)
	if got := state(t, killed, "acme"); got != "erasing" {
		t.Fatalf("tenant is %q though its erasure cannot end", got)
	}
	if _, err := killed.Credential(t.Context(), recorder.Who); !errors.Is(err, recording.ErrTenantErased) {
		t.Errorf("Credential meanwhile: %v, want ErrTenantErased", err)
	}
	killed.Gateway.Close()
	if strings.Contains(killed.Log.String(), "not what its head says") {
		t.Errorf("an erasure is reported as an incident:\n%s", killed.Log)
	}
	execute(t, f.Dir, `DROP TRIGGER IF EXISTS refuse`)
	next := gatewaytest.On(t, f.Parts)
	time.Sleep(time.Minute)
	if got := state(t, next, "acme"); got != "erased" {
		t.Errorf("tenant is %q a minute after the restart", got)
	}
	tenantCertificate(t, next, "acme", salt)
	if _, err := next.Stat(t.Context(), other, calls, "a"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("Stat of another tenant: %v, want ErrNotFound", err)
	}
}

// Replicas drive one erasure at the same time; the first to see it is not the
// only one.
func TestReplicasDriveOneErasure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := gatewaytest.New(t)
		f.Tenant("acme")
		other := gatewaytest.On(t, f.Parts)
		var wg sync.WaitGroup
		salts := make(chan claim.Salt, 4)
		for _, g := range []*gatewaytest.Fixture{f, other, f, other} {
			wg.Go(func() {
				in, err := g.EraseTenant(t.Context(), g.Operator(), "acme", "asked for")
				if err != nil && !errors.Is(err, recording.ErrTenantErased) {
					t.Errorf("EraseTenant: %v", err)
				}
				if in.Erasure.Salt != (claim.Salt{}) {
					salts <- in.Erasure.Salt
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Minute)
		if got := state(t, f, "acme"); got != "erased" || len(salts) != 1 {
			t.Errorf("tenant is %q after a minute, and %d were told a salt", got, len(salts))
		}
		tenantCertificate(t, other, "acme", <-salts)
		for _, g := range []*gatewaytest.Fixture{f, other} {
			g.Gateway.Close()
			if strings.Contains(g.Log.String(), `"level":"ERROR"`) {
				t.Errorf("replicas hurt each other:\n%s", g.Log)
			}
		}
	})
}

// A put whose tenant is erased under it leaves nothing, and is not taken for
// an incident.
func TestPutDuringErasure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := gatewaytest.New(t)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		content := sound(1, 1<<20)
		u, body := gatewaytest.Upload(calls, "a", content), gated(content)
		u.Body = gatewaytest.NewBody(body)
		put := make(chan error, 1)
		go func() {
			_, err := f.Put(t.Context(), recorder, u)
			put <- err
		}()
		<-body.reached
		if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // its key is destroyed
		close(body.open)
		if err := <-put; !errors.Is(err, recording.ErrTenantErased) {
			t.Errorf("Put: %v, want ErrTenantErased", err)
		}
		if n := blobs(t, f, "recordings/"); n != 0 {
			t.Errorf("%d blobs remain", n)
		}
		f.Gateway.Close()
		if strings.Contains(f.Log.String(), `"level":"ERROR"`) {
			t.Errorf("log:\n%s", f.Log)
		}
	})
}

// A refusal of an admin is logged while the tenant is being erased, and its
// missing key is not taken for an incident.
func TestRefusalWhileErasing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := gatewaytest.New(t)
		_, token, err := f.CreateTenant(t.Context(), f.Operator(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		before, err := f.Token(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.EraseTenant(t.Context(), before, "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // its key is destroyed
		during, err := f.Token(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		for _, admin := range []gateway.Caller{before, during} {
			if _, _, err := f.CreateTenant(t.Context(), admin, "mine"); !errors.Is(err, recording.ErrDenied) {
				t.Errorf("CreateTenant by an admin: %v, want ErrDenied", err)
			}
		}
		if n := len(events(t, f, before, "tenant.create")); n != 3 {
			t.Errorf("%d events, want the creation and 2 refusals", n)
		}
		f.Gateway.Close()
		if strings.Contains(f.Log.String(), `"level":"ERROR"`) {
			t.Errorf("log:\n%s", f.Log)
		}
	})
}

// Who writes rows destroys no key: an erasure must stand in the journal, and a
// head that opens nothing is no reason not to read it there.
func TestErasureThatNobodyAskedForIsRefused(t *testing.T) {
	t.Parallel()
	for forged, head := range map[string]func(*keytree.Head){
		"the state alone": func(*keytree.Head) {},
		"a head that says erased": func(h *keytree.Head) {
			h.Kind, h.Version, h.Wrapped = keytree.HeadErased, 0, nil
		},
		"a head of another key": func(h *keytree.Head) { h.Wrapped[len(h.Wrapped)-1] ^= 1 },
	} {
		t.Run(forged, func(t *testing.T) { refuseForged(t, head) })
	}
}

func refuseForged(t *testing.T, forge func(*keytree.Head)) {
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	row, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	head, err := keytree.ParseHead(row.Head)
	if err != nil {
		t.Fatal(err)
	}
	forge(&head)
	execute(t, f.Dir, `UPDATE tenants SET state = 'erasing', head = ?`, head.Marshal())
	until(t, "the alarm", func() bool {
		if _, err := f.Keys.Versions(t.Context(), keytree.RootOf(row.ID)); err != nil {
			t.Fatalf("the tenant's root: %v", err)
		}
		return strings.Contains(f.Log.String(), "its journal does not")
	})
	if n := blobs(t, f, "head/"); n != 1 {
		t.Errorf("%d heads, want the first alone", n)
	}
	execute(t, f.Dir, `UPDATE tenants SET state = 'active', head = ?`, row.Head)
	if _, err := f.Open(t.Context(), f.Caller(reader.Who), calls, "a"); err != nil {
		t.Errorf("Open once the row says the truth again: %v", err)
	}
}

// A row that whoever writes the catalog has made up, of a slot that is never punctured,
// keeps no erasure from its end.
func TestForgedTombstoneStopsNoErasure(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "gone", "kept")
	was := versionOf(t, f, reader, "gone")
	execute(t, f.Dir, `INSERT INTO punctures (tenant, tree, slot, since) SELECT id, 2, 0, 0 FROM tenants`)
	execute(t, f.Dir, `INSERT INTO punctures (tenant, tree, slot, since) SELECT id, 9, -1, 0 FROM tenants`)
	effective(t, f, erase(t, f, "gone"))
	wantGone(t, f, "what was erased", was)
	if got := read(t, f, reader, "kept"); len(got) != 1000 {
		t.Errorf("read %d bytes of what was kept", len(got))
	}
}
