// Package gatewaytest gives tests a gateway made of real parts: SQLite, a
// directory of blobs and local keys, all in a temporary directory, or any
// other parts a test brings.
package gatewaytest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Parts are what a gateway is made of.
type Parts struct {
	Blobs   blob.Store
	Catalog *catalog.Catalog
	Keys    keytree.Provider
}

// Fixture is a gateway, its parts, and shortcuts that fail the test.
type Fixture struct {
	*gateway.Gateway
	Parts
	Dir   string // of the embedded parts
	Owner gateway.Secret
	Log   *Log // what the gateway logged, at every level

	Signer *claim.Signer // of its certificates
	t      testing.TB
}

// Log keeps what is written to it, for reading at any time.
type Log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write appends to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// New starts a gateway on embedded parts in t's temporary directory.
func New(t testing.TB) *Fixture {
	t.Helper()
	return In(t, t.TempDir())
}

// In starts a gateway on embedded parts in dir, which may hold those of an
// earlier one that was stopped.
func In(t testing.TB, dir string, edits ...func(*gateway.Config)) *Fixture {
	t.Helper()
	blobs, err := filestore.New(filepath.Join(dir, "blobs"))
	check(t, "open blob store", err)
	cat, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(dir, "catalog.db"))
	check(t, "open catalog", err)
	keys, err := localkeys.New(filepath.Join(dir, "keys"))
	check(t, "open keys", err)
	t.Cleanup(func() { cat.Close(); blobs.Close(); keys.Close() })
	f := On(t, Parts{Blobs: blobs, Catalog: cat, Keys: keys}, edits...)
	f.Dir = dir
	return f
}

// On starts a gateway on the parts given.
func On(t testing.TB, p Parts, edits ...func(*gateway.Config)) *Fixture {
	t.Helper()
	f := &Fixture{Parts: p, Owner: gateway.NewSecret("owner-token-of-this-test"), Log: &Log{}, Signer: Signer(t), t: t}
	c := gateway.Config{
		Blobs: p.Blobs, Catalog: p.Catalog, Keys: p.Keys, Owner: f.Owner, Signer: f.Signer,
		Logger: slog.New(slog.NewJSONHandler(f.Log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, edit := range edits {
		edit(&c)
	}
	var err error
	f.Gateway, err = gateway.New(t.Context(), c)
	check(t, "start gateway", err)
	t.Cleanup(f.Gateway.Close)
	return f
}

// signingKey is that of all gateways of a test program, as replicas share one.
var signingKey = sync.OnceValue(claim.NewKey)

// Signer signs the certificates of all gateways of a test program.
func Signer(t testing.TB) *claim.Signer {
	t.Helper()
	s, err := claim.NewSigner(claim.Config{
		Key: bytes.Clone(signingKey()), Program: claim.Program{Name: "lethe", Version: "test"}, Provider: claim.Local,
	})
	check(t, "make signer", err)
	return s
}

// T is the test the fixture belongs to.
func (f *Fixture) T() testing.TB { return f.t }

// Context lasts as long as the test.
func (f *Fixture) Context() context.Context { return f.t.Context() }

func check(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Operator is who holds the owner's token.
func (f *Fixture) Operator() gateway.Caller {
	f.t.Helper()
	c, err := f.Token(f.t.Context(), f.Owner)
	check(f.t, "operator", err)
	return c
}

// Tenant makes a tenant and gives its admin.
func (f *Fixture) Tenant(name string) gateway.Caller {
	f.t.Helper()
	_, token, err := f.CreateTenant(f.t.Context(), f.Operator(), name)
	check(f.t, "create tenant", err)
	c, err := f.Token(f.t.Context(), token)
	check(f.t, "admin", err)
	return c
}

// Bucket makes a bucket of a tenant with settings.
func (f *Fixture) Bucket(tenant string, s gateway.BucketSettings) {
	f.t.Helper()
	check(f.t, "create bucket", f.CreateBucket(f.t.Context(), f.Operator(), tenant, s))
}

// Key makes an S3 credential of a tenant.
func (f *Fixture) Key(tenant string, k gateway.NewKey) (accessKey, secretKey string) {
	f.t.Helper()
	accessKey, secret, err := f.CreateKey(f.t.Context(), f.Operator(), tenant, k)
	check(f.t, "create key", err)
	return accessKey, secret.Reveal()
}

// Caller is who holds an access key.
func (f *Fixture) Caller(accessKey string) gateway.Caller {
	f.t.Helper()
	c, err := f.Credential(f.t.Context(), accessKey)
	check(f.t, "look up access key", err)
	return c.Caller()
}

// Pair makes a tenant with a bucket, and a recorder and a reader of it.
func (f *Fixture) Pair(tenant string, s gateway.BucketSettings) (recorder, reader gateway.Caller) {
	f.t.Helper()
	f.Tenant(tenant)
	f.Bucket(tenant, s)
	rec, _ := f.Key(tenant, gateway.NewKey{Kind: policy.Recorder, Bucket: string(s.Name)})
	read, _ := f.Key(tenant, gateway.NewKey{Kind: policy.Reader, Bucket: string(s.Name), Purpose: "quality"})
	return f.Caller(rec), f.Caller(read)
}

// Unseal gives an event with its detail, by the tenant's newest head.
func (f *Fixture) Unseal(r audit.Record) audit.Event {
	f.t.Helper()
	row, err := f.Parts.Catalog.Tenant(f.t.Context(), r.Tenant)
	check(f.t, "find tenant", err)
	head, err := keytree.ParseHead(row.Head)
	check(f.t, "parse head", err)
	keys, err := keytree.Unwrap(f.t.Context(), f.Parts.Keys, keytree.InStore(f.Parts.Blobs), head)
	check(f.t, "unwrap root", err)
	key, err := keys.System(f.t.Context(), keytree.AuditSlot(r.At))
	check(f.t, "derive audit key", err)
	e, err := audit.Unseal(key, r)
	check(f.t, "unseal event", err)
	return e
}

// Upload is an upload of content, verified as a front would.
func Upload(bucket recording.Bucket, name recording.Name, content []byte) gateway.Upload {
	sum := sha256.Sum256(content)
	return gateway.Upload{
		Description: gateway.Description{Bucket: bucket, Name: name, ContentType: "audio/wav"},
		Sent: gateway.Sent{
			Size: int64(len(content)), Body: NewBody(bytes.NewReader(content)),
			SHA256: hex.EncodeToString(sum[:]), Class: recording.ClassB,
		},
	}
}

// Body is a gateway.Body over any reader, for tests that need no front.
type Body struct {
	io.Reader
	sum hash.Hash
}

// NewBody hashes what r gives.
func NewBody(r io.Reader) Body {
	sum := sha256.New()
	return Body{io.TeeReader(r, sum), sum}
}

// Digests gives the SHA-256 of what was read.
func (b Body) Digests() recording.Digests {
	return recording.Digests{"sha256": hex.EncodeToString(b.sum.Sum(nil))}
}
