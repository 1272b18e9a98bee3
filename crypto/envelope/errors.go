package envelope

import "errors"

// The errors of this package. What the source, the end facts, the store or the
// check of a span report is passed on beneath them, never in their place.
var (
	// ErrAuth: bytes are not what was sealed under this key for this place.
	ErrAuth = errors.New("envelope: stored bytes failed verification")
	// ErrTruncated: the store gave fewer bytes than the blob or the span has.
	ErrTruncated = errors.New("envelope: stored bytes end too early")
	// ErrFormat: a prefix, an index or a footer breaks the rules of the format.
	ErrFormat = errors.New("envelope: malformed")
	// ErrUnsupported: a suite, flag, codec or version that this program does
	// not know, and a later one may.
	ErrUnsupported = errors.New("envelope: written by a later format")
	// ErrRange: a span does not lie within the source.
	ErrRange = errors.New("envelope: span lies outside the source")
	// ErrTooLarge: facts, end facts or a source exceed what the format holds.
	ErrTooLarge = errors.New("envelope: too large for the format")
	// ErrNoKey: the zero key was given.
	ErrNoKey = errors.New("envelope: no key")
)
