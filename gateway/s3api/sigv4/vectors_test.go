package sigv4_test

import (
	"bufio"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
)

const (
	exampleKey    = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var exampleTime = time.Date(2013, 5, 24, 0, 0, 0, 0, time.UTC)

// receive reads a request as a server receives it.
func receive(t testing.TB, wire string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatalf("ReadRequest(%q) = %v", wire, err)
	}
	return r
}

// verify is what a front does with a request whose key it knows.
func verify(r *http.Request, secret string, now time.Time) error {
	q, err := sigv4.Parse(r)
	if err != nil {
		return err
	}
	return q.Verify(secret, now)
}

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\n", "\r\n") + "\r\n"
}

// The four examples of the Amazon S3 API Reference, "Signature Calculations
// for the Authorization Header", as they would be sent.
func TestPublishedExamples(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) != 4 {
		t.Fatalf("found %d examples (%v), want 4", len(files), err)
	}
	for _, file := range files {
		wire := example(t, filepath.Base(file))
		if err := verify(receive(t, wire), exampleSecret, exampleTime); err != nil {
			t.Errorf("%s: %v, want no error", file, err)
		}
		if err := verify(receive(t, wire), exampleSecret+"x", exampleTime); !errors.Is(err, sigv4.ErrSignature) {
			t.Errorf("%s with another secret: %v, want %v", file, err, sigv4.ErrSignature)
		}
	}
}

func TestSkew(t *testing.T) {
	wire := example(t, "get-object.http")
	for _, c := range []struct {
		off  time.Duration
		want error
	}{
		{15 * time.Minute, nil},
		{-15 * time.Minute, nil},
		{15*time.Minute + time.Second, sigv4.ErrSkewed},
		{-15*time.Minute - time.Second, sigv4.ErrSkewed},
		{24 * time.Hour, sigv4.ErrSkewed},
	} {
		if err := verify(receive(t, wire), exampleSecret, exampleTime.Add(c.off)); !errors.Is(err, c.want) {
			t.Errorf("our clock off by %v: %v, want %v", c.off, err, c.want)
		}
	}
}

