package keytree_test

import (
	"sync"
	"testing"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// TestLeaseKeepsSystemKeys asks for more slots than a lease keeps, from several
// sides at once, and then ends the lease.
func TestLeaseKeepsSystemKeys(t *testing.T) {
	p := provider(t)
	h := plant(t, p)
	own, err := keytree.Unwrap(t.Context(), p, nil, h)
	if err != nil {
		t.Fatal(err)
	}
	l := keytree.NewLeases(p, nil, func(recording.Tenant) {})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for slot := range uint64(3 * 20) {
				leased, err := l.Keys(t.Context(), h)
				if err != nil {
					t.Error(err)
					return
				}
				want, _ := own.System(t.Context(), slot%20)
				if got, err := leased.System(t.Context(), slot%20); err != nil || !got.Equal(want) {
					t.Errorf("slot %d: another key, %v", slot%20, err)
				}
				leased.Clear()
				if _, err := leased.System(t.Context(), slot%20); err == nil {
					t.Errorf("slot %d: cleared keys still derive", slot%20)
				}
			}
		})
	}
	asking.Wait()
	leased, err := l.Keys(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if n := keytree.SystemKeysKept(leased); n == 0 {
		t.Error("the lease kept nothing")
	}
	l.Drop(h.Tenant)
	if _, err := leased.System(t.Context(), 1); err != nil {
		t.Errorf("a request under way: %v", err)
	}
	if n := keytree.SystemKeysKept(leased); n != 0 {
		t.Errorf("%d keys are left of a lease that was dropped", n)
	}
}
