package s3api

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"
	"strings"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/recording"
)

// check is a digest that a client declared and that its body must have.
type check struct {
	digest string // its name in recording.Digests
	sum    hash.Hash
	want   []byte // nil, which nothing equals, until a trailer has come
}

func (c check) holds() bool { return bytes.Equal(c.sum.Sum(nil), c.want) }

// checksum is a digest S3 knows as an x-amz-checksum-* header.
type checksum struct {
	digest string // its name in recording.Digests, and in lower case what S3 calls it
	header string
}

// checksums are those that AWS's SDKs compute by themselves, or on request.
// Source: Amazon S3 User Guide, "Checking object integrity".
var checksums = []checksum{
	{"crc32", "X-Amz-Checksum-Crc32"},
	{"crc32c", "X-Amz-Checksum-Crc32c"},
	{"crc64nvme", "X-Amz-Checksum-Crc64nvme"},
	{"sha1", "X-Amz-Checksum-Sha1"},
	{"sha256", "X-Amz-Checksum-Sha256"},
}

// declaredChecks reads Content-MD5 and at most one x-amz-checksum-* header. The
// checksum that trailer names, if it is not "", is declared like one, comes
// last, and has no value yet.
func declaredChecks(h http.Header, trailer string) ([]check, error) {
	var out []check
	if values := h.Values("Content-Md5"); len(values) > 0 {
		sum := gateway.NewDigest("md5")
		want, ok := decodeDigest(values, sum.Size())
		if !ok {
			return nil, errInvalidDigest
		}
		out = append(out, check{"md5", sum, want})
	}
	var algorithms []string
	for _, c := range checksums {
		values := h.Values(c.header)
		follows := strings.EqualFold(trailer, c.header)
		if len(values) == 0 && !follows {
			continue
		}
		sum := gateway.NewDigest(c.digest)
		var want []byte
		if ok := true; len(values) > 0 {
			if want, ok = decodeDigest(values, sum.Size()); !ok || follows {
				return nil, fmt.Errorf("%s: %w", c.digest, errChecksum)
			}
		}
		algorithms = append(algorithms, c.digest)
		out = append(out, check{c.digest, sum, want})
	}
	if len(algorithms) > 1 || !announced(h, algorithms) {
		return nil, errChecksum
	}
	return out, nil
}

// announced reports whether the algorithm that is used is the one the headers
// announce, if they do. x-amz-checksum-algorithm alone may stand without a
// checksum: it begins a multipart upload, whose parts have them.
func announced(h http.Header, used []string) bool {
	for _, name := range []string{"X-Amz-Sdk-Checksum-Algorithm", "X-Amz-Checksum-Algorithm"} {
		values := h.Values(name)
		if len(values) == 0 || len(used) == 0 && name == "X-Amz-Checksum-Algorithm" {
			continue
		}
		if len(values) > 1 || len(used) == 0 || !strings.EqualFold(values[0], used[0]) {
			return false
		}
	}
	return true
}

// declaredTrailer gives the name of the checksum that follows a body, in lower
// case: exactly one where the mode has a trailer, and "" where it has none.
func (m mode) declaredTrailer(h http.Header) (string, error) {
	values := h.Values("X-Amz-Trailer")
	if !m.trailer {
		if len(values) > 0 {
			return "", errTrailer
		}
		return "", nil
	}
	for _, c := range checksums {
		if len(values) == 1 && strings.EqualFold(values[0], c.header) {
			return strings.ToLower(c.header), nil
		}
	}
	return "", errTrailer
}

// decodeDigest reads the base64 of a digest of size bytes, which stands once.
func decodeDigest(values []string, size int) ([]byte, bool) {
	sum, err := base64.StdEncoding.Strict().DecodeString(values[0])
	return sum, err == nil && len(sum) == size && len(values) == 1
}

// withoutChecksums gives the headers but for those that declare a checksum.
func withoutChecksums(h http.Header) http.Header {
	out := h.Clone()
	for _, c := range checksums {
		out.Del(c.header)
	}
	return out
}

// setChecksums gives the checksums that are known of a recording.
func setChecksums(h http.Header, info recording.Info) {
	sums, of := knownChecksums(info)
	for _, c := range checksums {
		if sum := sums[c.digest]; sum != "" {
			h.Set(c.header, sum)
			h.Set("X-Amz-Checksum-Type", of)
		}
	}
}
