package gateway_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// pages lists all of a bucket, page by page.
func pages(t testing.TB, f *gatewaytest.Fixture, c gateway.Caller, p gateway.Page) (names, prefixes []string) {
	t.Helper()
	for range 10_000 {
		l, err := f.List(f.Context(), c, calls, p)
		if err != nil {
			t.Fatalf("List(%+v): %v", p, err)
		}
		for _, in := range l.Recordings {
			names = append(names, string(in.Name))
		}
		prefixes = append(prefixes, l.Prefixes...)
		if n := len(l.Recordings) + len(l.Prefixes); n > p.Max || n == 0 && l.Next != "" {
			t.Fatalf("List(%+v) gave %d entries and next %v", p, n, l.Next != "")
		}
		if l.Next == "" {
			return names, prefixes
		}
		p.Token = l.Next
	}
	t.Fatal("listing does not end")
	return nil, nil
}

// want is what S3 documents of a listing, computed over all names.
func want(all []string, p gateway.Page) (names, prefixes []string) {
	for _, n := range all {
		if !strings.HasPrefix(n, p.Prefix) || n <= p.After {
			continue
		}
		if i := strings.Index(n[len(p.Prefix):], p.Delimiter); p.Delimiter != "" && i >= 0 {
			prefixes = append(prefixes, n[:len(p.Prefix)+i+len(p.Delimiter)])
			continue
		}
		names = append(names, n)
	}
	return names, slices.Compact(prefixes)
}

func TestListEqualsSortedNames(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	all := []string{
		"a", "a-b", "a/", "a/b", "a/b/c", "a//b", "a0", "ab", "b/c/d/e", "b/c/d/f", "b/c0", "b/c/", "é", "z/ü/x",
		"2026/11/23/1.wav", "2026/11/23/2.wav", "2026/11/24/1.wav", "2026/12/1.wav", "x-1-a", "x-1-b", "x-2-a", "../up", "./here", "/", "//", "/lead",
	}
	slices.Sort(all)
	for i, n := range all {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, recording.Name(n), sound(uint64(i), 10))); err != nil {
			t.Fatalf("Put(%q): %v", n, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		cut := func(label string) string {
			n := rapid.SampledFrom(append([]string{"", "a/zz", "b/c", "2026/11/", "x-", "nothing"}, all...)).Draw(t, label)
			return n[:rapid.IntRange(0, len(n)).Draw(t, label+" length")]
		}
		p := gateway.Page{
			Prefix:    strings.ToValidUTF8(cut("prefix"), ""),
			After:     strings.ToValidUTF8(cut("after"), ""),
			Delimiter: rapid.SampledFrom([]string{"", "/", "-", "/1"}).Draw(t, "delimiter"),
			Max:       rapid.SampledFrom([]int{1, 2, 3, 7, 1000}).Draw(t, "max"),
		}
		names, prefixes := pages(f.T(), f, reader, p)
		wantNames, wantPrefixes := want(all, p)
		if !slices.Equal(names, wantNames) || !slices.Equal(prefixes, wantPrefixes) {
			t.Fatalf("List(%+v) =\n%q %q, want\n%q %q", p, names, prefixes, wantNames, wantPrefixes)
		}
	})
	if l, err := f.List(t.Context(), reader, calls, gateway.Page{Max: 3}); err != nil || strings.Contains(l.Next, "a") && len(l.Next) < 20 {
		t.Errorf("List: next %q, %v; want a sealed token", l.Next, err)
	}
}

func TestListRefusesForeignTokens(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	_, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
	recorder, other := f.Pair("other", gateway.BucketSettings{Name: calls})
	for _, n := range []recording.Name{"a", "b", "c"} {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, n, nil)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := f.List(t.Context(), other, calls, gateway.Page{Max: 1})
	if err != nil || l.Next == "" {
		t.Fatalf("List: next %q, %v", l.Next, err)
	}
	for _, token := range []string{l.Next, "AAAA", "!", strings.Repeat("A", 4000)} {
		if _, err := f.List(t.Context(), reader, calls, gateway.Page{Max: 1, Token: token}); !errors.Is(err, recording.ErrToken) {
			t.Errorf("List with token %.10q: %v, want ErrToken", token, err)
		}
	}
}

func TestListStaysInThePrefixOfTheCredential(t *testing.T) {
	t.Parallel()
	f := gatewaytest.New(t)
	recorder, _ := f.Pair("acme", gateway.BucketSettings{Name: calls})
	for _, n := range []recording.Name{"team-a/1", "team-b/1"} {
		if _, err := f.Put(t.Context(), recorder, gatewaytest.Upload(calls, n, nil)); err != nil {
			t.Fatal(err)
		}
	}
	key, _ := f.Key("acme", gateway.NewKey{Kind: policy.Reader, Bucket: string(calls), Prefix: "team-a/"})
	scoped := f.Caller(key)
	if _, err := f.List(t.Context(), scoped, calls, gateway.Page{Max: 10}); !errors.Is(err, recording.ErrDenied) {
		t.Errorf("List of the whole bucket: %v, want ErrDenied", err)
	}
	names, _ := pages(t, f, scoped, gateway.Page{Prefix: "team-a/", Max: 10})
	if !slices.Equal(names, []string{"team-a/1"}) {
		t.Errorf("List under its prefix = %q", names)
	}
}
