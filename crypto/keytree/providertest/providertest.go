// Package providertest is what it means to be a keytree.Provider, as a suite
// of short scripts that every provider's test runs.
package providertest

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// An Instance is a provider under test and what the suite cannot do through
// the interface.
type Instance struct {
	keytree.Provider

	// Relabel gives a copy of wrapped that claims another version of its root.
	Relabel func(wrapped []byte, version int) []byte

	// Outages are the ways in which the provider can be there and not answer.
	// The suite begins and ends each once, in order.
	Outages []Outage
}

// An Outage takes the provider away until the returned function is called.
// It must be over when that function returns.
type Outage struct {
	Name  string
	Begin func(t *testing.T) (end func())
}

// NewRoot draws a root name that no provider has seen.
func NewRoot() keytree.Root {
	b := make([]byte, 16)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	name := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
	return keytree.Root("t-" + strings.ToLower(name))
}

// Run runs the suite. open is called once for each script and cleans up after
// itself through t.
func Run(t *testing.T, open func(t *testing.T) Instance) {
	t.Helper()
	for _, script := range []struct {
		name string
		play func(*actor)
	}{
		{"a wrapped key opens with its bind", wrapAndUnwrap},
		{"create changes nothing that exists", createTwice},
		{"rotate adds one version", rotate},
		{"the version is the caller's choice", chooseVersion},
		{"a foreign or damaged ciphertext is refused", damage},
		{"one root does not open another's keys", otherRoot},
		{"retire forgets the old and keeps the new", retire},
		{"retire catches up over several versions", retireMany},
		{"retire never runs ahead", retireFuture},
		{"destroy forgets everything", destroy},
		{"destroyed once, never again a key", destroyedStays},
		{"a root never made has nothing", neverCreated},
		{"a version from the future is a rollback", future},
		{"no key, no wrap", zeroKey},
		{"names are checked", hostileNames},
		{"concurrent unwraps agree", concurrent},
		{"a cancelled context ends the call", cancelled},
		{"an outage is not an erasure", outages},
	} {
		t.Run(script.name, func(t *testing.T) {
			script.play(&actor{T: t, Instance: open(t), ctx: t.Context(), root: NewRoot()})
		})
	}
}

// An actor works on one root and fails its test when the provider surprises it.
type actor struct {
	*testing.T
	Instance
	ctx  context.Context
	root keytree.Root
}

// A wrapping is a key, what Wrap made of it, and its bind.
type wrapping struct {
	key     keytree.Key
	wrapped []byte
	bind    string
}

func (a *actor) must(err error, doing string) {
	a.Helper()
	if err != nil {
		a.Fatalf("%s: %v", doing, err)
	}
}

func (a *actor) wants(got, want error, doing string) {
	a.Helper()
	if !errors.Is(got, want) {
		a.Fatalf("%s: error %v, want %v", doing, got, want)
	}
}

func (a *actor) creates() {
	a.Helper()
	a.must(a.Create(a.ctx, a.root), "Create")
}

func (a *actor) wraps(version int, bind string) wrapping {
	a.Helper()
	w := wrapping{key: keytree.NewKey(), bind: bind}
	var err error
	w.wrapped, err = a.Wrap(a.ctx, a.root, version, w.key, []byte(bind))
	a.must(err, "Wrap")
	if secret := w.key; strings.Contains(string(w.wrapped), string(secret.Bytes())) {
		a.Fatal("Wrap: the result holds the key in clear")
	}
	return w
}

func (a *actor) cannotWrap(version int, want error) {
	a.Helper()
	_, err := a.Wrap(a.ctx, a.root, version, keytree.NewKey(), nil)
	a.wants(err, want, "Wrap")
}

func (a *actor) opens(w wrapping) {
	a.Helper()
	k, err := a.Unwrap(a.ctx, a.root, w.wrapped, []byte(w.bind))
	a.must(err, "Unwrap")
	if !k.Equal(w.key) {
		a.Fatal("Unwrap: gave another key than was wrapped")
	}
}

func (a *actor) refuses(w wrapping, want error) {
	a.Helper()
	k, err := a.Unwrap(a.ctx, a.root, w.wrapped, []byte(w.bind))
	a.wants(err, want, "Unwrap")
	if !k.IsZero() {
		a.Fatal("Unwrap: gave a key beside its error")
	}
}

func (a *actor) rotatesTo(want int) {
	a.Helper()
	version, err := a.Rotate(a.ctx, a.root)
	a.must(err, "Rotate")
	if version != want {
		a.Fatalf("Rotate() = %d, want %d", version, want)
	}
	a.isAt(want)
}

func (a *actor) isAt(want int) {
	a.Helper()
	versions, err := a.Versions(a.ctx, a.root)
	a.must(err, "Versions")
	if versions.Latest != want {
		a.Fatalf("Versions().Latest = %d, want %d", versions.Latest, want)
	}
}

func (a *actor) retires(below int) {
	a.Helper()
	a.must(a.Retire(a.ctx, a.root, below), "Retire")
	versions, err := a.Versions(a.ctx, a.root)
	a.must(err, "Versions")
	if versions.Oldest < below {
		a.Fatalf("Versions().Oldest = %d, retired up to %d", versions.Oldest, below)
	}
}

func (a *actor) destroys() {
	a.Helper()
	a.must(a.Destroy(a.ctx, a.root), "Destroy")
}

func (a *actor) isGone() {
	a.Helper()
	_, err := a.Versions(a.ctx, a.root)
	a.wants(err, keytree.ErrForgotten, "Versions")
	_, err = a.Rotate(a.ctx, a.root)
	a.wants(err, keytree.ErrForgotten, "Rotate")
	a.wants(a.Retire(a.ctx, a.root, 1), keytree.ErrForgotten, "Retire")
	if _, err = a.Wrap(a.ctx, a.root, 1, keytree.NewKey(), nil); err == nil {
		a.Fatal("Wrap: worked under a root that is not there")
	}
	_, err = a.Versions(a.ctx, a.root)
	a.wants(err, keytree.ErrForgotten, "Versions after Wrap") // Wrap must not have made it
}

// with gives w with other wrapped bytes.
func (w wrapping) with(wrapped []byte) wrapping {
	w.wrapped = wrapped
	return w
}

// flipped gives w with one bit of byte i of its ciphertext flipped.
func (w wrapping) flipped(i int) wrapping {
	b := slices.Clone(w.wrapped)
	b[i] ^= 1
	return w.with(b)
}
