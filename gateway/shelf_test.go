package gateway_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/catalog/catalogtest"
	"github.com/lethe-vault/lethe/recording"
)

// many gives n names of 40 bytes.
func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("call-%09d-of-a-name-of-forty-bytes.wav", i)
	}
	return names
}

func TestAShelfEndsWithItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shelves, tenant := gateway.NewShelves(), recording.NewTenant()
		shelf := shelves.Shelf(tenant)
		shelf.Keep(catalogtest.Random(), shelf.View(catalogtest.Random()), gateway.NewView("a", "b/"))
		time.Sleep(keytree.LeaseTime - time.Millisecond)
		if got := shelves.Remembered(tenant); !slices.Equal(got, []string{"a", "b/"}) {
			t.Errorf("before the lease must end: %q", got)
		}
		time.Sleep(2 * time.Millisecond)
		if got := shelves.Remembered(tenant); got != nil || shelves.Cost() != 0 {
			t.Errorf("after the lease has ended: %q, %d bytes", got, shelves.Cost())
		}
	})
}

func TestWhoeverHoldsADroppedShelfKeepsNothing(t *testing.T) {
	t.Parallel()
	shelves, tenant, dir := gateway.NewShelves(), recording.NewTenant(), catalogtest.Random()
	shelf := shelves.Shelf(tenant)
	was := shelf.View(dir)
	shelves.Drop(tenant)
	shelf.Keep(dir, was, gateway.NewView("a"))
	if shelf.Has(dir) || shelves.Remembered(tenant) != nil || shelves.Cost() != 0 {
		t.Errorf("a dropped shelf keeps %q, %d bytes", shelves.Remembered(tenant), shelves.Cost())
	}
	if shelves.Shelf(tenant) == shelf {
		t.Error("the next listing is given the dropped shelf")
	}
}

func TestOfTwoLooksTheCommonIsKept(t *testing.T) {
	t.Parallel()
	shelves, tenant, dir := gateway.NewShelves(), recording.NewTenant(), catalogtest.Random()
	shelf := shelves.Shelf(tenant)
	none := shelf.View(dir)
	shelf.Keep(dir, none, gateway.NewView("a", "b", "c", "d/", "e/"))
	was := shelf.View(dir)
	shelf.Keep(dir, was, gateway.NewView("a", "c", "d/", "f/", "g")) // b and e are gone
	shelf.Keep(dir, was, gateway.NewView("a", "b", "d/", "e/", "h")) // c is gone; looked before, came after
	if got, want := shelves.Remembered(tenant), []string{"a", "d/"}; !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
}

func TestWhatWentMeanwhileIsNotPutBack(t *testing.T) {
	t.Parallel()
	shelves, tenant, dir := gateway.NewShelves(), recording.NewTenant(), catalogtest.Random()
	shelf := shelves.Shelf(tenant)
	shelf.Keep(dir, shelf.View(dir), gateway.NewView("a", "b"))
	was := shelf.View(dir)
	shelf.Forget(dir)
	shelf.Keep(dir, was, gateway.NewView("a", "b", "c"))
	if shelf.Has(dir) || shelves.Cost() != 0 {
		t.Errorf("kept %q, %d bytes", shelves.Remembered(tenant), shelves.Cost())
	}
}

func TestAShelfIsBounded(t *testing.T) {
	t.Parallel()
	shelves, tenant := gateway.NewShelves(), recording.NewTenant()
	shelf := shelves.Shelf(tenant)
	first, second, big := catalogtest.Random(), catalogtest.Random(), catalogtest.Random()
	for _, dir := range [][32]byte{first, second} {
		shelf.Keep(dir, shelf.View(dir), gateway.NewView("a", "b/"))
	}
	for shelf.Has(second) {
		shelf.View(first)
		dir := catalogtest.Random()
		shelf.Keep(dir, shelf.View(dir), gateway.NewView(many(1000)...))
	}
	if !shelf.Has(first) {
		t.Error("what was used last went first")
	}
	if shelf.Cost() > gateway.ShelfLimit || shelf.Cost() < gateway.ShelfLimit/2 {
		t.Errorf("a full shelf holds %d bytes, want at most %d", shelf.Cost(), gateway.ShelfLimit)
	}
	shelf.Keep(big, shelf.View(big), gateway.NewView(many(120_000)...))
	if shelf.Has(big) || !shelf.Has(first) {
		t.Error("a directory larger than a shelf drove others out")
	}
}

func TestShelvesAreBounded(t *testing.T) {
	t.Parallel()
	shelves, dir := gateway.NewShelves(), catalogtest.Random()
	view := gateway.NewView(many(50_000)...)
	var tenants []recording.Tenant
	for range 10 {
		tenants = append(tenants, recording.NewTenant())
		shelf := shelves.Shelf(tenants[len(tenants)-1])
		shelf.Keep(dir, shelf.View(dir), view)
		if shelves.Cost() > gateway.ShelvesLimit || !shelf.Has(dir) {
			t.Fatalf("all shelves hold %d bytes, want at most %d", shelves.Cost(), gateway.ShelvesLimit)
		}
	}
	if shelves.Shelf(tenants[0]).Has(dir) {
		t.Error("what was used longest ago is still there")
	}
	for _, tenant := range tenants {
		shelves.Drop(tenant)
	}
	if shelves.Cost() != 0 {
		t.Errorf("empty shelves hold %d bytes", shelves.Cost())
	}
}

// TestCostIsWhatAViewTakes holds the count against the heap.
func TestCostIsWhatAViewTakes(t *testing.T) {
	for what, names := range map[string][]string{"recordings": many(50_000), "sub-directories": many(20_000)} {
		if what == "sub-directories" {
			for i := range names {
				names[i] = strings.TrimPrefix(names[i], "call-") + "/"
			}
		}
		shelf := gateway.NewShelves().Shelf(recording.NewTenant())
		dir := catalogtest.Random()
		before := heap()
		shelf.Keep(dir, shelf.View(dir), gateway.NewView(slices.Collect(cloned(names))...))
		took := int(heap() - before)
		t.Logf("%d %s: %d bytes each, counted as %d", len(names), what, took/len(names), shelf.Cost()/len(names))
		if took > shelf.Cost()*5/4 || shelf.Cost() > took*3/2 {
			t.Errorf("%s take %d bytes and are counted as %d", what, took, shelf.Cost())
		}
		runtime.KeepAlive(shelf)
	}
}

// cloned gives texts in memory of their own.
func cloned(texts []string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, s := range texts {
			if !yield(strings.Clone(s)) {
				return
			}
		}
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
