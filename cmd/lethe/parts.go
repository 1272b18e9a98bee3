package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/awsstore"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/telemetry"
)

// parts is what a gateway stands on, each opened where the settings say, or
// else in the data directory.
type parts struct {
	keys    keytree.Provider
	blobs   blob.Store
	catalog *catalog.Catalog
	opened  []io.Closer

	certificates *claim.Signer // of erasures; nil without the role eraser

	watch *telemetry.Telemetry // is told of all that is asked of them
}

// A foundationError is of a server that serve runs on. What a client does about
// its own address does not help there.
type foundationError struct{ error }

func (e foundationError) Unwrap() error { return e.error }

// openParts opens all parts or none. Keys come first: in an embedded server
// their lock keeps a second process out of the directory.
func openParts(ctx context.Context, s config.Config, watch *telemetry.Telemetry) (*parts, error) {
	p := &parts{watch: watch}
	for _, open := range []func(context.Context, config.Config) error{p.openKeys, p.openSigner, p.openBlobs, p.openCatalog} {
		if err := open(ctx, s); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

// errNothingThere: a directory holds nothing of a server.
var errNothingThere = errors.New("there is nothing of a server")

// wasThere refuses directories in which no server ever kept what it is to keep there.
// Opening makes them, and what is put right in an empty one looks well.
func wasThere(s config.Config) error {
	for dir, embedded := range map[string]bool{"keys": s.Vault.Address == "", "blobs": s.Store.Embedded()} {
		path := filepath.Join(s.Data, dir)
		if _, err := os.Stat(path); embedded && errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", path, errNothingThere)
		}
	}
	return nil
}

// close closes the parts in reverse order.
func (p *parts) close() (err error) {
	for _, c := range slices.Backward(p.opened) {
		err = errors.Join(err, c.Close())
	}
	return err
}

func (p *parts) openKeys(ctx context.Context, s config.Config) error {
	if s.Vault.Address != "" {
		// Requests outlive ctx while they drain, so close ends the logins.
		c := vaultConfig(s)
		c.Observer = p.watch
		keys, err := hashivault.New(context.WithoutCancel(ctx), c)
		if err != nil {
			return foundationError{fmt.Errorf("reach Vault: %w", err)}
		}
		p.keys, p.opened = keys, append(p.opened, keys)
		return nil
	}
	keys, err := localkeys.New(filepath.Join(s.Data, "keys"))
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	p.keys, p.opened = keys, append(p.opened, keys)
	return nil
}

func (p *parts) openSigner(_ context.Context, s config.Config) (err error) {
	if s.Has(string(gateway.Eraser)) {
		p.certificates, err = openSigner(s)
	}
	return err
}

func (p *parts) openBlobs(ctx context.Context, s config.Config) error {
	if !s.Store.Embedded() {
		blobs, err := openStore(ctx, s.Store)
		if err != nil {
			return foundationError{fmt.Errorf("reach the store: %w", err)}
		}
		p.blobs = p.watch.Store(blobs)
		return nil
	}
	blobs, err := filestore.New(filepath.Join(s.Data, "blobs"))
	if err != nil {
		return fmt.Errorf("open blobs: %w", err)
	}
	p.blobs, p.opened = p.watch.Store(blobs), append(p.opened, blobs)
	return nil
}

func (p *parts) openCatalog(ctx context.Context, s config.Config) error {
	dsn, err := database(s)
	if err != nil {
		return err
	}
	c, err := catalog.OpenObserved(ctx, dsn, p.watch)
	if err != nil && s.Catalog.URL != "" {
		return foundationError{err}
	}
	if err != nil {
		return err
	}
	p.catalog, p.opened = c, append(p.opened, c)
	return nil
}

// database is the address of the catalog, with its password.
func database(s config.Config) (string, error) {
	if s.Catalog.PasswordFile == "" {
		return cmp.Or(s.Catalog.URL, "sqlite:"+filepath.Join(s.Data, "catalog.db")), nil
	}
	u, err := url.Parse(s.Catalog.URL)
	if err != nil {
		return "", errors.New("the URL of the catalog cannot be read") // the error would show it
	}
	password, err := readSecret(s.Catalog.PasswordFile)
	if err != nil {
		return "", err
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// readSecret reads a file that holds nothing but a secret.
func readSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// openStore opens the bucket of an S3 store, as its kind has it.
func openStore(ctx context.Context, s config.Store) (blob.Store, error) {
	if s.SecretKeyFile != "" {
		var err error
		if s.SecretKey, err = readSecret(s.SecretKeyFile); err != nil {
			return nil, err
		}
	}
	if s.Kind == "aws" || s.Kind == "" && s.Endpoint == "" {
		return awsstore.New(ctx, awsstore.Config{
			Bucket:    s.Bucket,
			Region:    s.Region,
			Endpoint:  s.Endpoint,
			AccessKey: s.AccessKey,
			SecretKey: s.SecretKey,
			Insecure:  s.Insecure,
		})
	}
	return miniostore.New(ctx, miniostore.Config{
		Endpoint:  s.Endpoint,
		AccessKey: s.AccessKey,
		SecretKey: s.SecretKey,
		Region:    s.Region,
		Bucket:    s.Bucket,
		Secure:    !s.Insecure,
	})
}
