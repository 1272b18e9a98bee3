package s3api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// tampering spoils one thing of a request.
type tampering struct {
	name  string
	spoil func(*sending)
}

// tamperings gives all that can be spoilt in a mode, for any operation that
// takes a recording's bytes.
func tamperings(mode string) []tampering {
	all := append([]tampering{}, anyMode...)
	s := sending{mode: mode}
	if s.chunked() {
		all = append(all, chunkedModes...)
	} else {
		all = append(all, plainModes...)
	}
	if s.signsChunks() {
		all = append(all, signedChunks...)
	}
	if s.hasTrailer() {
		all = append(all, trailerModes...)
		if s.signsChunks() {
			all = append(all, signedTrailers...)
		}
	}
	if mode == "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
		all = append(all, unsignedChunks...)
	}
	return all
}

// set and lateSet change a header before and after the head is signed.
func set(name, value string) func(*sending) {
	return func(s *sending) { s.head = func(r *http.Request) { r.Header.Set(name, value) } }
}

func lateSet(name, value string) func(*sending) {
	return func(s *sending) { s.late = func(r *http.Request) { r.Header.Set(name, value) } }
}

// swap replaces text once in the encoded body.
func swap(old, new string) func(*sending) {
	return func(s *sending) {
		s.wire = func(body string) string { return strings.Replace(body, old, new, 1) }
	}
}

// swapLast replaces the last occurrence.
func swapLast(old, new string) func(*sending) {
	return func(s *sending) {
		s.wire = func(body string) string {
			i := strings.LastIndex(body, old)
			return body[:i] + new + body[i+len(old):]
		}
	}
}

// other has the length of content.
func other(s *sending) string { return strings.Repeat("x", len(s.content)) }

var anyMode = []tampering{
	{"a byte of the body", swap("9abc", "9abd")},
	{"two bytes swapped", swap("9abc", "9acb")},
	{"the last byte of the data", swapLast("ef", "eF")},
	{"early end", func(s *sending) { s.cut = 100 }},
	{"early end by one byte", func(s *sending) { s.cut = 1 }},
	{"no body at all", func(s *sending) { s.wire = func(string) string { return "" } }},
	{"checksum of other bytes", set("X-Amz-Checksum-Sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=")},
	{"checksum that is not base64", set("X-Amz-Checksum-Crc32c", "????????")},
	{"checksum of another length", set("X-Amz-Checksum-Crc32c", "AAAA")},
	{"empty checksum", set("X-Amz-Checksum-Crc32c", "")},
	{"two checksums", func(s *sending) {
		s.head = func(r *http.Request) {
			r.Header.Set("X-Amz-Checksum-Crc32", crc(s.content))
			r.Header.Set("X-Amz-Checksum-Crc32c", crc(s.content))
		}
	}},
	{"checksum twice", func(s *sending) {
		s.head = func(r *http.Request) {
			r.Header["X-Amz-Checksum-Crc32"] = []string{crc(s.content), crc(other(s))}
		}
	}},
	{"Content-MD5 of other bytes", set("Content-Md5", "JfnnlDI7RTiF9RgfG2JNCw==")},
	{"Content-MD5 in hex", set("Content-Md5", "25f9e794323b453885f5181f1b624d0b")},
	{"another algorithm announced", set("X-Amz-Sdk-Checksum-Algorithm", "SHA256")},
	{"another mode after signing", func(s *sending) {
		lateSet("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")(s)
		if s.mode == "UNSIGNED-PAYLOAD" {
			lateSet("X-Amz-Content-Sha256", hexSHA256(s.content))(s)
		}
	}},
	{"unknown mode", set("X-Amz-Content-Sha256", "STREAMING-PAYLOAD")},
	{"asymmetric mode", set("X-Amz-Content-Sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD")},
	{"hash of other bytes", set("X-Amz-Content-Sha256", hexSHA256("other"))},
	{"header added after signing", lateSet("X-Amz-Meta-Lethe-Call", "1")},
	{"checksum added after signing", lateSet("X-Amz-Checksum-Sha1", "98O8HYCOBHMq32eZZczDTKeuNEE=")},
	{"metadata changed after signing", func(s *sending) {
		s.header.Set("X-Amz-Meta-Lethe-Call", "1")
		lateSet("X-Amz-Meta-Lethe-Call", "2")(s)
	}},
	{"name changed after signing", func(s *sending) { s.late = func(r *http.Request) { r.URL.Path += "x" } }},
	{"method changed after signing", func(s *sending) { s.late = func(r *http.Request) { r.Method = "POST" } }},
	{"signature", func(s *sending) {
		s.late = func(r *http.Request) {
			r.Header.Set("Authorization", r.Header.Get("Authorization")[:20]+strings.Repeat("0", 64))
		}
	}},
	{"no signature", func(s *sending) { s.late = func(r *http.Request) { r.Header.Del("Authorization") } }},
	{"another secret", func(s *sending) { s.secret += "x" }},
	{"an hour old", func(s *sending) { s.clock = -time.Hour }},
	{"an hour ahead", func(s *sending) { s.clock = time.Hour }},
	{"over 5 GiB", func(s *sending) {
		const much = "5368709121"
		s.late = func(r *http.Request) { r.Header.Set("Content-Length", much) }
		if s.chunked() {
			s.head = func(r *http.Request) { r.Header.Set("X-Amz-Decoded-Content-Length", much) }
		}
	}},
}

