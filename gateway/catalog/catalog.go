// Package catalog is the index of a vault in SQL: which tenants, buckets and
// credentials there are, which recording stands under which name, and what
// happened. It runs on SQLite, the embedded default, and on PostgreSQL and
// what speaks its dialect, with one schema and one text for every statement.
//
// The catalog is an index and not the truth: the blob store and the key
// provider hold what is needed to write it again. And it is blind. Rows hold
// identifiers, slots, sizes, times, states, keyed indexes and sealed bytes;
// what they mean is known to the gateway alone, which holds the keys. This
// package neither seals nor derives anything, and decides nothing but what
// must be decided in one transaction.
//
// Every write may be repeated: run again after it has taken effect, it finds
// its work done and reports success. So a caller who got an error may ask
// again, and a write whose COMMIT went unanswered is settled in the same way.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lethe-vault/lethe/observe"
)

// Index is a blind index: the HMAC of a name, directory, bucket, subject or
// other term under a key of the tenant.
type Index [32]byte

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	dialect dialect
	writer  *sql.DB
	reader  *sql.DB                   // on PostgreSQL the same pool as writer
	crowd   sync.RWMutex              // held as company says
	met     atomic.Pointer[time.Time] // when an erasure last met another transaction; nil if none did

	observer observe.Observer
	retries  atomic.Uint64 // see Retries
}

// Open opens the catalog that dsn names and brings its schema up to date:
//
//	sqlite:PATH                              a file, made with mode 0600 if absent
//	postgres://USER:PASSWORD@HOST/DATABASE   any form of URL that pgx reads
//
// Replicas may open one PostgreSQL catalog at the same time. A SQLite file
// belongs to one process. ErrUnavailable: the database cannot be reached.
// ErrNewer: it is not this program's any more.
func Open(ctx context.Context, dsn string) (*Catalog, error) {
	return OpenObserved(ctx, dsn, observe.Nobody)
}

// OpenObserved is Open for a catalog that tells o of every query and
// transaction, by the name of its method.
func OpenObserved(ctx context.Context, dsn string, o observe.Observer) (*Catalog, error) {
	c, err := open(dsn)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	c.observer = o
	err = c.migrate(ctx)
	if err == nil {
		err = c.learn(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog: %w", explain(ctx, err)), c.Close())
	}
	return c, nil
}

func open(dsn string) (*Catalog, error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		return openSQLite(path)
	}
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		return openPostgres(dsn)
	}
	return nil, errors.New("address is neither sqlite:PATH nor postgres://…") // dsn may hold a password
}

// Ping reports whether the catalog can be read and written now: nil or
// ErrUnavailable.
func (c *Catalog) Ping(ctx context.Context) error {
	if err := c.writer.PingContext(ctx); err != nil {
		return explain(ctx, err)
	}
	return explain(ctx, c.reader.PingContext(ctx))
}

// Close waits for what runs and closes the database.
func (c *Catalog) Close() error {
	err := c.writer.Close()
	if c.reader != c.writer {
		err = errors.Join(err, c.reader.Close())
	}
	return err
}
