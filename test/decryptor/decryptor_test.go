package decryptor_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
	"github.com/lethe-vault/lethe/test/servers"
)

const (
	calls = recording.Bucket("calls") // kept until erased
	kept  = recording.Bucket("kept")  // for retentionDays

	retentionDays = 90
)

// A vault is a gateway whose store is read behind its back.
type vault struct {
	*gatewaytest.Fixture
	t *testing.T
}

func newVault(t *testing.T) vault { return vault{gatewaytest.New(t), t} }

// providers are where a tenant's root may be kept.
var providers = map[string]func(*testing.T) vault{"local keys": newVault, "Vault": onVault}

// onVault is newVault on HashiCorp Vault.
func onVault(t *testing.T) vault {
	t.Helper()
	server := servers.SharedVault(t)
	keys, err := hashivault.New(t.Context(), hashivault.Config{
		Address:     server.Addr,
		Data:        hashivault.Token(server.RootToken),
		Eraser:      hashivault.Token(server.RootToken),
		Provisioner: hashivault.Token(server.RootToken),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keys.Close() })
	parts := gatewaytest.New(t).Parts
	parts.Keys = keys
	return vault{gatewaytest.On(t, parts), t}
}

// recorder makes a bucket of a tenant, and gives who may put into it.
func (v vault) recorder(tenant string, s gateway.BucketSettings) gateway.Caller {
	v.t.Helper()
	v.Bucket(tenant, s)
	accessKey, _ := v.Key(tenant, gateway.NewKey{Kind: policy.Recorder, Bucket: string(s.Name)})
	return v.Caller(accessKey)
}

// tenant makes a tenant with a bucket and one recording of n bytes in it.
func (v vault) tenant(name string, n int) recording.Tenant {
	v.t.Helper()
	id := v.Tenant(name).Tenant
	v.put(v.recorder(name, gateway.BucketSettings{Name: calls}), gatewaytest.Upload(calls, "a.wav", noise(uint64(n), n)))
	return id
}

func (v vault) put(c gateway.Caller, u gateway.Upload) recording.Info {
	v.t.Helper()
	info, err := v.Put(v.t.Context(), c, u)
	if err != nil {
		v.t.Fatalf("Put: %v", err)
	}
	return info
}

// stored is all that the store holds below a prefix, by key.
func (v vault) stored(prefix string) map[string][]byte {
	v.t.Helper()
	blobs := make(map[string][]byte)
	for info, err := range v.Blobs.List(v.t.Context(), prefix) {
		if err != nil {
			v.t.Fatalf("List(%q): %v", prefix, err)
		}
		r, err := v.Blobs.Open(v.t.Context(), info.Key, 0, -1)
		if err != nil {
			v.t.Fatalf("Open(%q): %v", info.Key, err)
		}
		blobs[info.Key], err = io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			v.t.Fatalf("read %q: %v", info.Key, err)
		}
	}
	if len(blobs) == 0 {
		v.t.Fatalf("nothing is stored below %q", prefix)
	}
	return blobs
}

// recordings is every blob of a tenant's recordings.
func (v vault) recordings(tenant recording.Tenant) map[string][]byte {
	v.t.Helper()
	return v.stored("recordings/" + base32Lower(tenant) + "/")
}

// head is the one of a tenant's heads with the highest epoch.
func (v vault) head(tenant recording.Tenant) decryptor.Head {
	v.t.Helper()
	prefix := "head/" + base32Lower(tenant) + "/"
	heads := v.stored(prefix)
	newest := fmt.Sprintf("%s%016x", prefix, len(heads)-1) // epochs count from 0
	h, err := decryptor.ParseHead(heads[newest])
	if err != nil || h.Tenant != tenant || h.Epoch != uint64(len(heads)-1) {
		v.t.Fatalf("ParseHead(%s) = %v, %v", newest, h, err)
	}
	return h
}