var plainModes = []tampering{
	{"other bytes", func(s *sending) { s.wire = func(string) string { return other(s) } }},
	{"no length", func(s *sending) {
		s.late = func(r *http.Request) { r.Header.Del("Content-Length") }
	}},
	{"HTTP's own chunks", func(s *sending) {
		s.head = func(r *http.Request) { r.Header.Set("Transfer-Encoding", "chunked") }
		s.wire = func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	}},
	{"aws-chunked", set("Content-Encoding", "aws-chunked")},
	{"aws-chunked before gzip", set("Content-Encoding", "aws-chunked, gzip")},
	{"decoded length", func(s *sending) { set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(s.content)))(s) }},
	{"trailer declared", set("X-Amz-Trailer", "x-amz-checksum-crc32")},
	{"framed as chunks", func(s *sending) {
		s.wire = func(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }
	}},
}

var chunkedModes = []tampering{
	{"decoded length absent", func(s *sending) { s.header.Del("X-Amz-Decoded-Content-Length") }},
	{"decoded length one less", set("X-Amz-Decoded-Content-Length", "17599")},
	{"decoded length one more", set("X-Amz-Decoded-Content-Length", "17601")},
	{"decoded length of fewer chunks", set("X-Amz-Decoded-Content-Length", "16384")},
	{"decoded length zero", set("X-Amz-Decoded-Content-Length", "0")},
	{"decoded length negative", set("X-Amz-Decoded-Content-Length", "-1")},
	{"decoded length no number", set("X-Amz-Decoded-Content-Length", "17600.0")},
	{"decoded length twice", func(s *sending) {
		s.head = func(r *http.Request) { r.Header.Add("X-Amz-Decoded-Content-Length", "17600") }
	}},
	{"decoded length after signing", lateSet("X-Amz-Decoded-Content-Length", "17599")},
	{"chunk one byte longer", swap("2000", "2001")},
	{"chunk one byte shorter", swap("2000", "1fff")},
	{"chunk length with 0x", swap("2000", "0x2000")},
	{"chunk length with a sign", swap("2000", "+2000")},
	{"chunk length negative", swap("2000", "-2000")},
	{"chunk length with a space", swap("2000", " 2000")},
	{"chunk length empty", swap("2000", "")},
	{"chunk length of 64 bits", swap("2000", "ffffffffffffffff")},
	{"chunk length of 65 bits", swap("2000", "10000000000002000")},
	{"chunk header ends in LF", swap("\r\n0123", "\n0123")},
	{"chunk extension", swap("\r\n0123", ";a=b\r\n0123")},
	{"no CRLF after a chunk", swapLast("ef\r\n", "ef")},
	{"no final chunk", func(s *sending) {
		s.wire = func(body string) string { return body[:strings.LastIndex(body, "ef\r\n")+4] }
	}},
	{"no end after the final chunk", func(s *sending) { s.wire = func(body string) string { return body[:len(body)-2] } }},
	{"bytes after the end", func(s *sending) { s.wire = func(body string) string { return body + "x" } }},
	{"many bytes after the end", func(s *sending) { s.wire = func(body string) string { return body + strings.Repeat("\r\n", 4096) } }},
	{"a body after the end", func(s *sending) { s.wire = func(body string) string { return body + body } }},
	{"small chunk in the middle", func(s *sending) { s.chunks = []string{s.content[:8191], s.content[8191:]} }},
	{"empty chunk in the middle", func(s *sending) { s.chunks = []string{s.content[:8192], "", s.content[8192:]} }},
	{"chunk left out", func(s *sending) { s.chunks = s.chunks[1:] }},
	{"chunk repeated", func(s *sending) { s.chunks = append(s.chunks[:1], s.chunks...) }},
	{"not framed", func(s *sending) { s.wire = func(string) string { return s.content } }},
	{"header line without end", func(s *sending) { s.wire = func(string) string { return strings.Repeat("0", 20000) } }},
}

