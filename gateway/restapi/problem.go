package restapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// The errors of this front alone.
var (
	errNoToken    = errors.New("restapi: no bearer token")
	errNoRoute    = errors.New("restapi: no such route")
	errNoMethod   = errors.New("restapi: no such method")
	errTooLarge   = errors.New("restapi: request body exceeds 1 MiB")
	errNotJSON    = errors.New("restapi: request body is not application/json")
	errSigning    = errors.New("restapi: signing keys are not implemented")
	errTenantPath = errors.New("restapi: tenant name cannot stand in a path")
	errNothing    = errors.New("restapi: nothing like that is there to erase, nor known to have been")
)

// malformed is a request that makes no sense; it says why.
type malformed string

func (m malformed) Error() string { return string(m) }

// kind is a row of the table that turns errors into problems.
type kind struct {
	is     error
	code   string // a key of x-problems in openapi.yaml
	status int
	title  string
	detail string // what to do next
}

var kinds = []kind{
	{recording.ErrTenantName, "bad-tenant-name", 400, "The tenant's name is not allowed", "Use 1 to 128 characters of UTF-8 without control characters."},
	{errTenantPath, "bad-tenant-name", 400, "The tenant's name is not allowed", `A name may not hold a slash, nor be "." or "..".`},
	{recording.ErrBucketName, "bad-bucket-name", 400, "The bucket's name is not allowed", "Use 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit."},
	{recording.ErrRetention, "bad-retention", 400, "The retention is not a number of days", "Give whole days from 1d to 36500d, such as 90d, or nothing to keep recordings until they are erased."},
	{recording.ErrNameInvalid, "bad-name", 400, "The recording's name is not allowed", "Use 1 to 1024 bytes of UTF-8 without NUL, as it was put."},
	{recording.ErrNameTooLong, "bad-name", 400, "The recording's name is not allowed", "Use 1 to 1024 bytes of UTF-8 without NUL, as it was put."},
	{recording.ErrVersion, "bad-version", 400, "The version is not one", "Give the 32 hex digits that putting it answered, or no version to erase all of them."},
	{recording.ErrDay, "bad-day", 400, "The retention day is not one", "Give a bucket's retention and the date on which its recordings expire, such as 90d/2026-12-31. They expire the day after the last of their days: those put on 2 October under 90d on 1 January."},
	{recording.ErrReason, "bad-reason", 400, "The reason may not stand in a certificate", "Use 1 to 128 printable characters, with a letter between any 7 digits: others read the certificate, and a telephone number may not stand there."},
	{recording.ErrClassInvalid, "bad-class", 400, "The integrity class is unknown", "Use A, B, C or D; D accepts every upload."},
	{recording.ErrSettings, "bad-setting", 400, "A setting is not one of its values", "overwrite is never, version or replace; etag is opaque or md5."},
	{errNoToken, "unauthenticated", 401, "No valid token", "Send the owner token or a tenant's admin token as Authorization: Bearer."},
	{recording.ErrNoCredential, "unauthenticated", 401, "No valid token", "This token is unknown. Send the owner token or a tenant's admin token."},
	{recording.ErrDenied, "denied", 403, "The token may not do that", "The owner token creates and lists tenants; an admin token administers its own tenant only."},
	{errNoRoute, "no-such-route", 404, "There is nothing at this path", "See " + SpecificationPath + "."},
	{recording.ErrNoTenant, "no-such-tenant", 404, "There is no such tenant", "Check its name; the owner token can list all tenants."},
	{recording.ErrNoBucket, "no-such-bucket", 404, "There is no such bucket", "Create the bucket first, in the same tenant."},
	{recording.ErrNoErasure, "no-such-erasure", 404, "There is no such erasure", "Give its id as the erasure was answered with, 32 hex digits; the list of the tenant's erasures has it too."},
	{errNothing, "nothing-to-erase", 404, "There is nothing like that to erase", "Check how it is spelt, and its tenant. If it was erased before, the list of the tenant's erasures has that, with its certificate."},
	{errNoMethod, "no-such-method", 405, "This path does not know the method", "See " + SpecificationPath + "."},
	{recording.ErrTenantExists, "tenant-exists", 409, "A tenant has this name", "Choose another name."},
	{recording.ErrBucketExists, "bucket-exists", 409, "The tenant has a bucket of this name", "Use it, or choose another name."},
	{recording.ErrBucketClosing, "bucket-closing", 409, "A bucket of this name is being deleted", "Delete it again if that was interrupted, then create it."},
	{recording.ErrHeld, "held", 409, "A hold forbids it", "Release the hold first, or ask about something else."},
	{recording.ErrShorter, "shorter-retention", 409, "Retention is never shortened", "Give a later date than the one on which it expires. What is kept until it is erased has none."},
	{recording.ErrTenantRevoked, "tenant-revoked", 409, "The tenant is revoked", "Restore it first."},
	{recording.ErrTenantErased, "tenant-erased", 410, "The tenant is erased", "Nothing brings it back; create another."},
	{recording.ErrHoldReason, "bad-hold-reason", 400, "The reason of a hold is not allowed", "Give 1 to 500 characters of UTF-8 without control characters."},
	{recording.ErrNotFound, "no-such-recording", 404, "There is no such recording", "Check its bucket and its name."},
	{recording.ErrNoHold, "no-such-hold", 404, "There is no such hold", "It may have been released; list the tenant's holds."},
	{errTooLarge, "too-large", 413, "The request body is too large", "Keep it under 1 MiB."},
	{errNotJSON, "not-json", 415, "The request body is not JSON", "Send Content-Type: application/json."},
	{errSigning, "not-implemented", 501, "This version cannot do that yet", "Signing keys for claims come with a later version; create the recorder without signing."},
	{recording.ErrIncident, "incident", 500, "The tenant's key is gone without an erasure", "Nothing was erased here. An operator must look at the key provider before anything else is done; if it was restored from a copy, lethe recover vault goes on."},
	{recording.ErrNoEraser, "no-eraser", 503, "No process answers that may make a tenant's key", "This server only decrypts. Start one with the role eraser, or see in its log why it cannot make the key; then try again."},
	{recording.ErrUnavailable, "unavailable", 503, "A part Lethe depends on is unavailable", "Try again shortly; the operator finds the cause under this request id."},
}

