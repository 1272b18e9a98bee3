package s3api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	miniosigner "github.com/minio/minio-go/v7/pkg/signer"

	"github.com/lethe-vault/lethe/gateway/s3api"
	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// simdHasher is what minio-go's signer hashes with.
type simdHasher struct{ hash.Hash }

func (simdHasher) Close() {}

// unsignedStream is a PUT in STREAMING-UNSIGNED-PAYLOAD-TRAILER whose chunks
// ought to hold size bytes.
func unsignedStream(wire string, size int) *http.Request {
	return &http.Request{
		Method: "PUT", ContentLength: int64(len(wire)), Body: io.NopCloser(strings.NewReader(wire)),
		Header: http.Header{
			"X-Amz-Decoded-Content-Length": {fmt.Sprint(size)}, "X-Amz-Trailer": {"x-amz-checksum-crc32"},
		},
	}
}

const trailerMode = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

func TestUnsignedChunks(t *testing.T) {
	const good = "9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n"
	for name, c := range map[string]struct {
		wire string
		want error
	}{
		"as AWS's SDKs write it": {good, nil},
		"as minio-go writes it":  {"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\n\r\n\r\n", nil},
		"capitals":               {"9\r\n123456789\r\n0\r\nX-Amz-Checksum-Crc32: y/Q5Jg==\r\n\r\n", nil},
		"leading zeros":          {"0000000000000009\r\n123456789\r\n00\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", nil},
		"two small chunks":       {"4\r\n1234\r\n5\r\n56789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", s3api.ErrChunkSize},
		"false checksum":         {"9\r\n123456780\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", recording.ErrBadDigest},
		"no trailer":             {"9\r\n123456789\r\n0\r\n\r\n", recording.ErrShortBody},
		"cut in the trailer":     {good[:len(good)-2], recording.ErrShortBody},
		"cut in a chunk":         {"9\r\n1234", recording.ErrShortBody},
		"cut in a header":        {"9", recording.ErrShortBody},
		"nothing":                {"", recording.ErrShortBody},
		"more than declared":     {"a\r\n1234567890\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", s3api.ErrDecodedLength},
		"less than declared":     {"0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", recording.ErrShortBody},
		"a chunk after the last": {"9\r\n123456789\r\n1\r\n0\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", s3api.ErrDecodedLength},
		"not hex":                {"g\r\n", s3api.ErrFraming},
		"other trailer":          {"9\r\n123456789\r\n0\r\nx-amz-checksum-sha1:y/Q5Jg==\r\n\r\n", s3api.ErrTrailer},
	} {
		for how, wrap := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "by bytes": iotest.OneByteReader} {
			r := unsignedStream(c.wire, len(digits))
			r.Body = io.NopCloser(wrap(r.Body))
			b, err := s3api.NewBody(r, trailerMode)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(wrap(b))
			if !errors.Is(err, c.want) || (err == nil) != (string(got) == digits) {
				t.Errorf("%s, %s: read %q, %v; want %v", name, how, got, err, c.want)
			}
		}
	}
}

// What minio-go signs is read back, whole or with a trailer, at every size
// around the edges of its chunks.
func TestChunksOfMinio(t *testing.T) {
	for _, size := range []int{1, 8191, 8192, 65535, 65536, 65537, 131072, 200_001} {
		for _, trailer := range []bool{false, true} {
			content := bytes.Repeat([]byte("a"), size)
			r, err := http.NewRequest("PUT", "http://h/b/n", bytes.NewReader(content))
			if err != nil {
				t.Fatal(err)
			}
			mode := "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
			if trailer {
				mode += "-TRAILER"
				r.Trailer = http.Header{"X-Amz-Checksum-Crc32": {crc(string(content))}}
			}
			r = miniosigner.StreamingSignV4(r, "key", "secret", "", "us-east-1", int64(size), time.Now().UTC(), simdHasher{sha256.New()})
			q, err := sigv4.Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			b, err := s3api.NewChunkedBody(r, mode, q, "secret")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, trailer %t: read %d, %v", size, trailer, len(got), err)
			}
		}
	}
	for _, size := range []int{1, 65536, 65537} {
		content := strings.Repeat("a", size)
		r, err := http.NewRequest("PUT", "http://h/b/n", strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{"X-Amz-Checksum-Crc32": {crc(content)}}
		r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(size))
		r = miniosigner.StreamingUnsignedV4(r, "", int64(size), time.Now().UTC())
		b, err := s3api.NewBody(r, trailerMode)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); err != nil || string(got) != content {
			t.Errorf("unsigned, %d bytes: read %d, %v", size, len(got), err)
		}
	}
}

// Whatever is sent, a body that ends as it should holds what was declared of it.
func FuzzChunks(f *testing.F) {
	f.Add("9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n", 9)
	f.Add("9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\n\r\n\r\n", 9)
	f.Add("0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", 0)
	f.Add("ffffffffffffffff\r\n", 1)
	f.Fuzz(func(t *testing.T, wire string, size int) {
		if size < 0 || size > 1<<16 {
			return
		}
		b, err := s3api.NewBody(unsignedStream(wire, size), trailerMode)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if len(got) > size || err == nil && (len(got) != size || !strings.Contains(strings.ToLower(wire), ":")) {
			t.Errorf("read %d bytes, %v; %d were declared", len(got), err, size)
		}
		if err != nil && size > 0 && len(got) == size {
			t.Errorf("handed over all of a body that failed with %v", err)
		}
		sum := sha256.Sum256(got)
		if err == nil && b.Digests()["sha256"] != hex.EncodeToString(sum[:]) {
			t.Error("the digest is of other bytes")
		}
	})
}