// unwrap asks the provider for the root secret in a head.
func (v vault) unwrap(h decryptor.Head) ([32]byte, error) {
	key, err := v.Keys.Unwrap(v.t.Context(), keytree.Root("t-"+base32Lower(h.Tenant)), h.Wrapped, decryptor.Bind(h))
	return [32]byte(key.Bytes()), err
}

// tree is the tree of a tenant that lives, from its newest head and its packs.
func (v vault) tree(tenant recording.Tenant) decryptor.Tree {
	v.t.Helper()
	h := v.head(tenant)
	root, err := v.unwrap(h)
	if err != nil {
		v.t.Fatalf("Unwrap with the documented bind: %v", err)
	}
	tree, err := decryptor.OpenTree(h, root, decryptor.StoredPacks(tenant, v.stored("")))
	if err != nil {
		v.t.Fatalf("OpenTree: %v", err)
	}
	return tree
}

// seed is the tree that a root secret gives with nothing forgotten beneath it.
func seed(t *testing.T, tenant recording.Tenant, root [32]byte) decryptor.Tree {
	t.Helper()
	tree, err := decryptor.OpenTree(decryptor.Head{Kind: decryptor.KindSeed, Tenant: tenant}, root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func base32Lower(tenant [16]byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(tenant[:]))
}

// noise is n bytes that differ for each seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8(sha256.Sum256(binary.BigEndian.AppendUint64(nil, seed))).Read(b)
	return b
}

// A put recording, and what its blob must show.
type sample struct {
	gateway.Upload
	content []byte
	info    recording.Info
}

// samples puts sounds of sizes around every border of the format, without and
// with a subject, in both buckets, and gives them by name.
func (v vault) samples(callers map[recording.Bucket]gateway.Caller) map[string]*sample {
	v.t.Helper()
	wav, err := os.ReadFile(filepath.Join("..", "demo", "calls", "claim-mono-pcm.wav"))
	if err != nil {
		v.t.Fatal(err)
	}
	sounds := [][]byte{wav}
	for i, n := range []int{0, 1, 65503, 65504, 65505, 262143, 262144, 262145, 1 << 20} {
		sounds = append(sounds, noise(uint64(i), n))
	}
	put := make(map[string]*sample)
	for i, sound := range sounds {
		for bucket, caller := range callers {
			name := fmt.Sprintf("2026/%s/call %d, Zoë.wav", bucket, i)
			s := &sample{Upload: gatewaytest.Upload(bucket, recording.Name(name), sound), content: sound}
			if i%2 == 0 {
				s.Metadata = map[string]string{"lethe-subject": "+49 30 1234567", "device": "desk 7"}
			}
			s.info = v.put(caller, s.Upload)
			put[name] = s
		}
	}
	return put
}

// facts and endFacts are the little that a blob must say of its recording.
type facts struct {
	Bucket    recording.Bucket  `json:"bucket"`
	Name      string            `json:"name"`
	Metadata  map[string]string `json:"metadata"`
	Subjects  []string          `json:"subjects"`
	CreatedAt time.Time         `json:"created_at"`
}

type endFacts struct {
	Size    int64             `json:"size"`
	Digests map[string]string `json:"digests"`
}

func TestStoredRecordingsOpen(t *testing.T) {
	for provider, open := range providers {
		t.Run(provider, func(t *testing.T) { testStoredRecordingsOpen(t, open(t)) })
	}
}

func testStoredRecordingsOpen(t *testing.T, v vault) {
	tenant := v.Tenant("acme").Tenant
	put := v.samples(map[recording.Bucket]gateway.Caller{
		calls: v.recorder("acme", gateway.BucketSettings{Name: calls}),
		kept:  v.recorder("acme", gateway.BucketSettings{Name: kept, RetentionDays: retentionDays}),
	})
	tree, total, slots := v.tree(tenant), len(put), make(map[uint64]bool)
	for key, blob := range v.recordings(tenant) {
		rawFacts, rawEnd, source, err := tree.Blob(blob)
		if err != nil {
			t.Fatalf("Blob(%s): %v", key, err)
		}
		var f facts
		var end endFacts
		if err := errors.Join(json.Unmarshal(rawFacts, &f), json.Unmarshal(rawEnd, &end)); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		s := put[f.Name]
		if s == nil {
			t.Fatalf("%s: a name that was not put, or twice", key)
		}
		delete(put, f.Name)
		s.check(t, f, end, source)
		s.checkPrefix(t, blob, tenant, f)
		slots[binary.BigEndian.Uint64(blob[64:])] = true
	}
	if len(put) != 0 {
		t.Errorf("%d recordings have no blob that opens", len(put))
	}
	if len(slots) != total || slots[0] {
		t.Errorf("%d recordings have %d slots (0 among them: %v)", total, len(slots), slots[0])
	}
}

