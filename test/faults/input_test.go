package faults_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// TestBadInput sends what no server should take: the answer is S3's own error,
// and nothing is stored of it.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *system.System{"embedded": system.Embedded, "scaled": system.Scaled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newInput(t, start(t)).run()
		})
	}
}

// input is a server with one recording, a.wav, that must stay the only one.
type input struct {
	t      *testing.T
	s      *system.System
	keys   system.Keys // may read and write anything of the tenant
	stored content     // a.wav
	sent   content     // what every bad upload tries to leave behind
	client client
	before system.Stored
}

func newInput(t *testing.T, s *system.System) *input {
	// A server that refuses at once reads on for 256 KiB before it hangs up: a
	// client that still sends then may meet the reset before the answer.
	in := &input{t: t, s: s, stored: newContent(200_000), sent: newContent(250_000)}
	s.Pair("acme", "calls")
	err := s.Lethe(&in.keys, "reader", "create", "--tenant", "acme", "all", "--bucket", "*", "--write")
	if err != nil {
		t.Fatal(err)
	}
	in.client = newClient(t, s.S3, in.keys, "calls")
	if err := in.client.put(t.Context(), "a.wav", in.stored); err != nil {
		t.Fatal(err)
	}
	in.before = s.Stored()
	return in
}

func (in *input) run() {
	for _, c := range refusals {
		in.t.Run(c.name, func(t *testing.T) {
			r := c.request(t, in)
			send(r).is(t, c.status, c.code)
			in.unchanged(t)
		})
	}
	in.t.Run("body ends early", in.bodyEndsEarly)
	in.t.Run("connection lost in the body", in.connectionLost)
	in.t.Run("more than was declared", in.tooLong)
	in.t.Run("headers without end", in.endlessHeaders)
}

// unchanged checks that what is stored, listed and read is what it was.
func (in *input) unchanged(t *testing.T) {
	t.Helper()
	after := in.s.Stored()
	for until := time.Now().Add(time.Minute); after != in.before && time.Now().Before(until); after = in.s.Stored() {
		time.Sleep(20 * time.Millisecond) // a server that was hung up on cleans up after that
	}
	if after != in.before {
		t.Errorf("stored: %+v, before %+v", after, in.before)
	}
	listed, err := in.client.list(t.Context(), "")
	if want := map[string]int64{"a.wav": in.stored.size}; err != nil || !maps.Equal(listed, want) {
		t.Errorf("listed: %v, %v", listed, err)
	}
	if err := in.client.check(t.Context(), "a.wav", in.stored); err != nil {
		t.Errorf("a.wav: %v", err)
	}
}

// put makes a request to store what is sent, edits it, and signs it.
func (in *input) put(t *testing.T, path string, edit func(*http.Request)) *http.Request {
	r := newRequest(t, "PUT", in.s.S3+path, &in.sent)
	edit(r)
	sign(t, r, in.keys)
	return r
}

func setHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func asItIs(*http.Request) {}

// refusals are requests that are whole, and what S3 answers to them.
// Source: Amazon S3 API Reference, "Error responses".
var refusals = []struct {
	name    string
	status  int
	code    string
	request func(t *testing.T, in *input) *http.Request
}{
	{"wrong secret", 403, "SignatureDoesNotMatch", func(t *testing.T, in *input) *http.Request {
		r := newRequest(t, "PUT", in.s.S3+"/calls/b.wav", &in.sent)
		sign(t, r, system.Keys{AccessKey: in.keys.AccessKey, SecretKey: strings.Repeat("x", 40)})
		return r
	}},
	{"another name than was signed", 403, "SignatureDoesNotMatch", func(t *testing.T, in *input) *http.Request {
		r := in.put(t, "/calls/b.wav", asItIs)
		r.URL.Path = "/calls/c.wav"
		return r
	}},
	{"unsigned header", 403, "AccessDenied", func(t *testing.T, in *input) *http.Request {
		r := in.put(t, "/calls/b.wav", asItIs)
		r.Header.Set("X-Amz-Meta-Late", "1")
		return r
	}},
	{"unsigned", 403, "AccessDenied", func(t *testing.T, in *input) *http.Request {
		return newRequest(t, "PUT", in.s.S3+"/calls/b.wav", &in.sent)
	}},
	{"unknown key", 403, "InvalidAccessKeyId", func(t *testing.T, in *input) *http.Request {
		r := newRequest(t, "PUT", in.s.S3+"/calls/b.wav", &in.sent)
		sign(t, r, system.Keys{AccessKey: "LETHEAAAAAAAAAAAAAAA", SecretKey: in.keys.SecretKey})
		return r
	}},
	{"name of 1025 bytes", 400, "KeyTooLongError", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/"+strings.Repeat("n", 1025), asItIs)
	}},
	{"name with NUL", 400, "InvalidURI", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/a%00b", asItIs)
	}},
	{"metadata over 2 KB", 400, "MetadataTooLarge", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/b.wav", setHeader("X-Amz-Meta-Note", strings.Repeat("m", 2100)))
	}},
	{"hash of other bytes", 400, "XAmzContentSHA256Mismatch", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/b.wav", setHeader("X-Amz-Content-Sha256", in.stored.hash()))
	}},
	{"MD5 of other bytes", 400, "BadDigest", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/b.wav", setHeader("Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA=="))
	}},
	{"malformed MD5", 400, "InvalidDigest", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/b.wav", setHeader("Content-Md5", "bm90IDE2IGJ5dGVz"))
	}},
	{"CRC-32 of other bytes", 400, "BadDigest", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/b.wav", setHeader("X-Amz-Checksum-Crc32", "AAAAAA=="))
	}},
	{"no length", 411, "MissingContentLength", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/b.wav", func(r *http.Request) { r.ContentLength = -1 }) // it is chunked instead
	}},
	{"more than 5 GiB", 400, "EntityTooLarge", func(t *testing.T, in *input) *http.Request {
		huge := newContent(5<<30 + 1)
		r := newRequestOf(t, "PUT", in.s.S3+"/calls/b.wav", huge.reader(), huge.size, in.sent.hash())
		r.Header.Set("Expect", "100-continue")
		sign(t, r, in.keys)
		return r
	}},
	{"missing bucket", 404, "NoSuchBucket", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/nobodys/b.wav", asItIs)
	}},
	{"malformed bucket", 400, "InvalidBucketName", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/Nobodys_Bucket/b.wav", asItIs)
	}},
	{"other content under a taken name", 412, "PreconditionFailed", func(t *testing.T, in *input) *http.Request {
		return in.put(t, "/calls/a.wav", asItIs)
	}},
	{"range past the end", 416, "InvalidRange", func(t *testing.T, in *input) *http.Request {
		return in.without(t, "GET", "/calls/a.wav", setHeader("Range", "bytes=200000-"))
	}},
	{"missing name", 404, "NoSuchKey", func(t *testing.T, in *input) *http.Request {
		return in.without(t, "GET", "/calls/b.wav", asItIs)
	}},
	{"missing bucket, listed", 404, "NoSuchBucket", func(t *testing.T, in *input) *http.Request {
		return in.without(t, "GET", "/nobodys?list-type=2", asItIs)
	}},
	{"PATCH", 501, "NotImplemented", func(t *testing.T, in *input) *http.Request {
		return in.without(t, "PATCH", "/calls/a.wav", asItIs)
	}},
	{"TRACE", 501, "NotImplemented", func(t *testing.T, in *input) *http.Request {
		return in.without(t, "TRACE", "/calls/a.wav", asItIs)
	}},
	{"DELETE of no version", 400, "InvalidArgument", func(t *testing.T, in *input) *http.Request {
		return in.without(t, "DELETE", "/calls/a.wav?versionId=a", asItIs)
	}},
	{"DELETE of what else there is", 501, "NotImplemented", func(t *testing.T, in *input) *http.Request {
		return in.without(t, "DELETE", "/calls/a.wav?tagging", asItIs)
	}},
}

