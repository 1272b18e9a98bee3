package gateway_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // registers pgx with database/sql

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
)

// While rows move, and move again, everything goes on on two replicas: what is put is
// found, once in every listing, and replaced; what is erased is gone; what is held stays.
func TestReindexUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		dir := t.TempDir()
		f := gatewaytest.In(t, dir, gateway.Announce(time.Second))
		newLoad(t, f, f, func() *sql.DB {
			return open(t, "sqlite3", "file:"+filepath.Join(dir, "catalog.db")+"?_pragma=query_only(1)")
		}).run()
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		dsn := servers.SharedPostgreSQL(t).Database(t)
		parts := onPostgres(t, dsn)
		f := gatewaytest.On(t, parts, gateway.Announce(time.Second))
		parts.Catalog = openPostgres(t, dsn)
		other := gatewaytest.On(t, parts, gateway.Announce(time.Second))
		newLoad(t, f, other, func() *sql.DB { return open(t, "pgx", dsn) }).run()
	})
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// load is what clients do meanwhile.
type load struct {
	t                      *testing.T
	on                     [2]*gatewaytest.Fixture // replicas
	recorder, reader, tidy gateway.Caller
	db                     func() *sql.DB
	stop                   atomic.Bool
	again                  atomic.Int64 // answers that said to try again
	done                   atomic.Int64 // deeds

	mu   sync.Mutex // guards kept
	kept map[recording.Name]kept
}

// kept is what must be found under a name.
type kept struct {
	seed    uint64
	subject recording.Subject
}

const steady, subjects = 150, 5

func subjectOf(i int) recording.Subject {
	return recording.Subject(fmt.Sprintf("+493010000%03d", i%subjects))
}

func newLoad(t *testing.T, f, other *gatewaytest.Fixture, db func() *sql.DB) *load {
	l := &load{t: t, on: [2]*gatewaytest.Fixture{f, other}, db: db, kept: map[recording.Name]kept{}}
	l.recorder, l.reader = f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace})
	l.tidy = eraser(f, "acme", string(calls))
	for i := range steady {
		l.put(l.on[i%2], steadyName(i), i)
	}
	return l
}

func steadyName(i int) recording.Name { return recording.Name(fmt.Sprintf("old/%d/%d", i%7, i)) }

// retry does what may have to be tried again, as clients do.
func (l *load) retry(what string, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, recording.ErrUnavailable) {
			l.done.Add(1)
			return err
		}
		if l.again.Add(1) > 10_000 {
			l.t.Errorf("%s: %v", what, err)
			return err
		}
	}
}

