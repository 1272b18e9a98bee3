package gateway_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver"
	"pgregory.net/rapid"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// vanish makes every current recording whose size is n no longer current, as
// an erasure by another replica would.
func vanish(t testing.TB, f *gatewaytest.Fixture, n int) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(f.Dir, "catalog.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `UPDATE versions SET is_current = FALSE WHERE size = $1`, n); err != nil {
		t.Fatal(err)
	}
}

// component draws a part of a name.
var component = rapid.SampledFrom([]string{"", "a", "a-1", "a-2", "ab", "b", "é", "2026", "11", ".", "..", "x y", "日本", "a+b", "\x01"})

// TestListFollowsEveryChange puts, replaces and makes vanish at random through
// two gateways on the same parts, and holds every listing of either against
// the sorted names.
func TestListFollowsEveryChange(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	other := gatewaytest.On(t, f.Parts)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace})
	gateways := []*gatewaytest.Fixture{f, other}
	sizes := map[string]int{}
	next := 1
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			parts := rapid.SliceOfN(component, 1, 4).Draw(t, "parts")
			name := strings.Join(parts, "/")
			if name == "" || len(sizes) > 60 {
				continue
			}
			via := gateways[rapid.IntRange(0, 1).Draw(t, "put through")]
			if _, err := via.Put(f.Context(), recorder, gatewaytest.Upload(calls, recording.Name(name), make([]byte, next))); err != nil {
				t.Fatalf("Put(%q): %v", name, err)
			}
			sizes[name], next = next, next+1
		}
		if len(sizes) > 0 && rapid.IntRange(0, 3).Draw(t, "vanish") == 0 {
			gone := rapid.SampledFrom(sortedNames(sizes)).Draw(t, "gone")
			vanish(f.T(), f, sizes[gone])
			delete(sizes, gone)
		}
		all := sortedNames(sizes)
		for range 2 {
			via := gateways[rapid.IntRange(0, 1).Draw(t, "list through")]
			p := drawPage(t, all)
			names, prefixes := pages(f.T(), via, reader, p)
			wantNames, wantPrefixes := want(all, p)
			if !slices.Equal(names, wantNames) || !slices.Equal(prefixes, wantPrefixes) {
				t.Fatalf("List(%+v) =\n%q %q, want\n%q %q", p, names, prefixes, wantNames, wantPrefixes)
			}
		}
	})
}

func sortedNames(sizes map[string]int) []string {
	all := make([]string, 0, len(sizes))
	for n := range sizes {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// drawPage draws a page whose prefix and start lie anywhere in or beside names.
func drawPage(t *rapid.T, all []string) gateway.Page {
	cut := func(label string) string {
		n := rapid.SampledFrom(append([]string{"", "a/zz", "b/", "nothing"}, all...)).Draw(t, label)
		return strings.ToValidUTF8(n[:rapid.IntRange(0, len(n)).Draw(t, label+" length")], "")
	}
	return gateway.Page{
		Prefix:    cut("prefix"),
		After:     cut("after"),
		Delimiter: rapid.SampledFrom([]string{"", "/", "/", "-", "//", "a", "/a", "é"}).Draw(t, "delimiter"),
		Max:       rapid.SampledFrom([]int{max(1, len(all)/5), 7, 1000}).Draw(t, "max"),
	}
}

// TestListWhileOthersWrite pages through a bucket that two gateways write to.
func TestListWhileOthersWrite(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	other := gatewaytest.On(t, f.Parts)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, Overwrite: gateway.OverwriteReplace})
	var before []string
	for i := range 100 {
		before = append(before, flatName(i), datedName(i*40))
	}
	slices.Sort(before)
	fill(t, f, recorder, len(before), func(i int) string { return before[i] })

	var written atomic.Int64
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for w, via := range []*gatewaytest.Fixture{f, other} {
		writing.Go(func() { written.Add(keepPutting(t, via, recorder, w, before, stop)) }) // ends when stop is closed
	}
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		for _, via := range []*gatewaytest.Fixture{f, other} {
			names, _ := pages(t, via, reader, gateway.Page{Max: 30})
			if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
				t.Fatal("names out of order, or twice")
			}
			for _, n := range before {
				if _, found := slices.BinarySearch(names, n); !found {
					t.Fatalf("%q is missing", n)
				}
			}
		}
	}
	close(stop)
	writing.Wait()
	t.Logf("%d puts meanwhile", written.Load())
}

