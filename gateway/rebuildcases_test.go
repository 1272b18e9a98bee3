package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// wants is what is to be read under some names; nil for nothing.
type wants map[recording.Name][]byte

func (w wants) check(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller) {
	t.Helper()
	for name, want := range w {
		if want == nil {
			if _, err := f.Open(t.Context(), c, calls, name); !errors.Is(err, recording.ErrNotFound) {
				t.Errorf("Open(%q): %v, want ErrNotFound", name, err)
			}
			continue
		}
		if got := read(t, f, c, name); !bytes.Equal(got, want) {
			t.Errorf("%q: other bytes came back", name)
		}
	}
}

// eraseSubject erases all that tells of a data subject.
func eraseSubject(t *testing.T, f *gatewaytest.Fixture, s recording.Subject) recording.ErasureID {
	t.Helper()
	info, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Subject: s, Reason: "asked for"})
	if err != nil {
		t.Fatal(err)
	}
	return info.ID
}

func putTold(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, name recording.Name, subjects string, content []byte) {
	t.Helper()
	if _, err := f.Put(t.Context(), c, told(name, subjects, content)); err != nil {
		t.Fatal(err)
	}
}

// A catalog from several epochs before: what was put since is added, what was erased
// since is erased, and an upload that was open then and complete now is a recording.
func TestRebuildOfAnOlderCatalog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	var id gateway.UploadID
	var parts []gateway.PartName
	var recorder gateway.Caller
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		var reader gateway.Caller
		recorder, reader = f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90, Overwrite: gateway.OverwriteVersion})
		who = reader.Who
		put(t, f, recorder, "first", sound(1, 100))
		put(t, f, recorder, "versions", sound(2, 100))
		put(t, f, recorder, "back", sound(3, 100))
		putTold(t, f, recorder, "caller", "+4930111", sound(4, 100))
		putTold(t, f, recorder, "second", "+4930222, +4930111", sound(5, 100))
		put(t, f, recorder, "kept", sound(6, 100))
		id = begin(t, f, recorder, "parts")
		parts = append(parts, mustPutPart(t, f, recorder, id, 1, sound(7, 5000)))
		effective(t, f, func() recording.ErasureID { put(t, f, recorder, "x", nil); return erase(t, f, "x") }())
	})
	t.Run("swept", func(t *testing.T) { sweep(t, gatewaytest.In(t, dir)) })
	old := copyCatalog(t, dir)
	want := wants{
		"first": nil, "versions": sound(12, 100), "back": sound(3, 100), "caller": nil, "second": nil, "kept": sound(6, 100),
		"parts": append(sound(7, 5000), sound(8, 600)...), "new": sound(9, 300_000), "short": nil, "again": sound(14, 50),
	}
	t.Run("later", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		f.Bucket("acme", gateway.BucketSettings{Name: "later"})
		effective(t, f, erase(t, f, "first"))
		put(t, f, recorder, "versions", sound(12, 100))
		in := put(t, f, recorder, "back", sound(13, 100))
		effective(t, f, eraseSubject(t, f, "+4930111"))
		put(t, f, recorder, "new", sound(9, 300_000))
		put(t, f, recorder, "short", sound(10, 100))
		effective(t, f, erase(t, f, "short"))
		putTold(t, f, recorder, "again", "+4930111", sound(14, 50)) // who called again
		parts = append(parts, mustPutPart(t, f, recorder, id, 2, sound(8, 600)), mustPutPart(t, f, recorder, id, 3, sound(11, 5)))
		if _, err := complete(f, recorder, id, parts[:2]...); err != nil {
			t.Fatal(err)
		}
		what := gateway.ErasureRequest{Recording: gateway.Erasure{Bucket: calls, Name: "back", Version: in.Version}, Reason: "asked for"}
		info, err := f.EraseFor(t.Context(), f.Operator(), "acme", what)
		if err != nil {
			t.Fatal(err)
		}
		effective(t, f, info.ID)
		want.check(t, f, f.Caller(who))
	})
	t.Run("swept again", func(t *testing.T) { sweep(t, gatewaytest.In(t, dir)) })
	whole := contents(t, dir, tables)
	for name, catalog := range map[string]map[string][]byte{"older": old, "lost": nil} {
		t.Run(name, func(t *testing.T) {
			drop(t, dir)
			for file, b := range catalog {
				if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if r := rebuild(t, dir); !r.Complete || r.Contested.Count+r.Unknown.Count != 0 {
				t.Errorf("the rebuild did %+v", r)
			}
			now := contents(t, dir, tables)
			for _, table := range []string{"erasures", "punctures", "pages", "buckets", "parts", "part_lists", "uploads"} {
				same(t, map[string][]string{table: now[table]}, map[string][]string{table: whole[table]})
			}
			t.Run("served", func(t *testing.T) {
				f := gatewaytest.In(t, dir)
				want.check(t, f, f.Caller(who))
				if r := sweep(t, f); r.Restored || r.Held != 0 {
					t.Errorf("a sweep thinks that the catalog is behind: %+v", r)
				}
				want.check(t, f, f.Caller(who))
				if n := blobs(t, f, "recordings/"); n != 9 { // kept, back, new, again; versions twice; two parts and their list
					t.Errorf("%d blobs are left, want 9", n)
				}
			})
		})
	}
}