func (l *load) put(f *gatewaytest.Fixture, name recording.Name, i int) {
	seed, subject := rand.Uint64(), subjectOf(i)
	err := l.retry("put", func() error {
		_, err := f.Put(l.t.Context(), l.recorder, told(name, string(subject+","+agent), sound(seed, 100)))
		return err
	})
	if err != nil {
		l.t.Errorf("put: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept[name] = kept{seed, subject}
}

func (l *load) read(f *gatewaytest.Fixture, name recording.Name) ([]byte, error) {
	var got bytes.Buffer
	err := l.retry("read", func() error {
		got.Reset()
		r, err := f.Open(l.t.Context(), l.reader, calls, name)
		if err != nil {
			return err
		}
		defer r.Close()
		body, err := r.Range(l.t.Context(), 0, r.Info.Size)
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = got.ReadFrom(body)
		return err
	})
	return got.Bytes(), err
}

// deeds are what goes on, each in turns on either replica, by names of its own.
var deeds = []func(l *load, f *gatewaytest.Fixture, i int){
	func(l *load, f *gatewaytest.Fixture, i int) {
		l.put(f, recording.Name(fmt.Sprintf("new/%d/%d", i%5, i)), i)
	},
	func(l *load, f *gatewaytest.Fixture, i int) { l.put(f, steadyName(i%(steady/2)), i) },
	(*load).list,
	(*load).erase,
	(*load).hold,
	func(l *load, f *gatewaytest.Fixture, i int) {
		if got, err := l.read(f, steadyName(i%steady)); err != nil && !errors.Is(err, recording.ErrErased) || err == nil && len(got) != 100 { // replaced while it was read
			l.t.Errorf("read what was there all the time: %d bytes, %v", len(got), err)
		}
	},
}

func (l *load) list(f *gatewaytest.Fixture, _ int) {
	var names []string
	page := gateway.Page{Max: 50}
	for more := true; more; {
		var got gateway.Listing
		if err := l.retry("list", func() (err error) { got, err = f.List(l.t.Context(), l.reader, calls, page); return err }); err != nil {
			l.t.Errorf("list: %v", err)
			return
		}
		for _, in := range got.Recordings {
			names = append(names, string(in.Name))
		}
		page.Token, more = got.Next, got.Next != ""
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		l.t.Errorf("names out of order, or twice")
	}
	for i := range steady {
		if _, found := slices.BinarySearch(names, string(steadyName(i))); !found {
			l.t.Errorf("%q is missing in a list of %d", steadyName(i), len(names))
			return
		}
	}
}

func (l *load) erase(f *gatewaytest.Fixture, i int) {
	name := recording.Name(fmt.Sprintf("gone/%d", i))
	l.put(f, name, i)
	if err := l.retry("erase", func() error {
		_, err := f.Erase(l.t.Context(), l.tidy, gateway.Erasure{Bucket: calls, Name: name, All: true})
		return err
	}); err != nil {
		if !errors.Is(err, recording.ErrHeld) {
			l.t.Errorf("erase: %v", err)
		}
		return
	}
	l.mu.Lock()
	delete(l.kept, name)
	l.mu.Unlock()
	if _, err := l.read(l.on[0], name); !errors.Is(err, recording.ErrNotFound) {
		l.t.Errorf("read what was erased: %v", err)
	}
}

// hold holds a subject, and sees that nothing that tells of them can be erased.
func (l *load) hold(f *gatewaytest.Fixture, i int) {
	var held gateway.HoldInfo
	of := i % (steady / 2)
	if err := l.retry("hold", func() (err error) {
		held, err = f.Hold(l.t.Context(), f.Operator(), "acme", onSubject(subjectOf(steadySubject)))
		return err
	}); err != nil {
		l.t.Errorf("hold: %v", err)
		return
	}
	name := steadyName(steady/2 + of - of%subjects + steadySubject) // never replaced
	if err := l.retry("erase what is held", func() error {
		_, err := f.EraseFor(l.t.Context(), f.Operator(), "acme", ofRecording(name))
		return err
	}); !errors.Is(err, recording.ErrHeld) {
		l.t.Errorf("erase what is held, %s: %v", name, err)
	}
	if err := l.retry("release", func() error {
		_, err := f.ReleaseHold(l.t.Context(), f.Operator(), "acme", held.ID)
		if errors.Is(err, recording.ErrNoHold) { // by the try before
			err = nil
		}
		return err
	}); err != nil {
		l.t.Errorf("release: %v", err)
	}
}

// steadySubject is whom holds are on.
const steadySubject = 0

func (l *load) run() {
	var working sync.WaitGroup
	for _, deed := range deeds {
		working.Go(func() { // ends when stop is set
			for i := 0; !l.stop.Load() && !l.t.Failed(); i++ {
				deed(l, l.on[i%2], i)
			}
		})
	}
	before := indexes(l.t, l.db())
	l.reindex(l.on[0])
	maps.Copy(before, indexes(l.t, l.db()))
	info := l.reindex(l.on[1])
	l.stop.Store(true)
	working.Wait()
	l.t.Logf("%d deeds, %d of them tried again, %d versions moved", l.done.Load(), l.again.Load(), info.Moved)
	if info.Damaged > 0 {
		l.t.Errorf("%d versions did not open", info.Damaged)
	}
	for index, where := range indexes(l.t, l.db()) {
		if before[index] != "" {
			l.t.Errorf("%s has an index of a generation that is forgotten", where)
		}
	}
	l.complete()
}

// reindex waits until something is erased for which rows have to move.
func (l *load) reindex(f *gatewaytest.Fixture) gateway.ReindexInfo {
	until(l.t, "something is erased", func() bool {
		info, err := f.Reindexed(l.t.Context(), f.Operator(), "acme")
		return err == nil && info.Linkable
	})
	return reindex(l.t, f, "acme")
}

// complete checks that what was kept is there, and nothing else; and that the erasure of
// each subject takes all that tells of them.
func (l *load) complete() {
	names, _ := pages(l.t, l.on[0], l.reader, gateway.Page{Max: 1000})
	if len(names) != len(l.kept) {
		l.t.Errorf("%d names, want %d", len(names), len(l.kept))
	}
	for name, k := range l.kept {
		if got, err := l.read(l.on[1], name); err != nil || !bytes.Equal(got, sound(k.seed, 100)) {
			l.t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for i := range subjects {
		if _, err := l.on[i%2].EraseFor(l.t.Context(), l.on[0].Operator(), "acme", gateway.ErasureRequest{Subject: subjectOf(i), Reason: "request"}); err != nil {
			l.t.Errorf("erase a subject: %v", err)
		}
		for name, k := range l.kept {
			if k.subject == subjectOf(i) {
				delete(l.kept, name)
			}
		}
		if names, _ := pages(l.t, l.on[1], l.reader, gateway.Page{Max: 1000}); len(names) != len(l.kept) {
			l.t.Errorf("%d names once %d subjects are erased, want %d", len(names), i+1, len(l.kept))
		}
	}
}
