package disclosure_test

import (
	"errors"
	"io"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
	"github.com/lethe-vault/lethe/test/disclosure"
)

// Who keeps the store of a gateway opens its recordings for as long as the
// provider has the version that wraps the root, and no longer; what he knew does
// not outlive it.
func TestAttackerKeepsAStore(t *testing.T) {
	f := gatewaytest.New(t)
	tenant := f.Tenant("acme").Tenant
	f.Bucket("acme", gateway.BucketSettings{Name: "calls"})
	accessKey, _ := f.Key("acme", gateway.NewKey{Kind: policy.Recorder, Bucket: "calls"})
	for _, name := range []recording.Name{"a.wav", "b.wav"} {
		if _, err := f.Put(t.Context(), f.Caller(accessKey), gatewaytest.Upload("calls", name, []byte("sound"))); err != nil {
			t.Fatal(err)
		}
	}
	a := disclosure.New(tenant)
	wraps := keepAll(t, a, f.Blobs)
	if len(wraps) != 2 {
		t.Fatalf("%d blobs have a wrapped key, want 2", len(wraps))
	}
	opened := func(version int) (n int) {
		if err := f.Keys.Retire(t.Context(), keytree.RootOf(tenant), version); err != nil {
			t.Fatal(err)
		}
		a.Close(func(h decryptor.Head) ([32]byte, bool) {
			key, err := f.Keys.Unwrap(t.Context(), keytree.RootOf(tenant), h.Wrapped, decryptor.Bind(h))
			return [32]byte(key.Bytes()), err == nil
		})
		for w := range wraps {
			_, given := a.OpensDEK(w)
			_, kept := a.Opens(w.Identity)
			if given != kept {
				t.Errorf("a wrapped key that he kept opens: %v; given to him: %v", kept, given)
			}
			if kept {
				n++
			}
		}
		return n
	}
	if n := opened(1); n != 2 {
		t.Errorf("%d recordings open, want both", n)
	}
	if _, err := f.Keys.Rotate(t.Context(), keytree.RootOf(tenant)); err != nil {
		t.Fatal(err)
	}
	if n := opened(2); n != 0 {
		t.Errorf("%d recordings open after the version is gone", n)
	}
}

// keepAll shows an attacker all that a store has, and gives the wrapped data keys.
func keepAll(t *testing.T, a *disclosure.Attacker, store blob.Store) map[decryptor.Wrap]bool {
	t.Helper()
	wraps := map[decryptor.Wrap]bool{}
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, err := store.Open(t.Context(), info.Key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close(), a.Add(info.Key, b)); err != nil {
			t.Fatal(err)
		}
		if w, err := decryptor.WrapOf(b); err == nil {
			wraps[w] = true
		}
	}
	return wraps
}
