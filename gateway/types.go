package gateway

import (
	"io"
	"time"

	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// Body is a request's body as the front's verifier hands it over, the only
// reader of it. It fails instead of ending when length, hash, checksum or
// signature are not what was declared.
type Body interface {
	io.Reader
	// Digests gives what was computed on the way, at least "sha256", in
	// lower-case hex. Complete once Read has returned io.EOF.
	Digests() recording.Digests
}

// Description is what a client says of a recording when it begins to upload it.
type Description struct {
	Bucket      recording.Bucket
	Name        recording.Name
	ContentType string            // as sent
	Headers     map[string]string // Cache-Control, Content-Disposition, Content-Encoding, Content-Language, Expires, as sent
	Metadata    map[string]string // user metadata, lower-case keys without x-amz-meta-

	// Of an upload in parts; see recording.Facts.
	Checksum     string
	FullChecksum bool
}

// Sent is a body and what its request says of it.
type Sent struct {
	Size   int64 // bytes the body will give; always known
	Body   Body
	SHA256 string          // the declared hash of the body, hex; "" if none was
	Class  recording.Class // how strongly the request proves its author
}

// Upload is one recording to put.
type Upload struct {
	Description
	Sent
	OnlyNew bool // refuse a name that is taken by other content, whatever the bucket's overwrite setting
}

// UploadID names an upload in parts: what it is to become, where.
type UploadID struct {
	Bucket  recording.Bucket
	Name    recording.Name
	Version recording.Version
}

// PartUpload is one part to put.
type PartUpload struct {
	UploadID
	Number int
	Sent
	Checksum string // the digest that the body comes with; "" for none
}

// PartInfo is what a caller learns of a part that is stored.
type PartInfo struct {
	Number   int
	Size     int64
	ETag     string
	Digests  recording.Digests
	StoredAt time.Time
}

// Completion is an upload whose parts are all there.
type Completion struct {
	UploadID
	Parts   []PartName
	Class   recording.Class // how strongly the request proves who named them
	OnlyNew bool            // as in Upload

	// What the client expects of the whole; -1 and nil for nothing.
	Size      int64
	Digests   recording.Digests
	Composite recording.Digests
}

// PartName names a stored part, and what its uploader knows of it.
type PartName struct {
	Number  int
	ETag    string
	Digests recording.Digests
}

// Parts is an upload in parts as its uploader left it.
type Parts struct {
	Checksum     string
	FullChecksum bool
	Parts        []PartInfo // in the order of their numbers
}

// OpenUpload is an upload in parts that has not ended.
type OpenUpload struct {
	UploadID
	Recorder     string // the access key that began it
	CreatedAt    time.Time
	Checksum     string
	FullChecksum bool
}

// Page says which part of a bucket to list.
type Page struct {
	Prefix    string
	Delimiter string // "" or "/"; another delimiter is honoured too
	After     string // names after this one; from StartAfter
	RolledUp  bool   // After is a common prefix that was listed: pass over all it stands for
	Token     string // from Listing.Next; wins over After
	Max       int    // 1 to 1000
}

// Listing is one page of names, in byte order.
type Listing struct {
	Recordings []recording.Info // without Facts and Digests
	Prefixes   []string         // common prefixes, up to the delimiter
	Next       string           // opaque token of the next page; "" if this is the last
}

// BucketSettings is what a bucket is created with.
type BucketSettings struct {
	Name          recording.Bucket `json:"name"`
	Purpose       string           `json:"purpose,omitempty"`
	RetentionDays int              `json:"retention_days,omitempty"` // 0 keeps until erased
	Overwrite     Overwrite        `json:"overwrite"`
	MinClass      recording.Class  `json:"min_class"`
	ETag          ETag             `json:"etag"`
}

// Overwrite says what a put under a name that is taken does.
type Overwrite string

// The overwrite settings. The default is OverwriteNever.
const (
	OverwriteNever   Overwrite = "never"   // the same content again is no change, other content is refused
	OverwriteVersion Overwrite = "version" // the new one is current, the old one is kept
	OverwriteReplace Overwrite = "replace" // the new one is current, the old one can no longer be opened
)

// ETag says what a bucket's ETags are.
type ETag string

// The ETag settings. The default is ETagOpaque.
const (
	ETagOpaque ETag = "opaque" // reveals nothing of the content
	ETagMD5    ETag = "md5"    // for clients that insist; confirms content while it lives
)

// TenantInfo is what an operator sees of a tenant.
type TenantInfo struct {
	ID        recording.Tenant
	Name      string
	State     string // "active", "revoked", "erasing" or "erased"
	CreatedAt time.Time

	// Erasure is that of the tenant itself, in the answer of EraseTenant alone.
	Erasure ErasureInfo
}

// NewKey says what an S3 credential may do.
type NewKey struct {
	Kind    policy.Kind // Recorder or Reader
	Name    string
	Bucket  string // a bucket's name, or policy.AnyBucket for a reader
	Prefix  string
	Purpose string
	Write   bool // a reader that may put and erase, and on AnyBucket create and delete buckets
}
