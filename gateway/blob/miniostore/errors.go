package miniostore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/minio/minio-go/v7"
)

// failure turns an error of minio-go into one of ours. Of what a store says
// only the status and the error code are kept: its messages may repeat
// anything.
func failure(ctx context.Context, op string, err error) error {
	if cause := ended(ctx, op); cause != nil {
		return cause
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return unreachable(op, err)
	}
	said := fmt.Errorf("miniostore: %s: store answers %d %s", op, answer.StatusCode, code(answer))
	switch {
	case answer.StatusCode == http.StatusNotFound && answer.Code == minio.NoSuchKey:
		return blob.ErrNotFound
	case answer.StatusCode == http.StatusPreconditionFailed, answer.Code == minio.PreconditionFailed:
		return blob.ErrExists
	case comeBack[answer.StatusCode], comeBack[answer.Code]:
		return fmt.Errorf("%w: %w", blob.ErrUnavailable, said)
	}
	return said
}

// comeBack holds the statuses and the S3 error codes of an answer that another
// time would be another. The codes count because CompleteMultipartUpload sends
// its errors after a status of 200.
var comeBack = map[any]bool{
	http.StatusRequestTimeout:      true,
	http.StatusConflict:            true,
	http.StatusTooManyRequests:     true,
	http.StatusInternalServerError: true,
	http.StatusBadGateway:          true,
	http.StatusServiceUnavailable:  true,
	http.StatusGatewayTimeout:      true,
	"RequestTimeout":               true,
	"SlowDown":                     true,
	"InternalError":                true,
	"ServiceUnavailable":           true,
}

// unreachable reports an exchange that brought no answer, without its URL.
func unreachable(op string, err error) error {
	if inURL := (*url.Error)(nil); errors.As(err, &inURL) {
		err = inURL.Err
	}
	return fmt.Errorf("miniostore: %s: %w: %w", op, blob.ErrUnavailable, err)
}

// ended reports that ctx has ended, and why.
func ended(ctx context.Context, op string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("miniostore: %s: %w", op, ctx.Err())
}

// code gives the S3 error code, if it looks like one.
func code(answer minio.ErrorResponse) string {
	if len(answer.Code) > 64 || strings.ContainsFunc(answer.Code, notAlphanumeric) {
		return "and no code"
	}
	return answer.Code
}

func notAlphanumeric(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
}
