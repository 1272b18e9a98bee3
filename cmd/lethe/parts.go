package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/pflag"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/awsstore"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
	"github.com/lethe-vault/lethe/gateway/catalog"
)

// parts is what a gateway stands on, each opened where the settings say, or
// else in the data directory.
type parts struct {
	keys    keytree.Provider
	blobs   blob.Store
	catalog *catalog.Catalog
	opened  []io.Closer
}

// openParts opens all parts or none. Keys come first: in an embedded server
// their lock keeps a second process out of the directory.
func openParts(ctx context.Context, s settings) (*parts, error) {
	p := &parts{}
	for _, open := range []func(context.Context, settings) error{p.openKeys, p.openBlobs, p.openCatalog} {
		if err := open(ctx, s); err != nil {
			return nil, errors.Join(err, p.close())
		}
	}
	return p, nil
}

// close closes the parts in reverse order.
func (p *parts) close() (err error) {
	for _, c := range slices.Backward(p.opened) {
		err = errors.Join(err, c.Close())
	}
	return err
}

func (p *parts) openKeys(ctx context.Context, s settings) error {
	if s.vault.address != "" {
		// Requests outlive ctx while they drain, so close ends the logins.
		keys, err := hashivault.New(context.WithoutCancel(ctx), s.vault.config())
		if err != nil {
			return fmt.Errorf("reach Vault: %w", err)
		}
		p.keys, p.opened = keys, append(p.opened, keys)
		return nil
	}
	keys, err := localkeys.New(filepath.Join(s.data, "keys"))
	if err != nil {
		return fmt.Errorf("open keys: %w", err)
	}
	p.keys, p.opened = keys, append(p.opened, keys)
	return nil
}

func (p *parts) openBlobs(ctx context.Context, s settings) error {
	if !s.store.embedded() {
		blobs, err := s.store.open(ctx)
		if err != nil {
			return fmt.Errorf("reach the store: %w", err)
		}
		p.blobs = blobs
		return nil
	}
	blobs, err := filestore.New(filepath.Join(s.data, "blobs"))
	if err != nil {
		return fmt.Errorf("open blobs: %w", err)
	}
	p.blobs, p.opened = blobs, append(p.opened, blobs)
	return nil
}

func (p *parts) openCatalog(ctx context.Context, s settings) error {
	c, err := catalog.Open(ctx, cmp.Or(s.catalog, "sqlite:"+filepath.Join(s.data, "catalog.db")))
	if err != nil {
		return err
	}
	p.catalog, p.opened = c, append(p.opened, c)
	return nil
}

// storeSettings is a bucket of an S3 store; without any, blobs lie in the data
// directory.
type storeSettings struct {
	kind     storeKind // "": s3 at an endpoint, else aws
	endpoint string    // HOST or HOST:PORT; "" is Amazon S3
	bucket   string
	region   string
	insecure bool // plain HTTP
}

// storeKind is how to speak to an S3 store.
type storeKind string

const (
	storeS3  storeKind = "s3"  // with a key pair, as any store understands
	storeAWS storeKind = "aws" // as the AWS SDK does, with the identity that it finds
)

func (s *storeSettings) flags(f *pflag.FlagSet) {
	fromEnv(f, &s.bucket, "store-bucket", "LETHE_STORE_BUCKET", "bucket for the blobs, of Amazon S3 or of --store-endpoint")
	fromEnv(f, &s.region, "store-region", "LETHE_STORE_REGION", "region of that bucket; default us-east-1, or as the AWS SDK finds it")
	fromEnv(f, &s.endpoint, "store-endpoint", "LETHE_STORE_ENDPOINT", "HOST:PORT of another S3 store; its keys are LETHE_STORE_ACCESS_KEY and LETHE_STORE_SECRET_KEY")
	fromEnv(f, (*string)(&s.kind), "store-kind", "LETHE_STORE_KIND", "aws: through the AWS SDK, which finds an identity itself unless those keys are given, s3: any other; default s3 at --store-endpoint, else aws")
	f.BoolVar(&s.insecure, "store-insecure", os.Getenv("LETHE_STORE_INSECURE") == "true", "speak plain HTTP to --store-endpoint (LETHE_STORE_INSECURE=true)")
}

