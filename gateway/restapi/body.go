package restapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// decode reads the request's body, one JSON object, into body. A field that
// body does not have is refused, since a setting ignored is a setting lost;
// for the same reason an operation without a body (nil) refuses one.
func decode(w http.ResponseWriter, r *http.Request, body any) error {
	if body == nil && r.ContentLength == 0 {
		return nil
	}
	if body == nil {
		body = &struct{}{}
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return errNotJSON
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(body); err != nil {
		return explain(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("the body holds more than one JSON value")
	}
	return nil
}

// explain says what is wrong with a body in a caller's words.
func explain(err error) error {
	var (
		tooLarge *http.MaxBytesError
		syntax   *json.SyntaxError
		mistyped *json.UnmarshalTypeError
	)
	switch {
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.Is(err, io.EOF):
		return malformed("the body is empty")
	case errors.As(err, &syntax):
		return malformed(fmt.Sprintf("the body is not JSON from byte %d on", syntax.Offset))
	case errors.As(err, &mistyped):
		return malformed(fmt.Sprintf("the field %q cannot be a %s", mistyped.Field, mistyped.Value))
	case strings.HasPrefix(err.Error(), "json: unknown field "): // encoding/json has no type for it
		return malformed("there is no " + strings.TrimPrefix(err.Error(), "json: unknown ") + " here")
	}
	return malformed("the body could not be read to its end")
}
