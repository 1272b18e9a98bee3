// Package recording holds the nouns of Lethe: what a tenant keeps, how it is
// named, what is known of it, and the errors a client may see. It imports
// nothing of ours, so that every other package can speak in its words.
package recording

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"
)

// Tenant identifies a customer. It is random and reveals nothing, so it may
// stand in blob keys, in a Vault key name and in a log line.
type Tenant [16]byte

// ID identifies a recording for as long as it lives, across its versions.
type ID [16]byte

// Version identifies one stored version of a recording; every upload draws one.
type Version [16]byte

// BucketID identifies a bucket without its name, which may be telling.
type BucketID [16]byte

// ErasureID identifies a request to erase something.
type ErasureID [16]byte

// HoldID identifies a hold.
type HoldID [16]byte

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func random16() (b [16]byte) {
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return b
}

// NewTenant draws a tenant identifier.
func NewTenant() Tenant { return random16() }

// NewID draws a recording identifier.
func NewID() ID { return random16() }

// NewVersion draws a version identifier.
func NewVersion() Version { return random16() }

// NewBucketID draws a bucket identifier.
func NewBucketID() BucketID { return random16() }

// NewErasureID draws an erasure identifier.
func NewErasureID() ErasureID { return random16() }

// ErasureOf is the identifier of the erasure of a tenant itself, of which there is one.
func ErasureOf(t Tenant) ErasureID { return ErasureID(t) }

// NewHoldID draws a hold identifier.
func NewHoldID() HoldID { return random16() }

// String gives 26 characters of lower-case base32.
func (t Tenant) String() string { return base32Lower.EncodeToString(t[:]) }

// ParseTenant reads what String wrote, and only that.
func ParseTenant(s string) (t Tenant, err error) {
	b, err := base32Lower.DecodeString(s)
	if err != nil || len(b) != len(t) || base32Lower.EncodeToString(b) != s {
		return t, fmt.Errorf("recording: %q is not a tenant identifier", s)
	}
	return Tenant(b), nil
}

// String gives 32 characters of hex.
func (i ID) String() string { return hex.EncodeToString(i[:]) }

// String gives 32 characters of hex; S3 clients see it as the version id, and as
// the id of an upload in parts.
func (v Version) String() string { return hex.EncodeToString(v[:]) }

// ParseVersion reads what String wrote of a version that was drawn, and only
// that: the zero Version stands for none.
func ParseVersion(s string) (v Version, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(v) || hex.EncodeToString(b) != s || Version(b) == v {
		return v, ErrVersion
	}
	return Version(b), nil
}

// String gives 32 characters of hex.
func (b BucketID) String() string { return hex.EncodeToString(b[:]) }

// String gives 32 characters of hex.
func (e ErasureID) String() string { return hex.EncodeToString(e[:]) }

// ParseErasureID reads what String wrote of an erasure that was drawn, and only
// that. ErrNoErasure: no erasure is called so.
func ParseErasureID(s string) (e ErasureID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(e) || hex.EncodeToString(b) != s || ErasureID(b) == e {
		return e, ErrNoErasure
	}
	return ErasureID(b), nil
}

// String gives 32 characters of hex.
func (h HoldID) String() string { return hex.EncodeToString(h[:]) }

// ParseHoldID reads what String wrote of a hold that was drawn, and only that.
// ErrNoHold: no hold is called so.
func ParseHoldID(s string) (h HoldID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) || hex.EncodeToString(b) != s || HoldID(b) == h {
		return h, ErrNoHold
	}
	return HoldID(b), nil
}

// Bucket is the name of a bucket, unique within its tenant.
type Bucket string

