// Package sigv4 verifies requests signed with AWS Signature Version 4 as S3
// clients sign them: in the Authorization header, or in the query (presigned),
// and the chunks of a body that is signed as it is sent. It is pure: it reads a
// request's head, a secret and a clock, touches no body and looks nothing up.
// Who owns an access key, and whether the body is what its hash declares, is
// the front's business.
//
// Sources: Amazon S3 API Reference, "Authenticating Requests" (Authorization
// Header, Query Parameters, and Transferring Payload in Multiple Chunks); IAM
// User Guide, "Create a signed AWS API request".
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The reasons to turn a request away. None says anything of the secret.
var (
	ErrMissing     = errors.New("sigv4: request is not signed")
	ErrTwice       = errors.New("sigv4: request is signed more than once")
	ErrV2          = errors.New("sigv4: request is signed with Signature Version 2")
	ErrAlgorithm   = errors.New("sigv4: unknown authorization algorithm")
	ErrMalformed   = errors.New("sigv4: malformed Authorization header")
	ErrQuery       = errors.New("sigv4: malformed parameters of a presigned request")
	ErrURI         = errors.New("sigv4: request target cannot be decoded")
	ErrDate        = errors.New("sigv4: no valid X-Amz-Date or Date")
	ErrPayloadHash = errors.New("sigv4: no single X-Amz-Content-Sha256")
	ErrUnsigned    = errors.New("sigv4: a header that must be signed is not")
	ErrSkewed      = errors.New("sigv4: request time is too far from ours")
	ErrExpired     = errors.New("sigv4: presigned request has expired")
	ErrSignature   = errors.New("sigv4: signature does not match")
)

// MaxSkew is how far a request's time may lie from ours, before or after.
const MaxSkew = 15 * time.Minute

const (
	algorithm  = "AWS4-HMAC-SHA256"
	service    = "s3"
	terminator = "aws4_request"
	dateTime   = "20060102T150405Z"
	dateOnly   = "20060102"
)

// Request is a signed request whose form is right and whose signature has yet
// to be verified: until Verify returns nil, nothing in it is true.
type Request struct {
	Authorization
	At          time.Time     // when the client says it signed
	PayloadHash string        // X-Amz-Content-Sha256, as sent; UnsignedPayload if presigned
	Expires     time.Duration // of a presigned request: how long after At it holds; else 0

	head *http.Request
}

// UnsignedPayload stands for the hash of a body that no signature covers.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

// Presigned reports whether the query signs the request.
func (q Request) Presigned() bool { return q.Expires > 0 }

// Parse reads what the request says of its own signature. It demands that
// Host, the date, Content-MD5 and every X-Amz-* header are under the
// signature, that each of them stands once where one value is meant, and that
// the scope's date is the request's.
func Parse(r *http.Request) (Request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Request{}, ErrURI
	}
	headers := r.Header.Values("Authorization")
	v4 := slices.ContainsFunc(Parameters, query.Has)
	v2 := query.Has("AWSAccessKeyId") || query.Has("Signature")
	switch {
	case len(headers) > 1, len(headers) == 1 && (v4 || v2), v4 && v2:
		return Request{}, ErrTwice
	case v2:
		return Request{}, ErrV2
	case v4:
		return parseQuery(r, query)
	case len(headers) == 0:
		return Request{}, ErrMissing
	}
	return parseHeader(r, headers[0])
}

func parseHeader(r *http.Request, header string) (q Request, err error) {
	q.head = r
	if q.Authorization, err = ParseAuthorization(header); err != nil {
		return Request{}, err
	}
	if q.At, err = requestTime(r.Header); err != nil {
		return Request{}, err
	}
	if q.Scope.Date != q.At.Format(dateOnly) {
		return Request{}, fmt.Errorf("%w: scope is of another day", ErrMalformed)
	}
	hashes := r.Header.Values("X-Amz-Content-Sha256")
	if len(hashes) != 1 || hashes[0] == "" {
		return Request{}, ErrPayloadHash
	}
	q.PayloadHash = hashes[0]
	return q, q.coverage()
}

// requestTime prefers X-Amz-Date to Date, as S3 does.
func requestTime(h http.Header) (time.Time, error) {
	amz, plain := h.Values("X-Amz-Date"), h.Values("Date")
	var at time.Time
	var err error
	switch {
	case len(amz) == 1:
		at, err = time.Parse(dateTime, amz[0])
	case len(amz) == 0 && len(plain) == 1:
		at, err = http.ParseTime(plain[0])
	default:
		return time.Time{}, ErrDate
	}
	if err != nil {
		return time.Time{}, ErrDate
	}
	return at.UTC(), nil
}

// coverage reports ErrUnsigned if a header that steers the request could have
// been changed or added on the way.
func (q Request) coverage() error {
	must := []string{"host"}
	for name := range q.head.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") || name == "content-md5" {
			must = append(must, name)
		}
	}
	if !q.Presigned() && q.head.Header.Get("X-Amz-Date") == "" {
		must = append(must, "date")
	}
	for _, name := range must {
		if _, signed := slices.BinarySearch(q.SignedHeaders, name); !signed {
			return ErrUnsigned
		}
	}
	return nil
}

// Verify reports nil if whoever knows secret signed this very request within
// MaxSkew of now, or presigned it for now; else ErrSkewed, ErrExpired,
// ErrSignature or ErrURI.
func (q Request) Verify(secret string, now time.Time) error {
	if err := q.timely(now); err != nil {
		return err
	}
	forms, err := q.canonical()
	if err != nil {
		return err
	}
	key := signingKey(secret, q.Scope)
	for _, form := range forms {
		if hmac.Equal([]byte(q.signature(key, form)), []byte(q.Signature)) {
			return nil
		}
	}
	return ErrSignature
}

func (q Request) timely(now time.Time) error {
	age := now.Sub(q.At)
	switch {
	case age < -MaxSkew, !q.Presigned() && age > MaxSkew:
		return ErrSkewed
	case q.Presigned() && age > q.Expires:
		return ErrExpired
	}
	return nil
}

// signature computes the signature that a canonical request ought to have.
func (q Request) signature(key []byte, canonical string) string {
	hash := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{
		algorithm, q.At.Format(dateTime), q.Scope.String(), hex.EncodeToString(hash[:]),
	}, "\n")
	return hex.EncodeToString(mac(key, toSign))
}

func signingKey(secret string, s Scope) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.Date, s.Region, service, terminator} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
