package gateway_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// shortly is an announcement for tests, far longer than their requests take.
const shortly = 300 * time.Millisecond

// indexColumns are all that hold a blind index.
var indexColumns = []string{
	"versions.name_index", "versions.dir_index", "terms.term", "directories.dir_index", "directories.parent_index",
	"subjects.subject_index", "buckets.bucket_index", "holds.subject_index", "holds.older_index", "erasures.scope_index",
}

// indexes gives every blind index that a catalog has, and where.
func indexes(t *testing.T, db *sql.DB) map[catalog.Index]string {
	t.Helper()
	out := map[catalog.Index]string{}
	for _, of := range indexColumns {
		table, column, _ := strings.Cut(of, ".")
		rows, err := db.QueryContext(t.Context(), "SELECT "+column+" FROM "+table+" WHERE "+column+" IS NOT NULL")
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var b []byte
			if err := rows.Scan(&b); err != nil {
				t.Fatal(err)
			}
			if index := catalog.Index(b); index != (catalog.Index{}) {
				out[index] = of
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// reindex has a tenant's rows leave their generation, and waits until that is forgotten.
func reindex(t *testing.T, f *gatewaytest.Fixture, tenant string) gateway.ReindexInfo {
	t.Helper()
	asked := time.Now().Truncate(time.Millisecond)
	info, err := f.Reindex(t.Context(), f.Operator(), tenant)
	over := func() bool { return info.State == "forgotten" && info.ForgottenAt.Before(asked) }
	if err == nil && over() { // it was under way, and has ended before it was told of
		info, err = f.Reindex(t.Context(), f.Operator(), tenant)
	}
	if err != nil || info.State == "none" || over() {
		t.Fatalf("reindex: %+v, %v, want that it is under way", info, err)
	}
	until(t, "the generation is forgotten", func() bool {
		if err := f.ForgetOlder(t.Context()); err != nil {
			t.Fatalf("reindex: %v", err)
		}
		if info, err = f.Reindexed(t.Context(), f.Operator(), tenant); err != nil {
			t.Fatal(err)
		}
		return info.State == "forgotten"
	})
	return info
}

// What was erased long enough ago has its generation forgotten by itself.
func TestReindexBySchedule(t *testing.T) {
	t.Parallel() // it waits for the background
	f := gatewaytest.In(t, t.TempDir(), gateway.Announce(shortly), func(c *gateway.Config) { c.ReindexEvery = time.Millisecond })
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, string(caller), "gone", "kept")
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("gone")); err != nil {
		t.Fatal(err)
	}
	until(t, "the generation is forgotten", func() bool {
		info, err := f.Reindexed(t.Context(), f.Operator(), "acme")
		return err == nil && info.State == "forgotten" && !info.Linkable
	})
	if got := read(t, f, reader, "kept"); len(got) != 1000 {
		t.Errorf("read %d bytes", len(got))
	}
	if s := f.Stats().Reindex; s.Moved != 1 || s.Damaged+s.Failures != 0 {
		t.Errorf("the process counts %+v", s)
	}
}

// Once a generation is forgotten no row has an index of it, and the key of none can be
// had; and all that is left is found as before.
func TestReindex(t *testing.T) {
	t.Parallel()
	f := gatewaytest.In(t, t.TempDir(), gateway.Announce(shortly))
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace})
	mustPut(t, f, recorder, string(caller), "2026/11/a", "2026/b")
	mustPut(t, f, recorder, string(agent+","+caller), "2026/c", "gone")
	mustPut(t, f, recorder, "", "replaced", "replaced")
	parts := begin(t, f, recorder, "parts")
	if _, err := complete(f, recorder, parts, mustPutPart(t, f, recorder, parts, 1, sound(2, 1000))); err != nil {
		t.Fatal(err)
	}
	begun := begin(t, f, recorder, "open")
	part := mustPutPart(t, f, recorder, begun, 1, sound(3, 1000))
	hold := mustHold(t, f, onSubject(caller))
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("replaced")); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Reindexed(t.Context(), f.Operator(), "acme"); err != nil || info != (gateway.ReindexInfo{State: "none", Linkable: true}) {
		t.Errorf("before: %+v, %v", info, err)
	}

	db := open(t, "sqlite3", "file:"+filepath.Join(f.Dir, "catalog.db")+"?_pragma=query_only(1)")
	for generation := uint32(1); generation <= 2; generation++ {
		before := indexes(t, db)
		known, err := f.BlindSubject(t.Context(), tenantOf(t, f), generation, caller)
		if err != nil || before[known] == "" {
			t.Fatalf("the index of a subject is not found by what is known of its generation: %v", err)
		}
		info := reindex(t, f, "acme")
		if info.Moved != 5 || info.Damaged != 0 || info.Linkable {
			t.Errorf("reindexed %+v, want 5 versions", info)
		}
		for index, where := range indexes(t, db) {
			if before[index] != "" {
				t.Errorf("%s has an index of the generation before, in %s", where, before[index])
			}
		}
		if _, err := f.BlindSubject(t.Context(), tenantOf(t, f), generation, caller); !errors.Is(err, keytree.ErrPunctured) {
			t.Errorf("key of the generation before: %v, want ErrPunctured", err)
		}
		for n := range 100 { // whoever has every key there is tries numbers against what stood there
			number := recording.Subject(fmt.Sprintf("+493012345%02d", n))
			for of := uint32(1); of <= generation+2; of++ {
				if index, err := f.BlindSubject(t.Context(), tenantOf(t, f), of, number); err == nil && before[index] != "" {
					t.Errorf("%s stood in %s, says the key of generation %d", number, before[index], of)
				}
			}
		}
		names, _ := pages(t, f, reader, gateway.Page{Max: 2})
		if want := []string{"2026/11/a", "2026/b", "2026/c", "gone", "parts"}; !slices.Equal(names, want) {
			t.Errorf("names: %v, want %v", names, want)
		}
		for _, name := range names {
			if got := read(t, f, reader, recording.Name(name)); len(got) != 1000 {
				t.Errorf("read %d bytes of %s", len(got), name)
			}
		}
		_, err = f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("2026/b"))
		if !errors.Is(err, recording.ErrHeld) {
			t.Errorf("erasure of what is held: %v", err)
		}
		if info, err := f.Reindex(t.Context(), f.Operator(), "acme"); err != nil || info.State != "forgotten" {
			t.Errorf("reindex when nothing was erased since: %+v, %v", info, err)
		}
		mustPut(t, f, recorder, "", "replaced")
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("replaced")); err != nil {
			t.Fatal(err)
		}
	}

	if _, err := complete(f, recorder, begun, part); err != nil {
		t.Errorf("complete what was begun two generations before: %v", err)
	}
	mustRelease(t, f, hold)
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Subject: caller, Reason: "request"}); err != nil {
		t.Fatal(err)
	}
	names, _ := pages(t, f, reader, gateway.Page{Max: 100})
	if want := []string{"open", "parts"}; !slices.Equal(names, want) {
		t.Errorf("names once their subject is erased: %v, want %v", names, want)
	}
}

