package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// unwrapOnly are the keys of a front: whatever else it tries fails the test.
type unwrapOnly struct {
	keytree.Provider
	t *testing.T
}

var errNoRight = errors.New("a front may only unwrap")

func (k unwrapOnly) refuse(what string) error {
	k.t.Errorf("a front asked its provider to %s", what)
	return errNoRight
}

func (k unwrapOnly) Create(context.Context, keytree.Root) error { return k.refuse("create") }
func (k unwrapOnly) Wrap(context.Context, keytree.Root, int, keytree.Key, []byte) ([]byte, error) {
	return nil, k.refuse("wrap")
}
func (k unwrapOnly) Rotate(context.Context, keytree.Root) (int, error) { return 0, k.refuse("rotate") }
func (k unwrapOnly) Retire(context.Context, keytree.Root, int) error   { return k.refuse("retire") }
func (k unwrapOnly) Destroy(context.Context, keytree.Root) error       { return k.refuse("destroy") }

// apart gives a front that may only unwrap, and starts the other roles.
func apart(t *testing.T) (front *gatewaytest.Fixture, start func(...gateway.Role) *gatewaytest.Fixture) {
	all := gatewaytest.New(t)
	all.Gateway.Close()
	start = func(roles ...gateway.Role) *gatewaytest.Fixture {
		return gatewaytest.On(t, all.Parts, func(c *gateway.Config) { c.Roles = roles })
	}
	parts := all.Parts
	parts.Keys = unwrapOnly{all.Keys, t}
	front = gatewaytest.On(t, parts, func(c *gateway.Config) { c.Roles = gateway.Roles{gateway.Front} })
	return front, start
}

// A front makes no key: it says so, or has it made by an eraser.
func TestTenantMadeAtAFront(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		front, start := apart(t)
		start(gateway.Sweeper)
		if _, _, err := front.CreateTenant(t.Context(), front.Operator(), "acme"); !errors.Is(err, recording.ErrNoEraser) {
			t.Fatalf("CreateTenant without an eraser: %v, want ErrNoEraser", err)
		}
		if left, err := front.Catalog.Plantings(t.Context(), 9, 0); err != nil || len(left) != 0 {
			t.Errorf("still asked for: %v, %v", left, err)
		}
		eraser := start(gateway.Eraser)
		recorder, reader := front.Pair("acme", gateway.BucketSettings{Name: calls})
		if _, err := front.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
		if got := read(t, eraser, reader, "a"); len(got) != 1000 {
			t.Errorf("%d bytes came back", len(got))
		}
	})
}

// A tenant that has a head is not planted again, whoever writes the catalog.
func TestPlantingOfAnOldTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		front, start := apart(t)
		start(gateway.Eraser)
		_, reader := front.Pair("acme", gateway.BucketSettings{Name: calls})
		row, err := front.Catalog.TenantByName(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		version, err := front.Keys.Versions(t.Context(), keytree.RootOf(row.ID))
		if err != nil {
			t.Fatal(err)
		}
		if err := front.Catalog.AskPlanting(t.Context(), catalog.Planting{Tenant: row.ID, AskedAt: time.Now()}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if waits, err := front.Catalog.Planting(t.Context(), row.ID); err != nil || waits {
			t.Errorf("the planting still waits: %v", err)
		}
		if now, err := front.Keys.Versions(t.Context(), keytree.RootOf(row.ID)); err != nil || now != version {
			t.Errorf("the root is at version %d, %v; it was at %d", now, err, version)
		}
		if _, err := front.Credential(t.Context(), reader.Who); err != nil {
			t.Errorf("Credential afterwards: %v", err)
		}
	})
}

// What is erased at a front is carried to its end by an eraser, and by the next
// one when that is killed.
func TestErasureAskedAtAFront(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		front, start := apart(t)
		first := start(gateway.Eraser)
		front.Tenant("acme")
		first.Gateway.Close()
		if in, err := front.EraseTenant(t.Context(), front.Operator(), "acme", "asked for"); err != nil || in.State != "erasing" {
			t.Fatalf("EraseTenant = %q, %v", in.State, err)
		}
		time.Sleep(5 * time.Minute)
		if got := state(t, front, "acme"); got != "erasing" {
			t.Fatalf("without an eraser the tenant is %q", got)
		}
		second := start(gateway.Eraser, gateway.Sweeper)
		time.Sleep(10 * time.Second) // its key is destroyed, and leases may last
		second.Gateway.Close()
		if got := state(t, front, "acme"); got != "erasing" {
			t.Fatalf("before leases can have ended the tenant is %q", got)
		}
		start(gateway.Eraser)
		time.Sleep(time.Minute)
		if got := state(t, front, "acme"); got != "erased" {
			t.Errorf("with an eraser the tenant is %q", got)
		}
	})
}

// A planting that fails, for whatever reason, keeps no other from being done.
func TestPlantingThatFailsKeepsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		front, start := apart(t)
		for range 10 { // more than are looked at together; their heads are damaged
			id := recording.NewTenant()
			if err := front.Blobs.Create(t.Context(), keytree.HeadKey(id, 0), strings.NewReader("head"), 4); err != nil {
				t.Fatal(err)
			}
			if err := front.Catalog.AskPlanting(t.Context(), catalog.Planting{Tenant: id, AskedAt: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		start(gateway.Eraser)
		if _, _, err := front.CreateTenant(t.Context(), front.Operator(), "acme"); err != nil {
			t.Fatalf("CreateTenant beside plantings that fail: %v", err)
		}
	})
}
