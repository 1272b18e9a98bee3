package s3api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// allowed lists x-amz-* headers in lower case with the values that change
// nothing here; nil stands for any value. A header that is not listed asks for
// something Lethe does not do, and is refused rather than dropped.
type allowed map[string][]string

// commonHeaders are part of signing or speak of the client.
var commonHeaders = allowed{
	"x-amz-date":           nil,
	"x-amz-content-sha256": nil,
	"x-amz-user-agent":     nil,
}

var readHeaders = allowed{
	"x-amz-checksum-mode": {checksumsEnabled},
}

// putHeaders: a recording is private, kept in one class and always encrypted,
// so a request for just that is granted by doing nothing.
var putHeaders = allowed{
	"x-amz-acl":                    {"private", "bucket-owner-full-control", "bucket-owner-read"},
	"x-amz-storage-class":          {"STANDARD"},
	"x-amz-server-side-encryption": {"AES256"},
	metadataPrefix + "*":           nil,
}

// bucketHeaders: a bucket is private, and all in it is its owner's.
var bucketHeaders = allowed{
	"x-amz-acl":              {"private"},
	"x-amz-object-ownership": {"BucketOwnerEnforced"},
}

// bodyHeaders say how a body is sent; newBody reads them, whatever the operation.
var bodyHeaders = allowed{
	"x-amz-decoded-content-length": nil,
	"x-amz-trailer":                nil,
	"x-amz-sdk-checksum-algorithm": nil,
	"x-amz-checksum-algorithm":     nil, // what minio-go says instead
	"x-amz-checksum-crc32":         nil,
	"x-amz-checksum-crc32c":        nil,
	"x-amz-checksum-crc64nvme":     nil,
	"x-amz-checksum-sha1":          nil,
	"x-amz-checksum-sha256":        nil,
}

const (
	amzPrefix      = "x-amz-"
	metadataPrefix = "x-amz-meta-"
)

// checkHeaders reports an unsupportedHeader if there is one.
func (op operation) checkHeaders(h http.Header) error {
	for name, values := range h {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, amzPrefix) {
			continue
		}
		if strings.HasPrefix(name, metadataPrefix) {
			name = metadataPrefix + "*"
		}
		sends := op.body != noBody && bodyHeaders.permits(name, values)
		if !sends && !op.headers.permits(name, values) && !commonHeaders.permits(name, values) {
			return unsupportedHeader(name)
		}
	}
	return nil
}

// and gives a together with more.
func (a allowed) and(more allowed) allowed {
	out := maps.Clone(a)
	maps.Copy(out, more)
	return out
}

func (a allowed) permits(name string, values []string) bool {
	accepted, listed := a[name]
	if !listed || accepted == nil {
		return listed
	}
	return len(values) == 1 && slices.Contains(accepted, values[0])
}

// storedHeaders are kept with a recording and given back as they came.
var storedHeaders = []string{
	"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires",
}

// collect gives the stored headers and the user metadata of a request. A
// header that was sent several times means its values joined by commas, which
// is also how it is signed.
func collect(h http.Header) (stored, metadata map[string]string) {
	stored, metadata = map[string]string{}, map[string]string{}
	for _, name := range storedHeaders {
		if values := h.Values(name); len(values) > 0 {
			stored[name] = strings.Join(values, ",")
		}
	}
	if isChunked(h) { // that coding was taken off
		delete(stored, "Content-Encoding")
		if rest := slices.DeleteFunc(codings(h), func(c string) bool { return c == awsChunked }); len(rest) > 0 {
			stored["Content-Encoding"] = strings.Join(rest, ",")
		}
	}
	for name, values := range h {
		if key, ok := strings.CutPrefix(strings.ToLower(name), metadataPrefix); ok {
			metadata[key] = strings.Join(values, ",")
		}
	}
	return stored, metadata
}
