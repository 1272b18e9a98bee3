package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// impatient is a gateway on the parts of f that thinks a writer lost after a
// millisecond of silence, and sweeps only when told.
func impatient(t *testing.T, p gatewaytest.Parts) *gatewaytest.Fixture {
	t.Helper()
	return gatewaytest.On(t, p, sweeping(time.Millisecond))
}

func sweeping(lease time.Duration) func(*gateway.Config) {
	return func(c *gateway.Config) {
		c.Sweep = gateway.SweepConfig{Period: time.Hour, Lease: lease, Late: time.Millisecond}
	}
}

func sweep(t *testing.T, f *gatewaytest.Fixture) gateway.SweepReport {
	t.Helper()
	time.Sleep(5 * time.Millisecond) // longer than an impatient lease
	r, err := f.SweepOnce(t.Context())
	if err != nil {
		t.Fatalf("sweep: %v\n%s", err, f.Log)
	}
	return r
}

// nothingLeft sweeps until blobs that may yet appear are given up too. Then so
// many blobs and open uploads in parts are there, and nothing else.
func nothingLeft(t *testing.T, f *gatewaytest.Fixture, dir string, kept, uploads int) {
	t.Helper()
	f.Dir = dir
	for range 3 {
		sweep(t, f)
	}
	if blobs, open := f.Residue(); blobs != kept || open != uploads {
		t.Errorf("%d blobs and %d intents or residues are left, want %d and %d", blobs, open, kept, uploads)
	}
	r, err := f.Sweep(t.Context(), f.Operator(), true)
	if err != nil || r.Orphans.Recordings != 0 || r.Orphans.Tenants != 0 || r.Orphans.Seen < int64(kept) {
		t.Errorf("orphans = %+v, %v", r.Orphans, err)
	}
}

