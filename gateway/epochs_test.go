package gateway_test

import (
	"errors"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// until waits for what happens in the background, and fails the test when it does not.
func until(t *testing.T, what string, within time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v not yet: %s", within, what)
		}
	}
}

// An upload with subjects.
func told(name recording.Name, subjects string, bytes []byte) gateway.Upload {
	u := gatewaytest.Upload(calls, name, bytes)
	u.Metadata = map[string]string{"lethe-subject": subjects}
	return u
}

func TestErasureBecomesAnEpoch(t *testing.T) {
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	for _, name := range []recording.Name{"gone", "kept"} {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
	}
	before, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	what := gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: "gone", All: true}, Reason: "asked by the caller"}
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", what)
	if err != nil {
		t.Fatal(err)
	}
	if info.ID == (recording.ErasureID{}) || info.Salt == (claim.Salt{}) || info.Versions != 1 {
		t.Errorf("erasure: %+v", info)
	}
	if _, err := f.Open(t.Context(), reader, calls, "gone"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("Open: %v, want ErrNotFound", err)
	}
	until(t, "the erasure is effective", 20*time.Second, func() bool {
		info, err = f.Erasure(t.Context(), f.Operator(), info.ID)
		return err == nil && info.State == "effective"
	})
	after, err := f.Catalog.TenantByName(t.Context(), "acme")
	if err != nil || after.Epoch != before.Epoch+1 {
		t.Fatalf("epoch %d after %d: %v", after.Epoch, before.Epoch, err)
	}
	old, err := keytree.ParseHead(before.Head)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keytree.Unwrap(t.Context(), f.Keys, keytree.InStore(f.Blobs), old); !errors.Is(err, keytree.ErrForgotten) {
		t.Errorf("the root before: %v, want ErrForgotten", err)
	}
	if got := read(t, f, reader, "kept"); len(got) != 1000 {
		t.Errorf("read %d bytes of what was kept", len(got))
	}
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "gone", sound(2, 1000))); err != nil {
		t.Errorf("put under the name that is free again: %v", err)
	}
	if testing.Short() {
		return
	}
	until(t, "the certificate", 50*time.Second, func() bool {
		info, err = f.Erasure(t.Context(), f.Operator(), info.ID)
		return err == nil && info.State == "certified"
	})
	t.Logf("%s", info.Certificate)
}