// An upload in parts goes with its subject, however many generations it is open: nothing
// else may tell of them yet.
func TestReindexKeepsSubjectsOfUploads(t *testing.T) {
	t.Parallel()
	f := gatewaytest.In(t, t.TempDir(), gateway.Announce(shortly))
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	begun := begin(t, f, recorder, "open")
	part := mustPutPart(t, f, recorder, begun, 1, sound(3, 1000))
	for range 2 {
		mustPut(t, f, recorder, "", "gone")
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("gone")); err != nil {
			t.Fatal(err)
		}
		reindex(t, f, "acme")
	}
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Subject: "+4930901820", Reason: "request"}); err != nil {
		t.Errorf("erasure of the subject: %v", err)
	}
	if _, err := complete(f, recorder, begun, part); !errors.Is(err, recording.ErrNoUpload) {
		t.Errorf("complete what tells of an erased subject: %v, want ErrNoUpload", err)
	}
}

// waiting is a body that comes once it may.
type waiting struct {
	gateway.Body
	once          sync.Once
	came, proceed chan struct{}
}

// Read implements io.Reader.
func (w *waiting) Read(p []byte) (int, error) {
	w.once.Do(func() { close(w.came); <-w.proceed })
	return w.Body.Read(p)
}

// What is put while rows move, and move again, goes with its subject, of whom nothing else
// tells.
func TestReindexKeepsSubjectsOfPuts(t *testing.T) {
	t.Parallel()
	f := gatewaytest.In(t, t.TempDir(), gateway.Announce(shortly))
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	put := func(name recording.Name, subjects recording.Subject) (proceed func() error) {
		u, w, ended := told(name, string(subjects), sound(1, 1000)), &waiting{came: make(chan struct{}), proceed: make(chan struct{})}, make(chan error, 1)
		w.Body, u.Body = u.Body, w
		go func() { // ends once it may proceed
			_, err := f.Put(t.Context(), recorder, u)
			ended <- err
		}()
		<-w.came
		return func() error { close(w.proceed); return <-ended }
	}
	erased, second, kept := put("erased", caller), put("second", agent+","+caller), put("kept", agent)
	for range 2 {
		mustPut(t, f, recorder, "", "gone")
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("gone")); err != nil {
			t.Fatal(err)
		}
		reindex(t, f, "acme")
	}
	eraseSubject(t, f, caller)
	for _, proceed := range []func() error{erased, second} {
		if err := proceed(); !errors.Is(err, recording.ErrUnavailable) {
			t.Errorf("put that tells of an erased subject: %v, want ErrUnavailable", err)
		}
	}
	if err := kept(); err != nil {
		t.Errorf("put: %v", err)
	}
	if names, _ := pages(t, f, reader, gateway.Page{Max: 100}); !slices.Equal(names, []string{"kept"}) {
		t.Errorf("names: %v", names)
	}
	mustPut(t, f, recorder, string(agent), "again")
	eraseSubject(t, f, agent)
	if names, _ := pages(t, f, reader, gateway.Page{Max: 100}); len(names) > 0 {
		t.Errorf("names once all subjects are erased: %v", names)
	}
}

