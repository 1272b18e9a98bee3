package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// A row is a type that can be read from the columns of its queries.
type row[T any] interface {
	*T
	columns() []any // where each column goes, in the order of the query
}

// readFor bounds one query. A database that is frozen, or out of reach, does
// not refuse: a connection that was open before keeps silent.
const readFor = 8 * time.Second

// countFor bounds a query that counts what may be a whole table, for work in the
// background.
const countFor = 5 * time.Minute

// get reads the one row of a query, and reports missing when there is none.
func get[T any, P row[T]](ctx context.Context, q querier, missing error, query string, args ...any) (v T, err error) {
	return getWithin[T, P](ctx, readFor, q, missing, query, args...)
}

// getWithin is get with another bound.
func getWithin[T any, P row[T]](ctx context.Context, most time.Duration, q querier, missing error, query string, args ...any) (v T, err error) {
	ctx, end := observed(ctx, q)
	defer func() { end(err) }()
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err = q.QueryRowContext(ctx, query, args...).Scan(P(&v).columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		return v, missing
	}
	return v, err
}

// all reads every row of a query.
func all[T any, P row[T]](ctx context.Context, q querier, query string, args ...any) (out []T, err error) {
	ctx, end := observed(ctx, q)
	defer func() { end(err) }()
	ctx, cancel := context.WithTimeout(ctx, readFor)
	defer cancel()
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(P(&v).columns()...); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// change executes a statement and reports how many rows it changed.
func change(ctx context.Context, tx *sql.Tx, query string, args ...any) (int64, error) {
	res, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// maxRows bounds the rows of one INSERT, far below the parameters either
// database accepts.
const maxRows = 100

// insert adds rows of equal width to "table (columns…)", leaving those that
// are there as they are.
func insert(ctx context.Context, tx *sql.Tx, into string, rows [][]any) error {
	for some := range slices.Chunk(rows, maxRows) {
		query, args := insertion(into, some)
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// insertion is the statement of one insert.
func insertion(into string, rows [][]any) (query string, args []any) {
	return "INSERT INTO " + into + " VALUES " + placeholders(len(rows), len(rows[0])) + " ON CONFLICT DO NOTHING", slices.Concat(rows...)
}

// placeholders gives "($1, $2), ($3, $4)" for two rows of two. SQLite numbers
// parameters by first use, so every statement here uses them in that order.
func placeholders(rows, width int) string {
	var b strings.Builder
	for i := range rows * width {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%width == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteString(")")
	return b.String()
}

// values gives "($1, 7), ($2, 7)" for two rows of "?", "7".
func values(rows int, columns ...string) string {
	var b strings.Builder
	next := 1
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(")
		for j, column := range columns {
			if j > 0 {
				b.WriteString(", ")
			}
			if column == "?" {
				column = "$" + strconv.Itoa(next)
				next++
			}
			b.WriteString(column)
		}
		b.WriteString(")")
	}
	return b.String()
}

// list gives "($2, $3)" for two values from the second on.
func list(from, n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", $" + strconv.Itoa(from+i))
	}
	return "(" + b.String()[2:] + ")"
}

// number writes the number of a parameter.
func number(n int) string { return strconv.Itoa(n) }

// fixed reads bytes of a fixed length; NULL leaves them zero.
type fixed []byte

func (f fixed) Scan(src any) error {
	switch b := src.(type) {
	case nil:
		return nil
	case []byte:
		if len(b) == len(f) {
			copy(f, b)
			return nil
		}
	}
	return fmt.Errorf("catalog: column is not %d bytes", len(f))
}

// optional reads a column that may be NULL, which leaves the zero value.
type optional[T any] struct{ to *T }

func (o optional[T]) Scan(src any) error {
	var n sql.Null[T]
	err := n.Scan(src)
	*o.to = n.V
	return err
}

func orZero[T any](to *T) optional[T] { return optional[T]{to} }

// moment reads a time; NULL leaves it zero.
type moment struct{ to *time.Time }

func (m moment) Scan(src any) error {
	var n sql.Null[int64]
	if err := n.Scan(src); err != nil || !n.Valid {
		return err
	}
	*m.to = time.UnixMicro(n.V).UTC()
	return nil
}

// microsOrNull is a time for a column that may have none.
func microsOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}
