package catalog

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"

	"github.com/lethe-vault/lethe/recording"
)

// The errors of a Catalog, beside those of recording that a client may see.
var (
	// ErrAborted: the intent is not open any more; its upload came too late.
	ErrAborted = errors.New("catalog: intent is no longer open")
	// ErrDropped: the upload is open, but this attempt at a part was given up,
	// having shown no sign of life. The part may be sent again.
	ErrDropped = fmt.Errorf("%w: the attempt was dropped", ErrAborted)
	// ErrCommitted: the version is committed and cannot be aborted.
	ErrCommitted = errors.New("catalog: version is committed")
	// ErrBehind: the change does not follow the last one that was applied.
	// The tenant's journal must be read and rolled forward.
	ErrBehind = errors.New("catalog: change does not follow the last one applied")
	// ErrTimeline: the catalog is on another timeline than its caller knows, and may
	// lack holds or filings. It must be brought up to what the store holds.
	ErrTimeline = fmt.Errorf("catalog: another server took over: %w", recording.ErrUnavailable)
	// ErrTransition: a tenant cannot go from its state to the one asked for.
	ErrTransition = errors.New("catalog: tenant cannot change to this state")
	// ErrMoved: the name went to another recording since the intent was begun.
	// Beginning again makes a version of that one.
	ErrMoved = fmt.Errorf("catalog: name stands for another recording: %w", recording.ErrUnavailable)
	// ErrTombstoned: a slot that is to be written under was erased since it was
	// handed out. Beginning again takes others.
	ErrTombstoned = fmt.Errorf("catalog: slot has a tombstone: %w", recording.ErrUnavailable)
	// ErrDayTombstoned: that of its day. Another day has another.
	ErrDayTombstoned = fmt.Errorf("%w: that of its retention day", ErrTombstoned)
	// ErrHeldBelow: recordings on which holds bear lie below the slot that is to be
	// erased. They must be filed elsewhere first.
	ErrHeldBelow = fmt.Errorf("catalog: below the slot lies what is held: %w", recording.ErrHeld)
	// ErrMisfiled: a version is not filed, or not to be read, where it was when it
	// was found, or may not be filed where it is to be.
	ErrMisfiled = errors.New("catalog: version is not filed where it was")
	// ErrStage: the tenant's blind indexes are in another stage than the writer knew.
	// Nothing was changed; with indexes as they are then it may be repeated.
	ErrStage = fmt.Errorf("catalog: blind indexes are in another stage: %w", recording.ErrUnavailable)
	// ErrParts: a part is not stored any more, or never was.
	ErrParts = errors.New("catalog: part of an upload is not stored")
	// ErrNewer: a newer program made the schema. What this one would write there may
	// break what that one promises.
	ErrNewer = errors.New("the schema of the catalog is of a newer program")
	// ErrUnavailable: the database cannot be reached, shuts down, is full or
	// overloaded. Nothing was changed.
	ErrUnavailable = fmt.Errorf("catalog: %w", recording.ErrUnavailable)
	// ErrUnknown: a write was sent and the database went away before it said
	// how it ended. Repeating the write settles it.
	ErrUnknown = errors.New("catalog: outcome of a write is unknown")
)

// explain turns what a driver reports into what a caller branches on: the end
// of its own ctx, or ErrUnavailable. Other errors pass as they are, without
// the parts that could quote a row.
func explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case !away(err) && !conflict(err):
		return redact(err)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, redact(err))
}

// away reports whether err says that the database cannot serve now, whatever
// it was asked.
func away(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return awayState(pg.Code)
	}
	if code, ok := errors.AsType[sqlite3.ErrorCode](err); ok {
		return awayCode(code)
	}
	for _, target := range []error{
		driver.ErrBadConn, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	_, network := errors.AsType[net.Error](err)
	return network || pgconn.SafeToRetry(err) // the latter: the connection was closed before anything was sent
}

// unsent reports whether a statement failed before the database got it.
func unsent(err error) bool {
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	return unconnected || errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err)
}

// answered reports whether the database itself refused a statement, so that it
// did nothing. What is FATAL to a connection may come after a commit.
func answered(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.SeverityUnlocalized == "ERROR" || errors.Is(err, sqlite3.FULL)
}

// awayState sorts SQLSTATE codes. Source: PostgreSQL, "PostgreSQL Error
// Codes": 08 connection, 53 resources (disk, memory, connections), 57
// intervention (shutdown, start-up, cancelled), 58 system; 25006 is a standby
// that took the place of its primary.
func awayState(code string) bool {
	switch {
	case len(code) < 2:
		return false
	case code == "25006":
		return true
	}
	switch code[:2] {
	case "08", "53", "57", "58":
		return true
	}
	return false
}

func awayCode(code sqlite3.ErrorCode) bool {
	switch code {
	case sqlite3.BUSY, sqlite3.LOCKED, sqlite3.FULL, sqlite3.IOERR, sqlite3.CANTOPEN,
		sqlite3.NOMEM, sqlite3.READONLY, sqlite3.PROTOCOL, sqlite3.INTERRUPT:
		return true
	}
	return false
}

// unwritten reports whether COMMIT failed before SQLite's log had all of it, for
// want of room or because the disk is failing, so that it is undone: its driver
// says the same of both. Should something of it be on the disk after all, the next
// transaction writes over that, and nothing is done about what was undone but by
// another transaction. A log that cannot be synced is not among these: that leaves
// open what is on the disk.
func unwritten(err error) bool {
	return errors.Is(err, sqlite3.FULL) || errors.Is(err, sqlite3.IOERR_WRITE)
}

// conflict reports whether err undid a transaction for the sake of another,
// so that it should be run again: 40001 and 40P01 on PostgreSQL, BUSY on
// SQLite, and a name or part number that another took first. Source:
// PostgreSQL, "Serialization Failure Handling".
func conflict(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.Code == "40001" || pg.Code == "40P01") {
		return true
	}
	return nameTaken(err) || partTaken(err) || errors.Is(err, sqlite3.BUSY)
}

// partTaken reports whether err is of the unique index of stored parts, which
// two attempts at one part can meet on PostgreSQL.
func partTaken(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "23505" && pg.ConstraintName == "parts_stored"
}

// nameTaken reports whether err is of the unique index of current versions. It
// is the one such index that a transaction may run into where one writes alone.
func nameTaken(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "23505" && pg.ConstraintName == "versions_current"
	}
	return errors.Is(err, sqlite3.CONSTRAINT_UNIQUE)
}

// redact keeps of a PostgreSQL error what cannot quote a row or a parameter.
func redact(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	kept := &pgconn.PgError{Severity: pg.Severity, Code: pg.Code, Message: pg.Message, ConstraintName: pg.ConstraintName}
	if strings.HasPrefix(pg.Code, "22") { // data exceptions quote the datum
		kept.Message = "data exception"
	}
	return kept
}