// missing is a store that finds none of its packs for a while.
type missing struct {
	blob.Store
	packs *atomic.Bool
}

func (m missing) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if m.packs.Load() && strings.HasPrefix(key, "pages/") {
		return nil, fs.ErrNotExist
	}
	return m.Store.Open(ctx, key, off, n)
}

// A page that is missing may be put back: no generation is forgotten meanwhile under
// which recordings, or the subjects of uploads, are found that it leads to.
func TestReindexWaitsForPages(t *testing.T) {
	t.Parallel()
	for _, names := range [][]recording.Name{{"gone", "stays"}, {"gone"}} {
		f := gatewaytest.New(t)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", names...)
		begun := begin(t, f, recorder, "open")
		effective(t, f, erase(t, f, "gone"))
		f.Gateway.Close()
		execute(t, f.Dir, `UPDATE pages SET sealed = zeroblob(length(sealed)) WHERE tree = 1`)
		parts, packs := f.Parts, atomic.Bool{}
		parts.Blobs = missing{f.Blobs, &packs}
		packs.Store(true)
		g := gatewaytest.On(t, parts, gateway.Announce(shortly))
		info, err := g.Reindex(t.Context(), g.Operator(), "acme")
		if err != nil || info.State == "none" {
			t.Fatalf("reindex: %+v, %v", info, err)
		}
		until(t, "rows cannot move", func() bool {
			err = g.ForgetOlder(t.Context())
			info, _ = g.Reindexed(t.Context(), g.Operator(), "acme")
			return err != nil || info.State == "forgotten"
		})
		if info.State != "moving" || info.Damaged != 0 {
			t.Errorf("while a page is missing: %+v, %v; want that rows are moving", info, err)
		}
		packs.Store(false)
		until(t, "the generation is forgotten", func() bool {
			g.ForgetOlder(t.Context())
			info, _ = g.Reindexed(t.Context(), g.Operator(), "acme")
			return info.State == "forgotten"
		})
		for _, name := range names[1:] {
			if got := read(t, g, g.Caller(reader.Who), name); len(got) != 1000 {
				t.Errorf("read %d bytes of what a missing page led to", len(got))
			}
		}
		eraseSubject(t, g, "+4930901820")
		if err := g.AbortUpload(t.Context(), g.Caller(recorder.Who), begun); !errors.Is(err, recording.ErrNoUpload) {
			t.Errorf("upload of an erased subject: %v, want ErrNoUpload", err)
		}
	}
}

// A tenant of which more is to move than a turn has time for goes on in the next: nothing
// has failed.
func TestReindexInTurns(t *testing.T) {
	t.Parallel()
	f := gatewaytest.In(t, t.TempDir(), gateway.Announce(shortly), gateway.Turn(1))
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "gone", "kept")
	erase(t, f, "gone")
	if info := reindex(t, f, "acme"); info.Moved != 1 {
		t.Errorf("reindexed %+v, want one version", info)
	}
	if s := f.Stats().Reindex; s.Failures != 0 {
		t.Errorf("the process counts %+v", s)
	}
}

