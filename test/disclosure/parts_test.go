package disclosure_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// errCrashed ends a coordinator: what it had in memory is dropped.
var errCrashed = errors.New("crashed")

// A life is how long one coordinator lives. Everything it does to the provider,
// the store and the database is a step; it may die at one, whose effect then
// stands or does not, and it never learns which.
type life struct {
	steps int    // it dies at the step after so many; less than 0: not at all
	late  bool   // that step still takes effect
	turn  func() // waits until others let it take a step; nil: it is alone
	died  string // at what, and whether that took effect
	last  bool   // it is dead, and its last step goes on
	ended func() // is told of it; nil: nobody is
}

// step takes one, unless this life has ended.
func (l *life) step(what string, act func() error) error {
	if l.begin(what); l.died == "" {
		return act()
	}
	if l.last {
		l.last = false
		act()
	}
	l.end()
	return errCrashed
}

// begin is the moment before a step. It may be the life's last, which still takes
// effect, or it dies before that.
func (l *life) begin(what string) {
	if l.turn != nil {
		l.turn()
	}
	switch {
	case l.died != "":
	case l.steps == 0 && l.late:
		l.died, l.last = "after "+what, true
	case l.steps == 0:
		l.died = "before " + what
	default:
		l.steps--
	}
}

// end ends whatever the life has under way.
func (l *life) end() {
	if l.ended != nil {
		l.ended()
	}
}

// mortalKeys is a provider as one life sees it.
type mortalKeys struct {
	keytree.Provider
	life *life
}

func (m mortalKeys) Wrap(ctx context.Context, root keytree.Root, version int, k keytree.Key, bind []byte) (wrapped []byte, err error) {
	err = m.life.step("wrap", func() (err error) {
		wrapped, err = m.Provider.Wrap(ctx, root, version, k, bind)
		return err
	})
	return wrapped, err
}

func (m mortalKeys) Unwrap(ctx context.Context, root keytree.Root, wrapped, bind []byte) (k keytree.Key, err error) {
	err = m.life.step("unwrap", func() (err error) {
		k, err = m.Provider.Unwrap(ctx, root, wrapped, bind)
		return err
	})
	return k, err
}

func (m mortalKeys) Rotate(ctx context.Context, root keytree.Root) (version int, err error) {
	err = m.life.step("rotate", func() (err error) {
		version, err = m.Provider.Rotate(ctx, root)
		return err
	})
	return version, err
}

func (m mortalKeys) Versions(ctx context.Context, root keytree.Root) (has keytree.Versions, err error) {
	err = m.life.step("versions", func() (err error) {
		has, err = m.Provider.Versions(ctx, root)
		return err
	})
	return has, err
}

func (m mortalKeys) Retire(ctx context.Context, root keytree.Root, below int) error {
	return m.life.step("retire", func() error { return m.Provider.Retire(ctx, root, below) })
}

// mortalStore is a store as one life sees it. Reading pages is no step, since
// nothing could go differently for it.
type mortalStore struct {
	keytree.Store
	life *life
}

func (m mortalStore) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	return m.life.step("create "+kindOf(key), func() error { return m.Store.Create(ctx, key, r, size) })
}

func (m mortalStore) Open(ctx context.Context, key string, off, n int64) (body io.ReadCloser, err error) {
	if n >= 0 {
		return m.Store.Open(ctx, key, off, n)
	}
	err = m.life.step("read "+kindOf(key), func() (err error) {
		body, err = m.Store.Open(ctx, key, off, n)
		return err
	})
	return body, err
}

// kindOf is the first part of a blob's key.
func kindOf(key string) string {
	kind, _, _ := strings.Cut(key, "/")
	return kind
}

// witness is a store of which somebody sees all that comes to stand in it.
type witness struct {
	keytree.Store
	saw func(key string, blob []byte)
}

func (w witness) Create(ctx context.Context, key string, r io.Reader, size int64) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := w.Store.Create(ctx, key, bytes.NewReader(b), size); err != nil {
		return err
	}
	w.saw(key, b)
	return nil
}

// race runs coordinators at once, one step at a time, in an order that rng draws.
// It gives their errors.
func race(rng *rand.Rand, lives []*life, run func(*life) error) []error {
	type ended struct {
		racer int
		err   error
	}
	ask, end := make(chan int), make(chan ended)
	turns := make([]chan struct{}, len(lives))
	for i, l := range lives {
		turns[i] = make(chan struct{})
		l.turn = func() {
			ask <- i
			<-turns[i]
		}
		go func() { end <- ended{i, run(l)} }() // which the loop below waits for
	}
	errs, waiting := make([]error, len(lives)), make([]bool, len(lives))
	for running, asking := len(lives), 0; running > 0; {
		if asking < running {
			select {
			case i := <-ask:
				waiting[i] = true
				asking++
			case e := <-end:
				errs[e.racer] = e.err
				running--
			}
			continue
		}
		i := rng.IntN(len(lives))
		for !waiting[i] {
			i = rng.IntN(len(lives))
		}
		waiting[i] = false
		asking--
		turns[i] <- struct{}{}
	}
	return errs
}
