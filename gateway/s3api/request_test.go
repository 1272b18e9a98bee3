package s3api_test

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/recording"
)

func TestParseRange(t *testing.T) {
	type outcome struct {
		off, n int64
		ok     bool
		err    error
	}
	part := func(off, n int64) outcome { return outcome{off, n, true, nil} }
	ignored := outcome{}
	outside := outcome{err: recording.ErrRange}
	for _, c := range []struct {
		header string
		size   int64
		want   outcome
	}{
		{"bytes=0-9", 100, part(0, 10)},
		{"bytes=0-0", 100, part(0, 1)},
		{"bytes=90-", 100, part(90, 10)},
		{"bytes=-10", 100, part(90, 10)},
		{"bytes=-1000", 100, part(0, 100)},
		{"bytes=50-1000", 100, part(50, 50)},
		{"bytes=50-99999999999999999999", 100, part(50, 50)},
		{"Bytes=0-9", 100, part(0, 10)},
		{"bytes= 0-9 ", 100, part(0, 10)},
		{"bytes=100-", 100, outside},
		{"bytes=100-200", 100, outside},
		{"bytes=99999999999999999999-", 100, outside},
		{"bytes=-0", 100, outside},
		{"bytes=0-", 0, outside},
		{"bytes=-5", 0, outside},
		{"", 100, ignored},
		{"bytes=", 100, ignored},
		{"bytes=-", 100, ignored},
		{"bytes=9-0", 100, ignored},
		{"bytes=a-b", 100, ignored},
		{"bytes=+1-2", 100, ignored},
		{"bytes=--1", 100, ignored},
		{"bytes=0-1,5-6", 100, ignored},
		{"bytes 0-9", 100, ignored},
		{"seconds=0-9", 100, ignored},
	} {
		off, n, ok, err := s3api.ParseRange(c.header, c.size)
		if off != c.want.off || n != c.want.n || ok != c.want.ok || !errors.Is(err, c.want.err) {
			t.Errorf("ParseRange(%q, %d) = %d, %d, %t, %v; want %+v", c.header, c.size, off, n, ok, err, c.want)
		}
	}
}

// Whatever a client sends, a range lies within the recording.
func FuzzParseRange(f *testing.F) {
	for _, seed := range []string{"bytes=0-9", "bytes=-1", "bytes=5-", "bytes=0-" + strconv.Itoa(math.MaxInt64), "bytes=1-0"} {
		f.Add(seed, int64(100))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		off, n, ok, err := s3api.ParseRange(header, size)
		if ok && (err != nil || off < 0 || n < 1 || off > size-n) {
			t.Errorf("ParseRange(%q, %d) = %d, %d, %v", header, size, off, n, err)
		}
	})
}

func TestEvaluate(t *testing.T) {
	created := time.Date(2026, 5, 1, 12, 0, 0, 999, time.UTC)
	info := recording.Info{ETag: "abc-1", CreatedAt: created}
	at, before, after := stamp(created), stamp(created.Add(-time.Second)), stamp(created.Add(time.Second))
	for _, c := range []struct {
		headers  string
		modified bool
		err      error
	}{
		{"", true, nil},
		{`If-Match: "abc-1"`, true, nil},
		{`If-Match: abc-1`, true, nil},
		{`If-Match: *`, true, nil},
		{`If-Match: "x", "abc-1"`, true, nil},
		{`If-Match: "x"`, false, s3api.ErrPrecondition},
		{`If-Match: W/"abc-1"`, false, s3api.ErrPrecondition},
		{`If-None-Match: "abc-1"`, false, nil},
		{`If-None-Match: W/"abc-1"`, false, nil},
		{`If-None-Match: *`, false, nil},
		{`If-None-Match: "x"`, true, nil},
		{"If-Modified-Since: " + at, false, nil},
		{"If-Modified-Since: " + after, false, nil},
		{"If-Modified-Since: " + before, true, nil},
		{"If-Modified-Since: yesterday", true, nil},
		{"If-Unmodified-Since: " + at, true, nil},
		{"If-Unmodified-Since: " + before, false, s3api.ErrPrecondition},
		{"If-Match: *|If-Unmodified-Since: " + before, true, nil},
		{`If-None-Match: "x"|If-Modified-Since: ` + after, true, nil},
		{`If-Match: "abc-1"|If-None-Match: "abc-1"`, false, nil},
	} {
		modified, err := s3api.Evaluate(headers(c.headers), info)
		if modified != c.modified || !errors.Is(err, c.err) {
			t.Errorf("Evaluate(%q) = %t, %v; want %t, %v", c.headers, modified, err, c.modified, c.err)
		}
	}
	for h, want := range map[string]bool{
		"": true, `If-Range: "abc-1"`: true, `If-Range: W/"abc-1"`: false, `If-Range: "x"`: false,
		"If-Range: " + at: true, "If-Range: " + after: false,
	} {
		if got := s3api.RangeApplies(headers(h), info); got != want {
			t.Errorf("RangeApplies(%q) = %t, want %t", h, got, want)
		}
	}
}