// What was acknowledged to be erased is so after the catalog is lost, before its
// epoch came; and after that.
func TestRebuildQueuesErasuresAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	var queued []recording.ErasureID
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		f.Close()
		f = gatewaytest.On(t, f.Parts, only(gateway.Front, gateway.Eraser))
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 30})
		who = reader.Who
		put(t, f, recorder, "gone", sound(1, 100))
		putTold(t, f, recorder, "caller", "+4930111", sound(2, 100))
		put(t, f, recorder, "kept", sound(3, 100))
	})
	t.Run("erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		queued = append(queued, erase(t, f, "gone"), eraseSubject(t, f, "+4930111"))
	})
	drop(t, dir)
	r := rebuild(t, dir)
	if r.Erasures != 2 || r.Recordings != 1 || !r.Complete {
		t.Errorf("the rebuild did %+v", r)
	}
	t.Run("after", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		want := wants{"gone": nil, "caller": nil, "kept": sound(3, 100)}
		want.check(t, f, f.Caller(who))
		for _, id := range queued {
			effective(t, f, id)
		}
		f.SweepOnce(t.Context())
		want.check(t, f, f.Caller(who))
		if n := blobs(t, f, "recordings/"); n != 1 {
			t.Errorf("%d blobs are left, want 1", n)
		}
	})
}

// In a bucket that replaces, what was replaced stays unreadable, and its slot is
// punctured, even if the catalog was lost before.
func TestRebuildKnowsWhatWasReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	var first, second recording.Info
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace})
		who = reader.Who
		first = put(t, f, recorder, "a", sound(1, 100))
		second = put(t, f, recorder, "a", sound(2, 100))
		put(t, f, recorder, "b", sound(3, 100))
		inParts(t, f, recorder, "b", sound(4, 100))
	})
	was := contents(t, dir, tables)
	drop(t, dir)
	if r := rebuild(t, dir); r.Recordings != 4 || r.Replaced != 2 || !r.Complete {
		t.Errorf("the rebuild did %+v", r)
	}
	same(t, contents(t, dir, tables), was)
	t.Run("after", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		reader := f.Caller(who)
		wants{"a": sound(2, 100), "b": sound(4, 100)}.check(t, f, reader)
		if _, err := f.OpenVersion(t.Context(), reader, calls, "a", first.Version); !errors.Is(err, recording.ErrNoVersion) {
			t.Errorf("Open of what was replaced: %v", err)
		}
		if _, err := f.OpenVersion(t.Context(), reader, calls, "a", second.Version); err != nil {
			t.Error(err)
		}
	})
}

