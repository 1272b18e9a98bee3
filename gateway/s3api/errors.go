package s3api

import (
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/gateway/s3api/sigv4"
	"github.com/lethe-vault/lethe/recording"
)

// What the front itself refuses.
var (
	errNotImplemented = errors.New("s3api: not implemented")
	errBodyMode       = errors.New("s3api: headers of a chunked body on one that is not")
	errFraming        = errors.New("s3api: body is not framed as aws-chunked")
	errChunkSize      = errors.New("s3api: chunk that is not the last is too small")
	errDecodedLength  = errors.New("s3api: chunks do not hold x-amz-decoded-content-length bytes")
	errTrailer        = errors.New("s3api: trailer is not the one that was declared")
	errPresignedWrite = errors.New("s3api: presigned request is not for GET or HEAD")
	errExpires        = errors.New("s3api: presigned request holds for too long")
	errOverride       = errors.New("s3api: malformed override of a header of the answer")
	errTooSlow        = errors.New("s3api: body comes too slowly")
	errSlowDown       = errors.New("s3api: too many requests under way for one access key")
	errPayloadMode    = errors.New("s3api: x-amz-content-sha256 is neither a hash nor a mode")
	errPayloadHash    = errors.New("s3api: body does not match x-amz-content-sha256")
	errNoLength       = errors.New("s3api: length of the body is not declared")
	errInvalidDigest  = errors.New("s3api: Content-MD5 is not the base64 of 16 bytes")
	errChecksum       = errors.New("s3api: malformed checksum, or more than one")
	errUnexpectedBody = errors.New("s3api: operation takes no body")
	errMalformedXML   = errors.New("s3api: document is malformed or exceeds its bounds")
	errRepeated       = errors.New("s3api: repeated query parameter")
	errListArgument   = errors.New("s3api: parameter of a listing is not one of its values")
	errPartChecksum   = errors.New("s3api: parts have no such checksum, or the whole not of that type")
	errNoSuchPart     = errors.New("s3api: the recording has no part of that number")
	errPartAndRange   = errors.New("s3api: a part and a range are asked for at once")
	errPrecondition   = errors.New("s3api: precondition failed")
	errClientGone     = errors.New("s3api: client went away")
)

// unsupportedHeader is errNotImplemented with the lower-case name of the header
// that asks for too much.
type unsupportedHeader string

func (h unsupportedHeader) Error() string { return errNotImplemented.Error() + ": header " + string(h) }

func (unsupportedHeader) Unwrap() error { return errNotImplemented }

// rendering is how an error looks to a client.
type rendering struct {
	err     error
	code    string // S3's
	status  int
	message string // for a person: what is wrong, and what to do next
}

