package gateway_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// eraser is a reader of a tenant that may write.
func eraser(f *gatewaytest.Fixture, tenant, bucket string) gateway.Caller {
	key, _ := f.Key(tenant, gateway.NewKey{Kind: policy.Reader, Bucket: bucket, Write: true})
	return f.Caller(key)
}

// keepingStore refuses to delete.
type keepingStore struct{ blob.Store }

func (keepingStore) Delete(context.Context, string) error { return blob.ErrUnavailable }

// Killed after the rows, or before a store that cannot: the recording is gone,
// its client is told so, and its blob is for sweep.
func TestErasedThoughItsBlobIsLeft(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	broken := gatewaytest.On(t, gatewaytest.Parts{Blobs: keepingStore{f.Blobs}, Catalog: f.Catalog, Keys: f.Parts.Keys})
	what := gateway.Erasure{Bucket: calls, Name: "a", All: true}
	if _, err := broken.Erase(t.Context(), eraser(f, "acme", string(calls)), what); err != nil {
		t.Errorf("Erase: %v", err)
	}
	if _, err := f.Open(t.Context(), reader, calls, "a"); !errors.Is(err, recording.ErrNotFound) {
		t.Errorf("Open: %v, want ErrNotFound", err)
	}
	if n := blobs(t, f, "recordings/"); n != 1 {
		t.Errorf("%d blobs, want the one that could not be deleted", n)
	}
	if !strings.Contains(broken.Log.String(), "blobs left to sweep") {
		t.Errorf("log: %s", broken.Log)
	}
}

// A client that repeats its deletion hears of the same erasure, and nothing before
// the store has the request.
func TestDeletionIsRepeated(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	lossy := f.Parts
	lossy.Blobs = faultyStore{f.Blobs, func(key string) error {
		if strings.HasPrefix(key, "erasures/") {
			return recording.ErrUnavailable
		}
		return nil
	}}
	broken, who := gatewaytest.On(t, lossy), eraser(f, "acme", string(calls))
	what := gateway.Erasure{Bucket: calls, Name: "a", All: true}
	for i := range 2 {
		if _, err := broken.Erase(t.Context(), who, what); !errors.Is(err, recording.ErrUnavailable) {
			t.Errorf("deletion %d, of which the store has nothing: %v", i+1, err)
		}
	}
	third, err := f.Erase(t.Context(), who, what)
	if err != nil || third.Erasure == (recording.ErasureID{}) {
		t.Fatalf("third deletion: %+v, %v", third, err)
	}
	if n := blobs(t, f, "erasures/"); n != 1 {
		t.Errorf("the store has %d requests", n)
	}
	if fourth, err := f.Erase(t.Context(), who, what); err != nil || fourth != third {
		t.Errorf("fourth deletion: %+v, %v; want %+v", fourth, err, third)
	}
	if never, err := f.Erase(t.Context(), who, gateway.Erasure{Bucket: calls, Name: "never", All: true}); err != nil || never != (gateway.Erased{}) {
		t.Errorf("deletion of what never was: %+v, %v", never, err)
	}
}

// What cannot be logged is not done.
func TestNothingIsErasedWithoutItsEvent(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	who := eraser(f, "acme", string(calls))
	mend := breakLog(t, f)
	for _, name := range []recording.Name{"a", "absent"} {
		if _, err := f.Erase(t.Context(), who, gateway.Erasure{Bucket: calls, Name: name, All: true}); err == nil {
			t.Errorf("Erase(%s) succeeded without its event", name)
		}
	}
	mend()
	if got := read(t, f, reader, "a"); len(got) != 1000 {
		t.Errorf("read %d bytes", len(got))
	}
	if n := blobs(t, f, "recordings/"); n != 1 {
		t.Errorf("%d blobs, want 1", n)
	}
}

