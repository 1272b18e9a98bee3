package catalog

import (
	"context"
	"database/sql"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

var _ audit.Store = (*Catalog)(nil)

const eventColumns = `id, tenant, happened_at, who, action, outcome, reason, bucket, recording, version, request, sealed`

type eventRow struct{ audit.Record }

func (r *eventRow) columns() []any {
	return []any{
		fixed(r.ID[:]), fixed(r.Tenant[:]), moment{&r.At}, &r.Who, &r.Action, &r.Outcome, &r.Reason,
		fixed(r.Bucket[:]), fixed(r.Recording[:]), fixed(r.Version[:]), &r.Request, &r.Sealed,
	}
}

const intoEvents = `events (` + eventColumns + `)`

func eventRows(records []audit.Record) (rows [][]any) {
	for _, r := range records {
		rows = append(rows, []any{
			r.ID[:], r.Tenant[:], r.At.UnixMicro(), r.Who, r.Action, r.Outcome, r.Reason,
			r.Bucket[:], r.Recording[:], r.Version[:], r.Request, r.Sealed,
		})
	}
	return rows
}

func insertEvents(ctx context.Context, tx *sql.Tx, records []audit.Record) error {
	if len(records) > 0 {
		audit.Promise(ctx)
	}
	return insert(ctx, tx, intoEvents, eventRows(records))
}

// AppendEvents makes all records durable in one transaction, or none. A
// record that is there already is not written again.
func (c *Catalog) AppendEvents(ctx context.Context, records []audit.Record) error {
	// gofail: var eventsAppend string
	// return failpoint(eventsAppend)
	return c.observed(ctx, "AppendEvents", func(ctx context.Context) error {
		again := func(ctx context.Context, tx *sql.Tx) error { return insertEvents(ctx, tx, records) }
		rows := eventRows(records)
		if len(rows) == 0 || len(rows) > maxRows {
			return c.writeAgain(ctx, again)
		}
		audit.Promise(ctx)
		return c.insertOnly(ctx, intoEvents, rows, again)
	})
}

const selectEvents = `SELECT ` + eventColumns + ` FROM events
	WHERE tenant = $1 AND happened_at >= $2 AND happened_at < $3 ORDER BY happened_at, id LIMIT $4`

// Events gives a tenant's events of the time from, inclusive, to to,
// exclusive, in order of time, at most limit of them.
func (c *Catalog) Events(ctx context.Context, tenant recording.Tenant, from, to time.Time, limit int) ([]audit.Record, error) {
	rows, err := all[eventRow](ctx, c.read("Events"), selectEvents, tenant[:], from.UnixMicro(), to.UnixMicro(), limit)
	if err != nil {
		return nil, explain(ctx, err)
	}
	records := make([]audit.Record, len(rows))
	for i, r := range rows {
		records[i] = r.Record
	}
	return records, nil
}