// moveChunks exchanges the first two chunks as they are encoded.
func moveChunks(s *sending) {
	s.content = s.content[:8192] + strings.Repeat("z", 8192) + s.content[16384:]
	s.chunks[1] = s.content[8192:16384]
	s.wire = func(body string) string {
		first, second := strings.Index(body, "2000;"), strings.LastIndex(body, "2000;")
		n := second - first
		return body[second:second+n] + body[:second] + body[second+n:]
	}
}

var signedChunks = []tampering{
	{"first chunk's signature", swap("chunk-signature=", "chunk-signature=0")},
	{"first chunk's signature zeroed", func(s *sending) {
		s.wire = func(body string) string {
			i := strings.Index(body, "=") + 1
			return body[:i] + strings.Repeat("0", 64) + body[i+64:]
		}
	}},
	{"final chunk's signature zeroed", func(s *sending) {
		s.wire = func(body string) string {
			i := strings.LastIndex(body, "chunk-signature=") + len("chunk-signature=")
			return body[:i] + strings.Repeat("0", 64) + body[i+64:]
		}
	}},
	{"chunk without a signature", func(s *sending) {
		s.wire = func(body string) string { return body[:4] + body[4+len(";chunk-signature=")+64:] }
	}},
	{"signature in capitals", func(s *sending) {
		s.wire = func(body string) string {
			i := strings.Index(body, "=") + 1
			return body[:i] + strings.ToUpper(body[i:i+64]) + "\r\n" + body[i+66:]
		}
	}},
	{"other spelling of the extension", swap(";chunk-signature=", ";Chunk-Signature=")},
	{"chunks exchanged", moveChunks},
	{"chunks of another request", func(s *sending) {
		c := chainSigner{secret: s.secret, at: time.Now().UTC(), before: strings.Repeat("0", 64)}
		s.wire = func(string) string { return s.encode(c.before, c.at) }
	}},
	{"chunks of another secret", func(s *sending) {
		s.wire = func(string) string {
			forged := *s
			forged.secret += "x"
			return forged.encode(strings.Repeat("0", 64), time.Now().UTC())
		}
	}},
}

var unsignedChunks = []tampering{
	{"signed though it must not be", swap("2000", "2000;chunk-signature="+strings.Repeat("0", 64))},
	{"trailer signed though it must not be", func(s *sending) {
		s.trailer = append(s.trailer, "x-amz-trailer-signature:"+strings.Repeat("0", 64))
	}},
}

var trailerModes = []tampering{
	{"trailer missing", func(s *sending) { s.trailer = nil }},
	{"trailer not declared", func(s *sending) { s.header.Del("X-Amz-Trailer") }},
	{"trailer doubled", func(s *sending) { s.trailer = append(s.trailer, s.trailer...) }},
	{"trailer and another", func(s *sending) { s.trailer = append(s.trailer, "x-amz-meta-a:b") }},
	{"trailer of other bytes", func(s *sending) { s.trailer = []string{"x-amz-checksum-crc32:" + crc(other(s))} }},
	{"trailer that is not base64", func(s *sending) { s.trailer = []string{"x-amz-checksum-crc32:????????"} }},
	{"trailer empty", func(s *sending) { s.trailer = []string{"x-amz-checksum-crc32:"} }},
	{"trailer without a colon", func(s *sending) { s.trailer = []string{"x-amz-checksum-crc32"} }},
	{"trailer of another name", func(s *sending) { s.trailer = []string{"x-amz-checksum-crc32c:" + crc(s.content)} }},
	{"trailer too long", func(s *sending) { s.trailer[0] += strings.Repeat(" ", 2000) }},
	{"trailer declared as something else", set("X-Amz-Trailer", "x-amz-meta-a")},
	{"two trailers declared", set("X-Amz-Trailer", "x-amz-checksum-crc32,x-amz-checksum-sha1")},
	{"trailer declared twice", func(s *sending) {
		s.head = func(r *http.Request) { r.Header.Add("X-Amz-Trailer", "x-amz-checksum-crc32") }
	}},
	{"trailer and header", func(s *sending) { set("X-Amz-Checksum-Crc32", crc(s.content))(s) }},
	{"another trailer declared after signing", lateSet("X-Amz-Trailer", "x-amz-checksum-sha1")},
}

