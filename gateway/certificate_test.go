package gateway_test

import (
	"strings"
	"testing"
	"time"

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
	var info gateway.ErasureInfo
	until(t, "the certificate", 20*time.Second, func() bool { // another may drive the tenant just now
		if err := f.CertifyNow(t.Context(), acme.ID); err != nil {
			t.Fatal(err)
		}
		info, err = f.Erasure(t.Context(), f.Operator(), id)
		return err == nil && info.State == "certified"
	})
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

// A certificate comes before the sweep that erases the rows below a subject or a day,
// and counts those all the same.
func TestCertificateCountsWhatIsNotSettled(t *testing.T) {
	dir := t.TempDir()
	f := gatewaytest.In(t, dir, only(gateway.Front, gateway.Eraser))
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90, Overwrite: gateway.OverwriteVersion})
	for i, of := range []string{"+4930111", "+4930111", "+4930222, +4930111", "+4930333", "+4930333"} {
		putTold(t, f, recorder, recording.Name(strings.Repeat("x", 1+i/2)), of, sound(uint64(i), 100))
	}
	subject := eraseSubject(t, f, "+4930111")
	effective(t, f, subject)
	if n := certificate(t, f, subject).Counts.Unreadable; n != 3 {
		t.Errorf("of the subject: %d versions, want 3", n)
	}
	if _, err := f.SweepOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	day := recording.RetentionDay{Days: 90, Expires: time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 91)}
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Day: day, Reason: "asked for"})
	if err != nil {
		t.Fatal(err)
	}
	effective(t, f, info.ID)
	if n := certificate(t, f, info.ID).Counts.Unreadable; n != 2 {
		t.Errorf("of the day: %d versions, want 2", n)
	}
}
