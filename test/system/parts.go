package system

import (
	"path/filepath"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
)

// Parts opens the store and the keys that the server had, with every right
// there is, for a test that looks behind its back. The server must be stopped.
func (s *System) Parts() (blob.Store, keytree.Provider) {
	s.t.Helper()
	if s.Store == nil {
		return s.embeddedParts()
	}
	store, err := miniostore.New(s.t.Context(), miniostore.Config{
		Endpoint: s.Store.Endpoint, AccessKey: s.Store.AccessKey, SecretKey: s.Store.SecretKey,
		Region: s.Store.Region, Bucket: s.setting("LETHE_STORE_BUCKET"),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	keys, err := hashivault.New(s.t.Context(), hashivault.Config{
		Address: s.Vault.Addr, Data: hashivault.Token(s.Vault.RootToken),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { keys.Close() })
	return store, keys
}

func (s *System) embeddedParts() (blob.Store, keytree.Provider) {
	s.t.Helper()
	store, err := filestore.New(filepath.Join(s.Dir, "blobs"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { store.Close() })
	keys, err := localkeys.New(filepath.Join(s.Dir, "keys"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { keys.Close() })
	return store, keys
}