func stamp(t time.Time) string { return t.Format(http.TimeFormat) }

// headers reads header lines separated by "|".
func headers(lines string) http.Header {
	h := http.Header{}
	for line := range strings.SplitSeq(lines, "|") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			h.Add(name, value)
		}
	}
	return h
}

func TestOperation(t *testing.T) {
	const unknown = "unknown"
	for request, want := range map[string]string{
		"PUT /b/n":                "PutObject",
		"PUT /b/n?x-id=PutObject": "PutObject",
		"GET /b/n":                "GetObject",
		"HEAD /b/n/":              "HeadObject",
		"HEAD /b":                 "HeadBucket",
		"HEAD /b/":                "HeadBucket",
		"GET /b?location":         "GetBucketLocation",
		"GET /b?location=":        "GetBucketLocation",
		"GET /b/?list-type=2&prefix=a&delimiter=%2F":  "ListObjectsV2",
		"GET /b?list-type=2&max-keys=1&start-after=a": "ListObjectsV2",
		"GET /":                                             "ListBuckets",
		"GET /b":                                            "ListObjects",
		"GET /b?list-type=1":                                unknown,
		"GET /b?list-type=2&versions":                       unknown,
		"GET /b?list-type=2&location":                       unknown,
		"GET /b?location=x":                                 unknown,
		"PUT /b":                                            "CreateBucket",
		"PUT /b/n?acl":                                      unknown,
		"PUT /b/n?tagging":                                  unknown,
		"PUT /b/n?partNumber=1&uploadId=u":                  "UploadPart",
		"PUT /b/n?partNumber=1&acl":                         unknown,
		"POST /b/n?uploadId=u":                              "CompleteMultipartUpload",
		"POST /b/n?uploadId=u&uploads":                      unknown,
		"DELETE /b/n?uploadId=u":                            "AbortMultipartUpload",
		"GET /b/n?uploadId=u&max-parts=1":                   "ListParts",
		"GET /b?uploads&prefix=a":                           "ListMultipartUploads",
		"PUT /b/n?retention":                                unknown,
		"GET /b/n?acl":                                      unknown,
		"GET /b/n?versionId=1":                              "GetObject",
		"GET /b/n?partNumber=1":                             "GetObject",
		"GET /b/n?response-content-type=text%2Fhtml":        "GetObject",
		"GET /b/n?Response-Content-Type=text%2Fhtml":        unknown,
		"GET /b/n?response-content-length=0":                unknown,
		"PUT /b/n?response-content-type=text%2Fhtml":        unknown,
		"GET /b?location&response-content-type=a":           unknown,
		"GET /b/n?X-Amz-Signature=s&X-Amz-Date=d":           "GetObject",
		"GET /b/n?x-amz-signature=s":                        unknown,
		"GET /b/n?X-Amz-Security-Token=t":                   unknown,
		"GET /b/n?nonsense":                                 unknown,
		"HEAD /b/n?versionId=1":                             "HeadObject",
		"HEAD /b?list-type=2":                               unknown,
		"DELETE /b/n":                                       "DeleteObject",
		"POST /b/n?uploads":                                 "CreateMultipartUpload",
		"POST /b?delete":                                    "DeleteObjects",
		"GET /?prefix=a&max-buckets=1&continuation-token=t": "ListBuckets",
		"GET /?bucket-region=a":                             unknown,
		"PUT /?x":                                           unknown,
		"DELETE /":                                          unknown,
		"GET /b?marker=a&max-keys=1&prefix=p":               "ListObjects",
		"GET /b?start-after=a":                              unknown,
		"GET /b?versions&key-marker=a":                      "ListObjectVersions",
		"GET /b?versions=1":                                 unknown,
		"GET /b?versions&marker=a":                          unknown,
		"GET /b?versioning":                                 "GetBucketVersioning",
		"PUT /b?versioning":                                 unknown,
		"PUT /b?acl":                                        unknown,
		"DELETE /b":                                         "DeleteBucket",
		"DELETE /b?policy":                                  unknown,
		"DELETE /b/n?versionId=1":                           "DeleteObject",
		"DELETE /b/n?tagging":                               unknown,
		"PUT /b/n?versionId=1":                              unknown,
		"POST /b":                                           unknown,
		"POST /b?delete&versionId=1":                        unknown,
		"OPTIONS /b/n":                                      unknown,
	} {
		method, target, _ := strings.Cut(request, " ")
		if got := s3api.Operation(httptest.NewRequest(method, target, nil)); got != want {
			t.Errorf("Operation(%s) = %s, want %s", request, got, want)
		}
	}
}