// internal is what a caller learns of an error that is in no row.
var internal = kind{nil, "internal", 500, "Something went wrong here", "The operator finds the cause under this request id."}

// classify finds the row of an error.
func classify(err error) kind {
	if m, ok := errors.AsType[malformed](err); ok {
		return kind{m, "bad-request", 400, "The request is malformed", m.Error()}
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			if held, ok := errors.AsType[gateway.Held](err); ok {
				k.detail = forbids(held)
			}
			return k
		}
	}
	return internal
}

// forbids says what a hold forbids, and what to do.
func forbids(h gateway.Held) string {
	on := "a recording"
	if h.Ground == policy.SubjectHeld {
		on = "a data subject"
	}
	return fmt.Sprintf("Hold %v is on %s that this would take something from. Release it first, if it may be.", h.Hold, on)
}

// fail renders err as a problem document (RFC 9457). The error itself is only
// told, in the log, of what is not the caller's doing.
func (f *front) fail(c *gin.Context, err error) {
	k, e := classify(err), entry(c)
	if k.status == http.StatusInternalServerError || k.status == http.StatusServiceUnavailable {
		e.Fail(k.code, err)
	} else {
		e.Fail(k.code, nil)
	}
	switch k.status {
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", `Bearer realm="lethe"`)
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", "1")
	}
	c.Header("Content-Type", "application/problem+json")
	c.Status(k.status)
	_ = json.NewEncoder(c.Writer).Encode(Problem{ // a caller who is gone needs no answer
		Type:      SpecificationPath + "#/x-problems/" + k.code,
		Title:     k.title,
		Status:    k.status,
		Detail:    k.detail,
		Code:      k.code,
		RequestId: e.ID,
	})
}