// renderings is the one table from errors to S3. The first row that is in an
// error's chain stands for it. Source: Amazon S3 API Reference, "Error responses".
var renderings = []rendering{
	{sigv4.ErrMissing, "AccessDenied", 403, "The request is not signed. Sign it with an access key of this vault."},
	{sigv4.ErrTwice, "InvalidArgument", 400, "The request is signed more than once. Sign it either in the Authorization header or in the query."},
	{sigv4.ErrV2, "InvalidRequest", 400, "Signature Version 2 is not supported. Please use AWS4-HMAC-SHA256."},
	{sigv4.ErrAlgorithm, "InvalidRequest", 400, "The authorization mechanism is not supported. Please use AWS4-HMAC-SHA256."},
	{sigv4.ErrMalformed, "AuthorizationHeaderMalformed", 400, "The Authorization header is malformed, or its scope is not of the request's day."},
	{sigv4.ErrQuery, "AuthorizationQueryParametersError", 400, "The request is presigned with parameters that are malformed, missing or repeated, or whose scope is not of its day."},
	{sigv4.ErrExpired, "AccessDenied", 403, "The request has expired. Sign it anew."},
	{sigv4.ErrURI, "InvalidURI", 400, "The request target cannot be decoded. Encode the path and the query as RFC 3986 asks."},
	{sigv4.ErrDate, "AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header."},
	{sigv4.ErrPayloadHash, "InvalidRequest", 400, "The header x-amz-content-sha256 is required, once."},
	{sigv4.ErrUnsigned, "AccessDenied", 403, "Some headers in the request were not signed. Sign host, the date, content-md5 and all x-amz-* headers."},
	{sigv4.ErrSkewed, "RequestTimeTooSkewed", 403, "The request's time is more than 15 minutes from the server's. Set the client's clock."},
	{sigv4.ErrSignature, "SignatureDoesNotMatch", 403, "The signature does not match. Check the secret key, and that nothing changes the request on its way."},

	{errNotImplemented, "NotImplemented", 501, "The operation, or a header or query parameter of it, is not supported by this vault."},
	{errBodyMode, "InvalidRequest", 400, "Only a body whose x-amz-content-sha256 begins with STREAMING- may be aws-chunked or have x-amz-decoded-content-length."},
	{errFraming, "InvalidRequest", 400, "The body is not framed as aws-chunked, or a chunk is signed though it must not be, or not though it must."},
	{errChunkSize, "InvalidChunkSizeError", 403, "Only the last chunk may be smaller than 8 KiB."},
	{errDecodedLength, "IncompleteBody", 400, "The chunks do not hold as many bytes as x-amz-decoded-content-length says."},
	{errTrailer, "MalformedTrailerError", 400, "x-amz-trailer must name one x-amz-checksum-*, and that alone must follow the body, in base64."},
	{errPresignedWrite, "NotImplemented", 501, "Only GET and HEAD may be presigned. Sign this request in the Authorization header."},
	{errExpires, "AuthorizationQueryParametersError", 400, "X-Amz-Expires exceeds what this vault allows, 900 seconds unless its operator says otherwise."},
	{errOverride, "InvalidArgument", 400, "A response-* parameter has control characters in it, or x-amz-checksum-mode is not ENABLED."},
	{errTooSlow, "RequestTimeout", 400, "The body came too slowly or stopped. Send it again."},
	{errSlowDown, "SlowDown", 503, "Too many requests are under way for this access key. Send fewer at a time."},
	{errPayloadMode, "InvalidArgument", 400, "x-amz-content-sha256 must be the SHA-256 of the body in 64 hex digits, UNSIGNED-PAYLOAD, or one of the STREAMING- modes of SigV4."},
	{errPayloadHash, "XAmzContentSHA256Mismatch", 400, "The body does not have the SHA-256 that was signed. Send it again."},
	{errNoLength, "MissingContentLength", 411, "The Content-Length header is required, or x-amz-decoded-content-length if the body is aws-chunked."},
	{errInvalidDigest, "InvalidDigest", 400, "The Content-MD5 is not the base64 of 16 bytes."},
	{errChecksum, "InvalidRequest", 400, "An x-amz-checksum-* header is malformed, or there is more than one. Send one, in base64."},
	{errUnexpectedBody, "InvalidRequest", 400, "This operation takes no body."},
	{errMalformedXML, "MalformedXML", 400, "The XML is not well formed, is not what this operation takes, or is too large."},
	{errRepeated, "InvalidArgument", 400, "A query parameter is repeated. Send each once."},
	{errListArgument, "InvalidArgument", 400, "A parameter of the listing is not one of its values. See max-keys, encoding-type and continuation-token."},
	{errPartChecksum, "InvalidRequest", 400, "x-amz-checksum-algorithm must be CRC32, CRC32C, CRC64NVME, SHA1 or SHA256; CRC64NVME is of type FULL_OBJECT alone, SHA1 and SHA256 of type COMPOSITE."},
	{errNoSuchPart, "InvalidPartNumber", 416, "The recording has no part of that number."},
	{errPartAndRange, "InvalidRequest", 400, "Ask for a part or for a range, not for both."},
	{errPrecondition, "PreconditionFailed", 412, "At least one of the preconditions does not hold."},

	{recording.ErrBucketName, "InvalidBucketName", 400, "The bucket's name is not valid: 3 to 63 lower-case letters, digits, dots and hyphens."},
	{recording.ErrNoBucket, "NoSuchBucket", 404, "The bucket does not exist. Ask the vault's administrator to create it."},
	{recording.ErrBucketExists, "BucketAlreadyOwnedByYou", 409, "The bucket exists, and is this tenant's."},
	{recording.ErrBucketNotEmpty, "BucketNotEmpty", 409, "The bucket holds recordings. Delete them first."},
	{recording.ErrBucketClosing, "OperationAborted", 409, "A bucket of this name is being deleted. Delete it again if that was interrupted."},
	{recording.ErrNameInvalid, "InvalidURI", 400, "The key must be UTF-8 without NUL."},
	{recording.ErrNameTooLong, "KeyTooLongError", 400, "The key is longer than 1024 bytes."},
	{recording.ErrMetadataInvalid, "InvalidArgument", 400, "The user metadata must have names, and values in UTF-8."},
	{recording.ErrMetadataTooLarge, "MetadataTooLarge", 400, "The user metadata exceeds 2 KB."},
	{recording.ErrTooLarge, "EntityTooLarge", 400, "The upload exceeds 5 GiB, or in parts 5 TiB."},
	{recording.ErrNoUpload, "NoSuchUpload", 404, "There is no such upload. It may have been completed or aborted, or another access key began it."},
	{recording.ErrPart, "InvalidPart", 400, "A part is not stored, or has another ETag or checksum than the one named. List the upload's parts."},
	{recording.ErrPartNumber, "InvalidArgument", 400, "Part numbers are whole numbers from 1 to 10000."},
	{recording.ErrPartOrder, "InvalidPartOrder", 400, "The parts are not in ascending order of their numbers."},
	{recording.ErrPartDigest, "InvalidRequest", 400, "The upload was begun with x-amz-checksum-algorithm. Send that checksum with every part."},
	{recording.ErrClassTooWeak, "AccessDenied", 403, "The bucket demands a stronger proof of the recording's author than this upload gives."},
	{recording.ErrShortBody, "IncompleteBody", 400, "The body ended before its Content-Length. Send it again."},
	{recording.ErrBadDigest, "BadDigest", 400, "The body does not have the checksum that was declared. Send it again."},
	{recording.ErrExists, "PreconditionFailed", 412, "Another recording has this key, and this bucket keeps what it has. Use another key."},
	{recording.ErrNotFound, "NoSuchKey", 404, "There is no recording with this key."},
	{recording.ErrNoVersion, "NoSuchVersion", 404, "There is no such version of a recording with this key."},
	{recording.ErrVersion, "InvalidArgument", 400, "Invalid version id specified."},
	{recording.ErrErased, "NoSuchKey", 404, "The recording was erased."},
	{recording.ErrRange, "InvalidRange", 416, "The range lies outside the recording."},
	{recording.ErrToken, "InvalidArgument", 400, "The continuation token is not one this bucket gave. List again from the beginning."},
	{recording.ErrSettings, "InvalidArgument", 400, "An argument is not one of its values."},

	{recording.ErrHeld, "AccessDenied", 403, "A hold forbids to erase this recording. Ask the vault's administrator to release it."},
	{recording.ErrDenied, "AccessDenied", 403, "This access key may not do that."},
	{recording.ErrNoCredential, "InvalidAccessKeyId", 403, "There is no such access key in this vault."},
	{recording.ErrTenantErased, "InvalidAccessKeyId", 403, "The access key's tenant was erased."},
	{recording.ErrTenantRevoked, "AccessDenied", 403, "The access key's tenant is revoked. Ask its administrator to restore it."},

	{recording.ErrIncident, "InternalError", 500, "The tenant's key is missing. An operator must look (lethe recover vault, if the key provider was restored from a copy); trying again will not help."},
	{recording.ErrIntegrity, "InternalError", 500, "The stored recording failed verification and is not served. An operator must look (lethe recover vault, if the key provider was restored from a copy); trying again will not help."},
	{recording.ErrUnavailable, "ServiceUnavailable", 503, "A part of the vault is unavailable. Try again."},
}

