// Package claim makes and verifies signed statements: certificates of erasure.
// Their form is docs/certificates.md. What a certificate says is up to whoever
// erased; this package sees that nothing is missing, that it holds no telephone
// number, and that it says in plain words what it does not prove.
package claim

import (
	"errors"
	"time"
)

// What is wrong with a certificate.
var (
	ErrEnvelope    = errors.New("not a signed certificate: no DSSE envelope, or more than one")
	ErrPayloadType = errors.New("the envelope holds another kind of statement, or a later version of it")
	ErrSignatures  = errors.New("the envelope has not exactly one signature")
	ErrOtherKey    = errors.New("the certificate was signed with another key")
	ErrSignature   = errors.New("the signature does not hold: the certificate was changed, or never signed with this key")
	ErrStatement   = errors.New("the statement is not a whole certificate of erasure")
)

// version is that of the statement. Any other field is another version.
const version = 1

// Erasure is the statement of a certificate. Its fields are documented in
// docs/certificates.md; their names in JSON never change.
type Erasure struct {
	Version      int       `json:"version"`
	ID           string    `json:"id"`     // of the erasure, 32 hex digits
	Tenant       string    `json:"tenant"` // its id
	Issued       time.Time `json:"issued"`
	Replaces     string    `json:"replaces_sha256,omitempty"` // Sum of the one that was issued first; this one is unlinkable
	Scope        Committed `json:"scope"`
	Request      Request   `json:"request"`
	Method       Method    `json:"method"`
	Program      Program   `json:"program"`
	Provider     Provider  `json:"provider"`
	Epochs       []Epoch   `json:"epochs"` // in order; more than one if not all slots fitted into one
	Verification []Check   `json:"verification"`
	Counts       Counts    `json:"counts"`
	Dates        Dates     `json:"dates"`
	Risks        []string  `json:"residual_risks"`
}

// Committed is what was erased, without saying it.
type Committed struct {
	Kind       Kind   `json:"kind"`
	Commitment string `json:"commitment"` // hex; see Commitment
}

// Request is who asked for the erasure, and why.
type Request struct {
	Requester string `json:"requester"` // an access key, or a role
	Reason    string `json:"reason"`    // as CheckReason takes it
}

// Method is how data is made unreadable.
type Method struct {
	Name       string      `json:"name"`
	Source     string      `json:"source"`
	Algorithms []Algorithm `json:"algorithms"`
}

// Algorithm is one that what was erased rests on.
type Algorithm struct {
	Use  string `json:"use"`
	Name string `json:"name"`
	Bits int    `json:"bits"` // its strength against an attacker without the key
}

// Program is what erased.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Build   string `json:"build,omitempty"` // revision of its source
}

// Provider is what holds the tenant's key, under which the root is wrapped.
type Provider struct {
	Kind string `json:"kind"` // Vault or Local
	Key  string `json:"key"`  // its name there
}

// The kinds of provider.
const (
	Vault = "vault"
	Local = "local"
)

// Epoch is a change of the tenant's key tree after which slots derive no more.
type Epoch struct {
	Before        int64     `json:"before"` // number of the head it replaced
	After         int64     `json:"after"`
	HeadBefore    string    `json:"head_before_sha256"`
	HeadAfter     string    `json:"head_after_sha256"`
	OldRoot       string    `json:"old_root_sha256"`           // of the wrapped root that opens no more
	OldRootPrefix string    `json:"old_root_prefix,omitempty"` // how it begins, as vault:v7:
	Pack          string    `json:"pack_sha256,omitempty"`     // of the new pages; a tenant's erasure has none
	Punctured     Punctured `json:"punctured"`
	Key           Versions  `json:"key_versions"`
}

// Punctured counts the slots that were punctured, by tree.
type Punctured struct {
	Recordings int64 `json:"recordings"`
	Subjects   int64 `json:"subjects"`
	Days       int64 `json:"days"`
	System     int64 `json:"system"`
}

// Versions are those of the provider's key that wrap the root, and the oldest
// that the provider still had. After a tenant's erasure both are 0: none.
type Versions struct {
	Before       int64 `json:"before"`
	After        int64 `json:"after"`
	OldestBefore int64 `json:"oldest_before"`
	OldestAfter  int64 `json:"oldest_after"`
}

// Counts are of versions of recordings.
type Counts struct {
	Unreadable int64 `json:"unreadable"`
	Refiled    int64 `json:"refiled"` // in the scope, and kept because of a hold or a longer retention
}

// Dates are when the erasure took which hold. A date that is zero is absent.
type Dates struct {
	Refused         time.Time `json:"refused"`   // nothing was read from then on
	Effective       time.Time `json:"effective"` // no key was left, in provider or memory
	Complete        time.Time `json:"complete,omitzero"`
	CompleteUnknown Unknown   `json:"complete_unknown,omitempty"`
	Unlinkable      time.Time `json:"unlinkable,omitzero"`
}

// Unknown is why a certificate has no date on which the erasure is complete.
type Unknown string

// The reasons there are.
const (
	RetentionNotTold Unknown = "snapshot-retention-not-told"
	CopiesNotTold    Unknown = "copies-of-local-keys-not-told"
)

// Check is one verification that was performed and held.
type Check struct {
	Check  Performed `json:"check"`
	Answer string    `json:"answer,omitempty"` // how what was refused was refused
}

// Performed is a verification.
type Performed string

// The verifications there are.
const (
	HeadInStore    Performed = "head-in-store"
	HeadInCatalog  Performed = "head-in-catalog"
	OldestVersion  Performed = "oldest-version"
	OldRootRefused Performed = "old-root-refused"
	KeyAbsent      Performed = "key-absent"
	LeasesDrained  Performed = "leases-drained"
)

// Forgotten is the answer of a provider that has no such version, or no key.
const Forgotten = "forgotten"
