package s3api

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
)

// overrides are the parameters by which a reader names other values for headers
// of the answer. They are honoured as every parameter is: under a signature.
var overrides = []struct{ parameter, header string }{
	{"response-cache-control", "Cache-Control"},
	{"response-content-disposition", "Content-Disposition"},
	{"response-content-encoding", "Content-Encoding"},
	{"response-content-language", "Content-Language"},
	{"response-content-type", "Content-Type"},
	{"response-expires", "Expires"},
}

// checksumModes are the spellings of a header that the AWS SDKs put in a
// presigned query.
var checksumModes = []string{"x-amz-checksum-mode", "X-Amz-Checksum-Mode"}

// checksumsEnabled is the only value it has.
const checksumsEnabled = "ENABLED"

// readParameters are those of GetObject and HeadObject.
var readParameters = func() []string {
	out := append(slices.Clone(checksumModes), versionParameter, "partNumber")
	for _, o := range overrides {
		out = append(out, o.parameter)
	}
	return out
}()

// checkOverrides refuses a value that could not stand in a header.
func checkOverrides(query url.Values) error {
	for _, o := range overrides {
		for _, c := range []byte(query.Get(o.parameter)) {
			if c < ' ' || c == 0x7f {
				return errOverride
			}
		}
	}
	for _, name := range checksumModes {
		if query.Has(name) && query.Get(name) != checksumsEnabled {
			return errOverride
		}
	}
	return nil
}

// override sets the headers that the query names.
func override(h http.Header, query url.Values) {
	for _, o := range overrides {
		if value := query.Get(o.parameter); value != "" {
			h.Set(o.header, value)
		}
	}
}

// wantsChecksums reports whether a reader asks for the checksums back.
func wantsChecksums(r *http.Request) bool {
	return r.Header.Get("X-Amz-Checksum-Mode") != "" || slices.ContainsFunc(checksumModes, r.URL.Query().Has)
}

// withoutSigning gives the parameters that say something other than who signed.
func withoutSigning(query url.Values) url.Values {
	for _, name := range sigv4.Parameters {
		query.Del(name)
	}
	return query
}