// An upload in parts that was open is given up with a lost catalog, and goes on with
// one that is not.
func TestRebuildOfAnOpenUpload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var recorder gateway.Caller
	var id gateway.UploadID
	var parts []gateway.PartName
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ = f.Pair("acme", gateway.BucketSettings{Name: calls})
		id = begin(t, f, recorder, "parts")
		for n := 1; n <= 3; n++ {
			parts = append(parts, mustPutPart(t, f, recorder, id, n, sound(1, 1000)))
		}
	})
	complete1 := copyCatalog(t, dir)
	if r := rebuild(t, dir); r.Aborted != 0 || r.Recordings != 0 || !r.Complete {
		t.Errorf("with a catalog that lacks nothing: %+v", r)
	}
	drop(t, dir)
	if r := rebuild(t, dir); r.Aborted != 3 || r.Recordings != 0 || !r.Complete {
		t.Errorf("without a catalog: %+v", r)
	}
	t.Run("lost", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		if _, err := complete(f, recorder, id, parts...); !errors.Is(err, recording.ErrNoUpload) {
			t.Errorf("CompleteUpload: %v, want ErrNoUpload", err)
		}
	})
	putBack(t, complete1, dir)
	t.Run("there", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		if _, err := complete(f, f.Caller(recorder.Who), id, parts...); err != nil {
			t.Error(err)
		}
	})
}

// An upload that was open in an older catalog and got parts since is given up: which
// of them count is not known. Its client begins it again.
func TestRebuildOfAnUploadThatWentOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var recorder gateway.Caller
	var id gateway.UploadID
	var parts []gateway.PartName
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ = f.Pair("acme", gateway.BucketSettings{Name: calls})
		id = begin(t, f, recorder, "parts")
		parts = append(parts, mustPutPart(t, f, recorder, id, 1, sound(1, 1000)))
	})
	old := copyCatalog(t, dir)
	t.Run("later", func(t *testing.T) {
		parts = append(parts, mustPutPart(t, gatewaytest.In(t, dir), recorder, id, 2, sound(1, 1000)))
	})
	putBack(t, old, dir)
	if r := rebuild(t, dir); r.Aborted != 1 || r.Recordings != 0 || !r.Complete {
		t.Errorf("the rebuild did %+v", r)
	}
	t.Run("after", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		if _, err := complete(f, recorder, id, parts...); !errors.Is(err, recording.ErrNoUpload) {
			t.Errorf("CompleteUpload: %v, want ErrNoUpload", err)
		}
		sweep(t, f)
		if n := blobs(t, f, "recordings/"); n != 0 {
			t.Errorf("%d blobs are left", n)
		}
	})
}

// A put that nobody was told of, and the same name put again: what was acknowledged
// is what the name stands for, and nothing is thrown away.
func TestRebuildOfAPutNobodyWasToldOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var recorder, reader gateway.Caller
	t.Run("before", func(t *testing.T) {
		recorder, reader = gatewaytest.In(t, dir).Pair("acme", gateway.BucketSettings{Name: calls})
	})
	empty := copyCatalog(t, dir)
	t.Run("untold", func(t *testing.T) { put(t, gatewaytest.In(t, dir), recorder, "a", sound(1, 100)) })
	putBack(t, empty, dir)
	t.Run("told", func(t *testing.T) { put(t, gatewaytest.In(t, dir), recorder, "a", sound(2, 100)) })
	for _, lost := range []bool{false, true} {
		if lost {
			drop(t, dir)
		}
		r := rebuild(t, dir)
		if r.Contested.Count != 1 || !r.Complete {
			t.Errorf("lost %t: the rebuild did %+v", lost, r)
		}
		t.Run(fmt.Sprintf("after, lost %t", lost), func(t *testing.T) {
			f := gatewaytest.In(t, dir)
			wants{"a": sound(2, 100)}.check(t, f, f.Caller(reader.Who))
			if n := blobs(t, f, "recordings/"); n != 2 {
				t.Errorf("%d blobs, want both", n)
			}
		})
	}
}

