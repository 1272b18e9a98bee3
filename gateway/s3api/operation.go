package s3api

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/lethe-vault/lethe/recording"
)

// location is where a request's target points, before anything is checked.
type location struct {
	level  level
	bucket string
	name   string
	query  url.Values
}

// locate splits the decoded path at its first two slashes, or at the first if
// the host is a bucket's below one of domains. URL.Path is the one decoding of
// what was received, the same that the signature covers; "//" and ".." stay as
// they are, since both may be parts of a name.
func locate(r *http.Request, domains []string) location {
	at := location{query: withoutSigning(r.URL.Query())}
	path := strings.TrimPrefix(r.URL.Path, "/")
	if bucket := hostBucket(r.Host, domains); bucket != "" {
		at.bucket, at.name = bucket, path
	} else {
		at.bucket, at.name, _ = strings.Cut(path, "/")
	}
	switch {
	case at.name != "":
		at.level = objectLevel
	case at.bucket != "":
		at.level = bucketLevel
	}
	return at
}

// hostBucket gives the bucket of a host-style request: what stands before the
// first of domains in its Host, "" if none does.
func hostBucket(host string, domains []string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for _, domain := range domains {
		if bucket, ok := strings.CutSuffix(strings.ToLower(host), "."+domain); ok {
			return bucket
		}
	}
	return ""
}

// target is a location whose names are well formed.
type target struct {
	bucket recording.Bucket
	name   recording.Name // "" at bucketLevel
	query  url.Values
}

func (l location) target() (t target, err error) {
	t.query = l.query
	if l.level >= bucketLevel {
		t.bucket, err = recording.ParseBucket(l.bucket)
	}
	if err == nil && l.level == objectLevel {
		t.name, err = recording.ParseName(l.name)
	}
	return t, err
}

// anyValue in a marker stands for whatever its parameter says.
const anyValue = "*"

// selectedBy reports whether the query asks for op and for nothing else: a
// sub-resource that op does not know never falls through to it.
func (op operation) selectedBy(query url.Values) bool {
	marker, value, _ := strings.Cut(op.marker, "=")
	if marker != "" && (!query.Has(marker) || value != anyValue && query.Get(marker) != value) {
		return false
	}
	for name := range query {
		if name != marker && name != sdkParameter && !slices.Contains(op.knows, name) {
			return false
		}
	}
	return true
}

// admit refuses what op would otherwise ignore: repeated parameters, headers
// it does not honour, a body it does not read.
func (op operation) admit(r *http.Request, query url.Values) error {
	for _, values := range query {
		if len(values) > 1 {
			return errRepeated
		}
	}
	if op.body == noBody && r.ContentLength != 0 {
		return errUnexpectedBody
	}
	if err := checkOverrides(query); err != nil {
		return err
	}
	return op.checkHeaders(r.Header)
}
