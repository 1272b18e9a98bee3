package catalog

import (
	"context"
	"database/sql"

	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/recording"
)

// reading is the database for the queries of one operation, which is observed.
type reading struct {
	*sql.DB
	operation string
	observer  observe.Observer
}

// read gives the database to an operation that changes nothing.
func (c *Catalog) read(operation string) reading {
	return reading{c.reader, operation, c.observer}
}

// observed tells that a query begins. Those of a transaction are observed with
// it.
func observed(ctx context.Context, q querier) (context.Context, func(error)) {
	r, ok := q.(reading)
	if !ok {
		return ctx, func(error) {}
	}
	within, end := r.observer.Begin(ctx, observe.Call{Part: observe.Catalog, Operation: r.operation})
	return within, func(err error) { end(outcome(explain(ctx, err))) }
}

// The answers of a catalog that serves, and the word of one that does not.
var (
	refusals = []error{
		ErrAborted, ErrCommitted, ErrBehind, ErrTransition, ErrMoved, ErrTombstoned, ErrParts, sql.ErrNoRows,
		recording.ErrNotFound, recording.ErrNoVersion, recording.ErrExists, recording.ErrNoBucket, recording.ErrBucketExists,
		recording.ErrBucketNotEmpty, recording.ErrNoTenant, recording.ErrTenantExists, recording.ErrTenantErased,
		recording.ErrTenantRevoked, recording.ErrNoCredential, recording.ErrErased, recording.ErrNoErasure,
	}
	aways = []error{ErrUnavailable, ErrUnknown}
)

func outcome(err error) observe.Outcome { return observe.OutcomeOf(err, aways, refusals) }

// Retries counts the transactions that met another and were run again.
func (c *Catalog) Retries() uint64 { return c.retries.Load() }