// storedFiles are the files of recordings' blobs.
func storedFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "blobs", "blobs", "recordings"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What is damaged is named, and neither deleted nor taken for erased; everything
// else comes back.
func TestRebuildNamesWhatIsDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	spoilt := map[string]recording.Info{}
	spoil := map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
		"prefix":  func(b []byte) []byte { b[100] ^= 1; return b }, // of the wrapped key
		"slot":    func(b []byte) []byte { b[71] ^= 1; return b },
		"segment": func(b []byte) []byte { b[len(b)-20] ^= 1; return b },
	}
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		who = reader.Who
		put(t, f, recorder, "kept", sound(1, 100))
		for name, change := range spoil {
			was := storedFiles(t, dir)
			spoilt[name] = put(t, f, recorder, recording.Name(name), sound(2, 1000))
			for _, file := range storedFiles(t, dir) {
				if !slices.Contains(was, file) {
					rewrite(t, file, change)
				}
			}
		}
		was := storedFiles(t, dir)
		spoilt["parts"] = inParts(t, f, recorder, "parts", sound(3, 1000), sound(4, 1000))
		for _, file := range storedFiles(t, dir) {
			if b, err := os.ReadFile(file); err == nil && !slices.Contains(was, file) && b[15] == 2 {
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	rubbish := filepath.Join(filepath.Dir(storedFiles(t, dir)[0]), strings.Repeat("a", 30)+filepath.Ext(storedFiles(t, dir)[0]))
	if err := os.WriteFile(rubbish, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := storedFiles(t, dir)
	drop(t, dir)
	r := rebuild(t, dir)
	if r.Complete || r.Recordings != 1 || r.Unknown.Count != 1 || r.Erased+r.Aborted != 0 {
		t.Errorf("the rebuild did %+v", r)
	}
	for name, in := range spoilt {
		if !slices.ContainsFunc(r.Damaged.First, func(d gateway.DamagedBlob) bool { return d.Version == in.Version && d.Recording == in.ID }) {
			t.Errorf("%s is not named", name)
		}
	}
	t.Run("after", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		wants{"kept": sound(1, 100), "cut": nil, "prefix": nil, "slot": nil, "segment": nil, "parts": nil}.check(t, f, f.Caller(who))
		f.SweepOnce(t.Context())
	})
	if after := storedFiles(t, dir); !slices.Equal(after, before) {
		t.Errorf("%d blobs after it, %d before", len(after), len(before))
	}
}

func rewrite(t *testing.T, file string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.Chmod(file, 0o600)
	}
	if err == nil {
		err = os.WriteFile(file, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// failingStore answers some requests and then none.
type failingStore struct {
	blob.Store
	left *atomic.Int64
}

func (s failingStore) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if s.left.Add(-1) < 0 {
		return nil, blob.ErrUnavailable
	}
	return s.Store.Open(ctx, key, off, n)
}

// A rebuild that ends anywhere is begun again and gives what one gives that does not.
func TestRebuildGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace})
		for i := range 6 {
			put(t, f, recorder, recording.Name(fmt.Sprint("n", i%4)), sound(uint64(i), 1000))
		}
		inParts(t, f, recorder, "parts", sound(4, 100), sound(5, 100))
		mustPutPart(t, f, recorder, begin(t, f, recorder, "open"), 1, nil)
		effective(t, f, erase(t, f, "n3"))
	})
	drop(t, dir)
	rebuild(t, dir)
	want := contents(t, dir, tables)
	drop(t, dir)
	tries := 0
	for reads := int64(1); ; reads++ {
		var left atomic.Int64
		left.Store(reads)
		_, err := rebuildOn(t, dir, func(c *gateway.Config) { c.Blobs = failingStore{c.Blobs, &left} })
		if tries++; err == nil {
			break
		}
		if !errors.Is(err, recording.ErrUnavailable) || tries > 200 {
			t.Fatalf("rebuild with %d reads: %v", reads, err)
		}
	}
	same(t, contents(t, dir, tables), want)
	t.Logf("the rebuild was broken off %d times", tries-1)
}

