package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/crypto/claim"
)

// publicFile is the public half of the key that signs certificates of erasure, in
// the server's directory.
const publicFile = "certificate.pub"

// openSigner gives what signs certificates of erasure, and publishes its key in
// the directory.
func openSigner(s config.Config) (*claim.Signer, error) {
	path, key, err := signingKey(s)
	if err != nil {
		return nil, fmt.Errorf("key for certificates: %w", err)
	}
	defer clear(key)
	b := thisBuild()
	c := claim.Config{
		Key:       key,
		Older:     s.Certificates.OlderKeys,
		Program:   claim.Program{Name: "lethe", Version: cmp.Or(b.Version, "devel"), Build: b.Revision},
		Provider:  claim.Local,
		Snapshots: claim.Retention{Told: s.Backups.Vault.Told, Kept: s.Backups.Vault.Kept},
	}
	if s.Vault.Address != "" {
		c.Provider = claim.Vault
	}
	signer, err := claim.NewSigner(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return signer, replaceFile(filepath.Join(s.Data, publicFile), signer.PublicKey().PEM())
}

// signingKey reads the key for certificates, from the file that is named, or else
// from the directory, where it is drawn at the first start. The caller holds the
// directory, so no one else draws at the same time.
func signingKey(s config.Config) (path string, key []byte, err error) {
	if path = s.Certificates.KeyFile; path != "" {
		key, err = os.ReadFile(path)
		return path, key, err
	}
	path = filepath.Join(s.Data, "keys", "certificate.pem")
	key, err = os.ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return path, key, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return path, nil, err
	}
	key = claim.NewKey()
	return path, key, replaceFile(path, key)
}