// embedded reports that no store is named.
func (s storeSettings) embedded() bool { return s.kind == "" && s.endpoint == "" && s.bucket == "" }

func (s storeSettings) open(ctx context.Context) (blob.Store, error) {
	kind := cmp.Or(s.kind, s.usualKind())
	switch {
	case s.bucket == "":
		return nil, misusef("which bucket? give --store-bucket")
	case kind == storeS3 && s.endpoint == "":
		return nil, misusef("--store-kind s3 needs --store-endpoint")
	}
	switch kind {
	case storeS3:
		return miniostore.New(ctx, s.s3())
	case storeAWS:
		return awsstore.New(ctx, s.aws())
	}
	return nil, misusef("--store-kind is s3 or aws")
}

func (s storeSettings) usualKind() storeKind {
	if s.endpoint == "" {
		return storeAWS
	}
	return storeS3
}

func (s storeSettings) s3() miniostore.Config {
	return miniostore.Config{
		Endpoint:  s.endpoint,
		AccessKey: os.Getenv("LETHE_STORE_ACCESS_KEY"),
		SecretKey: os.Getenv("LETHE_STORE_SECRET_KEY"),
		Region:    s.region,
		Bucket:    s.bucket,
		Secure:    !s.insecure,
	}
}

func (s storeSettings) aws() awsstore.Config {
	return awsstore.Config{
		Bucket:    s.bucket,
		Region:    s.region,
		Endpoint:  s.endpoint,
		AccessKey: os.Getenv("LETHE_STORE_ACCESS_KEY"),
		SecretKey: os.Getenv("LETHE_STORE_SECRET_KEY"),
		Insecure:  s.insecure,
	}
}

// vaultSettings is a Vault or OpenBao; without an address, keys lie in the
// data directory.
type vaultSettings struct {
	address   string
	namespace string
	mount     string
	tokenFile string
}

func (v *vaultSettings) flags(f *pflag.FlagSet) {
	fromEnv(f, &v.address, "vault", "LETHE_VAULT", "https://HOST:PORT of Vault or OpenBao for the keys")
	fromEnv(f, &v.namespace, "vault-namespace", "LETHE_VAULT_NAMESPACE", "namespace at Vault")
	fromEnv(f, &v.mount, "vault-mount", "LETHE_VAULT_MOUNT", "where its transit engine is mounted; default transit")
	fromEnv(f, &v.tokenFile, "vault-token-file", "LETHE_VAULT_TOKEN_FILE", "file with a Vault token")
}

func (v vaultSettings) config() hashivault.Config {
	return hashivault.Config{
		Address:     v.address,
		Namespace:   v.namespace,
		Mount:       v.mount,
		Data:        v.login("LETHE_VAULT_"),
		Eraser:      v.login("LETHE_VAULT_ERASER_"),
		Provisioner: v.login("LETHE_VAULT_PROVISIONER_"),
	}
}

// login finds a role's identity in the environment variables that begin with
// prefix, or else the token that serves for every role. nil: there is none.
func (v vaultSettings) login(prefix string) hashivault.Login {
	switch {
	case os.Getenv(prefix+"ROLE_ID") != "":
		return hashivault.AppRole{
			Mount:        os.Getenv("LETHE_VAULT_APPROLE_MOUNT"),
			RoleID:       os.Getenv(prefix + "ROLE_ID"),
			SecretIDFile: os.Getenv(prefix + "SECRET_ID_FILE"),
		}
	case os.Getenv(prefix+"JWT_ROLE") != "":
		return hashivault.JWT{
			Mount: os.Getenv("LETHE_VAULT_JWT_MOUNT"),
			Role:  os.Getenv(prefix + "JWT_ROLE"),
			File:  cmp.Or(os.Getenv(prefix+"JWT_FILE"), os.Getenv("LETHE_VAULT_JWT_FILE")),
		}
	case v.tokenFile != "":
		return hashivault.TokenFile(v.tokenFile)
	case os.Getenv("LETHE_VAULT_TOKEN") != "":
		return hashivault.Token(os.Getenv("LETHE_VAULT_TOKEN"))
	}
	return nil
}
