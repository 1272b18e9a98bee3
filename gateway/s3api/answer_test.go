package s3api_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

func TestFail(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{sigv4.ErrMissing, 403, "AccessDenied"},
		{sigv4.ErrTwice, 400, "InvalidArgument"},
		{sigv4.ErrSkewed, 403, "RequestTimeTooSkewed"},
		{sigv4.ErrSignature, 403, "SignatureDoesNotMatch"},
		{s3api.ErrPayloadHash, 400, "XAmzContentSHA256Mismatch"},
		{s3api.ErrNoLength, 411, "MissingContentLength"},
		{recording.ErrNoCredential, 403, "InvalidAccessKeyId"},
		{recording.ErrNameTooLong, 400, "KeyTooLongError"},
		{recording.ErrMetadataTooLarge, 400, "MetadataTooLarge"},
		{recording.ErrTooLarge, 400, "EntityTooLarge"},
		{recording.ErrShortBody, 400, "IncompleteBody"},
		{recording.ErrBadDigest, 400, "BadDigest"},
		{recording.ErrExists, 412, "PreconditionFailed"},
		{recording.ErrNotFound, 404, "NoSuchKey"},
		{recording.ErrErased, 404, "NoSuchKey"},
		{recording.ErrNoBucket, 404, "NoSuchBucket"},
		{recording.ErrTenantRevoked, 403, "AccessDenied"},
		{recording.ErrIntegrity, 500, "InternalError"},
		{recording.ErrUnavailable, 503, "ServiceUnavailable"},
		{errors.New("inner cause"), 500, "InternalError"},
	} {
		w := httptest.NewRecorder()
		s3api.Fail(w, httptest.NewRequest("GET", "/bucket/a%2Fb&c", nil), "0123456789ABCDEF", fmt.Errorf("wrapped: %w", c.err))
		var doc struct{ Code, Message, Resource, RequestId string }
		if err := xml.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatalf("%v: %q: %v", c.err, w.Body, err)
		}
		if w.Code != c.status || doc.Code != c.code || doc.Message == "" {
			t.Errorf("%v: %d %s %q, want %d %s", c.err, w.Code, doc.Code, doc.Message, c.status, c.code)
		}
		if doc.Resource != "/bucket/a%2Fb&c" || doc.RequestId != "0123456789ABCDEF" || w.Header().Get("X-Amz-Request-Id") != doc.RequestId {
			t.Errorf("%v: answer is about %+v", c.err, doc)
		}
		if strings.Contains(w.Body.String(), "cause") {
			t.Errorf("%v: the answer shows the cause", c.err)
		}
		if retry := w.Header().Get("Retry-After"); (retry == "1") != (c.status == 503) {
			t.Errorf("%v: Retry-After = %q", c.err, retry)
		}
	}
}

func TestFailHasNoBodyOnHead(t *testing.T) {
	w := httptest.NewRecorder()
	s3api.Fail(w, httptest.NewRequest("HEAD", "/bucket/a", nil), "0", recording.ErrNotFound)
	if w.Code != 404 || w.Body.Len() > 0 {
		t.Errorf("%d with %d bytes, want 404 with none", w.Code, w.Body.Len())
	}
}

func TestFailGivesTheSizeOfWhatTheRangeMissed(t *testing.T) {
	_, _, _, err := s3api.ParseRange("bytes=100-", 100)
	w := httptest.NewRecorder()
	s3api.Fail(w, httptest.NewRequest("GET", "/bucket/a", nil), "0", err)
	if got := w.Header().Get("Content-Range"); w.Code != 416 || got != "bytes */100" {
		t.Errorf("%d Content-Range: %q, want 416 bytes */100", w.Code, got)
	}
}

func TestParseList(t *testing.T) {
	for query, want := range map[string]gateway.Page{
		"list-type=2":                                {Max: 1000},
		"max-keys=0":                                 {Max: 0},
		"max-keys=7&prefix=a%2F&delimiter=%2F":       {Prefix: "a/", Delimiter: "/", Max: 7},
		"max-keys=5000&start-after=b":                {After: "b", Max: 1000},
		"continuation-token=t&encoding-type=url":     {Token: "t", Max: 1000},
		"prefix=&delimiter=&start-after=&max-keys=1": {Max: 1},
	} {
		q, _ := url.ParseQuery(query)
		if got, err := s3api.ParseList(q); err != nil || got != want {
			t.Errorf("ParseList(%q) = %+v, %v; want %+v", query, got, err, want)
		}
	}
	for _, query := range []string{
		"max-keys=-1", "max-keys=", "max-keys=a", "max-keys=99999999999", "encoding-type=base64", "continuation-token=", "prefix=%FF",
	} {
		q, _ := url.ParseQuery(query)
		if got, err := s3api.ParseList(q); err == nil {
			t.Errorf("ParseList(%q) = %+v, want an error", query, got)
		}
	}
}

func TestListingDocument(t *testing.T) {
	created := time.Date(2026, 5, 1, 12, 0, 0, 7e6, time.UTC)
	listing := gateway.Listing{
		Recordings: []recording.Info{{Name: "a&b\x01/ü +", Size: 5, ETag: "e", CreatedAt: created}},
		Prefixes:   []string{"<p>/"},
		Next:       "token",
	}
	const open = xml.Header + `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>`
	const middle = `<LastModified>2026-05-01T12:00:00.007Z</LastModified><ETag>&#34;e&#34;</ETag><Size>5</Size><StorageClass>STANDARD</StorageClass></Contents>`
	for query, want := range map[string]string{
		"prefix=a&max-keys=2": open + `<Prefix>a</Prefix><NextContinuationToken>token</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated>` +
			`<Contents><Key>a&#x26;b&#x1;/ü +</Key>` + middle + `<CommonPrefixes><Prefix>&#x3C;p&#x3E;/</Prefix></CommonPrefixes></ListBucketResult>`,
		"encoding-type=url&delimiter=%2F&start-after=%20": open + `<Prefix></Prefix><StartAfter>%20</StartAfter><NextContinuationToken>token</NextContinuationToken><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys><Delimiter>/</Delimiter><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>` +
			`<Contents><Key>a%26b%01/%C3%BC%20%2B</Key>` + middle + `<CommonPrefixes><Prefix>%3Cp%3E/</Prefix></CommonPrefixes></ListBucketResult>`,
	} {
		q, _ := url.ParseQuery(query)
		w := httptest.NewRecorder()
		if err := s3api.WriteListing(w, "bucket", q, listing); err != nil {
			t.Fatal(err)
		}
		if got := w.Body.String(); got != want {
			t.Errorf("%s:\n got %s\nwant %s", query, got, want)
		}
	}
}
