// Package policy holds pure decisions: it knows rules and no I/O. Everything
// it needs comes in as an argument, and the answer says why.
package policy

import (
	"strings"

	"github.com/lethe-vault/lethe/recording"
)

// Kind is a kind of credential.
type Kind string

// The kinds of credential. A recorder writes and does nothing else; a reader
// reads, and writes if it was given that too; an admin settles its own
// tenant's affairs; the operator sees to tenants and opens no recording.
const (
	Recorder Kind = "recorder"
	Reader   Kind = "reader"
	Admin    Kind = "admin"
	Operator Kind = "operator"
)

// Action is what a caller asks to do.
type Action string

// The actions a decision may be asked about.
const (
	Put        Action = "put"
	PutPart    Action = "put.part"
	PutEnd     Action = "put.complete"
	PutAbort   Action = "put.abort"
	SeeParts   Action = "put.parts"
	Open       Action = "open"
	Stat       Action = "stat"
	List       Action = "list"
	Erase      Action = "erase"
	EraseSome  Action = "erasure.create"
	SeeErasure Action = "erasure.see"
	HoldSome   Action = "hold.create"
	SeeHolds   Action = "hold.list"
	Refile     Action = "refile"
	SeeBuckets Action = "bucket.list"
	SeeBucket  Action = "bucket.see"
	MakeBucket Action = "bucket.create"
	DropBucket Action = "bucket.delete"
	MakeKey    Action = "credential.create"
	MakeTenant Action = "tenant.create"
	ListTenant Action = "tenant.list"
	SeeTenant  Action = "tenant.see"
	Revoke     Action = "tenant.revoke"
	Restore    Action = "tenant.restore"
	EraseAll   Action = "tenant.erase"
	Sweep      Action = "sweep"
	Reindex    Action = "reindex"

	ReleaseHold Action = "hold.release"
)

// AnyBucket in a Principal's Bucket means all of its tenant's.
const AnyBucket = "*"

// Principal is what a credential proves of its holder.
type Principal struct {
	Kind   Kind
	Tenant recording.Tenant // zero for the operator
	Bucket string           // the bucket it is bound to, or AnyBucket
	Prefix string           // what every name must begin with
	Write  bool             // a reader that may also put and erase, and on AnyBucket create and delete buckets
}

// Target is what an action is aimed at.
type Target struct {
	Tenant recording.Tenant
	Bucket recording.Bucket
	Name   recording.Name // for List, the prefix that is listed
}

// Reason is why an action was refused: a word from a closed set, fit for a log.
type Reason string

// The reasons of a refusal; NoReason when the action is allowed.
const (
	NoReason    Reason = ""
	OtherTenant Reason = "other-tenant"
	WrongKind   Reason = "wrong-kind"
	WrongBucket Reason = "wrong-bucket"
	WrongPrefix Reason = "wrong-prefix"
)

// grants says which kinds may do what, before scope is looked at.
var grants = map[Action]func(Principal) bool{
	Put:        writes,
	PutPart:    writes,
	PutEnd:     writes,
	PutAbort:   writes,
	SeeParts:   writes,
	Open:       func(p Principal) bool { return p.Kind == Reader },
	Stat:       func(p Principal) bool { return p.Kind == Reader },
	List:       func(p Principal) bool { return p.Kind == Reader },
	Erase:      func(p Principal) bool { return p.Kind == Reader && p.Write },
	EraseSome:  administers,
	SeeErasure: administers,
	HoldSome:   administers,
	SeeHolds:   administers,
	Refile:     administers,
	SeeBuckets: func(p Principal) bool { return p.Kind == Reader },
	SeeBucket:  func(p Principal) bool { return p.Kind == Reader || p.Kind == Recorder },
	MakeBucket: func(p Principal) bool { return administers(p) || keepsBuckets(p) },
	DropBucket: keepsBuckets,
	MakeKey:    administers,
	MakeTenant: operates,
	ListTenant: operates,
	SeeTenant:  administers,
	Revoke:     administers,
	Restore:    administers,
	EraseAll:   administers,
	Sweep:      operates,
	Reindex:    administers,

	ReleaseHold: administers,
}

func writes(p Principal) bool      { return p.Kind == Recorder || p.Kind == Reader && p.Write }
func administers(p Principal) bool { return p.Kind == Admin || p.Kind == Operator }
func operates(p Principal) bool    { return p.Kind == Operator }

// keepsBuckets: a general S3 tool, which makes its buckets itself.
func keepsBuckets(p Principal) bool { return p.Kind == Reader && p.Write && p.Bucket == AnyBucket }

// Access decides whether p may do a to t. Whatever is not granted is refused.
func Access(p Principal, a Action, t Target) Reason {
	granted, known := grants[a]
	if !known || !granted(p) {
		return WrongKind
	}
	if p.Kind == Operator {
		return NoReason
	}
	if p.Tenant != t.Tenant {
		return OtherTenant
	}
	if p.Kind == Admin || a == SeeBuckets { // who lists is shown the buckets it may see, one by one
		return NoReason
	}
	if p.Bucket != AnyBucket && p.Bucket != string(t.Bucket) {
		return WrongBucket
	}
	if a != SeeBucket && !strings.HasPrefix(string(t.Name), p.Prefix) {
		return WrongPrefix
	}
	return NoReason
}
