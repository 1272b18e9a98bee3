package recording

import "errors"

// The errors a client may see. A front turns each into its protocol in one
// table; anything else is internal and is not shown.
var (
	ErrBucketName       = errors.New("bucket name breaks S3's rules: 3 to 63 lower-case letters, digits, dots and hyphens")
	ErrBucketExists     = errors.New("bucket exists")
	ErrBucketNotEmpty   = errors.New("bucket holds recordings")
	ErrBucketClosing    = errors.New("bucket of this name is being deleted")
	ErrNoBucket         = errors.New("no such bucket")
	ErrNameInvalid      = errors.New("name must be 1 to 1024 bytes of UTF-8 without NUL")
	ErrNameTooLong      = errors.New("name is longer than 1024 bytes")
	ErrMetadataInvalid  = errors.New("user metadata must be UTF-8")
	ErrMetadataTooLarge = errors.New("user metadata exceeds 2 KB")
	ErrTooLarge         = errors.New("recording exceeds 5 GiB")
	ErrClassInvalid     = errors.New("integrity class must be A, B, C or D")
	ErrClassTooWeak     = errors.New("upload proves less of its author than the bucket demands")
	ErrRetention        = errors.New("retention must be a whole number of days such as 90d")
	ErrSettings         = errors.New("setting is not one of its values")

	ErrNotFound    = errors.New("no such recording")
	ErrNoVersion   = errors.New("no such version of a recording")
	ErrVersion     = errors.New("version must be 32 lower-case hex digits")
	ErrErased      = errors.New("recording was erased")
	ErrExists      = errors.New("a recording with other content has this name")
	ErrDenied      = errors.New("this credential may not do that")
	ErrNoUpload    = errors.New("no such upload in parts, or it has ended")
	ErrPart        = errors.New("a part is not stored, or not the one that is named")
	ErrPartNumber  = errors.New("part numbers go from 1 to 10000")
	ErrPartOrder   = errors.New("parts are not in ascending order")
	ErrPartDigest  = errors.New("upload was begun with a checksum, which this part lacks")
	ErrToken       = errors.New("continuation token is not one this bucket gave")
	ErrRange       = errors.New("range lies outside the recording")
	ErrBadDigest   = errors.New("body does not match its declared digest")
	ErrShortBody   = errors.New("body ended before its declared length")
	ErrIntegrity   = errors.New("stored recording failed verification")
	ErrIncident    = errors.New("the tenant's key is gone without an erasure: an operator must look")
	ErrUnavailable = errors.New("a part Lethe depends on is unavailable")

	ErrNoTenant      = errors.New("no such tenant")
	ErrTenantExists  = errors.New("a tenant has this name")
	ErrTenantName    = errors.New("tenant name must be 1 to 128 characters of UTF-8 without slashes and control characters, and other than dots")
	ErrTenantRevoked = errors.New("tenant is revoked")
	ErrTenantErased  = errors.New("tenant is erased")
	ErrNoEraser      = errors.New("no process with the role eraser has answered")
	ErrNoCredential  = errors.New("no such credential")
)