// What is erased once the next generation is announced is found again by that, and is
// unlinkable with it: a later copy of the catalog, of which this one knows nothing, may
// have moved what was erased.
func TestErasureWhileAnnounced(t *testing.T) {
	t.Parallel()
	f := gatewaytest.In(t, t.TempDir(), gateway.Announce(shortly))
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "before", "gone")
	ask := func(name recording.Name) recording.ErasureID {
		t.Helper()
		info, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(name))
		if err != nil {
			t.Fatal(err)
		}
		return info.ID
	}
	before := ask("before")
	if info, err := f.Reindex(t.Context(), f.Operator(), "acme"); err != nil || info.State != "announced" {
		t.Fatalf("reindex: %+v, %v", info, err)
	}
	gone := ask("gone")
	for name, id := range map[recording.Name]recording.ErasureID{"before": before, "gone": gone} {
		if again := ask(name); again != id {
			t.Errorf("%s was erased by %v, and again by %v", name, id, again)
		}
	}
	if info := reindex(t, f, "acme"); !info.Linkable {
		t.Errorf("reindexed %+v, want that something is linkable", info)
	}
	if again := ask("gone"); again != gone {
		t.Errorf("what was erased by %v was again by %v", gone, again)
	}
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("before")); !errors.Is(err, recording.ErrNoErasure) {
		t.Errorf("erasure of a generation that is forgotten: %v, want ErrNoErasure", err)
	}
}

// A row that is damaged says again what the store does, and is found under the next
// generation; one of which the store has nothing that opens either is named in the log.
func TestReindexMendsRows(t *testing.T) {
	t.Parallel()
	f := gatewaytest.In(t, t.TempDir(), gateway.Announce(shortly))
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	damages := map[recording.Name]string{
		"facts":   `UPDATE versions SET sealed_facts = zeroblob(length(sealed_facts)) WHERE version = $1`,
		"wrap":    `UPDATE versions SET wrapped_dek = zeroblob(length(wrapped_dek)) WHERE version = $1`,
		"slot":    `UPDATE versions SET slot_recording = slot_recording + 1000 WHERE version = $1`,
		"erased":  `UPDATE versions SET slot_recording = (SELECT p.slot FROM punctures p WHERE p.tree = 1 AND p.epoch > 0) WHERE version = $1`,
		"refiled": `UPDATE versions SET sealed_facts = zeroblob(length(sealed_facts)) WHERE version = $1`,
		"parts":   `UPDATE versions SET wrapped_dek = zeroblob(length(wrapped_dek)) WHERE version = $1`,
	}
	var want []string
	mustPut(t, f, recorder, string(agent), "gone", "lost")
	for name := range damages {
		if want = append(want, string(name)); name != "parts" {
			mustPut(t, f, recorder, string(caller), name)
			continue
		}
		parts := begin(t, f, recorder, name)
		if _, err := complete(f, recorder, parts, mustPutPart(t, f, recorder, parts, 1, sound(2, 1000))); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	correct := gateway.RefileRequest{Bucket: calls, Name: "refiled", Subjects: []recording.Subject{agent}}
	if _, err := f.RefileFor(t.Context(), f.Operator(), "acme", correct); err != nil {
		t.Fatal(err)
	}
	effective(t, f, erase(t, f, "gone"))
	damages["lost"] = `UPDATE versions SET sealed_facts = zeroblob(length(sealed_facts)), blob = blob || 'x' WHERE version = $1`
	var lost recording.Version
	for name, damage := range damages {
		in, err := f.Stat(t.Context(), reader, calls, name)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, f.Dir, damage, in.Version[:])
		if name == "lost" {
			lost = in.Version
		}
		if _, err := f.Open(t.Context(), reader, calls, name); err == nil {
			t.Errorf("%s opens, though its row is damaged", name)
		}
	}

	if info := reindex(t, f, "acme"); info.Moved != int64(len(want)) || info.Damaged != 1 {
		t.Errorf("reindexed %+v, want %d versions, and 1 that does not open", info, len(want))
	}
	if !strings.Contains(f.Log.String(), lost.String()) {
		t.Error("what does not open is not named in the log")
	}
	names, _ := pages(t, f, reader, gateway.Page{Max: 100})
	if !slices.Equal(names, want) {
		t.Errorf("names: %v, want %v", names, want)
	}
	for _, name := range names {
		if got := read(t, f, reader, recording.Name(name)); len(got) != 1000 {
			t.Errorf("read %d bytes of %s", len(got), name)
		}
	}
	eraseSubject(t, f, caller)
	names, _ = pages(t, f, reader, gateway.Page{Max: 100})
	if want := []string{"parts", "refiled"}; !slices.Equal(names, want) {
		t.Errorf("names once a subject is erased: %v, want %v", names, want)
	}
}
