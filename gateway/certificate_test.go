package gateway_test

import (
	"testing"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// certificate drives erasures to their certificates, and gives that of one.
func certificate(t *testing.T, f *gatewaytest.Fixture, id recording.ErasureID) *claim.Erasure {
	t.Helper()
	acme, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.CertifyNow(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	info, err := f.Erasure(t.Context(), f.Operator(), id)
	if err != nil || info.State != "certified" {
		t.Fatalf("erasure %v is %q: %v", id, info.State, err)
	}
	e, err := f.CertificateKey().Verify(info.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// An eraser that is killed when it has destroyed the old versions, and has not noted
// it, finds them gone when it goes on; and perhaps it had come several epochs further.
func TestErasureIsCertifiedWhoseEndWasNotNoted(t *testing.T) {
	dir := t.TempDir()
	var first, second recording.ErasureID
	t.Run("queued", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser))
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		put(t, f, recorder, "first", sound(1, 1000))
		put(t, f, recorder, "second", sound(2, 1000))
	})
	t.Run("asked", func(t *testing.T) { first = erase(t, gatewaytest.In(t, dir, only(gateway.Front)), "first") })
	copied := copyCatalog(t, dir)
	t.Run("destroyed", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		effective(t, f, first)
		second = erase(t, f, "second")
		effective(t, f, second)
	})
	putBack(t, copied, dir)
	t.Run("certified", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		for _, id := range []recording.ErasureID{first, second} {
			k := certificate(t, f, id).Epochs[0].Key
			if k.OldestBefore <= k.Before || k.OldestAfter <= k.Before {
				t.Errorf("versions %+v: the old one was gone when the provider was asked", k)
			}
		}
	})
}
