package test

import (
	"context"
	"errors"
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
// be stopped. It fails when there are none; what is punctured shows none.
func cmdNoKeys(ts *testscript.TestScript, neg bool, args []string) {
	store, keys := of(ts).system.Parts()
	ctx := context.Background()
	newest := map[[16]byte]decryptor.Head{}
	each(ts, store, "head/", func(_ string, b []byte) {
		h, err := decryptor.ParseHead(b)
		ts.Check(err)
		if old, ok := newest[h.Tenant]; !ok || h.Epoch > old.Epoch {
			newest[h.Tenant] = h
		}
	})
	stored := map[string][]byte{}
	each(ts, store, "pages/", func(key string, b []byte) { stored[key] = b })
	needles := map[string][]byte{}
	for tenant, h := range newest {
		key, err := keys.Unwrap(ctx, keytree.RootOf(recording.Tenant(tenant)), h.Wrapped, decryptor.Bind(h))
		ts.Check(err)
		root := [32]byte(key.Bytes())
		blind.AddBytes(needles, fmt.Sprintf("root of %v", recording.Tenant(tenant)), string(root[:]))
		tree, err := decryptor.OpenTree(h, root, decryptor.StoredPacks(tenant, stored))
		ts.Check(err)
		n := 0
		each(ts, store, fmt.Sprintf("recordings/%v/", recording.Tenant(tenant)), func(_ string, b []byte) {
			dek, err := tree.DEK(b)
			if errors.Is(err, decryptor.ErrPunctured) {
				return
			}
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
func each(ts *testscript.TestScript, store blob.Store, prefix string, f func(key string, b []byte)) {
	for info, err := range store.List(context.Background(), prefix) {
		ts.Check(err)
		r, err := store.Open(context.Background(), info.Key, 0, -1)
		ts.Check(err)
		b, err := io.ReadAll(r)
		ts.Check(err)
		ts.Check(r.Close())
		f(info.Key, b)
	}
}
