package providertest

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

func wrapAndUnwrap(a *actor) {
	a.creates()
	a.isAt(1)
	first := a.wraps(1, "tenant, epoch 1")
	second := a.wraps(1, "tenant, epoch 2")
	a.opens(first)
	a.opens(second)
	a.opens(a.wraps(1, ""))
	a.opens(a.wraps(1, strings.Repeat("\x00\xff", 512)))

	again, err := a.Wrap(a.ctx, a.root, 1, first.key, []byte(first.bind))
	a.must(err, "Wrap")
	if bytes.Equal(again, first.wrapped) {
		a.Fatal("Wrap: the same key gave the same ciphertext twice")
	}
}

func createTwice(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	a.creates()
	a.isAt(1)
	a.opens(w)

	a.rotatesTo(2)
	a.retires(2)
	a.creates()
	a.isAt(2)
	a.refuses(w, keytree.ErrForgotten)
	a.cannotWrap(1, keytree.ErrForgotten)
}

func rotate(a *actor) {
	a.creates()
	one := a.wraps(1, "bind")
	a.rotatesTo(2)
	a.rotatesTo(3)
	a.opens(one)
	a.opens(a.wraps(3, "bind"))
}

func chooseVersion(a *actor) {
	a.creates()
	a.rotatesTo(2)
	a.rotatesTo(3)
	old := a.wraps(2, "bind")
	a.opens(old)
	a.retires(3)
	a.refuses(old, keytree.ErrForgotten) // it was 2 indeed, not the newest
	a.cannotWrap(2, keytree.ErrForgotten)
	a.cannotWrap(4, keytree.ErrRolledBack)
	for _, version := range []int{0, -1} {
		if _, err := a.Wrap(a.ctx, a.root, version, keytree.NewKey(), nil); err == nil {
			a.Fatalf("Wrap: version %d was accepted", version)
		}
	}
}

func damage(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")

	other := w
	other.bind = "other bind"
	a.refuses(other, keytree.ErrBind)
	other.bind = ""
	a.refuses(other, keytree.ErrBind)

	last := len(w.wrapped) - 1
	for _, i := range []int{0, 1, last - 40, last} {
		a.refuses(w.flipped(i), keytree.ErrBind)
	}
	for _, n := range []int{0, 1, 9, last} {
		a.refuses(w.with(w.wrapped[:n]), keytree.ErrBind)
	}
	a.refuses(w.with(append(bytes.Clone(w.wrapped), 'A')), keytree.ErrBind)
	a.refuses(w.with(bytes.Repeat([]byte("A"), 1<<16)), keytree.ErrBind)
	for _, version := range []int{0, -1} {
		a.refuses(w.with(a.Relabel(w.wrapped, version)), keytree.ErrBind)
	}
	a.rotatesTo(2)
	a.refuses(w.with(a.Relabel(w.wrapped, 2)), keytree.ErrBind)
	a.opens(w)
}

func otherRoot(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	a.root = NewRoot()
	a.creates()
	a.refuses(w, keytree.ErrBind)
}

func retire(a *actor) {
	a.creates()
	a.retires(1)
	old := a.wraps(1, "epoch 1")
	a.rotatesTo(2)
	fresh := a.wraps(2, "epoch 2")
	a.opens(old)
	a.opens(fresh)

	a.retires(2)
	a.refuses(old, keytree.ErrForgotten)
	a.opens(fresh)
	a.isAt(2)

	a.retires(2)
	a.retires(1)
	a.refuses(old, keytree.ErrForgotten)
	a.opens(fresh)
	a.rotatesTo(3)
	a.opens(fresh)
}

func retireMany(a *actor) {
	a.creates()
	var old []wrapping
	for version := 1; version <= 4; version++ {
		old = append(old, a.wraps(version, "bind"))
		a.rotatesTo(version + 1)
	}
	a.retires(4)
	for _, w := range old[:3] {
		a.refuses(w, keytree.ErrForgotten)
	}
	a.opens(old[3])
	a.opens(a.wraps(5, "bind"))
}

func retireFuture(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	a.wants(a.Retire(a.ctx, a.root, 2), keytree.ErrRolledBack, "Retire of what is not there yet")
	a.opens(w)
	a.isAt(1)
}

func destroy(a *actor) {
	a.creates()
	one := a.wraps(1, "bind")
	a.rotatesTo(2)
	two := a.wraps(2, "bind")
	a.destroys()
	a.refuses(one, keytree.ErrForgotten)
	a.refuses(two, keytree.ErrForgotten)
	a.isGone()
	a.destroys()
	a.refuses(two, keytree.ErrForgotten)
}

// destroyedStays: a name is never used again, but a provider that keeps no
// memory of the dead may make a new key of it. Old wrappings stay closed.
func destroyedStays(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	a.destroys()
	want := keytree.ErrForgotten // Create refused
	if a.Create(a.ctx, a.root) == nil {
		want = keytree.ErrBind // another key of the same name
	}
	a.refuses(w, want)
}

func neverCreated(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	a.root = NewRoot()
	a.refuses(w, keytree.ErrForgotten)
	a.isGone()
	a.destroys()
}

