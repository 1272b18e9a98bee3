package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/recording"
)

// Behind looks at store and keys behind the back of a server that is running, with
// every right there is, and changes nothing.
type Behind struct{ s *System }

// Behind is for any goroutine of a test, whatever becomes of the server.
func (s *System) Behind() Behind { return Behind{s} }

// Head reads a tenant's head from the store. fs.ErrNotExist: there is none.
func (b Behind) Head(ctx context.Context, t recording.Tenant, epoch uint64) (keytree.Head, error) {
	read := b.file
	if b.s.Store != nil {
		read = b.object
	}
	raw, err := read(ctx, keytree.HeadKey(t, epoch))
	if err != nil {
		return keytree.Head{}, err
	}
	return keytree.ParseHead(raw)
}

func (b Behind) file(_ context.Context, key string) ([]byte, error) {
	return os.ReadFile(filepath.Join(b.s.Dir, "blobs", "blobs", filepath.FromSlash(key)+".blob"))
}

func (b Behind) object(ctx context.Context, key string) ([]byte, error) {
	o, err := b.s.Store.Client(b.s.t).GetObject(ctx, b.s.setting("LETHE_STORE_BUCKET"), key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	raw, err := io.ReadAll(o)
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		err = fs.ErrNotExist
	}
	return raw, err
}

// Oldest is the oldest version that the keys of a root have.
func (b Behind) Oldest(ctx context.Context, root keytree.Root) (oldest int, err error) {
	if b.s.Vault == nil {
		err = b.keys(ctx, func(p keytree.Provider) error {
			has, err := p.Versions(ctx, root)
			oldest = has.Oldest
			return err
		})
		return oldest, err
	}
	key, err := b.s.Vault.Client(b.s.t).Logical().ReadWithContext(ctx, "transit/keys/"+string(root))
	if err != nil || key == nil {
		return 0, fmt.Errorf("key in Vault: %v, %w", key, err)
	}
	number, ok := key.Data["min_available_version"].(json.Number)
	if !ok {
		return 0, fmt.Errorf("key in Vault says %v", key.Data)
	}
	n, err := number.Int64()
	return int(n), err
}

// Opens is nil if the keys open a head, keytree.ErrForgotten if they say that they
// have forgotten it.
func (b Behind) Opens(ctx context.Context, h keytree.Head) error {
	return b.keys(ctx, func(p keytree.Provider) error {
		keys, err := keytree.Unwrap(ctx, p, nil, h)
		if err == nil {
			keys.Clear()
		}
		return err
	})
}

// keys calls f with all the keys: those at Vault, or a copy of the embedded ones.
func (b Behind) keys(ctx context.Context, f func(keytree.Provider) error) error {
	if b.s.Vault != nil {
		root := hashivault.Token(b.s.Vault.RootToken)
		p, err := hashivault.New(ctx, hashivault.Config{Address: b.s.Vault.Addr, Data: root})
		if err != nil {
			return err
		}
		defer p.Close()
		return f(p)
	}
	dir, err := os.MkdirTemp("", "lethe-keys-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(filepath.Join(dir, "keys"), os.DirFS(filepath.Join(b.s.Dir, "keys"))); err != nil {
		return err // the server was writing
	}
	p, err := localkeys.New(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	return errors.Join(f(p), p.Close())
}

// Database is the connection string of a scaled-out system's catalog.
func (s *System) Database() string {
	s.t.Helper()
	return s.setting("LETHE_CATALOG")
}