func TestTarget(t *testing.T) {
	long := strings.Repeat("n", recording.MaxName)
	for path, want := range map[string]struct {
		bucket recording.Bucket
		name   recording.Name
		err    error
	}{
		"/bucket":               {"bucket", "", nil},
		"/bucket/":              {"bucket", "", nil},
		"/bucket/a":             {"bucket", "a", nil},
		"/bucket/a/":            {"bucket", "a/", nil},
		"/bucket//a":            {"bucket", "/a", nil},
		"/bucket/a//b/../c":     {"bucket", "a//b/../c", nil},
		"/bucket/a+b%2Fc%20d":   {"bucket", "a+b/c d", nil},
		"/bucket/%252F":         {"bucket", "%2F", nil},
		"/bucket%2Fa":           {"bucket", "a", nil},
		"/bucket/" + long:       {"bucket", recording.Name(long), nil},
		"/bucket/" + long + "n": {"bucket", "", recording.ErrNameTooLong},
		"/bucket/%00":           {"bucket", "", recording.ErrNameInvalid},
		"/bucket/%FF":           {"bucket", "", recording.ErrNameInvalid},
		"/Bucket/a":             {"", "", recording.ErrBucketName},
		"//a":                   {"", "", recording.ErrBucketName},
		"/..%2F..%2Fetc/passwd": {"", "", recording.ErrBucketName},
	} {
		bucket, name, err := s3api.Target(httptest.NewRequest("GET", path, nil))
		if bucket != want.bucket || name != want.name || !errors.Is(err, want.err) {
			t.Errorf("Target(%q) = %q, %q, %v; want %+v", path, bucket, name, err, want)
		}
	}
}