// ParseBucket applies S3's rules for bucket names: 3 to 63 of lower-case
// letters, digits, dots and hyphens, beginning and ending with a letter or a
// digit, no two dots in a row, not shaped like an IPv4 address, and none of
// the reserved prefixes and suffixes.
// Source: Amazon S3 User Guide, "General purpose bucket naming rules".
func ParseBucket(s string) (Bucket, error) {
	if len(s) < 3 || len(s) > 63 || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return "", ErrBucketName
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '.' {
			return "", ErrBucketName
		}
	}
	if strings.Contains(s, "..") || looksLikeIPv4(s) || reservedBucket(s) {
		return "", ErrBucketName
	}
	return Bucket(s), nil
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func looksLikeIPv4(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return false
	}
	return strings.Trim(s, "0123456789.") == ""
}

func reservedBucket(s string) bool {
	for _, p := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	for _, p := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(s, p) {
			return true
		}
	}
	return false
}

// MaxName is the longest name of a recording, in bytes of UTF-8.
const MaxName = 1024

// Name is the name of a recording in its bucket: what S3 calls a key. It is
// personal data and stands in no log, error, row or blob in clear.
type Name string

// ParseName accepts 1 to MaxName bytes of valid UTF-8 without NUL.
func ParseName(s string) (Name, error) {
	switch {
	case s == "":
		return "", ErrNameInvalid
	case len(s) > MaxName:
		return "", ErrNameTooLong
	case !utf8.ValidString(s), strings.IndexByte(s, 0) >= 0:
		return "", ErrNameInvalid
	}
	return Name(s), nil
}

// LogValue keeps names out of structured logs.
func (Name) LogValue() slog.Value { return slog.StringValue("[name]") }

// MaxMetadata bounds a recording's user metadata: the sum of the bytes of its
// keys and values. Source: Amazon S3 User Guide, "User-defined object metadata".
const MaxMetadata = 2 << 10

// ParseMetadata checks user metadata as S3 gives it, with lower-case keys
// without the x-amz-meta- prefix.
func ParseMetadata(m map[string]string) (map[string]string, error) {
	total := 0
	for k, v := range m {
		total += len(k) + len(v)
		if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, ErrMetadataInvalid
		}
	}
	if total > MaxMetadata {
		return nil, ErrMetadataTooLarge
	}
	return m, nil
}

// MaxSize is the largest recording a single put accepts, and the largest part:
// 5 GiB, as in S3.
const MaxSize = 5 << 30

// MaxInParts is the largest recording that parts may make: 5 TiB, as in S3.
const MaxInParts = 5 << 40

// MaxPart is the highest number of a part, and so the most parts there are.
const MaxPart = 10_000

// Class says how strongly a recording's author is proved; see docs/envelope.md.
type Class string

// The integrity classes, strongest first.
const (
	ClassA Class = "A" // a manifest signed by the recorder's own key
	ClassB Class = "B" // SigV4 over the payload's hash or over its chunks
	ClassC Class = "C" // a checksum sent with the body, over TLS
	ClassD Class = "D" // nothing about the body
)

// ParseClass reads a single letter A to D.
func ParseClass(s string) (Class, error) {
	switch c := Class(s); c {
	case ClassA, ClassB, ClassC, ClassD:
		return c, nil
	}
	return "", ErrClassInvalid
}

// AtLeast reports whether c proves as much as min or more.
func (c Class) AtLeast(min Class) bool { return c <= min }

// Info is what a caller who may see a recording learns of it without hearing it.
type Info struct {
	ID        ID
	Version   Version
	Name      Name
	Size      int64 // bytes the recorder sent
	ETag      string
	CreatedAt time.Time
	Class     Class
	Facts     Facts
	Digests   Digests // of all its bytes, as far as they are known

	// Of a recording that came in parts.
	Parts     int     // how many; 0 if it came whole
	PartSizes []int64 // of each; nil in a listing
	Composite Digests // of its parts' digests
}

// Identity names one stored version, and is what its keys and its sealed bytes
// are bound to.
type Identity struct {
	Tenant    Tenant
	Recording ID
	Version   Version
}

// Append writes the identity as keys are bound to it: tenant, recording and
// version, 16 bytes each.
func (id Identity) Append(b []byte) []byte {
	b = append(b, id.Tenant[:]...)
	b = append(b, id.Recording[:]...)
	return append(b, id.Version[:]...)
}