// A reader that comes between is told that the recording was erased. A blob
// that is gone though nobody erased it is an attack.
func TestReaderMeetsAnErasure(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	who := eraser(f, "acme", string(calls))
	for name, want := range map[recording.Name]error{"erased": recording.ErrErased, "taken": recording.ErrIntegrity} {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
		r, err := f.Open(t.Context(), reader, calls, name)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if want == recording.ErrErased {
			_, err = f.Erase(t.Context(), who, gateway.Erasure{Bucket: calls, Name: name, All: true})
		} else {
			err = deleteAll(f, "recordings/")
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Range(t.Context(), 0, 10); !errors.Is(err, want) {
			t.Errorf("%s: Range: %v, want %v", name, err, want)
		}
	}
}

// A reader who has found a recording in parts, but not yet its list, when it is
// erased is told just that.
func TestListOfPartsMeetsAnErasure(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	for name, act := range map[recording.Name]func(recording.Name) error{
		"open": func(n recording.Name) error { _, err := f.Open(t.Context(), reader, calls, n); return err },
		"stat": func(n recording.Name) error { _, err := f.Stat(t.Context(), reader, calls, n); return err },
	} {
		id := begin(t, f, recorder, name)
		if _, err := complete(f, recorder, id, mustPutPart(t, f, recorder, id, 1, sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
		execute(t, f.Dir, `CREATE TRIGGER erase AFTER INSERT ON events WHEN NEW.action = '`+string(name)+`' BEGIN
			UPDATE versions SET state = 'erased', is_current = FALSE WHERE version = NEW.version;
			DELETE FROM part_lists WHERE version = NEW.version; END`)
		if err := act(name); !errors.Is(err, recording.ErrErased) {
			t.Errorf("%s: %v, want ErrErased", name, err)
		}
		execute(t, f.Dir, `DROP TRIGGER erase`)
	}
}

// deleteAll deletes blobs behind the gateway's back.
func deleteAll(f *gatewaytest.Fixture, prefix string) error {
	for in, err := range f.Blobs.List(f.Context(), prefix) {
		if err != nil {
			return err
		}
		if err := f.Blobs.Delete(f.Context(), in.Key); err != nil {
			return err
		}
	}
	return nil
}

// A put that was under way when its name was erased comes after the erasure.
func TestPutOutlastsAnErasure(t *testing.T) {
	t.Parallel()
	for _, how := range []gateway.Overwrite{gateway.OverwriteVersion, gateway.OverwriteReplace} {
		f := gatewaytest.New(t)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: how})
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
			t.Fatal(err)
		}
		content := sound(2, 2000)
		u, body := gatewaytest.Upload(calls, "a", content), gated(content)
		u.Body = gatewaytest.NewBody(body)
		put := make(chan error, 1)
		go func() {
			_, err := f.Put(t.Context(), recorder, u)
			put <- err
		}()
		<-body.reached
		if _, err := f.Erase(t.Context(), eraser(f, "acme", string(calls)), gateway.Erasure{Bucket: calls, Name: "a", All: true}); err != nil {
			t.Error(err)
		}
		if _, err := f.Open(t.Context(), reader, calls, "a"); !errors.Is(err, recording.ErrNotFound) {
			t.Errorf("%s: Open after the erasure: %v, want ErrNotFound", how, err)
		}
		close(body.open)
		if err := <-put; err != nil {
			t.Errorf("%s: Put: %v", how, err)
		}
		if got := read(t, f, reader, "a"); len(got) != 2000 {
			t.Errorf("%s: read %d bytes, want the 2000 put last", how, len(got))
		}
		if n := blobs(t, f, "recordings/"); n != 1 {
			t.Errorf("%s: %d blobs, want 1", how, n)
		}
	}
}

// Readers, writers and erasers of one name meet: whoever reads reads a whole
// recording or none, and the last erasure leaves none.
func TestErasuresRaceReadsAndPuts(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	who := eraser(f, "acme", string(calls))
	what := gateway.Erasure{Bucket: calls, Name: "a", All: true}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 10 {
				_, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(uint64(i), 5000)))
				if err != nil && !errors.Is(err, recording.ErrExists) && !errors.Is(err, recording.ErrUnavailable) {
					t.Errorf("Put: %v", err)
				}
				if _, err := f.Erase(t.Context(), who, what); err != nil && !errors.Is(err, recording.ErrUnavailable) {
					t.Errorf("Erase: %v", err)
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				if err := readWhole(f, reader); err != nil && !errors.Is(err, recording.ErrNotFound) && !errors.Is(err, recording.ErrErased) {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := f.Erase(t.Context(), who, what); err != nil {
		t.Fatal(err)
	}
	if n := blobs(t, f, "recordings/"); n != 0 {
		t.Errorf("%d blobs remain", n)
	}
	if strings.Contains(f.Log.String(), "ERROR") {
		t.Errorf("log: %s", f.Log)
	}
}

func readWhole(f *gatewaytest.Fixture, c gateway.Caller) error {
	r, err := f.Open(f.Context(), c, calls, "a")
	if err != nil {
		return err
	}
	defer r.Close()
	body, err := r.Range(f.Context(), 0, r.Info.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	if n, err := io.Copy(io.Discard, body); err != nil || n != r.Info.Size {
		return errors.Join(err, io.ErrUnexpectedEOF)
	}
	return nil
}

// Whoever may not erase is refused, and the log says why.
func TestErasureIsRefused(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	f.Tenant("other")
	f.Bucket("other", gateway.BucketSettings{Name: calls})
	key, _ := f.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: string(calls), Prefix: "b/", Write: true})
	if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "a", sound(1, 1000))); err != nil {
		t.Fatal(err)
	}
	what := gateway.Erasure{Bucket: calls, Name: "a", All: true}
	for name, c := range map[string]gateway.Caller{"recorder": recorder, "reader": reader, "other prefix": f.Caller(key)} {
		if _, err := f.Erase(t.Context(), c, what); !errors.Is(err, recording.ErrDenied) {
			t.Errorf("%s: Erase: %v, want ErrDenied", name, err)
		}
	}
	if _, err := f.Erase(t.Context(), eraser(f, "other", "*"), what); err != nil { // of a name that it has not
		t.Errorf("Erase by another tenant: %v", err)
	}
	if got := read(t, f, reader, "a"); len(got) != 1000 {
		t.Errorf("read %d bytes", len(got))
	}
	reasons := map[string]int{}
	for _, r := range events(t, f, reader, "erase") {
		if r.Outcome == audit.Denied {
			reasons[r.Reason]++
		}
	}
	if reasons["wrong-kind"] != 2 || reasons["wrong-prefix"] != 1 {
		t.Errorf("refusals in the log: %v", reasons)
	}
}

