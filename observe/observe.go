// Package observe is how the parts of Lethe let themselves be watched. A part
// says that it begins a call and how that ended; who measures or traces it,
// the part does not know. What is said is made of words of the code alone,
// never of data: no name, number, key or secret can reach a metric or a trace
// by this way, and a label has no more values than the code has words.
package observe

import (
	"context"
	"errors"
)

// Part is what a call is made to.
type Part string

// The parts.
const (
	Vault   Part = "vault"   // one request over HTTP
	Catalog Part = "catalog" // one query or transaction
	Store   Part = "store"   // one operation on a blob
	Audit   Part = "audit"   // waiting until an event is durable
	Gateway Part = "gateway" // a step of the application's own; traced and not measured
)

// Call names one call.
type Call struct {
	Part      Part
	Operation string // "decrypt", "Find", "create" …
	Role      string // the identity it is made under, where a part has several
}

// Outcome says how a call ended.
type Outcome string

// The outcomes of a call.
const (
	OK          Outcome = "ok"
	Refused     Outcome = "refused"     // the part answered, and it was no: not there, taken, not permitted
	Unavailable Outcome = "unavailable" // the part cannot serve now, or did not answer
	Cancelled   Outcome = "cancelled"   // whoever asked went away
	Failed      Outcome = "failed"      // anything else
)

// OutcomeOf is Cancelled or OK if err says so, Unavailable if it is one of
// away or a deadline that has passed, Refused if it is one of refusals, and
// else Failed.
func OutcomeOf(err error, away, refusals []error) Outcome {
	switch {
	case err == nil:
		return OK
	case isOne(err, away), errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	case isOne(err, refusals):
		return Refused
	case errors.Is(err, context.Canceled):
		return Cancelled
	}
	return Failed
}

func isOne(err error, of []error) bool {
	for _, target := range of {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// Observer is told of calls. It is safe for concurrent use, returns soon, and
// never fails.
type Observer interface {
	// Begin is told that a call begins. What the call does is done under the
	// context that Begin gives, and end is called once, when it is over.
	Begin(ctx context.Context, c Call) (within context.Context, end func(Outcome))
}

// Nobody observes nothing.
var Nobody Observer = nobody{}

type nobody struct{}

func (nobody) Begin(ctx context.Context, _ Call) (context.Context, func(Outcome)) {
	return ctx, func(Outcome) {}
}
