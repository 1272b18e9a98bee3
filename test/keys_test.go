package test

import (
	"context"
	"fmt"
	"io"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/blind"
	"github.com/lethe-vault/lethe/test/decryptor"
)

// no-keys: no byte of the store, the database or the logs shows the root
// secret of a tenant or the data key of a recording. They are had by the
// documents alone, from the provider and the store of the server, which must
// be stopped. It fails when there are none.
func cmdNoKeys(ts *testscript.TestScript, neg bool, args []string) {
	store, keys := of(ts).system.Parts()
	ctx := context.Background()
	roots := map[[16]byte][32]byte{}
	each(ts, store, "head/", func(b []byte) {
		h, err := decryptor.ParseHead(b)
		ts.Check(err)
		root, err := keys.Unwrap(ctx, keytree.RootOf(recording.Tenant(h.Tenant)), h.Wrapped, decryptor.Bind(h))
		ts.Check(err)
		roots[h.Tenant] = [32]byte(root.Bytes())
	})
	needles := map[string][]byte{}
	for tenant, root := range roots {
		blind.AddBytes(needles, fmt.Sprintf("root of %v", recording.Tenant(tenant)), string(root[:]))
		n := 0
		each(ts, store, fmt.Sprintf("recordings/%v/", recording.Tenant(tenant)), func(b []byte) {
			dek, err := decryptor.DEK(root, b)
			ts.Check(err)
			blind.AddBytes(needles, fmt.Sprintf("data key %d", n), string(dek[:]))
			n++
		})
		if n == 0 {
			ts.Fatalf("a tenant without recordings shows nothing")
		}
	}
	mustBeBlind(ts, needles)
}

// each gives every blob below a prefix.
func each(ts *testscript.TestScript, store blob.Store, prefix string, f func([]byte)) {
	for info, err := range store.List(context.Background(), prefix) {
		ts.Check(err)
		r, err := store.Open(context.Background(), info.Key, 0, -1)
		ts.Check(err)
		b, err := io.ReadAll(r)
		ts.Check(err)
		ts.Check(r.Close())
		f(b)
	}
}
