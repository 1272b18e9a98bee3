package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/observe"
)

const (
	maxAttempts = 20                     // of one transaction that keeps meeting others
	firstPause  = 4 * time.Millisecond   // at most, before the second attempt; then doubling
	maxPause    = 250 * time.Millisecond // at most, before any attempt
	aloneFrom   = 3                      // the attempt from which it runs alone
	crowdedFor  = 10 * time.Second       // after an erasure has met another transaction
	attemptFor  = 15 * time.Second       // how long one attempt may take, COMMIT included
	settleFor   = 3 * time.Second        // how long an unanswered COMMIT is looked into
)

// errUnanswered: COMMIT was sent, and whether it took effect is not known.
var errUnanswered = errors.New("commit unanswered")

// company says with whom a transaction of this process shares the database.
//
// PostgreSQL finds conflicts by pages of an index, so in a young vault, whose
// indexes are a few pages, transactions meet that have nothing to do with
// each other. One that keeps meeting others runs alone in its process; other
// replicas it still meets, with pauses between.
type company bool

const (
	together company = false
	alone    company = true
)

func (c *Catalog) enter(with company) (leave func()) {
	if with == alone {
		c.crowd.Lock()
		return c.crowd.Unlock
	}
	c.crowd.RLock()
	return c.crowd.RUnlock
}

// write runs f in one serializable transaction and commits it. f is run again
// when the transaction met another, and when its COMMIT went unanswered: f
// must find its own work done. It begins with the row that its first run will
// have changed, so that it waits for a first run that is still ending.
//
// Whatever write reports is true: nil is committed, ErrUnknown is unknown, and
// any other error means that nothing was changed.
func (c *Catalog) write(ctx context.Context, operation string, f func(context.Context, *sql.Tx) error) error {
	return c.observed(ctx, operation, func(ctx context.Context) error { return c.writeAgain(ctx, f) })
}

// writeCrowded is write for a transaction that reads and writes in so many places that it
// mostly meets others where any do: for a time after one did, each runs alone at once.
// To be run twice for nothing takes the longer, the further the database is away.
func (c *Catalog) writeCrowded(ctx context.Context, operation string, f func(context.Context, *sql.Tx) error) error {
	from, times := aloneFrom, 0
	if met := c.met.Load(); met != nil && time.Since(*met) < crowdedFor {
		from = 1
	}
	err := c.observed(ctx, operation, func(ctx context.Context) error {
		return c.writeFrom(ctx, from, func(ctx context.Context, tx *sql.Tx) error {
			times++
			return f(ctx, tx)
		})
	})
	if times > 1 {
		now := time.Now()
		c.met.Store(&now)
	}
	return err
}

// observed runs a write, and tells of it and of the events it makes durable.
func (c *Catalog) observed(ctx context.Context, operation string, run func(context.Context) error) error {
	within, end := c.observer.Begin(ctx, observe.Call{Part: observe.Catalog, Operation: operation})
	within, made := audit.Promised(within)
	err := run(within)
	end(outcome(err))
	if err == nil {
		made()
	}
	return err
}

// writeAgain is write, until it is settled.
func (c *Catalog) writeAgain(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	return c.writeFrom(ctx, aloneFrom, f)
}

// writeFrom is writeAgain of what runs alone from an attempt on.
func (c *Catalog) writeFrom(ctx context.Context, from int, f func(context.Context, *sql.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, attempt >= from, f)
		if errors.Is(err, errUnanswered) {
			return c.settle(ctx, f)
		}
		if !conflict(err) || attempt == maxAttempts || !pause(ctx, attempt) {
			return explain(ctx, err)
		}
		c.retries.Add(1)
	}
}

// insertOnly is writeAgain for rows that are all there is to write, at most
// maxRows of them: the database makes one statement a transaction by itself, and
// is asked once instead of three times. again is the same as a transaction of several.
func (c *Catalog) insertOnly(ctx context.Context, into string, rows [][]any, again func(context.Context, *sql.Tx) error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	query, args := insertion(into, rows)
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptFor)
	_, err := c.writer.ExecContext(lasting, query, args...) // as COMMIT does, it outlasts its caller
	cancel()
	switch {
	case err == nil:
		// gofail: var eventsAppended string
		// return failpoint(eventsAppended)
		return nil
	case conflict(err), unsent(err):
		return c.writeAgain(ctx, again)
	case away(err) && !answered(err):
		return c.settle(ctx, again)
	}
	return explain(ctx, err)
}

// settle runs again, until the database answers, a transaction whose COMMIT
// it did not answer. The caller may have gone meanwhile: ctx's end is ignored.
func (c *Catalog) settle(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleFor)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := c.once(ctx, together, f)
		if !errors.Is(err, errUnanswered) && !conflict(err) && !away(err) {
			return redact(err)
		}
		if !pause(ctx, attempt) {
			return fmt.Errorf("%w: %w", ErrUnknown, redact(err))
		}
	}
}

// once runs f in one transaction. Until COMMIT is sent, the end of ctx undoes
// it; from then on it does not, so that a caller who gives up leaves no doubt
// about its outcome.
func (c *Catalog) once(ctx context.Context, with company, f func(context.Context, *sql.Tx) error) error {
	defer c.enter(with)()
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptFor)
	defer cancel()
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	// gofail: var txBegin string
	// return failpoint(txBegin)
	tx, err := c.writer.BeginTx(lasting, &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		return err
	}
	if err := f(lasting, tx); err != nil {
		tx.Rollback() // its error adds nothing: a connection that cannot roll back is closed
		return err
	}
	if !stop() {
		tx.Rollback()
		return ctx.Err()
	}
	// gofail: var txCommit string
	// tx.Rollback()
	// return failpoint(txCommit)
	err = tx.Commit()
	// gofail: var txCommitted string
	// return fmt.Errorf("%w: %w", errUnanswered, failpoint(txCommitted))
	if err == nil || conflict(err) || unwritten(err) {
		return err // answered: what is refused is undone
	}
	return fmt.Errorf("%w: %w", errUnanswered, err)
}

// pause waits a random time before the attempt after this one, and reports
// whether ctx still lives.
func pause(ctx context.Context, attempt int) bool {
	most := min(maxPause, firstPause<<min(attempt-1, 16))
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
