package disclosure_test

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
)

var (
	epochs = flag.Int("epochs", 2000, "how many epochs at least")
	seed   = flag.Uint64("seed", 0, "of the random histories; 0: drawn")
)

// docs/keys.md, Why forgetting a key is enough: whatever tenants do, and wherever
// their coordinators die, nothing erased is within reach of one who kept
// everything and arrives after; nothing that lives is lost, and no key of it changes.
func TestNothingErasedIsReachable(t *testing.T) {
	seed := drawn(t)
	var mu sync.Mutex // guards the rest
	ends, done := map[string]int{}, 0
	t.Cleanup(func() { // when all tenants have ended
		t.Logf("%d epochs; coordinators ended %v", done, ends)
		for _, step := range []string{
			"read head", "versions", "rotate", "unwrap", "create pages", "wrap", "create head",
			"PutPages", "FollowHead", "DropOlderPages", "retire", "EpochEffective",
		} {
			if done >= 1000 && (ends["before "+step] == 0 || ends["after "+step] == 0) {
				t.Errorf("nobody died before or after a step %q", step)
			}
		}
	})
	for tenant, asked := uint64(1), 0; asked < *epochs; tenant++ {
		rng := rand.New(rand.NewPCG(seed, tenant))
		end := 20 + rng.IntN(200)
		asked += end
		t.Run(fmt.Sprintf("tenant %d", tenant), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, rng, flaws{})
			for int(w.newest().Epoch) < end && !t.Failed() {
				for _, of := range w.round() {
					t.Errorf("epoch %d: %s: %s", w.newest().Epoch, of.kind, of.what)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			done += int(w.newest().Epoch)
			for how, n := range w.ends {
				ends[how] += n
			}
		})
	}
}

// drawn is a seed, drawn unless it was given.
func drawn(t *testing.T) uint64 {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed %d", s)
	return s
}

func rng(t *testing.T) *rand.Rand { return rand.New(rand.NewPCG(drawn(t), 0)) }

// round is a while in a tenant's life, at the end of which what was asked to be
// gone is. After each death of a coordinator, and at the end, it looks.
func (w *world) round() (v violations) {
	for range 1 + w.rng.IntN(4) {
		w.put()
	}
	for range 1 + w.rng.IntN(4) {
		w.erase()
	}
	for !w.drive() {
		w.restart()
		if v = w.check(); len(v) > 0 {
			return v
		}
		if w.rng.IntN(2) == 0 { // what arrives meanwhile
			w.put()
			w.erase()
		}
	}
	w.gone = slices.Clone(w.asked)
	w.remember()
	return w.check()
}

// drive runs one coordinator, or some at once, and reports whether one came to
// the end. Each may die at any step.
func (w *world) drive() (done bool) {
	lives := make([]*life, 1)
	if w.rng.IntN(4) == 0 {
		lives = make([]*life, 2+w.rng.IntN(2))
	}
	for i := range lives {
		lives[i] = &life{steps: -1}
		if w.rng.IntN(2) == 0 {
			lives[i] = &life{steps: w.rng.IntN(40), late: w.rng.IntN(2) == 0}
		}
	}
	run := func(l *life) error {
		keys, store := w.keys, w.store
		if w.flaws.parts != nil {
			keys, store = w.flaws.parts(w)
		}
		return w.driver.run(l, keys, store)
	}
	var errs []error
	if len(lives) == 1 {
		errs = []error{run(lives[0])}
	} else {
		errs = race(w.rng, lives, run)
	}
	for i, err := range errs {
		switch {
		case lives[i].died != "":
			w.ends[lives[i].died]++
		case errors.Is(err, recording.ErrIncident) && w.flaws.none(): // a flaw may be one, and has to be found
			w.t.Errorf("coordinator: %v", err)
		case err != nil:
			w.ends["overtaken"]++
		}
		if err != nil && lives[i].died == "" && len(lives) == 1 && w.flaws.none() {
			w.t.Fatalf("coordinator, alone: %v", err)
		}
	}
	return slices.Contains(errs, nil)
}

// remember keeps the newest head as a backup of the database would, and its keys
// as a replica that falls behind would.
func (w *world) remember() {
	head := w.newest()
	w.heads = append(w.heads, head)
	keys, err := w.open(head)
	if err != nil {
		return // which the check finds
	}
	if len(w.stale) < 6 {
		w.stale = append(w.stale, keys)
		return
	}
	i := w.rng.IntN(len(w.stale))
	w.stale[i].Clear()
	w.stale[i] = keys
}

// unwrap asks the provider, as whoever has all rights to it now.
func (w *world) unwrap(h decryptor.Head) (root [32]byte, ok bool) {
	key, err := w.keys.Unwrap(w.t.Context(), keytree.RootOf(w.tenant), h.Wrapped, decryptor.Bind(h))
	if err != nil && !errors.Is(err, keytree.ErrForgotten) {
		w.t.Fatalf("unwrap the root of epoch %d: %v", h.Epoch, err)
	}
	return [32]byte(key.Bytes()), err == nil
}

func inOrder(set map[keytree.Slot]bool) []keytree.Slot {
	return slices.SortedFunc(maps.Keys(set), func(a, b keytree.Slot) int {
		return cmp.Or(cmp.Compare(a.Tree, b.Tree), cmp.Compare(a.Number, b.Number))
	})
}