// lose leaves an open intent and its blob, as a killed server does.
func lose(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, name recording.Name) {
	t.Helper()
	execute(t, f.Dir, `CREATE TRIGGER refuse BEFORE UPDATE ON versions WHEN NEW.state IN ('committed', 'aborted')
		BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	defer execute(t, f.Dir, `DROP TRIGGER refuse`)
	if _, err := f.Put(t.Context(), c, gatewaytest.Upload(calls, name, sound(1, 1000))); err == nil {
		t.Fatal("Put succeeded")
	}
}

func TestSweepLostPuts(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	lose(t, f, recorder, "a")
	lose(t, f, recorder, "b")
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "c", sound(3, 1000))); err != nil {
		t.Fatal(err)
	}
	if r := sweep(t, f); r.Puts.Found != 0 || r.Blobs.Found != 0 || blobs(t, f, "recordings/") != 3 {
		t.Errorf("a sweep within the lease found %+v", r)
	}
	s := impatient(t, f.Parts)
	dry, err := s.Sweep(t.Context(), s.Operator(), true)
	if err != nil || dry.Puts.Found != 2 || dry.Orphans.Recordings != 0 || blobs(t, f, "recordings/") != 3 {
		t.Errorf("a dry sweep found %+v, %v", dry, err)
	}
	if r := sweep(t, s); r.Puts.Done != 2 || r.Blobs.Done != 2 {
		t.Errorf("a sweep did %+v", r)
	}
	if n := len(events(t, f, recorder, "put.abort")); n != 2 {
		t.Errorf("%d events of an abort, want 2", n)
	}
	nothingLeft(t, s, f.Dir, 1, 0)
	if n := len(events(t, f, recorder, "blob.delete")); n != 2 {
		t.Errorf("%d events of a deleted blob, want 2", n)
	}
	if status := s.SweepStatus(); status.Complete.IsZero() || status.Done.Puts.Done != 2 || status.Failures != 0 {
		t.Errorf("status = %+v", status)
	}
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Errorf("Put again: %v", err)
	}
	if got := read(t, f, reader, "c"); !bytes.Equal(got, sound(3, 1000)) {
		t.Error("other bytes came back")
	}
}

// A put that lasts for many leases, swept all the time, is done in the end.
func TestPutOutlivesSweeps(t *testing.T) {
	t.Parallel()
	const lease = 2 * time.Second
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	writer, other := gatewaytest.On(t, f.Parts, sweeping(lease)), gatewaytest.On(t, f.Parts, sweeping(lease))
	id := begin(t, writer, recorder, "in parts")
	content := sound(1, 1<<20)
	body, part := gated(content), gated(content)
	done := make(chan error, 2)
	go func() { // ends with its body
		u := gatewaytest.Upload(calls, "whole", content)
		u.Body = gatewaytest.NewBody(body)
		_, err := writer.Put(t.Context(), recorder, u)
		done <- err
	}()
	go func() { // ends with its body
		u := gatewaytest.Upload(calls, "in parts", content).Sent
		u.Body = gatewaytest.NewBody(part)
		p, err := writer.PutPart(t.Context(), recorder, gateway.PartUpload{UploadID: id, Number: 1, Sent: u})
		if err == nil {
			_, err = complete(writer, recorder, id, gateway.PartName{Number: 1, ETag: p.ETag})
		}
		done <- err
	}()
	<-body.reached
	<-part.reached
	for end := time.Now().Add(2*lease + lease/2); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if r := sweep(t, other); r.Puts.Found+r.Parts.Found != 0 {
			t.Fatalf("an upload whose writer lives was swept: %+v", r)
		}
	}
	close(body.open)
	close(part.open)
	if err := errors.Join(<-done, <-done); err != nil {
		t.Errorf("upload: %v", err)
	}
	for _, name := range []recording.Name{"whole", "in parts"} {
		if got := read(t, f, reader, name); !bytes.Equal(got, content) {
			t.Errorf("%s: other bytes came back", name)
		}
	}
}

// An upload that is given up while it runs fails so that its client repeats it,
// and leaves nothing.
func TestSweptWhileItRuns(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	id := begin(t, f, recorder, "in parts")
	s := impatient(t, f.Parts)
	content, kept := sound(1, 1<<20), 0
	for name, send := range map[string]func(gateway.Body) error{
		"whole": func(b gateway.Body) error {
			u := gatewaytest.Upload(calls, "whole", content)
			u.Body = b
			_, err := f.Put(t.Context(), recorder, u)
			return err
		},
		"part": func(b gateway.Body) error {
			u := gatewaytest.Upload(calls, "in parts", content).Sent
			u.Body = b
			_, err := f.PutPart(t.Context(), recorder, gateway.PartUpload{UploadID: id, Number: 1, Sent: u})
			return err
		},
	} {
		body, sent := gated(content), make(chan error, 1)
		go func() { sent <- send(gatewaytest.NewBody(body)) }() // ends with its body
		<-body.reached
		if r := sweep(t, s); r.Puts.Done+r.Parts.Done != 1 {
			t.Errorf("%s: a sweep did %+v", name, r)
		}
		close(body.open)
		if err := <-sent; !errors.Is(err, recording.ErrUnavailable) {
			t.Errorf("%s, swept: %v, want ErrUnavailable", name, err)
		}
		nothingLeft(t, s, f.Dir, kept, 1)
		if err := send(gatewaytest.NewBody(bytes.NewReader(content))); err != nil {
			t.Errorf("%s, sent again: %v", name, err)
		}
		kept++
	}
}

// A writer that cannot show that it lives gives up by itself, in time.
func TestWriterWithoutItsCatalog(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	g := gatewaytest.On(t, f.Parts, sweeping(300*time.Millisecond))
	execute(t, f.Dir, `CREATE TRIGGER silent BEFORE UPDATE OF seen_at ON versions BEGIN SELECT RAISE(ABORT, 'refused'); END`)
	u := gatewaytest.Upload(calls, "a", sound(1, 1<<20))
	u.Body = gatewaytest.NewBody(trickle{bytes.NewReader(sound(1, 1<<20))})
	began := time.Now()
	if _, err := g.Put(t.Context(), recorder, u); !errors.Is(err, recording.ErrUnavailable) || time.Since(began) > 5*time.Second {
		t.Errorf("Put = %v after %v, want ErrUnavailable", err, time.Since(began))
	}
	execute(t, f.Dir, `DROP TRIGGER silent`)
	if blobs, open := f.Residue(); blobs != 0 || open != 0 {
		t.Errorf("%d blobs and %d intents are left", blobs, open)
	}
}

// trickle gives a kilobyte every 10 ms.
type trickle struct{ io.Reader }

func (r trickle) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return r.Reader.Read(p[:min(len(p), 1<<10)])
}

// A blob that appears long after its upload has failed is found.
func TestSweepLateBlobs(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	var lossy atomic.Bool
	store := lateStore{Store: f.Blobs, lossy: &lossy, late: map[string][]byte{}}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: store, Catalog: f.Catalog, Keys: f.Keys})
	if _, err := g.Put(t.Context(), recorder, gatewaytest.Upload(calls, "kept", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	lossy.Store(true)
	if _, err := g.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); !errors.Is(err, recording.ErrUnavailable) {
		t.Fatalf("Put = %v", err)
	}
	if err := store.arrive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := blobs(t, f, "recordings/"); n != 2 {
		t.Fatalf("%d blobs, want the late one too", n)
	}
	nothingLeft(t, impatient(t, f.Parts), f.Dir, 1, 0)
}

// deleting is a store whose deletions a test may refuse, by the order in which
// blobs are first tried; it counts those that were let through.
type deleting struct {
	blob.Store
	refuse func(key string) error
	done   *atomic.Int64
}

func (s deleting) Delete(ctx context.Context, key string) error {
	if err := s.refuse(key); err != nil {
		return err
	}
	s.done.Add(1)
	return s.Store.Delete(ctx, key)
}

// What one blob refuses does not keep the others, and is tried again.
func TestSweepGoesOnAfterFailures(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	key, _ := f.Key("acme", gateway.NewKey{Kind: "reader", Bucket: string(calls), Write: true})
	var mu sync.Mutex // guards the rest
	var order []string
	away, verdicts := true, map[string]error{}
	store := deleting{Store: f.Blobs, done: new(atomic.Int64), refuse: func(key string) error {
		mu.Lock()
		defer mu.Unlock()
		if away {
			order = append(order, key)
			return blob.ErrUnavailable
		}
		return verdicts[key]
	}}
	parts := gatewaytest.Parts{Blobs: store, Catalog: f.Catalog, Keys: f.Keys}
	writer, g := gatewaytest.On(t, parts), impatient(t, parts)
	for _, name := range []recording.Name{"0", "1", "2", "3", "4"} {
		if _, err := writer.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Erase(t.Context(), f.Caller(key), gateway.Erasure{Bucket: calls, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	away, verdicts = false, map[string]error{order[0]: blob.ErrUnavailable, order[1]: blob.ErrLocked, order[2]: errKilled}
	mu.Unlock()
	if r := sweep(t, g); r.Blobs != (gateway.Swept{Found: 5, Done: 2, Failed: 2, Locked: 1}) {
		t.Errorf("a sweep did %+v", r.Blobs)
	}
	if again := sweep(t, g); again.Blobs.Found != 0 || again.Waiting != 3 {
		t.Errorf("the next found %+v at once, and %d wait", again.Blobs, again.Waiting)
	}
	if _, err := g.Sweep(t.Context(), g.Operator(), true); err != nil || g.SweepStatus().Backlog.Locked != 1 {
		t.Errorf("backlog = %+v, %v", g.SweepStatus().Backlog, err)
	}
	mu.Lock()
	clear(verdicts)
	mu.Unlock()
	execute(t, f.Dir, `UPDATE residues SET due = 0`)
	nothingLeft(t, g, f.Dir, 0, 0)
}

// Many sweepers at once share the work.
func TestSweepersShare(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	const lost = 30
	for i := range lost {
		lose(t, f, recorder, recording.Name(fmt.Sprint(i)))
	}
	store := deleting{Store: f.Blobs, done: new(atomic.Int64), refuse: func(string) error { return nil }}
	var aborted, deleted atomic.Int64
	var sweeping sync.WaitGroup
	for range 4 {
		g := impatient(t, gatewaytest.Parts{Blobs: store, Catalog: f.Catalog, Keys: f.Keys})
		sweeping.Go(func() {
			for range 3 {
				r := sweep(t, g)
				aborted.Add(r.Puts.Done)
				deleted.Add(r.Blobs.Done)
			}
		})
	}
	sweeping.Wait()
	if n := len(events(t, f, recorder, "put.abort")); n != lost {
		t.Errorf("%d events of an abort, want %d", n, lost)
	}
	nothingLeft(t, impatient(t, f.Parts), f.Dir, 0, 0)
	t.Logf("%d aborted, %d deleted in %d requests", aborted.Load(), deleted.Load(), store.done.Load())
}

// A catalog that was put back from a copy has an upload open that was
// acknowledged since, and lacks a recording: neither blob is deleted.
func TestSweepOfARestoredCatalog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var copied map[string][]byte
	var recorder gateway.Caller
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ = f.Pair("acme", gateway.BucketSettings{Name: calls})
		sweep(t, f)
		content := sound(1, 1<<20)
		u, body := gatewaytest.Upload(calls, "open when copied", content), gated(content)
		u.Body = gatewaytest.NewBody(body)
		put := make(chan error, 1)
		go func() { // ends with its body
			_, err := f.Put(t.Context(), recorder, u)
			put <- err
		}()
		<-body.reached
		copied = copyCatalog(t, dir)
		close(body.open)
		if err := <-put; err != nil {
			t.Fatal(err)
		}
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "not in the copy", content)); err != nil {
			t.Fatal(err)
		}
		sweep(t, f)
	})
	putBack(t, copied, dir)
	t.Run("restored", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		s := impatient(t, f.Parts)
		if r := sweep(t, s); !r.Restored || r.Held != 1 || r.Puts.Found != 0 {
			t.Errorf("the first sweep did %+v", r)
		}
		lose(t, f, recorder, "lost since")
		if r := sweep(t, s); r.Restored || r.Held != 1 || r.Puts.Done != 1 || r.Blobs.Done != 1 {
			t.Errorf("the second sweep did %+v", r)
		}
		for range 3 {
			sweep(t, s)
		}
		if n := blobs(t, f, "recordings/"); n != 2 {
			t.Errorf("%d blobs, want the two that were acknowledged", n)
		}
		if r, err := s.Sweep(t.Context(), s.Operator(), true); err != nil || r.Orphans.Recordings != 1 || r.Orphans.Bytes < 1<<20 {
			t.Errorf("orphans = %+v, %v; want the one that the copy lacks", r.Orphans, err)
		}
	})
}

// What a probe or a check of the store could not delete is no orphan.
func TestCensusPassesOverChecks(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	s := impatient(t, f.Parts)
	for _, key := range []string{"probe/0123456789abcdef", "doctor/abcdefgh/first"} {
		if err := f.Blobs.Create(t.Context(), key, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	sweep(t, s)
	if r, err := s.Sweep(t.Context(), s.Operator(), true); err != nil || r.Orphans.Seen < 2 || r.Orphans.Tenants+r.Orphans.Recordings != 0 {
		t.Errorf("orphans = %+v, %v", r.Orphans, err)
	}
}

// A deletion of a bucket that was killed halfway is ended, and its name is free.
func TestSweepEndsDeletionsOfBuckets(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	f.Pair("acme", gateway.BucketSettings{Name: calls})
	key, _ := f.Key("acme", gateway.NewKey{Kind: "reader", Bucket: "*", Write: true})
	store := faultyStore{Store: f.Blobs, refuse: func(string) error { return errKilled }}
	broken := gatewaytest.On(t, gatewaytest.Parts{Blobs: store, Catalog: f.Catalog, Keys: f.Keys})
	if err := broken.DeleteBucket(t.Context(), f.Caller(key), calls); !errors.Is(err, errKilled) {
		t.Fatalf("DeleteBucket = %v", err)
	}
	if r := sweep(t, f); r.Buckets.Found != 0 {
		t.Errorf("a sweep at once did %+v", r.Buckets)
	}
	s := impatient(t, f.Parts)
	if r := sweep(t, s); r.Buckets.Done != 1 {
		t.Errorf("a later sweep did %+v", r.Buckets)
	}
	f.Bucket("acme", gateway.BucketSettings{Name: calls})
}

// moody is a store whose requests fail at random, before or after they are done.
type moody struct {
	blob.Store
	calm *atomic.Bool
}

func (s moody) mood() (before, after error) {
	switch n := rand.N(10); {
	case s.calm.Load() || n > 3:
		return nil, nil
	case n > 1:
		return blob.ErrUnavailable, nil
	}
	return nil, blob.ErrUnavailable
}

func (s moody) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	before, after := s.mood()
	if before != nil {
		return before
	}
	return cmpError(s.Store.Create(ctx, key, r, size), after)
}

func (s moody) Delete(ctx context.Context, key string) error {
	before, after := s.mood()
	if before != nil {
		return before
	}
	return cmpError(s.Store.Delete(ctx, key), after)
}

func cmpError(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Whatever is put, completed, aborted, erased, swept and lost at the same time,
// on a store that fails now and then: what was acknowledged is whole, what was
// not leaves nothing.
func TestSweepBesideEverything(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	key, _ := f.Key("acme", gateway.NewKey{Kind: "reader", Bucket: string(calls), Write: true})
	eraser := f.Caller(key)
	store := moody{Store: f.Blobs, calm: new(atomic.Bool)}
	parts := gatewaytest.Parts{Blobs: store, Catalog: f.Catalog, Keys: f.Keys}
	store.calm.Store(true)
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "warm", sound(0, 10))); err != nil {
		t.Fatal(err)
	}
	var writers [2]*gatewaytest.Fixture
	for i := range writers {
		writers[i] = gatewaytest.On(t, parts, sweeping(time.Second))
	}
	store.calm.Store(false)
	stop := make(chan struct{})
	var sweepers, working sync.WaitGroup
	for range 2 {
		s := impatient(t, parts) // gives up what runs, too
		sweepers.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				_, _ = s.SweepOnce(t.Context()) // the store fails it now and then
			}
		})
	}
	var mu sync.Mutex // guards whole
	whole := map[recording.Name][]byte{"warm": sound(0, 10)}
	for w := range 4 {
		working.Go(func() {
			for i := range 15 {
				g, name := writers[(w+i)%2], recording.Name(fmt.Sprintf("%d/%d", w, i))
				content := sound(uint64(w*100+i), 1+rand.N(20_000))
				done := upload(g, recorder, name, content)
				if done && rand.N(3) == 0 {
					what := gateway.Erasure{Bucket: calls, Name: name, All: true}
					for _, err := g.Erase(t.Context(), eraser, what); err != nil; { // it may be gone, and is not until it says so
						_, err = g.Erase(t.Context(), eraser, what)
					}
					done = false
				}
				if done {
					mu.Lock()
					whole[name] = content
					mu.Unlock()
				}
			}
		})
	}
	working.Wait()
	close(stop)
	sweepers.Wait()
	store.calm.Store(true)
	execute(t, f.Dir, `UPDATE residues SET due = 0`)
	for name, content := range whole {
		if got := read(t, f, reader, name); !bytes.Equal(got, content) {
			t.Errorf("%s came back as other bytes", name)
		}
	}
	names, _ := pages(t, f, reader, gateway.Page{Max: 1000})
	if len(names) < len(whole) {
		t.Errorf("%d are listed, %d were acknowledged", len(names), len(whole))
	}
	s := gatewaytest.On(t, f.Parts, sweeping(time.Millisecond), func(c *gateway.Config) { c.StaleUpload = time.Millisecond })
	sweep(t, s)
	execute(t, f.Dir, `UPDATE residues SET due = 0`)
	s.Dir = f.Dir
	for range 3 {
		sweep(t, s)
	}
	stored := blobs(t, f, "recordings/")
	r, err := s.Sweep(t.Context(), s.Operator(), true)
	if _, open := s.Residue(); err != nil || open != 0 || r.Orphans.Recordings != 0 {
		t.Errorf("%d intents or residues, orphans %+v, %v", open, r.Orphans, err)
	}
	t.Logf("%d acknowledged, %d listed, %d blobs", len(whole), len(names), stored)
}

// upload sends content whole or in two parts, sometimes aborts it, and reports
// whether it was acknowledged.
func upload(g *gatewaytest.Fixture, c gateway.Caller, name recording.Name, content []byte) bool {
	if rand.N(2) == 0 {
		_, err := g.Put(g.Context(), c, gatewaytest.Upload(calls, name, content))
		return err == nil
	}
	id, err := g.CreateUpload(g.Context(), c, gateway.Description{Bucket: calls, Name: name})
	if err != nil {
		return false
	}
	var parts []gateway.PartName
	for i, piece := range [][]byte{content[:len(content)/2], content[len(content)/2:]} {
		p, err := putPart(g, c, id, i+1, piece)
		if err != nil {
			return false
		}
		parts = append(parts, gateway.PartName{Number: i + 1, ETag: p.ETag})
	}
	if rand.N(4) == 0 {
		_ = g.AbortUpload(g.Context(), c, id) // swept if it fails
		return false
	}
	_, err = complete(g, c, id, parts...)
	return err == nil
}
