package s3api_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// marked lists calls one entry at a time with the delimiter "/", each page
// after the marker that the one before ended with.
func (v *vault) marked(selector, parameter, next string) (out []string) {
	v.t.Helper()
	for marker := ""; ; {
		query := url.Values{"delimiter": {"/"}, "max-keys": {"1"}, parameter: {marker}}
		if selector != "" {
			query.Set(selector, "")
		}
		page := v.page("/calls?" + query.Encode())
		out = append(out, page.all()...)
		if !page.IsTruncated {
			return out
		}
		if marker = page.NextMarker; next == "NextKeyMarker" {
			marker = page.NextKeyMarker
		}
		if marker == "" || len(out) > 10 {
			v.t.Fatalf("after %q the next page is after %q", out, marker)
		}
	}
}

// listingPage is what all listings have.
type listingPage struct {
	IsTruncated               bool
	NextMarker, NextKeyMarker string
	Contents, Version         []struct{ Key string }
	CommonPrefixes            []struct{ Prefix string }
}

func (p listingPage) all() (out []string) {
	for _, e := range append(p.Contents, p.Version...) {
		out = append(out, e.Key)
	}
	for _, e := range p.CommonPrefixes {
		out = append(out, e.Prefix)
	}
	slices.Sort(out)
	return out
}

func (v *vault) page(target string) (p listingPage) {
	v.t.Helper()
	answer, err := http.DefaultClient.Do(v.request(v.reader, "GET", target, "", unchanged))
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 || xml.Unmarshal(text, &p) != nil {
		v.t.Fatalf("%s: %d %s, %v", target, answer.StatusCode, text, err)
	}
	return p
}

// A page of nothing tells whether one may list, and no more.
func TestPagesOfNothing(t *testing.T) {
	v := newVault(t)
	v.mustPut(calls, "a", "x")
	for _, query := range []string{"", "versions&", "list-type=2&"} {
		if p := v.page("/calls?" + query + "max-keys=0"); p.IsTruncated || len(p.all()) > 0 {
			t.Errorf("%smax-keys=0: %+v", query, p)
		}
	}
}

func TestListingsEncodeNames(t *testing.T) {
	v := newVault(t)
	v.mustPut(calls, "a b/ü", "x")
	v.mustPut(calls, "c", "x")
	for _, query := range []string{"", "versions&", "list-type=2&"} {
		p := v.page("/calls?" + query + "encoding-type=url&max-keys=1&delimiter=%2F")
		if got := p.all(); !slices.Equal(got, []string{"a%20b/"}) {
			t.Errorf("%s: %q", query, got)
		}
		if next := p.NextMarker + p.NextKeyMarker; query != "list-type=2&" && next != "a%20b/" {
			t.Errorf("%s: next page after %q", query, next)
		}
	}
}
