package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-vault/lethe/recording"
)

// What the S3 front says beyond S3.
const (
	headerRecording = "X-Lethe-Recording"
	headerClass     = "X-Lethe-Class"
)

// attempts is how often a request is sent before its failure is believed.
const attempts = 3

// s3client is a client of the S3 front that remembers the last answer's header.
type s3client struct {
	minio.Core
	last *witness
}

// witness keeps the header of the last answer, for what the SDK does not hand
// on. A command sends one request at a time.
type witness struct {
	http.RoundTripper
	header   http.Header
	stranger error // the last answer was no S3 front's, and this is what it was
}

func (w *witness) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.RoundTripper.RoundTrip(r)
	if res != nil {
		w.header, w.stranger = res.Header, nil
		if res.StatusCode >= 300 && res.Header.Get("X-Amz-Request-Id") == "" {
			w.stranger = stranger(res)
		}
	}
	return res, err
}

// front reaches the S3 front that flags, --data or the environment name, in
// that order.
func (p *program) front() (*s3client, error) {
	var local server
	if p.data != "" && p.s3 == "" {
		var err error
		if local, err = readServer(p.data); err != nil {
			return nil, err
		}
	}
	addr := cmp.Or(p.s3, local.S3, os.Getenv("LETHE_S3"))
	access := cmp.Or(p.accessKey, os.Getenv("LETHE_ACCESS_KEY"))
	secret := cmp.Or(p.secretKey, os.Getenv("LETHE_SECRET_KEY"))
	switch {
	case addr == "":
		return nil, misusef("which server? give --s3, LETHE_S3, or --data DIR of an embedded server")
	case access == "" || secret == "":
		return nil, misusef("no credential: give --access-key and --secret-key, or LETHE_ACCESS_KEY and LETHE_SECRET_KEY; lethe recorder create and lethe reader create make them")
	}
	base, err := origin(addr)
	if err != nil {
		return nil, err
	}
	transport, err := p.transport()
	if err != nil {
		return nil, err
	}
	w := &witness{RoundTripper: transport}
	core, err := minio.NewCore(base.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(access, secret, ""),
		Secure:       base.Scheme == "https",
		Transport:    w,
		Region:       "us-east-1", // a name both sides sign; Lethe has no regions
		BucketLookup: minio.BucketLookupPath,
		MaxRetries:   attempts,
	})
	if err != nil {
		return nil, misusef("%q is not an address: %w", addr, err)
	}
	return &s3client{Core: *core, last: w}, nil
}

// place is a recording as arguments name it: BUCKET/NAME.
type place struct {
	bucket recording.Bucket
	name   recording.Name
}

func parsePlace(s string) (place, error) {
	b, n, ok := strings.Cut(s, "/")
	if !ok {
		return place{}, misusef("give BUCKET/NAME")
	}
	return newPlace(b, n)
}

func newPlace(bucket, name string) (place, error) {
	b, err := recording.ParseBucket(bucket)
	if err != nil {
		return place{}, misused{err}
	}
	n, err := recording.ParseName(name)
	if err != nil {
		return place{}, misused{err}
	}
	return place{b, n}, nil
}

// s3refusal is what the S3 front refused. Its message says what to do next.
type s3refusal struct{ message, code, request string }

func (r s3refusal) Error() string {
	return fmt.Sprintf("%s (%s, request %s)", r.message, r.code, r.request)
}

// refused puts an error of the SDK in words.
func (c *s3client) refused(err error) error {
	res, ok := errors.AsType[minio.ErrorResponse](err)
	switch {
	case errors.Is(err, context.Canceled):
		return errInterrupted
	case c.last.stranger != nil:
		return c.last.stranger
	case !ok || res.Code == "":
		return unreachable(err)
	}
	request := cmp.Or(res.RequestID, c.last.header.Get("X-Amz-Request-Id")) // an answer to HEAD has no body
	return s3refusal{strings.TrimSpace(res.Message), res.Code, request}
}
