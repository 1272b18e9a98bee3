package sigv4

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parameters that sign a presigned request.
const (
	queryAlgorithm     = "X-Amz-Algorithm"
	queryCredential    = "X-Amz-Credential"
	queryDate          = "X-Amz-Date"
	queryExpires       = "X-Amz-Expires"
	querySignedHeaders = "X-Amz-SignedHeaders"
	querySignature     = "X-Amz-Signature"
)

// Parameters are those of a query that sign a request, and say nothing else.
// A request that has any of them is presigned, and has to have all.
var Parameters = []string{
	queryAlgorithm, queryCredential, queryDate, queryExpires, querySignedHeaders, querySignature,
}

// maxExpires is S3's own limit, seven days, in seconds.
const maxExpires = 7 * 24 * 60 * 60

// parseQuery reads a presigned request. Whatever is wrong with a parameter is
// ErrQuery.
func parseQuery(r *http.Request, query url.Values) (q Request, err error) {
	for _, name := range Parameters {
		if len(query[name]) != 1 {
			return Request{}, fmt.Errorf("%w: want each once", ErrQuery)
		}
	}
	q.head, q.PayloadHash, q.Signature = r, UnsignedPayload, query.Get(querySignature)
	if query.Get(queryAlgorithm) != algorithm || !isSignature(q.Signature) {
		return Request{}, fmt.Errorf("%w: algorithm or signature", ErrQuery)
	}
	if q.AccessKey, q.Scope, err = parseCredential(query.Get(queryCredential)); err != nil {
		return Request{}, fmt.Errorf("%w: credential", ErrQuery)
	}
	if q.SignedHeaders, err = parseSignedHeaders(query.Get(querySignedHeaders)); err != nil {
		return Request{}, fmt.Errorf("%w: signed headers", ErrQuery)
	}
	if q.At, err = time.Parse(dateTime, query.Get(queryDate)); err != nil || q.Scope.Date != q.At.Format(dateOnly) {
		return Request{}, fmt.Errorf("%w: date", ErrQuery)
	}
	seconds, err := strconv.ParseUint(query.Get(queryExpires), 10, 32)
	if err != nil || seconds < 1 || seconds > maxExpires {
		return Request{}, fmt.Errorf("%w: expiry", ErrQuery)
	}
	q.Expires = time.Duration(seconds) * time.Second
	return q, q.coverage()
}

// withoutSignature gives a query without the one parameter that cannot be
// under its own signature.
func withoutSignature(raw string) string {
	parameters := slices.DeleteFunc(strings.Split(raw, "&"), func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		decoded, err := url.QueryUnescape(name)
		return err == nil && decoded == querySignature
	})
	return strings.Join(parameters, "&")
}
