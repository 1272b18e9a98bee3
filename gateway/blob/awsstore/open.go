package awsstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/lethe-vault/lethe/gateway/blob"
)

// Open sends one request: a GET of the range. The reader reports
// io.ErrUnexpectedEOF, with blob.ErrUnavailable, when the store cuts it short
// of the length it announced.
func (s *Store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("awsstore: open: negative offset %d", off)
	}
	if n == 0 {
		return s.openNothing(ctx, key)
	}
	return s.get(ctx, key, off, n)
}

func (s *Store) get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if n < 0 || n > math.MaxInt64-off {
		n = math.MaxInt64 - off
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: &key, Range: aws.String(rangeOf(off, n))})
	if said, answered := answerOf(err); answered && said.status == http.StatusRequestedRangeNotSatisfiable {
		return http.NoBody, nil // past the end
	}
	if err != nil {
		return nil, failure(ctx, "open", err)
	}
	if !strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", off)) {
		return nil, errors.Join(errWrongRange, out.Body.Close())
	}
	return &reader{ctx.Err, io.LimitReader(out.Body, n), out.Body}, nil
}

// rangeOf writes a byte range that ends with the blob when it would pass the
// largest offset. Source: RFC 9110, section 14.1.2.
func rangeOf(off, n int64) string {
	if n == math.MaxInt64-off {
		return fmt.Sprintf("bytes=%d-", off)
	}
	return fmt.Sprintf("bytes=%d-%d", off, off+n-1)
}

var errWrongRange = errors.New("awsstore: open: store answers with another range than asked for")

// openNothing reads no bytes of a blob that must exist. It asks for one: none
// is no range in HTTP, and the answer to a HEAD cannot tell a blob that is not
// there from a bucket that is not.
func (s *Store) openNothing(ctx context.Context, key string) (io.ReadCloser, error) {
	one, err := s.get(ctx, key, 0, 1)
	if err != nil {
		return nil, err
	}
	one.Close()
	return http.NoBody, nil
}

// reader is the body of a GET.
type reader struct {
	ended func() error // the context's Err
	body  io.Reader
	io.Closer
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	if cause := r.ended(); cause != nil {
		return n, fmt.Errorf("awsstore: read: %w", cause)
	}
	return n, unreachable("read", err)
}
