package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/recording"
)

// holdUp holds up one call of the catalog, once armed.
type holdUp struct {
	mu            sync.Mutex // guards operation
	operation     string
	came, proceed chan struct{}
}

// arm has the next call of an operation wait until proceed is closed.
func (h *holdUp) arm(operation string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operation, h.came, h.proceed = operation, make(chan struct{}), make(chan struct{})
}

// Begin implements observe.Observer.
func (h *holdUp) Begin(ctx context.Context, c observe.Call) (context.Context, func(observe.Outcome)) {
	h.mu.Lock()
	mine := c.Operation == h.operation
	if mine {
		h.operation = ""
	}
	h.mu.Unlock()
	if mine {
		close(h.came)
		<-h.proceed
	}
	return ctx, func(observe.Outcome) {}
}

// heldUp is a fixture whose catalog can be held up.
func heldUp(t *testing.T) (*gatewaytest.Fixture, *holdUp) {
	t.Helper()
	dir, held := t.TempDir(), &holdUp{}
	blobs, err := filestore.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := localkeys.New(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := catalog.OpenObserved(t.Context(), "sqlite:"+filepath.Join(dir, "catalog.db"), held)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cat.Close(); blobs.Close(); keys.Close() })
	return gatewaytest.On(t, gatewaytest.Parts{Blobs: blobs, Catalog: cat, Keys: keys}, gateway.Announce(shortly)), held
}

// What a request reads by indexes that rows have left since is not taken for all there
// is: it is told to try again.
func TestRequestOutlastsAnnouncement(t *testing.T) {
	t.Parallel()
	f, held := heldUp(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	var want []string
	for i := range 6 {
		name := fmt.Sprintf("%d/%d", i%2, i)
		want = append(want, name)
		mustPut(t, f, recorder, string(caller), recording.Name(name))
	}
	slices.Sort(want)
	for i, test := range []struct {
		operation string
		do        func(c gateway.Caller) error
	}{
		{"VersionsIn", func(c gateway.Caller) error {
			_, err := f.List(t.Context(), c, calls, gateway.Page{Max: 100})
			return err
		}},
		{"Inside", func(c gateway.Caller) error {
			_, err := f.List(t.Context(), c, calls, gateway.Page{Max: 100})
			return err
		}},
		{"Find", func(c gateway.Caller) error { _, err := f.Stat(t.Context(), c, calls, "0/0"); return err }},
		{"Find", func(c gateway.Caller) error {
			_, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, "0/0", sound(9, 1000)))
			return err
		}},
		{"Bucket", func(c gateway.Caller) error {
			return f.CreateBucket(t.Context(), f.Operator(), "acme", gateway.BucketSettings{Name: calls})
		}},
		{"ErasureByScope", func(c gateway.Caller) error {
			_, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("gone-0"))
			return err
		}},
	} {
		gone := recording.Name(fmt.Sprint("gone-", i))
		mustPut(t, f, recorder, "", gone)
		if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording(gone)); err != nil {
			t.Fatal(err)
		}
		held.arm(test.operation)
		ended := make(chan error, 1)
		go func() { ended <- test.do(f.Caller(reader.Who)) }() // ends once it goes on
		<-held.came
		reindex(t, f, "acme")
		close(held.proceed)
		if err := <-ended; !errors.Is(err, recording.ErrUnavailable) {
			t.Errorf("%s by indexes that rows have left: %v, want ErrUnavailable", test.operation, err)
		}
		if names, _ := pages(t, f, reader, gateway.Page{Max: 100}); !slices.Equal(names, want) {
			t.Errorf("names: %v, want %v", names, want)
		}
	}
}

// A correction that meets the announcement of another generation goes on by itself.
func TestCorrectionOutlastsStage(t *testing.T) {
	t.Parallel()
	f, held := heldUp(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, string(caller), "a", "gone")
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", ofRecording("gone")); err != nil {
		t.Fatal(err)
	}
	held.arm("Refile")
	ended := make(chan error, 1)
	go func() { // ends once it goes on
		_, err := f.RefileFor(t.Context(), f.Operator(), "acme", gateway.RefileRequest{Bucket: calls, Name: "a", Subjects: []recording.Subject{agent}})
		ended <- err
	}()
	<-held.came
	if _, err := f.Reindex(t.Context(), f.Operator(), "acme"); err != nil {
		t.Error(err)
	}
	close(held.proceed)
	if err := <-ended; err != nil {
		t.Errorf("correction: %v", err)
	}
	eraseSubject(t, f, agent)
	if names, _ := pages(t, f, reader, gateway.Page{Max: 100}); len(names) > 0 {
		t.Errorf("names once the subject is erased: %v", names)
	}
}

// While rows move a listing goes by what the one before has seen, and forgets what is gone.
func TestListingsRememberWhileRowsMove(t *testing.T) {
	t.Parallel()
	f, held := heldUp(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, "", "d/a", "e/b", "gone")
	erase(t, f, "gone")
	if _, err := f.Reindex(t.Context(), f.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
	held.arm("EndMove")
	moved := make(chan struct{})
	go func() { // ends once it goes on
		defer close(moved)
		for info := (gateway.ReindexInfo{}); info.MovedAt.IsZero(); info, _ = f.Reindexed(t.Context(), f.Operator(), "acme") {
			f.ForgetOlder(t.Context())
		}
	}()
	<-held.came
	list := func(want ...string) {
		t.Helper()
		if names, _ := pages(t, f, reader, gateway.Page{Max: 100}); !slices.Equal(names, want) {
			t.Errorf("names: %v, want %v", names, want)
		}
	}
	list("d/a", "e/b")
	before := f.Stats().Shelves.Hits
	list("d/a", "e/b")
	if hits := f.Stats().Shelves.Hits - before; hits != 3 {
		t.Errorf("%d directories were known, want 3", hits)
	}
	erase(t, f, "d/a")
	list("e/b")
	if got := f.Remembered(reader.Tenant); slices.Contains(got, "d/a") {
		t.Errorf("a directory without recordings is remembered: %q", got)
	}
	close(held.proceed)
	<-moved
}
