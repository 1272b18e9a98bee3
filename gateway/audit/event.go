// Package audit keeps the log that explains every access: who did what to
// which recording, for which purpose, when, and from where. An event is
// durable before the act it describes is let through; if it cannot be written,
// the act does not happen.
//
// What identifies nobody (identifiers, times, outcomes) stands in clear, so
// that the log can be searched while the tenant's key is away. What may
// identify a person (workstation, purpose) is sealed under the tenant's key of
// the month and can be forgotten. Names, subjects and free text have no place
// in an event.
package audit

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/recording"
)

// Outcome says how a decision went.
type Outcome string

// The outcomes of a decision.
const (
	Allowed Outcome = "allowed"
	Denied  Outcome = "denied"
)

// Event is one decision, or what followed from it.
type Event struct {
	ID        [16]byte
	Tenant    recording.Tenant
	At        time.Time
	Who       string             // access key, or the role of a token
	Action    string             // "put", "open", "stat", "list", "tenant.revoke" …
	Outcome   Outcome            //
	Reason    string             // a word from a closed set; "" when allowed
	Bucket    recording.BucketID // zero if none was found
	Recording recording.ID       // zero if none was found
	Version   recording.Version  // zero if none was found
	Request   string             // the request id the client was given
	Detail    Detail             // sealed before it is stored
}

// Detail is the part of an event that may identify a person.
type Detail struct {
	Purpose string  `json:"purpose,omitempty"`
	From    string  `json:"from,omitempty"`   // address of the workstation
	Agent   string  `json:"agent,omitempty"`  // its program, as it names itself
	Ranges  []Range `json:"ranges,omitempty"` // of the source, as served
}

// Range is a span of a recording's source bytes.
type Range struct {
	Off int64 `json:"off"`
	Len int64 `json:"len"`
}

// Record is an Event as it is stored.
type Record struct {
	Event         // Detail is zero
	Sealed []byte // Detail as JSON, sealed; nil when the tenant's key is away
}

// Store is what the log needs of the catalog.
type Store interface {
	// AppendEvents makes all of them durable in one transaction, or none.
	AppendEvents(ctx context.Context, records []Record) error
}

// Seal readies an event for the store. The zero key is a tenant whose key is
// away: its events keep their clear part and lose their detail.
func Seal(key keytree.Key, e Event) (Record, error) {
	if e.ID == ([16]byte{}) {
		rand.Read(e.ID[:])
	}
	r := Record{Event: e}
	r.Detail = Detail{}
	if key.IsZero() {
		return r, nil
	}
	var err error
	r.Sealed, err = sealDetail(key, e)
	return r, err
}
