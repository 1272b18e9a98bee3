package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/miniostore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/test/servers"
)

// parts are those of a server that has the eraser's role, in this process.
type parts struct {
	side
	store   *counted
	catalog *catalog.Catalog
	keys    keytree.Provider
	signer  *claim.Signer // of all certificates: the store has the key of one
	db      *sql.DB       // of the catalog, for rows that would take hours to make one by one
	asked   *auditLog
	dialect
}

// newParts opens fresh ones: a bucket and a database of its own.
func newParts(t testing.TB, name string) *parts {
	t.Helper()
	if name == "embedded" {
		return embeddedParts(t)
	}
	v, s, p := servers.SharedVault(t), servers.SharedMinIO(t), servers.SharedPostgreSQL(t)
	store, err := miniostore.New(t.Context(), miniostore.Config{
		Endpoint: s.Endpoint, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Region: s.Region, Bucket: s.Bucket(t, servers.Versioned),
	})
	if err != nil {
		t.Fatal(err)
	}
	login := hashivault.Token(v.RootToken)
	keys, err := hashivault.New(t.Context(), hashivault.Config{Address: v.Addr, Data: login, Eraser: login, Provisioner: login})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	dsn := p.Database(t)
	out := openParts(t, name, store, keys, dsn, "pgx", dsn)
	out.dialect, out.asked = inPostgres, &auditLog{path: v.AuditLog}
	out.processes["minio"], out.processes["vault"], out.processes["postgres"] = s.PIDs, v.PIDs, p.PIDs
	return out
}

func embeddedParts(t testing.TB) *parts {
	t.Helper()
	dir := t.TempDir()
	store, err := filestore.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := localkeys.New(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close(); keys.Close() })
	path := filepath.Join(dir, "catalog.db")
	out := openParts(t, "embedded", store, keys, "sqlite:"+path, "sqlite3", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=synchronous(off)")
	out.dialect = inSQLite
	return out
}

func openParts(t testing.TB, name string, store blob.Store, keys keytree.Provider, dsn, driver, address string) *parts {
	t.Helper()
	c, err := catalog.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close(); c.Close() })
	signer, err := claim.NewSigner(claim.Config{Key: claim.NewKey(), Program: claim.Program{Name: "lethe", Version: "bench"}, Provider: claim.Local})
	if err != nil {
		t.Fatal(err)
	}
	self := func() []int { return []int{os.Getpid()} }
	return &parts{
		side:  side{name: name, processes: map[string]func() []int{own: self}},
		store: &counted{Store: store, requests: map[string]int{}}, catalog: c, keys: keys, signer: signer, db: db,
	}
}

// counted is a store that counts what is asked of it.
type counted struct {
	blob.Store
	mu       sync.Mutex // guards all below
	requests map[string]int
	written  int64
}

// Create counts, and creates.
func (c *counted) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	c.count("create", size)
	return c.Store.Create(ctx, key, r, size)
}

// Open counts, and opens.
func (c *counted) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	c.count("open", 0)
	return c.Store.Open(ctx, key, off, n)
}

func (c *counted) count(what string, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[what]++
	c.written += bytes
}

// take gives what was counted, and begins again.
func (c *counted) take() (requests map[string]int, written int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests, written = c.requests, c.written
	c.requests, c.written = map[string]int{}, 0
	return requests, written
}

// auditLog is Vault's own, which has a line for each request before it is answered.
type auditLog struct {
	path string
	read int64 // bytes of it
}

// take counts the requests since the last time by what they are, without logins.
func (a *auditLog) take(t testing.TB) map[string]int {
	t.Helper()
	if a == nil {
		return nil
	}
	f, err := os.Open(a.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, a.read, 1<<40))
	if err != nil {
		t.Fatal(err)
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	a.read += int64(len(text))
	requests := map[string]int{}
	for line := range bytes.Lines(text) {
		var entry struct {
			Type    string
			Request struct{ Path, Operation string }
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Type == "request" && strings.HasPrefix(entry.Request.Path, "transit/") {
			requests[vaultKind(entry.Request.Path, entry.Request.Operation)]++
		}
	}
	return requests
}

// vaultKind names a request to the transit engine as docs/operations.md does.
func vaultKind(path, operation string) string {
	elements := strings.Split(path, "/")
	switch last := elements[len(elements)-1]; {
	case last == "rotate", last == "config", last == "trim":
		return last
	case elements[1] == "keys":
		return operation
	}
	return elements[1] // encrypt, decrypt
}
