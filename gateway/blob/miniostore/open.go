package miniostore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/minio/minio-go/v7"
)

// Open sends one request: a GET of the range. The reader reports
// io.ErrUnexpectedEOF, with blob.ErrUnavailable, when the store cuts it short
// of the length it announced.
func (s *Store) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("miniostore: open: negative offset %d", off)
	}
	if n == 0 {
		return s.openNothing(ctx, key)
	}
	if n < 0 || n > math.MaxInt64-off {
		n = math.MaxInt64 - off
	}
	var opts minio.GetObjectOptions
	opts.Set("Range", rangeOf(off, n))
	body, _, header, err := s.core.GetObject(ctx, s.bucket, key, opts)
	if pastTheEnd(err) {
		return http.NoBody, nil
	}
	if err != nil {
		return nil, failure(ctx, "open", err)
	}
	if !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", off)) {
		return nil, errors.Join(errWrongRange, body.Close())
	}
	return &reader{ctx.Err, io.LimitReader(body, n), body}, nil
}

// rangeOf writes a byte range that ends with the blob when it would pass the
// largest offset. Source: RFC 9110, section 14.1.2.
func rangeOf(off, n int64) string {
	if n == math.MaxInt64-off {
		return fmt.Sprintf("bytes=%d-", off)
	}
	return fmt.Sprintf("bytes=%d-%d", off, off+n-1)
}

var errWrongRange = errors.New("miniostore: open: store answers with another range than asked for")

// openNothing reads no bytes, which is no range in HTTP, of a blob that must exist.
func (s *Store) openNothing(ctx context.Context, key string) (io.ReadCloser, error) {
	if _, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{}); err != nil {
		return nil, failure(ctx, "open", err)
	}
	return http.NoBody, nil
}

func pastTheEnd(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable
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
		return n, fmt.Errorf("miniostore: read: %w", cause)
	}
	return n, unreachable("read", err)
}