// Each case changes the published GET example in one place.
func TestRefusals(t *testing.T) {
	auth := "Authorization: AWS4-HMAC-SHA256 Credential="
	for _, c := range []struct {
		name, old, new string
		want           error
	}{
		{"no authorization", auth, "X-Other: ", sigv4.ErrMissing},
		{"authorized twice", "Range:", "Authorization: AWS4-HMAC-SHA256 x\r\nRange:", sigv4.ErrTwice},
		{"header and query", "/test.txt", "/test.txt?X-Amz-Signature=00", sigv4.ErrTwice},
		{"header and query of version 2", "/test.txt", "/test.txt?AWSAccessKeyId=a", sigv4.ErrTwice},
		{"version 2", auth, "Authorization: AWS ", sigv4.ErrV2},
		{"bearer", auth, "Authorization: Bearer ", sigv4.ErrAlgorithm},
		{"asymmetric", "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", sigv4.ErrAlgorithm},
		{"another service", "/s3/", "/sts/", sigv4.ErrMalformed},
		{"another terminator", "aws4_request", "aws5_request", sigv4.ErrMalformed},
		{"empty region", "us-east-1", "", sigv4.ErrMalformed},
		{"another region", "us-east-1", "us-east-2", sigv4.ErrSignature},
		{"scope of another day", "/20130524/", "/20130523/", sigv4.ErrMalformed},
		{"unsorted headers", "host;range", "range;host", sigv4.ErrMalformed},
		{"repeated header", "host;range", "host;host;range", sigv4.ErrMalformed},
		{"upper-case header", "host;range", "Host;range", sigv4.ErrMalformed},
		{"short signature", "f0e8bdb8", "f0e8bd", sigv4.ErrMalformed},
		{"upper-case signature", "f0e8bdb8", "F0E8BDB8", sigv4.ErrMalformed},
		{"field twice", ",Signature=", ",Signature=00,Signature=", sigv4.ErrMalformed},
		{"unknown field", ",Signature=", ",Extra=1,Signature=", sigv4.ErrMalformed},
		{"host unsigned", "host;range", "range", sigv4.ErrUnsigned},
		{"date unsigned", ";x-amz-date", "", sigv4.ErrUnsigned},
		{"hash unsigned", ";x-amz-content-sha256", "", sigv4.ErrUnsigned},
		{"x-amz header added", "Range:", "X-Amz-Acl: private\r\nRange:", sigv4.ErrUnsigned},
		{"content-md5 added", "Range:", "Content-MD5: AAAA\r\nRange:", sigv4.ErrUnsigned},
		{"signed header gone", "Range: bytes=0-9\r\n", "", sigv4.ErrSignature},
		{"no date", "X-Amz-Date: 20130524T000000Z\r\n", "", sigv4.ErrDate},
		{"two dates", "Range:", "X-Amz-Date: 20130524T000001Z\r\nRange:", sigv4.ErrDate},
		{"bad date", "T000000Z", "T000000+00", sigv4.ErrDate},
		{"no payload hash", "X-Amz-Content-Sha256", "X-Content-Sha256", sigv4.ErrPayloadHash},
		{"two payload hashes", "Range:", "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD\r\nRange:", sigv4.ErrPayloadHash},
		{"query that cannot be decoded", "/test.txt", "/test.txt?a=1;b=2", sigv4.ErrURI},
		{"absolute target", "/test.txt", "http://examplebucket.s3.amazonaws.com/test.txt", sigv4.ErrURI},
	} {
		wire := example(t, "get-object.http")
		changed := strings.Replace(wire, c.old, c.new, 1)
		if changed == wire {
			t.Errorf("%s: %q is not in the example", c.name, c.old)
		}
		if err := verify(receive(t, changed), exampleSecret, exampleTime); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// The example of the S3 API Reference, "Authenticating Requests: Using Query
// Parameters".
func TestPublishedPresigned(t *testing.T) {
	const wire = "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
		"&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1\r\nHost: examplebucket.s3.amazonaws.com\r\n\r\n"
	for _, c := range []struct {
		age  time.Duration
		want error
	}{
		{0, nil},
		{24 * time.Hour, nil},
		{24*time.Hour + time.Second, sigv4.ErrExpired},
		{-15 * time.Minute, nil},
		{-15*time.Minute - time.Second, sigv4.ErrSkewed},
	} {
		if err := verify(receive(t, wire), exampleSecret, exampleTime.Add(c.age)); !errors.Is(err, c.want) {
			t.Errorf("at the age of %v: %v, want %v", c.age, err, c.want)
		}
	}
	if err := verify(receive(t, wire), exampleSecret+"x", exampleTime); !errors.Is(err, sigv4.ErrSignature) {
		t.Errorf("with another secret: %v, want %v", err, sigv4.ErrSignature)
	}
}

// Whatever is in a query, reading it neither fails otherwise than by an error
// nor takes a request for presigned that lacks a parameter.
func FuzzPresigned(f *testing.F) {
	f.Add("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20130524%2Fr%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=" + strings.Repeat("0", 64))
	f.Add("X-Amz-Signature=&&=")
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: "GET", Host: "h", Header: http.Header{}, RequestURI: "/a?" + query, URL: &url.URL{Path: "/a", RawQuery: query}}
		q, err := sigv4.Parse(r)
		if err != nil {
			return
		}
		values := r.URL.Query()
		for _, name := range sigv4.Parameters {
			if len(values[name]) != 1 {
				t.Errorf("%q is presigned without one %s", query, name)
			}
		}
		if err := q.Verify(exampleSecret, exampleTime); err == nil {
			t.Errorf("%q was signed by nobody and is accepted", query)
		}
	})
}

func TestEscapePath(t *testing.T) {
	for in, want := range map[string]string{
		"a b+c/é~":    "a%20b%2Bc/%C3%A9~",
		"//..%2F-_.*": "//..%252F-_.%2A",
		"\x00\xff":    "%00%FF",
	} {
		if got := sigv4.EscapePath(in); got != want {
			t.Errorf("EscapePath(%q) = %q, want %q", in, got, want)
		}
	}
}

// What parses is written back to what parses the same, so no two readers of a
// header can differ about it.
func FuzzParseAuthorization(f *testing.F) {
	for _, seed := range []string{
		"AWS4-HMAC-SHA256 Credential=A/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=" + strings.Repeat("0f", 32),
		"AWS4-HMAC-SHA256 Signature=" + strings.Repeat("a", 64) + ", SignedHeaders=host, Credential=A/B/C/s3/aws4_request",
		"AWS A:B", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 =,=,=", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a, err := sigv4.ParseAuthorization(header)
		if err != nil {
			return
		}
		again, err := sigv4.ParseAuthorization(a.String())
		if err != nil || again.String() != a.String() {
			t.Errorf("ParseAuthorization(%q) = %+v, %v; want %+v", a.String(), again, err, a)
		}
	})
}