func future(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	for _, version := range []int{2, 99, 1 << 30} {
		a.refuses(w.with(a.Relabel(w.wrapped, version)), keytree.ErrRolledBack)
	}
	a.rotatesTo(2)
	a.retires(2)
	a.refuses(w.with(a.Relabel(w.wrapped, 3)), keytree.ErrRolledBack)
}

func zeroKey(a *actor) {
	a.creates()
	if _, err := a.Wrap(a.ctx, a.root, 1, keytree.Key{}, nil); err == nil {
		a.Fatal("Wrap: accepted the zero key")
	}
}

func hostileNames(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	for _, name := range HostileNames(500) {
		_, unwrap := a.Unwrap(a.ctx, name, w.wrapped, []byte(w.bind))
		_, wrap := a.Wrap(a.ctx, name, 1, w.key, nil)
		_, rotate := a.Rotate(a.ctx, name)
		_, versions := a.Versions(a.ctx, name)
		for _, err := range []error{
			a.Create(a.ctx, name), unwrap, wrap, rotate, versions,
			a.Retire(a.ctx, name, 1), a.Destroy(a.ctx, name),
		} {
			if err == nil || errors.Is(err, keytree.ErrForgotten) {
				a.Fatalf("root %q: error %v, want a refusal that claims nothing", name, err)
			}
			if len(name) > 3 && strings.Contains(err.Error(), string(name)) {
				a.Fatalf("root %q: the error repeats the name", name)
			}
		}
	}
}

func concurrent(a *actor) {
	a.creates()
	a.rotatesTo(2)
	wrappings := []wrapping{a.wraps(1, "one"), a.wraps(2, "two")}
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			w := wrappings[i%2]
			k, err := a.Unwrap(a.ctx, a.root, w.wrapped, []byte(w.bind))
			if err != nil || !k.Equal(w.key) {
				a.Errorf("Unwrap %d: error %v, or another key", i, err)
			}
		})
	}
	wg.Wait()
}

func cancelled(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	live := a.ctx
	dead, cancel := context.WithCancel(live)
	cancel()
	a.ctx = dead
	a.refuses(w, context.Canceled)
	a.refuses(w, keytree.ErrUnavailable)
	_, err := a.Rotate(a.ctx, a.root)
	a.wants(err, context.Canceled, "Rotate")
	a.wants(a.Destroy(a.ctx, a.root), context.Canceled, "Destroy")
	a.ctx = live
	a.isAt(1)
	a.opens(w)
}

func outages(a *actor) {
	a.creates()
	w := a.wraps(1, "bind")
	if len(a.Outages) == 0 {
		a.Fatal("the instance names no outage")
	}
	for _, o := range a.Outages {
		a.Run(o.Name, func(t *testing.T) {
			during := *a
			during.T = t
			end := o.Begin(t)
			during.isUnavailable(w)
			end()
			during.opens(w)
			during.isAt(1)
		})
	}
}

func (a *actor) isUnavailable(w wrapping) {
	a.Helper()
	_, unwrap := a.Unwrap(a.ctx, a.root, w.wrapped, []byte(w.bind))
	_, wrap := a.Wrap(a.ctx, a.root, 1, w.key, []byte(w.bind))
	_, versions := a.Versions(a.ctx, a.root)
	_, rotate := a.Rotate(a.ctx, a.root)
	retire := a.Retire(a.ctx, a.root, 1)
	destroy := a.Destroy(a.ctx, a.root)
	for _, err := range []error{unwrap, wrap, versions, rotate, retire, destroy} {
		a.wants(err, keytree.ErrUnavailable, "during the outage")
		if errors.Is(err, keytree.ErrForgotten) {
			a.Fatalf("the outage was taken for an erasure: %v", err)
		}
	}
}

// wellFormed is the form of a root's name: "t-" and a tenant in base32.
var wellFormed = regexp.MustCompile(`^t-[a-z2-7]{26}$`)

// HostileNames gives n names that are almost those of roots: traversal,
// encodings, other lengths, other letters, control characters.
func HostileNames(n int) []keytree.Root {
	good := string(NewRoot())
	pieces := []string{
		"../", "..", ".", "/", "//", "%2e%2e%2f", "%2F", "\\", "\x00", "\n", "?list=true", "#", ";", " ",
		"config", "/rotate", "/config", "sys/seal", "../../sys/raw", "é", "A", "1", "8", "0", "*", "+", "-", "\u202e",
	}
	names := []keytree.Root{"", "t-", "t", "../x", keytree.Root(good[2:]), keytree.Root(good[:27])}
	for i := 0; len(names) < n; i++ {
		piece := pieces[i%len(pieces)]
		at := i / len(pieces) % (len(good) + 1)
		for _, name := range []string{
			good[:at] + piece + good[at:],
			good[:at] + piece + good[min(at+len(piece), len(good)):],
			piece + piece + good[at:] + piece,
		} {
			if !wellFormed.MatchString(name) {
				names = append(names, keytree.Root(name))
			}
		}
	}
	return names[:n]
}
