package keytree_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/recording"
)

func store(t testing.TB) *filestore.Store {
	t.Helper()
	s, err := filestore.New(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// counting counts what reaches a real provider.
type counting struct {
	keytree.Provider
	unwraps atomic.Int64
}

func (c *counting) Unwrap(ctx context.Context, r keytree.Root, wrapped, bind []byte) (keytree.Key, error) {
	c.unwraps.Add(1)
	return c.Provider.Unwrap(ctx, r, wrapped, bind)
}

func provider(t testing.TB) *counting {
	t.Helper()
	p, err := localkeys.New(filepath.Join(t.TempDir(), "keys"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &counting{Provider: p}
}

func plant(t testing.TB, p keytree.Provider) keytree.Head {
	t.Helper()
	h, err := keytree.Plant(t.Context(), p, store(t), recording.NewTenant())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestSlotKeysDiffer(t *testing.T) {
	p := provider(t)
	keys, err := keytree.Unwrap(t.Context(), p, nil, plant(t, p))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[keytree.Key]string{}
	for _, tree := range []keytree.Tree{keytree.Recordings, keytree.Subjects, keytree.Days, keytree.System} {
		for _, slot := range []uint64{0, 1, 31, 32, 1023, 1024, 1 << 20, 1 << 39, keytree.MaxSlot} {
			k, err := keys.Slot(t.Context(), tree, slot)
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("tree %d slot %d", tree, slot)
			if other, twice := seen[k]; twice {
				t.Errorf("%s and %s have one key", name, other)
			}
			seen[k] = name
		}
	}
	if _, err := keys.Slot(t.Context(), keytree.Recordings, keytree.MaxSlot+1); err == nil {
		t.Error("a slot outside the tree has a key")
	}
}

func TestDEKOpensOnlyWhereItWasWrapped(t *testing.T) {
	p := provider(t)
	h := plant(t, p)
	keys, err := keytree.Unwrap(t.Context(), p, nil, h)
	if err != nil {
		t.Fatal(err)
	}
	id := recording.Identity{Tenant: h.Tenant, Recording: recording.NewID(), Version: recording.NewVersion()}
	slots := keytree.Slots{Recording: 7, Subject: 8, Day: 9}
	dek := keytree.NewKey()
	wrapped, err := keys.WrapDEK(t.Context(), id, slots, dek)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keys.UnwrapDEK(t.Context(), id, slots, wrapped[:]); err != nil || !got.Equal(dek) {
		t.Errorf("UnwrapDEK: other key, %v", err)
	}
	stranger := id
	stranger.Version = recording.NewVersion()
	for name, try := range map[string]struct {
		id recording.Identity
		s  keytree.Slots
	}{
		"version":        {stranger, slots},
		"recording slot": {id, keytree.Slots{Recording: 6, Subject: 8, Day: 9}},
		"subject slot":   {id, keytree.Slots{Recording: 7, Subject: 0, Day: 9}},
		"day slot":       {id, keytree.Slots{Recording: 7, Subject: 8, Day: 0}},
	} {
		if _, err := keys.UnwrapDEK(t.Context(), try.id, try.s, wrapped[:]); !errors.Is(err, keytree.ErrSealed) {
			t.Errorf("with another %s: %v, want ErrSealed", name, err)
		}
	}
	for i := range wrapped {
		bad := bytes.Clone(wrapped[:])
		bad[i] ^= 1
		if _, err := keys.UnwrapDEK(t.Context(), id, slots, bad); !errors.Is(err, keytree.ErrSealed) {
			t.Errorf("with byte %d changed: %v, want ErrSealed", i, err)
		}
	}
}

func TestSlotsAreNeverHandedOutTwice(t *testing.T) {
	s, tenant := store(t), recording.NewTenant()
	var mu sync.Mutex
	var all []uint64
	for range 3 { // processes that come after one another, each with many at once
		var wg sync.WaitGroup
		for range 4 { // replicas
			r := keytree.NewReserver(s)
			wg.Go(func() {
				for range 1500 {
					slot, err := r.Next(t.Context(), tenant, keytree.Recordings)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					all = append(all, slot)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != 3*4*1500 || all[0] == 0 {
		t.Errorf("%d different slots of %d, the lowest %d", n, len(all), all[0])
	}
	if top := all[len(all)-1]; top > 64*1024 {
		t.Errorf("highest slot %d: blocks are not taken in order", top)
	}
}

// stopped is a real store that answers a create only once it is told how.
type stopped struct {
	keytree.Store
	creates atomic.Int64
	answers chan error
}

func (s *stopped) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	s.creates.Add(1)
	if err := <-s.answers; err != nil {
		return err
	}
	return s.Store.Create(ctx, key, r, size)
}

// However many wait for slots, a store that has stopped is asked once, who goes
// away waits no longer, and those who stay get slots as soon as there are some.
func TestManyWaitForOneReservation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 100
		s, tenant := &stopped{Store: store(t), answers: make(chan error)}, recording.NewTenant()
		r := keytree.NewReserver(s)
		errs := make(chan error, many)
		ask := func(ctx context.Context) {
			_, err := r.Next(ctx, tenant, keytree.Recordings)
			errs <- err
		}
		for _, answer := range []error{fs.ErrInvalid, nil} {
			s.creates.Store(0)
			first, leave := context.WithCancel(t.Context())
			go ask(first)
			synctest.Wait()
			for range many - 1 {
				go ask(t.Context())
			}
			synctest.Wait()
			leave()
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("who went away: %v, want context.Canceled", err)
			}
			s.answers <- answer
			for range many - 1 {
				if err := <-errs; !errors.Is(err, answer) {
					t.Errorf("who waited: %v, want %v", err, answer)
				}
			}
			if n := s.creates.Load(); n != 1 {
				t.Errorf("the store was asked %d times, want once", n)
			}
		}
	})
}

// A panic in what many requests wait for is the error of each, and ends nothing else.
func TestPanicIsContained(t *testing.T) {
	p := provider(t)
	h := plant(t, p)
	l := keytree.NewLeases(panickingProvider{p}, nil, func(recording.Tenant) {})
	defer l.Close()
	if _, err := l.Keys(t.Context(), h); !errors.Is(err, fault.ErrPanic) {
		t.Errorf("Keys: %v, want ErrPanic", err)
	}
	r := keytree.NewReserver(panickingStore{store(t)})
	if _, err := r.Next(t.Context(), h.Tenant, keytree.Recordings); !errors.Is(err, fault.ErrPanic) {
		t.Errorf("Next: %v, want ErrPanic", err)
	}
}

// panickingProvider and panickingStore have a fault of the program.
type (
	panickingProvider struct{ keytree.Provider }
	panickingStore    struct{ keytree.Store }
)

func (panickingProvider) Unwrap(context.Context, keytree.Root, []byte, []byte) (keytree.Key, error) {
	panic("unwrap")
}

func (panickingStore) Create(context.Context, string, io.Reader, int64) error { panic("create") }

func TestHeads(t *testing.T) {
	s, p := store(t), provider(t)
	tenant := recording.NewTenant()
	h, err := keytree.Plant(t.Context(), p, s, tenant)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keytree.ReadHead(t.Context(), s, tenant, 0); err != nil || !bytes.Equal(got.Marshal(), h.Marshal()) {
		t.Errorf("ReadHead = %v, %v", got, err)
	}
	if err := keytree.Commit(t.Context(), s, h); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second commit of the epoch: %v, want fs.ErrExist", err)
	}
	if _, err := keytree.ReadHead(t.Context(), s, tenant, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadHead of an epoch to come: %v, want fs.ErrNotExist", err)
	}
	for what, moved := range map[string]keytree.Head{
		"epoch":  {Tenant: h.Tenant, Epoch: 1, Version: 1, Wrapped: h.Wrapped},
		"tenant": {Tenant: recording.NewTenant(), Version: 1, Wrapped: h.Wrapped},
	} {
		if _, err := keytree.Unwrap(t.Context(), p, nil, moved); err == nil {
			t.Errorf("a root moved to another %s unwraps", what)
		}
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add(keytree.Head{Tenant: recording.NewTenant(), Version: 1, Wrapped: []byte("vault:v1:AAAA")}.Marshal())
	f.Add(keytree.Head{Kind: keytree.HeadErased, Epoch: 3}.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := keytree.ParseHead(b); err == nil && !bytes.Equal(h.Marshal(), b) {
			t.Errorf("a head of %d bytes marshals to others", len(b))
		}
	})
}

func TestOneUnwrapPerLease(t *testing.T) {
	p := provider(t)
	h := plant(t, p)
	clock := &fakeClock{}
	var ended int
	l := keytree.NewLeasesAt(p, clock.now, func(recording.Tenant) { ended++ })
	defer l.Close()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if _, err := l.Keys(t.Context(), h); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := p.unwraps.Load(); n != 1 {
		t.Errorf("%d unwraps in one lease, want 1", n)
	}
	clock.add(keytree.LeaseTime - time.Millisecond)
	l.Keys(t.Context(), h)
	if n := p.unwraps.Load(); n != 1 {
		t.Errorf("%d unwraps just before the lease ends, want 1", n)
	}
	clock.add(time.Millisecond)
	l.Keys(t.Context(), h)
	if n := p.unwraps.Load(); n != 2 {
		t.Errorf("%d unwraps once the lease has ended, want 2", n)
	}
	l.Drop(h.Tenant)
	l.Keys(t.Context(), h)
	if n := p.unwraps.Load(); n != 3 {
		t.Errorf("%d unwraps after a drop, want 3", n)
	}
	if ended == 0 {
		t.Error("nobody was told that a lease ended")
	}
}

func TestEveryEndOfALeaseIsTold(t *testing.T) {
	p := provider(t)
	h := plant(t, p)
	clock := &fakeClock{}
	var ended int
	l := keytree.NewLeasesAt(p, clock.now, func(id recording.Tenant) {
		if id == h.Tenant {
			ended++
		}
	})
	for _, step := range []struct {
		what string
		do   func()
		told bool
	}{
		{"first lease", func() {}, false},
		{"the same lease", func() {}, false},
		{"its time is up", func() { clock.add(keytree.LeaseTime) }, true},
		{"drop", func() { l.Drop(h.Tenant) }, true},
		{"drop of another", func() { l.Drop(recording.NewTenant()) }, false},
		{"close", l.Close, true},
	} {
		ended = 0
		step.do()
		if _, err := l.Keys(t.Context(), h); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if (ended > 0) != step.told {
			t.Errorf("%s: told %d times", step.what, ended)
		}
	}
	l.Drop(h.Tenant)
	ended = 0
	l.Drop(h.Tenant)
	if ended == 0 {
		t.Error("a drop without a lease is not told; an unwrapping may be under way")
	}
}

type fakeClock struct{ t atomic.Int64 }

func (c *fakeClock) now() time.Duration  { return time.Duration(c.t.Load()) }
func (c *fakeClock) add(d time.Duration) { c.t.Add(int64(d)) }

func TestErasedHeadGivesNoKeys(t *testing.T) {
	p := provider(t)
	l := keytree.NewLeases(p, nil, func(recording.Tenant) {})
	defer l.Close()
	h := plant(t, p)
	if _, err := l.Keys(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	gone := keytree.Head{Kind: keytree.HeadErased, Tenant: h.Tenant, Epoch: 1}
	if _, err := l.Keys(t.Context(), gone); !errors.Is(err, keytree.ErrErased) {
		t.Errorf("Keys under an erased head: %v, want ErrErased", err)
	}
	if err := p.Destroy(t.Context(), keytree.RootOf(h.Tenant)); err != nil {
		t.Fatal(err)
	}
	l.Drop(h.Tenant)
	if _, err := l.Keys(t.Context(), h); !errors.Is(err, keytree.ErrForgotten) {
		t.Errorf("Keys under the old head: %v, want ErrForgotten", err)
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	k := keytree.NewKey()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
		for _, v := range []any{k, &k, struct{ K keytree.Key }{k}} {
			out := fmt.Sprintf(verb, v)
			for _, form := range []string{"%x", "%X", "%d", "%v", "%o", "%s", "%q"} {
				if b := fmt.Sprintf(form, k.Bytes()[:8]); bytes.Contains([]byte(out), bytes.Trim([]byte(b), "[]")) {
					t.Errorf("%s of %T shows the key as %s", verb, v, form)
				}
			}
		}
	}
	if b, err := json.Marshal(struct{ K keytree.Key }{k}); err == nil {
		t.Errorf("a key marshals to %d bytes", len(b))
	}
}

func TestDaySlots(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	if keytree.DaySlot(0, noon) != 0 {
		t.Error("no retention has a day slot")
	}
	a, b := keytree.DaySlot(90, noon), keytree.DaySlot(90, noon.Add(11*time.Hour))
	if a != b || a == keytree.DaySlot(90, noon.Add(12*time.Hour)) || a == keytree.DaySlot(91, noon.Add(-24*time.Hour)) {
		t.Error("a day slot is not class × day")
	}
	if top := keytree.DaySlot(keytree.MaxRetentionDays, time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC)); top > keytree.MaxSlot {
		t.Errorf("day slot %d lies outside the tree", top)
	}
}
