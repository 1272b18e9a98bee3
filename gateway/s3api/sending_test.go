package s3api_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssigner "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// bodyModes are the five ways to send a body; in the first, the hash is signed.
var bodyModes = []string{
	"signed hash",
	"UNSIGNED-PAYLOAD",
	"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
	"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
	"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
}

// sending is a PUT of content in one of bodyModes, that a test may spoil at any
// stage: its head before or after it is signed, its chunks, the bytes sent.
// With UNSIGNED-PAYLOAD it has a checksum, since there is nothing else to spoil.
type sending struct {
	mode    string
	target  string // path and query
	content string
	header  http.Header // beyond what the mode needs
	chunks  []string    // of content
	trailer []string    // lines after the last chunk, without their ends
	secret  string

	head  func(*http.Request)      // before it is signed
	late  func(*http.Request)      // after
	wire  func(body string) string // changes the encoded body; the Content-Length follows it
	cut   int                      // bytes of the encoded body that are declared and not sent
	clock time.Duration            // how far the sender's is off
}

// newSending is honest, and long enough for three chunks.
func newSending(mode, target string, p pair) *sending {
	content := strings.Repeat("0123456789abcdef", 1100)
	s := &sending{
		mode: mode, target: target, content: content, secret: p.secret, header: http.Header{},
		chunks: []string{content[:8192], content[8192:16384], content[16384:]},
		head:   func(*http.Request) {}, late: func(*http.Request) {}, wire: func(body string) string { return body },
	}
	if s.chunked() {
		s.header.Set("Content-Encoding", "aws-chunked")
		s.header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(content)))
	}
	if s.hasTrailer() {
		s.header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		s.trailer = []string{"x-amz-checksum-crc32:" + crc(content)}
	}
	if mode == "UNSIGNED-PAYLOAD" {
		s.header.Set("X-Amz-Checksum-Crc32", crc(content))
	}
	return s
}

func (s *sending) chunked() bool    { return strings.HasPrefix(s.mode, "STREAMING-") }
func (s *sending) hasTrailer() bool { return strings.HasSuffix(s.mode, "-TRAILER") }
func (s *sending) signsChunks() bool {
	return strings.HasPrefix(s.mode, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
}

// crc is the CRC-32 of content as S3 writes it.
func crc(content string) string {
	sum := crc32.NewIEEE()
	io.WriteString(sum, content)
	return base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

// request signs the head, with aws-sdk-go-v2.
func (s *sending) request(t *testing.T, v *vault, p pair) (*http.Request, time.Time) {
	t.Helper()
	r, err := http.NewRequest("PUT", "http://"+v.host+s.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = s.header.Clone()
	r.Header.Set("X-Amz-Content-Sha256", s.mode)
	if s.mode == bodyModes[0] {
		r.Header.Set("X-Amz-Content-Sha256", hexSHA256(s.content))
	}
	s.head(r)
	at := time.Now().UTC().Add(s.clock)
	err = awssigner.NewSigner().SignHTTP(context.Background(), aws.Credentials{AccessKeyID: p.key, SecretAccessKey: s.secret}, r,
		r.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", at,
		func(o *awssigner.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		t.Fatal(err)
	}
	return r, at
}

// encode gives the body as it is sent after a head with that signature.
func (s *sending) encode(seed string, at time.Time) string {
	if !s.chunked() {
		return s.content
	}
	c := chainSigner{secret: s.secret, at: at, before: seed}
	var out strings.Builder
	for _, chunk := range append(s.chunks, "") {
		fmt.Fprintf(&out, "%x", len(chunk))
		if s.signsChunks() {
			out.WriteString(";chunk-signature=" + c.sign("AWS4-HMAC-SHA256-PAYLOAD", hexSHA256(""), hexSHA256(chunk)))
		}
		out.WriteString("\r\n" + chunk)
		if chunk != "" {
			out.WriteString("\r\n")
		}
	}
	for _, line := range s.trailer {
		out.WriteString(line + "\r\n")
	}
	if s.hasTrailer() && s.signsChunks() {
		sum := hexSHA256(strings.Join(s.trailer, "\n") + "\n")
		out.WriteString("x-amz-trailer-signature:" + c.sign("AWS4-HMAC-SHA256-TRAILER", sum) + "\r\n")
	}
	return out.String() + "\r\n"
}

// chainSigner signs chunks as the S3 API Reference tells clients to.
type chainSigner struct {
	secret string
	at     time.Time
	before string
}

func (c *chainSigner) sign(algorithm string, hashes ...string) string {
	key := []byte("AWS4" + c.secret)
	for _, part := range []string{c.at.Format("20060102"), "us-east-1", "s3", "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	lines := append([]string{algorithm, c.at.Format("20060102T150405Z"), c.at.Format("20060102") + "/us-east-1/s3/aws4_request", c.before}, hashes...)
	c.before = hex.EncodeToString(hmacSHA256(key, strings.Join(lines, "\n")))
	return c.before
}

func hmacSHA256(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, message)
	return h.Sum(nil)
}

// deliver sends s over a connection of its own and gives the answer's status
// and S3 code; "" if it has none.
func (s *sending) deliver(t *testing.T, v *vault, p pair) (status int, code string) {
	t.Helper()
	r, at := s.request(t, v, p)
	authorization := r.Header.Get("Authorization")
	body := s.wire(s.encode(authorization[strings.LastIndex(authorization, "=")+1:], at))
	if r.Header.Get("Transfer-Encoding") == "" {
		r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	}
	r.Header.Set("Connection", "close")
	s.late(r)
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.URL.RequestURI(), r.Host)
	if err := r.Header.Write(&head); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", v.host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A server that refuses early closes before it has read all.
	io.WriteString(conn, head.String()+"\r\n"+body[:len(body)-s.cut])
	if s.cut > 0 { // else the server would take it for a hang-up
		conn.(*net.TCPConn).CloseWrite()
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	var doc struct{ Code string }
	if len(text) > 0 {
		if err := xml.Unmarshal(text, &doc); err != nil {
			t.Errorf("answer %q: %v", text, err)
		}
	}
	return answer.StatusCode, doc.Code
}
