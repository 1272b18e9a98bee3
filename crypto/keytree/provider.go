package keytree

import (
	"context"
	"errors"
)

// Root names a tenant's root key at its provider. It is derived from the
// tenant's random identifier, reveals nothing and is never used again.
type Root string

// Provider holds tenant roots that never leave it. A root has versions,
// numbered from 1; a fresh root is at version 1.
//
// An implementation passes keytree/providertest.
type Provider interface {
	// Create makes root at version 1, ready to be retired later. Creating a
	// root that exists is not an error and changes nothing.
	Create(ctx context.Context, root Root) error

	// Wrap encrypts k under exactly that version of root, bound to bind.
	// The result opens only with the same bind.
	Wrap(ctx context.Context, root Root, version int, k Key, bind []byte) ([]byte, error)

	// Unwrap gives back what Wrap was given. It reports ErrForgotten when the
	// version or the whole root is gone, ErrRolledBack when the version is
	// newer than any the provider knows, ErrBind when the bind or the
	// ciphertext is not what was wrapped, ErrUnavailable when nothing is known.
	Unwrap(ctx context.Context, root Root, wrapped, bind []byte) (Key, error)

	// Rotate adds the next version and reports its number.
	Rotate(ctx context.Context, root Root) (version int, err error)

	// Versions reports the oldest and the newest version of root that exist.
	Versions(ctx context.Context, root Root) (Versions, error)

	// Retire destroys every version below the given one for good, and has
	// verified that they are gone when it returns nil. It may be repeated.
	Retire(ctx context.Context, root Root, below int) error

	// Destroy destroys all of root for good: rotate, raise, trim, delete, each
	// verified. Destroying what is destroyed is not an error.
	Destroy(ctx context.Context, root Root) error
}

// Versions are those of a root that exist: none older, in no archive, and none newer.
type Versions struct{ Oldest, Latest int }

// The errors of a Provider. Everything a caller may branch on is one of these.
var (
	// ErrForgotten: the provider says that the key is gone. Only a tombstone
	// or a head makes that an erasure; without one it is an incident.
	ErrForgotten = errors.New("keytree: key is gone")
	// ErrRolledBack: the wrapping version lies in the provider's future, so
	// the provider was restored from the past. Stop serving the tenant.
	ErrRolledBack = errors.New("keytree: provider is older than the key")
	// ErrBind: wrong bind or damaged ciphertext.
	ErrBind = errors.New("keytree: wrapped key does not belong here")
	// ErrUnavailable: the provider cannot be reached, is sealed, is a standby,
	// limits the rate, or refuses our identity. Nothing is known of the key.
	ErrUnavailable = errors.New("keytree: provider unavailable")
)
