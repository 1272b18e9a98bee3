package gateway_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
)

// faultyKeys is a provider whose calls a test may refuse; nil lets them through.
type faultyKeys struct {
	keytree.Provider
	unwrap, destroy func() error
}

func (k *faultyKeys) Unwrap(ctx context.Context, r keytree.Root, wrapped, bind []byte) (keytree.Key, error) {
	if k.unwrap != nil {
		if err := k.unwrap(); err != nil {
			return keytree.Key{}, err
		}
	}
	return k.Provider.Unwrap(ctx, r, wrapped, bind)
}

func (k *faultyKeys) Destroy(ctx context.Context, r keytree.Root) error {
	if k.destroy != nil {
		if err := k.destroy(); err != nil {
			return err
		}
	}
	return k.Provider.Destroy(ctx, r)
}

// faultyStore refuses to create the keys that refuse names.
type faultyStore struct {
	blob.Store
	refuse func(key string) error
}

func (s faultyStore) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := s.refuse(key); err != nil {
		return err
	}
	return s.Store.Create(ctx, key, r, size)
}

// mortalStore deletes so many blobs, and is then gone.
type mortalStore struct {
	blob.Store
	left *atomic.Int64
}

func (s mortalStore) Delete(ctx context.Context, key string) error {
	if s.left.Add(-1) < 0 {
		return blob.ErrUnavailable
	}
	return s.Store.Delete(ctx, key)
}

// lateStore loses its answers about recordings while it is lossy, and then creates what
// it was sent only when a test says so, as a store does whose client has gone.
type lateStore struct {
	blob.Store
	lossy *atomic.Bool
	late  map[string][]byte
}

func (s lateStore) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	if !s.lossy.Load() || !strings.HasPrefix(key, "recordings/") {
		return s.Store.Create(ctx, key, r, size)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.late[key] = b
	return blob.ErrUnavailable
}

func (s lateStore) arrive(ctx context.Context) error {
	for key, b := range s.late {
		if err := s.Store.Create(ctx, key, bytes.NewReader(b), int64(len(b))); err != nil {
			return err
		}
	}
	return nil
}

// gate is a body that stops in its middle until it is opened.
type gate struct {
	io.Reader
	reached, open chan struct{}
	once          *sync.Once
}

func gated(content []byte) gate {
	g := gate{reached: make(chan struct{}), open: make(chan struct{}), once: &sync.Once{}}
	half := len(content) / 2
	g.Reader = io.MultiReader(bytes.NewReader(content[:half]), stop{g}, bytes.NewReader(content[half:]))
	return g
}

type stop struct{ gate }

func (s stop) Read([]byte) (int, error) {
	s.once.Do(func() { close(s.reached) })
	<-s.open
	return 0, io.EOF
}

// execute runs a statement on the embedded catalog behind the gateway's back.
func execute(t *testing.T, dir, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir, "catalog.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func allowed(records []audit.Record) (n int) {
	for _, r := range records {
		if r.Outcome == audit.Allowed {
			n++
		}
	}
	return n
}

func state(t *testing.T, f *gatewaytest.Fixture, name string) string {
	t.Helper()
	in, err := f.Gateway.Tenant(t.Context(), f.Operator(), name)
	if err != nil {
		t.Fatal(err)
	}
	return in.State
}