func TestAdmit(t *testing.T) {
	for _, c := range []struct {
		request, headers string
		want             error
	}{
		{"PUT /b/n", "X-Amz-Date: d|X-Amz-Content-Sha256: h|X-Amz-Sdk-Checksum-Algorithm: CRC32", nil},
		{"PUT /b/n", "X-Amz-Acl: private|X-Amz-Storage-Class: STANDARD|X-Amz-Server-Side-Encryption: AES256", nil},
		{"PUT /b/n", "X-Amz-Meta-Lethe-Call: 1|Content-Type: audio/wav", nil},
		{"GET /b/n", "X-Amz-Checksum-Mode: ENABLED", nil},
		{"PUT /b/n", "X-Amz-Acl: public-read", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Acl: private|X-Amz-Acl: public-read", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Storage-Class: GLACIER", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Server-Side-Encryption: aws:kms", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Server-Side-Encryption-Customer-Key: k", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Copy-Source: /b/o", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Tagging: a=b", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Object-Lock-Mode: GOVERNANCE", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Bypass-Governance-Retention: true", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Website-Redirect-Location: /", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Grant-Read: id=1", s3api.ErrNotImplemented},
		{"PUT /b/n", "X-Amz-Trailer: x-amz-checksum-crc32|X-Amz-Decoded-Content-Length: 1", nil},
		{"GET /b/n", "X-Amz-Trailer: x-amz-checksum-crc32", s3api.ErrNotImplemented},
		{"GET /b/n", "X-Amz-Decoded-Content-Length: 1", s3api.ErrNotImplemented},
		{"GET /b/n?response-content-type=text%2Fplain&response-expires=0", "", nil},
		{"GET /b/n?response-content-type=a%0Ab", "", s3api.ErrOverride},
		{"GET /b/n?x-amz-checksum-mode=ENABLED", "", nil},
		{"GET /b/n?x-amz-checksum-mode=x", "", s3api.ErrOverride},
		{"PUT /b/n", "X-Amz-Security-Token: t", s3api.ErrNotImplemented},
		{"GET /b/n", "X-Amz-Meta-A: b", s3api.ErrNotImplemented},
		{"GET /b/n", "X-Amz-Server-Side-Encryption-Customer-Key: k", s3api.ErrNotImplemented},
	} {
		method, target, _ := strings.Cut(c.request, " ")
		r := httptest.NewRequest(method, target, nil)
		r.Header = headers(c.headers)
		if err := s3api.Admit(r); !errors.Is(err, c.want) {
			t.Errorf("Admit(%s, %s) = %v, want %v", c.request, c.headers, err, c.want)
		}
	}
	for name, r := range map[string]*http.Request{
		"a body on GET":        httptest.NewRequest("GET", "/b/n", strings.NewReader("x")),
		"a repeated parameter": httptest.NewRequest("GET", "/b?list-type=2&prefix=a&prefix=b", nil),
	} {
		if err := s3api.Admit(r); err == nil {
			t.Errorf("Admit accepts %s", name)
		}
	}
}

func TestCollect(t *testing.T) {
	h := headers("Cache-Control: no-store|Content-Encoding: gzip|X-Amz-Meta-Lethe-Agent: Jürgen|X-Amz-Meta-A: 1|X-Amz-Meta-A: 2|X-Other: x")
	stored, metadata := s3api.Collect(h)
	if len(stored) != 2 || stored["Cache-Control"] != "no-store" || stored["Content-Encoding"] != "gzip" {
		t.Errorf("stored headers = %v", stored)
	}
	if len(metadata) != 2 || metadata["lethe-agent"] != "Jürgen" || metadata["a"] != "1,2" {
		t.Errorf("metadata = %v", metadata)
	}
	for sent, want := range map[string]string{
		"aws-chunked": "", "AWS-Chunked, gzip": "gzip", "gzip,aws-chunked": "gzip", "gzip, br": "gzip, br",
		"aws-chunked|Content-Encoding: gzip": "gzip",
	} {
		if stored, _ := s3api.Collect(headers("Content-Encoding: " + sent)); stored["Content-Encoding"] != want {
			t.Errorf("Content-Encoding %q is kept as %q, want %q", sent, stored["Content-Encoding"], want)
		}
	}
}
