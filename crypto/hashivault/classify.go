package hashivault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/lethe-vault/lethe/crypto/keytree"
)

// answers is what transit says when it refuses, and what that means. Whatever
// is not in this table tells nothing of the key: 403 permission denied, 412
// behind, 429 rate, 472 and 473 standby, 503 sealed, 404 for a missing mount.
//
// Observed on Vault 1.21, whose words OpenBao 2 shares; the test asks the real
// server for every line.
var answers = []struct {
	status int
	says   string
	class  error
}{
	{http.StatusBadRequest, "version is too new", keytree.ErrRolledBack},                          // decrypt
	{http.StatusBadRequest, "higher than the latest key version", keytree.ErrRolledBack},          // encrypt
	{http.StatusBadRequest, "disallowed by policy (too old)", keytree.ErrForgotten},               // decrypt
	{http.StatusBadRequest, "less than the minimum encryption key version", keytree.ErrForgotten}, // encrypt
	{http.StatusBadRequest, "key not found", keytree.ErrForgotten},                                // decrypt, rotate
	{http.StatusBadRequest, "no existing key named", keytree.ErrForgotten},                        // config
	{http.StatusBadRequest, "invalid key name", keytree.ErrForgotten},                             // trim
	{http.StatusBadRequest, "could not delete key; not found", keytree.ErrForgotten},              // delete
	{http.StatusBadRequest, "message authentication failed", keytree.ErrBind},                     // decrypt
	{http.StatusBadRequest, "invalid ciphertext", keytree.ErrBind},                                // decrypt
}

// classify turns an error of Vault's client into one of keytree's and the HTTP
// status it came with, 0 if there was no answer. The error's own text ends
// here: it can hold values.
func classify(err error) (status int, class error) {
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		return 0, keytree.ErrUnavailable
	}
	if missing(answer) {
		return answer.StatusCode, keytree.ErrForgotten
	}
	for _, a := range answers {
		if answer.StatusCode == a.status && strings.Contains(strings.Join(answer.Errors, "\n"), a.says) {
			return answer.StatusCode, a.class
		}
	}
	return answer.StatusCode, keytree.ErrUnavailable
}

// missing reports whether Vault says that a key it was asked to read does not
// exist: 404 with an empty list of errors. A missing mount, a proxy's page and
// an empty object are 404 too, and are not it.
func missing(answer *api.ResponseError) bool {
	return answer.StatusCode == http.StatusNotFound && answer.Errors != nil && len(answer.Errors) == 0
}

// fault is all that an error of this package says: what was tried, on which
// root, Vault's HTTP status, and the class.
func fault(ctx context.Context, r request, err error) error {
	status, class := classify(err)
	switch {
	case status != 0:
		return fmt.Errorf("hashivault: %s %s: status %d: %w", r.op, r.root, status, class)
	case ctx.Err() != nil:
		return fmt.Errorf("hashivault: %s %s: %w: %w", r.op, r.root, class, ctx.Err())
	}
	return fmt.Errorf("hashivault: %s %s: no usable answer: %w", r.op, r.root, class)
}

// reason says why a login failed, without what Vault said of it.
func reason(err error) string {
	status, _ := classify(err)
	switch {
	case errors.Is(err, errCredential):
		return errCredential.Error()
	case status != 0:
		return fmt.Sprintf("login status %d", status)
	}
	return "login had no usable answer"
}