var signedTrailers = []tampering{
	{"trailer's signature missing", func(s *sending) {
		s.wire = func(body string) string { return body[:strings.Index(body, "x-amz-trailer-signature")] + "\r\n" }
	}},
	{"trailer's signature", swap("x-amz-trailer-signature:", "x-amz-trailer-signature:0")},
	{"trailer's signature zeroed", func(s *sending) {
		s.wire = func(body string) string { return body[:len(body)-4-64] + strings.Repeat("0", 64) + "\r\n\r\n" }
	}},
	{"trailer's signature doubled", func(s *sending) {
		s.wire = func(body string) string {
			return body[:len(body)-2] + body[strings.Index(body, "x-amz-trailer-signature"):]
		}
	}},
	{"trailer after its signature", func(s *sending) {
		s.wire = func(body string) string { return body[:len(body)-2] + "x-amz-meta-a:b\r\n\r\n" }
	}},
}

// Five body modes times all that can be spoilt in each, as a whole recording and
// as a part of one: nothing becomes visible and nothing is left behind.
func TestTamperedBodiesLeaveNothing(t *testing.T) {
	for _, mode := range bodyModes {
		t.Run(mode, func(t *testing.T) {
			v := newVault(t)
			v.tamper("/calls/call", mode, 0)
			u := v.upload(v.recorder, "call")
			v.tamper("/calls/call?partNumber=1&uploadId="+*u.id, mode, 1)
			list, err := u.client.ListParts(t.Context(), &s3.ListPartsInput{Bucket: &u.bucket, Key: &u.name, UploadId: u.id})
			if err != nil || len(list.Parts) > 0 {
				t.Errorf("%d parts are stored, %v", len(list.Parts), err)
			}
			if err := v.abort(u); err != nil {
				t.Error(err)
			}
		})
	}
}

// tamper sends to target all that a mode can be spoilt to. open is how many
// intents are open before.
func (v *vault) tamper(target, mode string, open int) {
	v.t.Helper()
	all := tamperings(mode)
	if len(all) < 20 {
		v.t.Errorf("%d tamperings, want at least 20", len(all))
	}
	for _, tt := range all {
		s := newSending(mode, target, v.recorder)
		tt.spoil(s)
		if status, code := s.deliver(v.t, v, v.recorder); status < 400 || status >= 500 && status != 501 {
			v.t.Errorf("%s: answered %d %s", tt.name, status, code)
		}
		v.wantResidue(tt.name, open)
	}
}

// wantNothing demands that no recording is visible, and that neither a blob nor
// an open intent was left behind.
func (v *vault) wantNothing(after string) {
	v.t.Helper()
	v.wantResidue(after, 0)
}

// wantResidue is wantNothing where so many intents are open.
func (v *vault) wantResidue(after string, open int) {
	v.t.Helper()
	if names := v.names(); len(names) > 0 {
		v.t.Fatalf("%s: left %q", after, names)
	}
	if blobs, intents := v.Residue(); blobs != 0 || intents != open {
		v.t.Fatalf("%s: left %d blobs and %d open intents, want 0 and %d", after, blobs, intents, open)
	}
}

// What no one has spoilt is stored, with the class its mode gives over plain HTTP.
func TestBodyModes(t *testing.T) {
	v := newVault(t)
	for i, want := range []string{"B", "D", "B", "B", "D"} {
		mode := bodyModes[i]
		s := newSending(mode, "/calls/"+fmt.Sprint(i), v.recorder)
		if status, code := s.deliver(t, v, v.recorder); status != 200 {
			t.Errorf("%s: %d %s, want 200", mode, status, code)
			continue
		}
		answer, err := http.DefaultClient.Do(v.request(v.reader, "HEAD", "/calls/"+fmt.Sprint(i), "", unchanged))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := answer.Header.Get("X-Lethe-Class"); got != want || answer.ContentLength != int64(len(s.content)) {
			t.Errorf("%s: class %s and %d bytes, want %s and %d", mode, got, answer.ContentLength, want, len(s.content))
		}
		if got := answer.Header.Get("Content-Encoding"); got != "" {
			t.Errorf("%s: Content-Encoding %q was kept", mode, got)
		}
		get, err := v.aws(v.reader).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(calls), Key: aws.String(fmt.Sprint(i))})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, get.Body); got != s.content {
			t.Errorf("%s: got back %d other bytes", mode, len(got))
		}
	}
}