// A stream that runs while its recording is erased, by another replica too,
// ends soon after; one of another recording goes on.
func TestRunningStreamMeetsAnErasure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := gatewaytest.New(t)
		other := gatewaytest.On(t, f.Parts)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
		streams := map[recording.Name]io.ReadCloser{"erased": nil, "kept": nil}
		for name := range streams {
			if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, name, sound(1, 1<<20))); err != nil {
				t.Fatal(err)
			}
			r, err := f.Open(t.Context(), reader, calls, name)
			if err != nil {
				t.Fatal(err)
			}
			body, err := r.Range(t.Context(), 0, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if _, err := io.CopyN(io.Discard, body, 100); err != nil {
				t.Fatal(err)
			}
			streams[name] = body
		}
		who := eraser(f, "acme", string(calls))
		if _, err := other.Erase(t.Context(), who, gateway.Erasure{Bucket: calls, Name: "erased", All: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2100 * time.Millisecond)
		if n, err := io.Copy(io.Discard, streams["erased"]); !errors.Is(err, recording.ErrErased) || n > 200_000 {
			t.Errorf("read on for %d bytes and then %v, want ErrErased", n, err)
		}
		if n, err := io.Copy(io.Discard, streams["kept"]); err != nil || n != 1<<20-100 {
			t.Errorf("the other stream: %d bytes, %v", n, err)
		}
	})
}

// below lets a fault befall what is done below a prefix.
func below(prefix string, fault func() error) func(string) error {
	return func(key string) error {
		if !strings.HasPrefix(key, prefix) {
			return nil
		}
		return fault()
	}
}

// A client whose deletion was not acknowledged, since the store did not take its
// request, repeats it: it finds nothing any more, and is told of success only once the
// request is durable.
func TestRepeatedDeletionIsRecorded(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), ""
	t.Run("put", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
		mustPut(t, f, recorder, "", "a")
		key = eraser(f, "acme", string(calls)).Who
	})
	f := gatewaytest.In(t, dir, only(gateway.Front)) // an eraser would record it
	who, what := f.Caller(key), gateway.Erasure{Bucket: calls, Name: "a", All: true}
	away := faultyStore{f.Blobs, below("erasures/", func() error { return blob.ErrUnavailable })}
	broken := gatewaytest.On(t, gatewaytest.Parts{Blobs: away, Catalog: f.Catalog, Keys: f.Parts.Keys}, only(gateway.Front))
	for range 2 {
		if _, err := broken.Erase(t.Context(), who, what); !errors.Is(err, recording.ErrUnavailable) {
			t.Errorf("Erase without a record: %v, want ErrUnavailable", err)
		}
	}
	if _, err := f.Erase(t.Context(), who, what); err != nil {
		t.Fatal(err)
	}
	if n := blobs(t, f, "erasures/"); n != 1 {
		t.Errorf("%d records in the store after the acknowledgement, want 1", n)
	}
}

// What is held moves out of a day first, which takes its time. The certificate's date
// from which nothing was read is not before that.
func TestRefusedOnceMovedOut(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90})
	mustPut(t, f, recorder, "", "gone", "held")
	mustHold(t, f, onRecording("held"))
	var seen time.Time
	slow := faultyStore{f.Blobs, below("refiled/", func() error {
		time.Sleep(50 * time.Millisecond)
		read(t, f, reader, "gone")
		seen = time.Now()
		return nil
	})}
	g := gatewaytest.On(t, gatewaytest.Parts{Blobs: slow, Catalog: f.Catalog, Keys: f.Parts.Keys}, only(gateway.Front))
	info, err := g.EraseFor(t.Context(), g.Operator(), "acme", expiring(90))
	if err != nil || seen.IsZero() {
		t.Fatalf("erasure: %+v, %v", info, err)
	}
	if info.AskedAt.Before(seen.Truncate(time.Microsecond)) {
		t.Errorf("refused from %v on, and read %v later", info.AskedAt, seen.Sub(info.AskedAt))
	}
}