// internal is what the client learns of every error the table lacks.
var internal = rendering{nil, "InternalError", 500, "The vault met an error it did not expect. Try again."}

func render(err error) rendering {
	for _, r := range renderings {
		if errors.Is(err, r.err) {
			return r
		}
	}
	return internal
}

// errorDocument is S3's answer to a request that failed.
type errorDocument struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	RequestID string `xml:"RequestId"`
}

// fail answers with an error. An answer to HEAD has no body.
func fail(w http.ResponseWriter, r *http.Request, id string, err error) {
	answer(w.Header(), r, id)
	e := render(err)
	var header unsupportedHeader
	if errors.As(err, &header) {
		e.message += " It is the header " + string(header) + "."
	}
	var outside unsatisfiable
	if errors.As(err, &outside) {
		w.Header().Set("Content-Range", outside.contentRange())
	}
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(e.status)
		return
	}
	// An error here is the connection's, and net/http closes that.
	_ = writeXML(w, e.status, errorDocument{
		Code: e.code, Message: e.message, Resource: r.URL.EscapedPath(), RequestID: id,
	})
}

// account notes why a request was not served. The error itself is told only of
// what is the vault's fault and not the client's.
func account(entry *accesslog.Entry, r *http.Request, err error) {
	code := render(err).code
	switch {
	case entry.Answer.Panicked, ours(r, err):
		entry.Fail(code, err)
	case gone(r, err):
		entry.Abandon()
	default:
		entry.Fail(code, nil)
	}
}

// ours reports whether an error is the vault's fault. When the client has gone,
// nothing has failed.
func ours(r *http.Request, err error) bool {
	status := render(err).status
	return !gone(r, err) && status >= 500 && status != http.StatusNotImplemented && !errors.Is(err, errSlowDown)
}

func gone(r *http.Request, err error) bool {
	return r.Context().Err() != nil || errors.Is(err, errClientGone)
}
