package awsstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/lethe-vault/lethe/gateway/blob"
)

// answer is what is kept of what a store says: its messages may repeat anything.
type answer struct {
	status int    // of HTTP
	code   string // of S3
}

// answerOf finds the store's answer in an error of the SDK, if there is one.
func answerOf(err error) (said answer, answered bool) {
	api, refused := errors.AsType[smithy.APIError](err)
	response, arrived := errors.AsType[*smithyhttp.ResponseError](err)
	if !refused || !arrived {
		return answer{}, false
	}
	return answer{response.HTTPStatusCode(), api.ErrorCode()}, true
}

// failure turns an error of the SDK into one of ours.
func failure(ctx context.Context, op string, err error) error {
	if cause := ended(ctx, op); cause != nil {
		return cause
	}
	said, answered := answerOf(err)
	if !answered {
		return unreachable(op, err)
	}
	why := fmt.Errorf("awsstore: %s: store answers %d %s", op, said.status, said.name())
	switch {
	case said.code == "NoSuchKey":
		return blob.ErrNotFound
	case said.status == http.StatusPreconditionFailed, said.code == "PreconditionFailed":
		return blob.ErrExists
	case comeBack[said.status], comeBack[said.code]:
		return fmt.Errorf("%w: %w", blob.ErrUnavailable, why)
	}
	return why
}

// comeBack holds the statuses and the S3 error codes of an answer that another
// time would be another. RequestTimeout comes with a status of 400, and
// CompleteMultipartUpload sends its errors after a status of 200, of which the
// SDK makes 500.
var comeBack = map[any]bool{
	http.StatusRequestTimeout:      true,
	http.StatusConflict:            true,
	http.StatusTooManyRequests:     true,
	http.StatusInternalServerError: true,
	http.StatusBadGateway:          true,
	http.StatusServiceUnavailable:  true,
	http.StatusGatewayTimeout:      true,
	"RequestTimeout":               true,
}

// unreachable reports an exchange that brought no answer, without its URL.
func unreachable(op string, err error) error {
	if inURL, ok := errors.AsType[*url.Error](err); ok {
		err = inURL.Err
	}
	return fmt.Errorf("awsstore: %s: %w: %w", op, blob.ErrUnavailable, err)
}

// ended reports that ctx has ended, and why.
func ended(ctx context.Context, op string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("awsstore: %s: %w", op, ctx.Err())
}

// name gives the S3 error code, if it looks like one.
func (a answer) name() string {
	if a.code == "" || len(a.code) > 64 || strings.ContainsFunc(a.code, notAlphanumeric) {
		return "and no code"
	}
	return a.code
}

func notAlphanumeric(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
}
