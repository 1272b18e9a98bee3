package s3api_test

import (
	"bytes"
	"encoding/xml"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// A name that is accepted is the one that was sent, however the path is
// spelled, and a listing gives it back exactly; no other is accepted.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"a", "//", "a/../b", "a%2Fb", "ü+é ~", "\x00", "\xff", "&<>'\"", "\x01\r\n\t", "￾", strings.Repeat("n", 1025)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		_, invalid := recording.ParseName(name)
		if name == "" {
			return // a bucket is meant
		}
		for _, path := range []string{sigv4.EscapePath("/calls/" + name), (&url.URL{Path: "/calls/" + name}).EscapedPath()} {
			r := httptest.NewRequest("PUT", "/", nil)
			u, err := url.ParseRequestURI(path)
			if err != nil {
				t.Fatalf("%q is no path: %v", path, err)
			}
			r.URL = u
			bucket, got, err := s3api.Target(r)
			if (err != nil) != (invalid != nil) || err == nil && (bucket != calls || string(got) != name) {
				t.Errorf("%q as %q is %q in %q, %v; want %v", name, path, got, bucket, err, invalid)
			}
		}
		if valid := utf8.ValidString(name) && len(name) <= recording.MaxName && !strings.Contains(name, "\x00"); valid != (invalid == nil) {
			t.Errorf("ParseName(%q) = %v", name, invalid)
		}
		if invalid == nil {
			wantListed(t, name)
		}
	})
}

// wantListed reads a name back from both kinds of listing. Plain XML cannot say
// every character: one that it cannot is refused by whoever reads it.
func wantListed(t *testing.T, name string) {
	t.Helper()
	l := gateway.Listing{Recordings: []recording.Info{{Name: recording.Name(name)}}}
	for _, encoding := range []string{"", "url"} {
		w := httptest.NewRecorder()
		if err := s3api.WriteListing(w, calls, url.Values{"encoding-type": {encoding}}, l); err != nil && encoding != "" {
			t.Fatal(err)
		} else if err != nil {
			if err := s3api.WriteListing(w, calls, url.Values{}, l); err != nil {
				t.Fatal(err)
			}
		}
		var doc struct{ Contents []struct{ Key string } }
		err := xml.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&doc)
		if err != nil && encoding == "" && strings.ContainsFunc(name, notXML) {
			continue
		}
		if err != nil || len(doc.Contents) != 1 {
			t.Fatalf("listing of %q is %q: %v", name, w.Body, err)
		}
		got := doc.Contents[0].Key
		if encoding == "url" {
			if got, err = url.PathUnescape(got); err != nil {
				t.Fatal(err)
			}
		}
		if got != name {
			t.Errorf("%q is listed as %q", name, got)
		}
	}
}

// notXML reports what XML 1.0 has no way to say.
func notXML(r rune) bool {
	return unicode.IsControl(r) && r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}
