package s3api

import (
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// The parts that are tested by themselves.
var (
	ErrNoLength      = errNoLength
	ErrBodyMode      = errBodyMode
	ErrPayloadMode   = errPayloadMode
	ErrPayloadHash   = errPayloadHash
	ErrChecksum      = errChecksum
	ErrInvalidDigest = errInvalidDigest
	ErrPrecondition  = errPrecondition
	ErrOverride      = errOverride
	ErrFraming       = errFraming
	ErrTrailer       = errTrailer
	ErrChunkSize     = errChunkSize
	ErrDecodedLength = errDecodedLength

	ErrMalformedXML = errMalformedXML

	ErrNotImplemented = errNotImplemented
	Fail              = fail
	Evaluate          = evaluate
	RangeApplies      = rangeApplies
	Collect           = collect
	HostBucket        = hostBucket
)

// Body is what NewBody gives.
type Body interface {
	io.Reader
	Digests() recording.Digests
}

// NewBody makes the reader of a request's body.
func NewBody(r *http.Request, payloadHash string) (Body, error) {
	return newBody(takesBody, r, payloadHash, nil)
}

// NewChunkedBody is NewBody with chunks signed by whoever knows secret.
func NewChunkedBody(r *http.Request, payloadHash string, q sigv4.Request, secret string) (Body, error) {
	return newBody(takesBody, r, payloadHash, q.Chain(secret))
}

// ReadDocument reads the document that a request holds.
func ReadDocument(r *http.Request, payloadHash string, most int64, into any) error {
	b, err := newBody(takesBody, r, payloadHash, nil)
	if err != nil {
		return err
	}
	return verified{body: b}.document(most, into)
}

// ParseDocument decodes a document that was read.
var ParseDocument = parseDocument

// SetPace asks other clients than real ones to be fast.
func (f *Front) SetPace(window time.Duration, bytes int64, write time.Duration) {
	f.pace = pace{window, bytes, write}
}

// ParseRange gives the first byte and the number of bytes of a range.
func ParseRange(header string, size int64) (off, n int64, ok bool, err error) {
	s, ok, err := parseRange(header, size)
	return s.off, s.n, ok, err
}

// Operation names the operation a request is for.
func Operation(r *http.Request) string {
	at := locate(r, nil)
	return selectOperation(r.Method, at.level, at.query).name
}

// Admit applies the operation's rules on parameters, headers and body.
func Admit(r *http.Request) error {
	at := locate(r, nil)
	return selectOperation(r.Method, at.level, at.query).admit(r, at.query)
}

// Target gives the bucket and name of a request.
func Target(r *http.Request) (recording.Bucket, recording.Name, error) {
	t, err := locate(r, nil).target()
	return t.bucket, t.name, err
}

// ParseList reads the query of a listing.
func ParseList(q url.Values) (gateway.Page, error) {
	req, err := parseList(q)
	return req.Page, err
}

// WriteListing answers a listing of bucket to a request with query q.
func WriteListing(w http.ResponseWriter, bucket recording.Bucket, q url.Values, l gateway.Listing) error {
	req, err := parseList(q)
	if err != nil {
		return err
	}
	return writeXML(w, http.StatusOK, req.document(verified{target: target{bucket: bucket}}, l))
}

// Row is what a test needs to know of an operation.
type Row struct{ Method, Name string }

// Operations gives every row of the protocol.
func Operations() (out []Row) {
	for _, op := range operations {
		out = append(out, Row{op.method, op.name})
	}
	return out
}