// without makes a signed request without a body.
func (in *input) without(t *testing.T, method, path string, edit func(*http.Request)) *http.Request {
	r := newRequest(t, method, in.s.S3+path, nil)
	edit(r)
	sign(t, r, in.keys)
	return r
}

// dial connects to the S3 front.
func (in *input) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(in.s.S3, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn.(*net.TCPConn)
}

// writeHead signs a request to put size bytes with the hash of what is sent,
// and writes its head.
func (in *input) writeHead(t *testing.T, w io.Writer, size int64) {
	t.Helper()
	r := newRequestOf(t, "PUT", in.s.S3+"/calls/b.wav", nil, size, in.sent.hash())
	sign(t, r, in.keys)
	fmt.Fprintf(w, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.URL.Path, r.URL.Host, size)
	r.Header.Write(w)
	io.WriteString(w, "\r\n")
}

// bodyEndsEarly: the client ends its side of the connection within the body,
// and listens.
func (in *input) bodyEndsEarly(t *testing.T) {
	conn := in.dial(t)
	in.writeHead(t, conn, in.sent.size)
	io.Copy(conn, in.sent.span(0, in.sent.size/2))
	conn.CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	readAnswer(resp).is(t, 400, "IncompleteBody")
	in.unchanged(t)
}

// connectionLost: the client is gone within the body.
func (in *input) connectionLost(t *testing.T) {
	conn := in.dial(t)
	in.writeHead(t, conn, in.sent.size)
	io.Copy(conn, in.sent.span(0, in.sent.size-1))
	for until := time.Now().Add(time.Minute); in.s.Stored() == in.before; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the upload does not begin")
		}
	}
	conn.Close()
	in.unchanged(t)
}

// tooLong: the body that was declared is followed by more of it, which is no
// request. The declared part is other bytes than those whose hash was signed.
func (in *input) tooLong(t *testing.T) {
	conn := in.dial(t)
	in.writeHead(t, conn, 1000)
	go io.Copy(conn, in.sent.reader()) // ends with the connection
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	readAnswer(resp).is(t, 400, "XAmzContentSHA256Mismatch")
	in.unchanged(t)
}

// endlessHeaders: 100 MB of headers are refused after the first of them, and
// cost no memory.
func (in *input) endlessHeaders(t *testing.T) {
	in.s.ResetPeakMemory()
	before := in.s.PeakMemory()
	conn := in.dial(t)
	go func() { // ends with the connection
		io.WriteString(conn, "GET /calls/a.wav HTTP/1.1\r\nHost: lethe\r\n")
		for n := 0; n < 100_000_000; n += 1000 {
			if _, err := fmt.Fprintf(conn, "X-%d: %s\r\n", n, strings.Repeat("g", 1000)); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(resp); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answer %d, want 431", a.status)
	}
	if grown := in.s.PeakMemory() - before; grown > 16<<20 {
		t.Errorf("the headers cost %d MiB", grown>>20)
	}
	in.unchanged(t)
}
