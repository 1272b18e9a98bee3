package blob

import "errors"

// Bucket is what the owner of an S3 bucket set that a Store there should know.
type Bucket struct {
	Versions  Versions
	Locks     bool // objects can be locked
	Retention int  // days for which new objects are locked by default; 0 is not at all
}

// Versions is whether a bucket keeps what was deleted.
type Versions string

// The states of a bucket's versioning.
const (
	Unversioned Versions = "off"
	Versioned   Versions = "on"
	Suspended   Versions = "suspended"
)

// ErrNotSaid: the store does not tell how a bucket is set up, or does not tell us.
var ErrNotSaid = errors.New("blob: store does not say")