// A provider that is away ends a rebuild; one that has lost a key without a head
// that says so makes no tenant erased.
func TestRebuildBelievesNoProvider(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		put(t, f, recorder, "a", nil)
	})
	drop(t, dir)
	refuse := func(err error) func(*gateway.Config) {
		return func(c *gateway.Config) {
			c.Keys = &faultyKeys{Provider: c.Keys, unwrap: func() error { return err }}
		}
	}
	if _, err := rebuildOn(t, dir, refuse(keytree.ErrUnavailable)); !errors.Is(err, recording.ErrUnavailable) {
		t.Errorf("rebuild without Vault: %v", err)
	}
	for _, lost := range []error{keytree.ErrForgotten, keytree.ErrRolledBack, keytree.ErrBind} {
		r, err := rebuildOn(t, dir, refuse(lost))
		if err != nil || r.Complete || len(r.Unopened) != 1 || r.TenantsErased+r.TenantsAdded != 0 {
			t.Errorf("%v: the rebuild did %+v, %v", lost, r, err)
		}
	}
	if r := rebuild(t, dir); r.Recordings != 1 || !r.Complete {
		t.Errorf("the rebuild did %+v", r)
	}
}

// A tenant that is erased stays so, and its name is another's.
func TestRebuildOfAnErasedTenant(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var reader gateway.Caller
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		put(t, f, recorder, "a", nil)
		reader = recorder
	})
	old := copyCatalog(t, dir)
	t.Run("erased", func(t *testing.T) {
		f := gatewaytest.In(t, dir, only(gateway.Front))
		if _, err := f.EraseTenant(t.Context(), f.Operator(), "acme", "asked for"); err != nil {
			t.Fatal(err)
		}
	})
	if r := rebuild(t, dir); r.TenantsErased != 1 || !r.Complete {
		t.Errorf("while it is being erased: %+v", r)
	}
	keys, err := localkeys.New(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	commitErased(t, dir, reader.Tenant)
	if err := errors.Join(keys.Destroy(t.Context(), keytree.RootOf(reader.Tenant)), keys.Close()); err != nil {
		t.Fatal(err)
	}
	for _, catalog := range []map[string][]byte{old, nil} {
		drop(t, dir)
		for file, b := range catalog {
			if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if r := rebuild(t, dir); r.TenantsErased != 1 || r.Tenants != 0 || !r.Complete {
			t.Errorf("the rebuild did %+v", r)
		}
	}
	t.Run("after", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		if list, err := f.Tenants(t.Context(), f.Operator()); err != nil || len(list) != 1 || list[0].State != "erased" {
			t.Errorf("tenants: %+v, %v", list, err)
		}
		f.Tenant("acme")
	})
}

// countingStore counts what is read.
type countingStore struct {
	blob.Store
	reads *atomic.Int64
}

func (s countingStore) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if strings.HasPrefix(key, "recordings/") {
		s.reads.Add(1)
	}
	return s.Store.Open(ctx, key, off, n)
}

// A recording costs two reads of the store, however long it is, a short one one.
func TestRebuildReadsLittle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		put(t, f, recorder, "short", sound(1, 1000))
		put(t, f, recorder, "middle", sound(1, 65504*3-500)) // its end facts lie in two segments
		put(t, f, recorder, "long", sound(1, 2<<20))
	})
	drop(t, dir)
	var reads atomic.Int64
	r, err := rebuildOn(t, dir, func(c *gateway.Config) { c.Blobs = countingStore{c.Blobs, &reads} })
	if err != nil || r.Recordings != 3 || reads.Load() != 5 {
		t.Errorf("%d reads for %d recordings, %v; want 5 for 3", reads.Load(), r.Recordings, err)
	}
}