// keepPutting replaces names that there are, and puts others beside them and
// elsewhere, until stop is closed; it tells how many.
func keepPutting(t *testing.T, via *gatewaytest.Fixture, c gateway.Caller, who int, before []string, stop chan struct{}) (n int64) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return n
		default:
		}
		name := fmt.Sprintf("new/%d/%s", who, datedName(i*40))
		switch i % 3 {
		case 0:
			name = before[i%len(before)] // replaced, never absent
		case 1:
			name = before[i%len(before)] + fmt.Sprint("-", who)
		}
		_, err := via.Put(t.Context(), c, gatewaytest.Upload(calls, recording.Name(name), sound(uint64(i), 20)))
		if err != nil && !errors.Is(err, recording.ErrUnavailable) { // two replaced one name: it may be repeated
			t.Errorf("Put: %v", err)
		}
		n++
	}
}

func TestNamesLeaveMemory(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	other := gatewaytest.On(t, f.Parts)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	sizes := map[string]int{"a": 1, "b": 2, "d/e/f": 3, "d/g": 4}
	for n, size := range sizes {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, recording.Name(n), make([]byte, size))); err != nil {
			t.Fatal(err)
		}
	}
	remembers := func(when string, g *gatewaytest.Fixture, want ...string) {
		t.Helper()
		got := g.Remembered(reader.Tenant)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: names in memory %q, want %q", when, got, want)
		}
	}
	list := func(g *gatewaytest.Fixture) { pages(t, g, reader, gateway.Page{Max: 1000}) }
	list(f)
	list(other)
	remembers("listed", f, "a", "b", "d/", "d/e/", "d/e/f", "d/g")
	vanish(t, f, 2)
	vanish(t, f, 3)
	list(f)
	remembers("after erasures", f, "a", "d/", "d/g")
	vanish(t, f, 4)
	pages(t, f, reader, gateway.Page{Max: 1000, Delimiter: "/"})
	if got := f.Remembered(reader.Tenant); slices.Contains(got, "d/") {
		t.Errorf("a directory without recordings is remembered: %q", got)
	}
	f.DropLease(reader.Tenant)
	remembers("lease dropped", f)
	list(f)
	revoke(t, f)
	remembers("revoked here", f)
	until(t, "it is revoked elsewhere", func() bool { return other.Remembered(reader.Tenant) == nil })
}

func revoke(t *testing.T, f *gatewaytest.Fixture) {
	t.Helper()
	if _, err := f.RevokeTenant(t.Context(), f.Operator(), "acme"); err != nil {
		t.Fatal(err)
	}
}

func TestListRefusesMovedRows(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	for n, size := range map[string]int{"a": 1, "deep/er/b": 2} {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, recording.Name(n), make([]byte, size))); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(f.Dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	move := `UPDATE versions SET dir_index = (SELECT v.dir_index FROM versions v WHERE v.size = 2) WHERE size = 1`
	if _, err := db.ExecContext(t.Context(), move); err != nil {
		t.Fatal(err)
	}
	for _, p := range []gateway.Page{{Max: 10}, {Max: 10, Delimiter: "/"}, {Max: 10, Prefix: "deep/er/"}} {
		_, err := f.List(t.Context(), reader, calls, p)
		if p.Delimiter == "" && !errors.Is(err, recording.ErrIntegrity) {
			t.Errorf("List(%+v) with a moved row: %v, want ErrIntegrity", p, err)
		}
	}
}

// What is erased, though its row does not say so, is left out of listings, and hinders
// none: nor does it tell the name of a directory in which there is nothing else.
func TestListPassesOverWhatIsErased(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	mustPut(t, f, recorder, string(caller), "a/gone", "b/gone", "c/d/gone", "gone")
	mustPut(t, f, recorder, string(agent), "b/kept", "c/d/e/kept", "kept")
	row := tenantOf(t, f)
	if _, err := f.EraseFor(t.Context(), f.Operator(), "acme", gateway.ErasureRequest{Subject: caller, Reason: "request"}); err != nil {
		t.Fatal(err)
	}
	if err := f.PunctureNow(t.Context(), row.ID); err != nil {
		t.Fatal(err)
	}
	execute(t, f.Dir, `DELETE FROM punctures`)
	names, _ := pages(t, f, reader, gateway.Page{Max: 10})
	if want := []string{"b/kept", "c/d/e/kept", "kept"}; !slices.Equal(names, want) {
		t.Errorf("listed %q, want %q", names, want)
	}
	_, prefixes := pages(t, f, reader, gateway.Page{Max: 10, Delimiter: "/"})
	if want := []string{"b/", "c/"}; !slices.Equal(prefixes, want) {
		t.Errorf("listed the prefixes %q, want %q", prefixes, want)
	}
}
