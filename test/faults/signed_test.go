package faults_test

import (
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/lethe-vault/lethe/test/system"
)

// emptyHash is the SHA-256 of no bytes.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// answer is all of an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // why there is no answer
}

// newRequest makes a request of a whole body; nil is none.
func newRequest(t testing.TB, method, url string, what *content) *http.Request {
	t.Helper()
	if what == nil {
		return newRequestOf(t, method, url, nil, 0, emptyHash)
	}
	return newRequestOf(t, method, url, what.reader(), what.size, what.hash())
}

// newRequestOf makes a request with a body of a declared size and SHA-256, be
// they true or not.
func newRequestOf(t testing.TB, method, url string, body io.Reader, size int64, hash string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = size
	r.Header.Set("X-Amz-Content-Sha256", hash)
	return r
}

// sign signs all headers the request has. Those set later are not signed.
func sign(t testing.TB, r *http.Request, k system.Keys) {
	t.Helper()
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	who := aws.Credentials{AccessKeyID: k.AccessKey, SecretAccessKey: k.SecretKey}
	err := signer.SignHTTP(t.Context(), who, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
}

// send sends a request on a connection of its own.
func send(r *http.Request) answer {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	return readAnswer(resp)
}

func readAnswer(resp *http.Response) answer {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

// within bounds the time of a request and its answer.
func within(r *http.Request, limit time.Duration) answer {
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	return send(r.WithContext(ctx))
}

// document is S3's error document.
type document struct {
	XMLName                 xml.Name `xml:"Error"`
	Code, Message, Resource string
	RequestID               string `xml:"RequestId"`
}

// code checks that a is one of S3's errors, complete, and gives its code.
// An answer to HEAD has none.
func (a answer) code(t testing.TB) string {
	t.Helper()
	var d document
	if err := xml.Unmarshal([]byte(a.body), &d); err != nil {
		t.Errorf("%d with a body that is no error document: %q, %v", a.status, a.body, err)
	}
	id := a.header.Get("X-Amz-Request-Id")
	if d.RequestID != id || id == "" || d.Message == "" {
		t.Errorf("incomplete error document, request %q: %q", id, a.body)
	}
	if !strings.Contains(a.header.Get("Content-Type"), "xml") {
		t.Errorf("error document of type %q", a.header.Get("Content-Type"))
	}
	return d.Code
}

// is fails t unless a is the S3 error given.
func (a answer) is(t testing.TB, status int, code string) {
	t.Helper()
	if a.err != nil {
		t.Errorf("no answer: %v", a.err)
		return
	}
	if got := a.code(t); a.status != status || got != code {
		t.Errorf("answer %d %s, want %d %s", a.status, got, status, code)
	}
}