func (s *sample) check(t *testing.T, f facts, end endFacts, source []byte) {
	t.Helper()
	if !bytes.Equal(source, s.content) {
		t.Errorf("%q: %d bytes that are not the %d put", s.Name, len(source), len(s.content))
	}
	if f.Bucket != s.Bucket || len(f.Metadata) != len(s.Metadata) || f.Metadata["device"] != s.Metadata["device"] {
		t.Errorf("%q: facts = %+v", s.Name, f)
	}
	if s.Metadata != nil && (len(f.Subjects) != 1 || f.Subjects[0] != "+49301234567") {
		t.Errorf("%q: subjects = %q", s.Name, f.Subjects)
	}
	sum := sha256.Sum256(s.content)
	if end.Size != s.Size || end.Digests["sha256"] != hex.EncodeToString(sum[:]) {
		t.Errorf("%q: end facts = %+v", s.Name, end)
	}
}

// checkPrefix compares identity and slots with docs/keys.md, Slots.
func (s *sample) checkPrefix(t *testing.T, blob []byte, tenant recording.Tenant, f facts) {
	t.Helper()
	identity := recording.Identity{Tenant: tenant, Recording: s.info.ID, Version: s.info.Version}
	if !bytes.Equal(blob[16:64], identity.Append(nil)) {
		t.Errorf("%q: the prefix names another identity", s.Name)
	}
	subject, day := binary.BigEndian.Uint64(blob[72:]), binary.BigEndian.Uint64(blob[80:])
	if nobody := s.Metadata == nil; nobody != (subject == 0) {
		t.Errorf("%q: subject slot %d, nobody: %v", s.Name, subject, nobody)
	}
	wantDay := uint64(0)
	if s.Bucket == kept {
		wantDay = retentionDays<<16 | uint64(f.CreatedAt.Unix()/86400+retentionDays+1)
	}
	if day != wantDay {
		t.Errorf("%q: day slot %#x, want %#x", s.Name, day, wantDay)
	}
}

func TestJournalOpens(t *testing.T) {
	v := newVault(t)
	tenant := v.tenant("acme", 1)
	v.Bucket("acme", gateway.BucketSettings{Name: kept})
	tree, other := v.tree(tenant), v.tree(v.tenant("other", 1))

	var journal strings.Builder
	for key, sealed := range v.stored("journal/" + base32Lower(tenant) + "/") {
		sequence, err := strconv.ParseUint(path.Base(key), 16, 64)
		if err != nil {
			t.Fatalf("key %q ends in no sequence number", key)
		}
		entry, err := tree.Journal(sequence, sealed)
		if err != nil || !json.Valid(entry) {
			t.Fatalf("Journal(%d) = %d bytes, %v; want JSON", sequence, len(entry), err)
		}
		journal.Write(entry)
		if _, err := tree.Journal(sequence+1, sealed); !refused(err) {
			t.Errorf("entry %d opens as the next: %v", sequence, err)
		}
		if _, err := other.Journal(sequence, sealed); !refused(err) {
			t.Errorf("entry %d opens under another tree: %v", sequence, err)
		}
	}
	for _, bucket := range []recording.Bucket{calls, kept} {
		if !strings.Contains(journal.String(), strconv.Quote(string(bucket))) {
			t.Errorf("the journal does not name the bucket %s", bucket)
		}
	}
}
