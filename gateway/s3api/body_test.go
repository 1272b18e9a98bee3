package s3api_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/recording"
)

// digits is the input whose CRCs are catalogued as "check" values.
const digits = "123456789"

func hexSHA256(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// put is a PUT of content, as a server receives it, with further header lines.
func put(t *testing.T, content string, lines ...string) *http.Request {
	t.Helper()
	head := fmt.Sprintf("PUT /bucket/name HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n", len(content))
	return receive(t, head+strings.Join(append(lines, "", ""), "\r\n")+content)
}

func receive(t *testing.T, wire string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		t.Fatalf("ReadRequest(%q) = %v", wire, err)
	}
	return r
}

// trueChecksums are the digests of digits in base64.
// Source: Catalogue of parametrised CRC algorithms (CRC-32/ISO-HDLC cbf43926,
// CRC-32/ISCSI e3069283, CRC-64/NVME ae8b14860a799888); sha1sum, md5sum, sha256sum.
var trueChecksums = map[string]string{
	"x-amz-checksum-crc32":     "y/Q5Jg==",
	"x-amz-checksum-crc32c":    "4waSgw==",
	"x-amz-checksum-crc64nvme": "rosUhgp5mIg=",
	"x-amz-checksum-sha1":      "98O8HYCOBHMq32eZZczDTKeuNEE=",
	"x-amz-checksum-sha256":    "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
	"Content-MD5":              "JfnnlDI7RTiF9RgfG2JNCw==",
}

func TestBodyVerifiesChecksums(t *testing.T) {
	for header, sum := range trueChecksums {
		b, err := s3api.NewBody(put(t, digits, header+": "+sum), hexSHA256(digits))
		if err != nil {
			t.Errorf("%s: NewBody = %v", header, err)
			continue
		}
		got, err := io.ReadAll(b)
		if err != nil || string(got) != digits {
			t.Errorf("%s: read %q, %v; want %q", header, got, err, digits)
		}
		if d := b.Digests(); d["sha256"] != hexSHA256(digits) || len(d) == 0 {
			t.Errorf("%s: Digests = %v", header, d)
		}
	}
}

// A false digest keeps the last bytes back, however they are read.
func TestBodyWithholdsTheEndOfAFalseBody(t *testing.T) {
	other := strings.Repeat("x", len(digits))
	for header, sum := range trueChecksums {
		for name, how := range map[string]func(io.Reader) io.Reader{
			"at once":  func(r io.Reader) io.Reader { return r },
			"by bytes": iotest.OneByteReader,
			"no more":  func(r io.Reader) io.Reader { return io.LimitReader(r, int64(len(digits))) },
		} {
			b, err := s3api.NewBody(put(t, other, header+": "+sum), hexSHA256(other))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(how(b))
			if !errors.Is(err, recording.ErrBadDigest) || len(got) >= len(digits) {
				t.Errorf("%s %s: read %d bytes, %v; want fewer than %d, %v", header, name, len(got), err, len(digits), recording.ErrBadDigest)
			}
		}
	}
}

func TestBodyVerifiesThePayloadHash(t *testing.T) {
	for _, content := range []string{digits, ""} {
		b, err := s3api.NewBody(put(t, content), hexSHA256("other"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(b)
		if !errors.Is(err, s3api.ErrPayloadHash) || errors.Is(err, io.EOF) {
			t.Errorf("body %q: %v, want %v", content, err, s3api.ErrPayloadHash)
		}
		if _, again := b.Read(make([]byte, 1)); again != err {
			t.Errorf("body %q read again: %v, want %v", content, again, err)
		}
	}
}

func TestBodyShort(t *testing.T) {
	r := receive(t, "PUT /bucket/name HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"+digits)
	b, err := s3api.NewBody(r, hexSHA256(digits))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); !errors.Is(err, recording.ErrShortBody) {
		t.Errorf("read %q, %v; want %v", got, err, recording.ErrShortBody)
	}
}

func TestNewBodyRefuses(t *testing.T) {
	const chunked = "PUT /bucket/name HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	const both = "PUT /bucket/name HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	const none = "PUT /bucket/name HTTP/1.1\r\nHost: h\r\n\r\n"
	const large = "PUT /bucket/name HTTP/1.1\r\nHost: h\r\nContent-Length: 5368709121\r\n\r\n"
	hash := hexSHA256(digits)
	for name, c := range map[string]struct {
		r    *http.Request
		hash string
		want error
	}{
		"chunked":         {receive(t, chunked), hash, s3api.ErrNoLength},
		"chunked, length": {receive(t, both), hash, s3api.ErrNoLength},
		"no length":       {receive(t, none), hash, s3api.ErrNoLength},
		"over 5 GiB":      {receive(t, large), hash, recording.ErrTooLarge},
		"signed chunks":   {put(t, digits), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", s3api.ErrNoLength},
		"trailer":         {put(t, digits, "x-amz-decoded-content-length: 1"), "STREAMING-UNSIGNED-PAYLOAD-TRAILER", s3api.ErrTrailer},
		"aws-chunked":     {put(t, digits, "Content-Encoding: aws-chunked"), hash, s3api.ErrBodyMode},
		"decoded length":  {put(t, digits, "x-amz-decoded-content-length: 9"), "UNSIGNED-PAYLOAD", s3api.ErrBodyMode},
		"stray trailer":   {put(t, digits, "x-amz-trailer: x-amz-checksum-crc32"), hash, s3api.ErrTrailer},
		"other algorithm": {put(t, digits, "x-amz-checksum-crc32: y/Q5Jg==", "x-amz-sdk-checksum-algorithm: SHA1"), hash, s3api.ErrChecksum},
		"no algorithm":    {put(t, digits, "x-amz-sdk-checksum-algorithm: CRC32"), hash, s3api.ErrChecksum},
		"unknown mode":    {put(t, digits), "STREAMING-", s3api.ErrPayloadMode},
		"short hash":      {put(t, digits), hash[2:], s3api.ErrPayloadMode},
		"empty checksum":  {put(t, digits, "x-amz-checksum-crc32:"), hash, s3api.ErrChecksum},
		"long checksum":   {put(t, digits, "x-amz-checksum-crc32: rosUhgp5mIg="), hash, s3api.ErrChecksum},
		"two checksums":   {put(t, digits, "x-amz-checksum-crc32: y/Q5Jg==", "x-amz-checksum-crc32c: 4waSgw=="), hash, s3api.ErrChecksum},
		"checksum twice":  {put(t, digits, "x-amz-checksum-crc32: y/Q5Jg==", "x-amz-checksum-crc32: y/Q5Jg=="), hash, s3api.ErrChecksum},
		"md5 in hex":      {put(t, digits, "Content-MD5: 25f9e794323b453885f5181f1b624d0b"), hash, s3api.ErrInvalidDigest},
	} {
		if _, err := s3api.NewBody(c.r, c.hash); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestBodyDoesNotReadPastItsLength(t *testing.T) {
	r := put(t, digits)
	r.Body = io.NopCloser(bytes.NewReader([]byte(digits + "GET /")))
	b, err := s3api.NewBody(r, hexSHA256(digits))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(b); err != nil || string(got) != digits {
		t.Errorf("read %q, %v; want %q", got, err, digits)
	}
}
