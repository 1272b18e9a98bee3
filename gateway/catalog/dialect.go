package catalog

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/lethe-vault/lethe/recording"
)

// A dialect is what differs between the databases beside their drivers.
type dialect struct {
	name goose.Dialect
	// forUpdate ends a SELECT that must wait for whoever is changing the row
	// of versions it reads. SQLite has one writer, who waits before he begins.
	forUpdate string
	// now is the database's clock in microseconds, by which all replicas judge
	// who is alive. It stands still within a statement, else no index serves it.
	now string
	// timeline names the one that the database is on; '' if it has none. On
	// PostgreSQL a server that goes on from what another had, as a standby that
	// takes over or a backup does, begins a new one.
	timeline string
	// pages is how many one statement has. SQLite looks the name of each parameter up
	// among all before it; PostgreSQL is to be asked as seldom as may be.
	pages int
}

const noTimeline = `''`

var (
	sqlite = dialect{
		name:     goose.DialectSQLite3,
		now:      `CAST(unixepoch('subsec') * 1000000 AS BIGINT)`,
		timeline: noTimeline,
		pages:    maxRows / 4,
	}
	postgres = dialect{
		name:      goose.DialectPostgres,
		forUpdate: " FOR UPDATE OF v",
		now:       `CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)`,
		timeline:  `CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`,
		pages:     maxRows,
	}
)

// plannedNow has a statement planned for its tables as they are. What PostgreSQL
// prepared while a table was small, it goes on reading whole when it is not any more,
// until statistics come: too late for a statement that looks up 10,000 rows in
// another 10,000 that were written a moment ago.
func (d dialect) plannedNow(args []any) []any {
	if d.name != postgres.name {
		return args
	}
	return append([]any{pgx.QueryExecModeExec}, args...)
}

// sqliteReaders bounds the connections that read a SQLite catalog; each holds
// a page cache of 2 MB at most.
const sqliteReaders = 4

// openSQLite opens one connection that writes and a few that read. The file
// is in WAL mode, so that they do not wait for each other, and every commit
// is synced to disk.
func openSQLite(path string) (*Catalog, error) {
	for _, suffix := range []string{"", "-shm"} { // the driver would let others read them
		f, err := os.OpenFile(path+suffix, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	writer, err := driver.Open(sqliteURI(path, "journal_mode(wal)", "synchronous(full)"))
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	reader, err := driver.Open(sqliteURI(path, "query_only(1)"))
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader.SetMaxOpenConns(sqliteReaders)
	reader.SetMaxIdleConns(sqliteReaders)
	return &Catalog{dialect: sqlite, writer: writer, reader: reader}, nil
}

// sqliteURI is the address of path for the driver. The busy timeout covers
// another process, such as a backup, that holds the write lock; modeof gives
// the log the mode of the file.
func sqliteURI(path string, pragmas ...string) string {
	path = strings.ReplaceAll(url.QueryEscape(path), "+", "%20") // SQLite knows no "+"
	uri := "file:" + path + "?modeof=" + path + "&_pragma=busy_timeout(10000)"
	// gofail: var sqliteVFS string
	// uri += "&vfs=" + sqliteVFS
	for _, p := range pragmas {
		uri += "&_pragma=" + p
	}
	return uri
}

// The pool of one replica on PostgreSQL. Its server's max_connections must
// hold the pools of all replicas.
const (
	postgresConns    = 16
	postgresIdleTime = 5 * time.Minute
	connectTimeout   = 5 * time.Second // unless the URL says connect_timeout
)

func openPostgres(dsn string) (*Catalog, error) {
	cfg, err := pgx.ParseConfig(dsn) // its error hides the password
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["application_name"] = sessionName()
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	db := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(withoutJIT))
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns)
	db.SetConnMaxIdleTime(postgresIdleTime)
	return &Catalog{dialect: postgres, writer: db, reader: db}, nil
}

// withoutJIT has a connection's statements run as they are: to compile one takes
// longer than it runs, and the planner decides by estimates that are far too high.
// It is no parameter of the connection, since proxies and relatives of PostgreSQL
// refuse one that they do not know.
func withoutJIT(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET jit = off`)
	if answered(err) {
		return nil
	}
	return err
}

// learn finds out whether the database can name its timeline: relatives of
// PostgreSQL, which have no standbys that lag, cannot.
func (c *Catalog) learn(ctx context.Context) error {
	var timeline string
	err := c.writer.QueryRowContext(ctx, `SELECT `+c.dialect.timeline).Scan(&timeline)
	if err != nil && answered(err) && !away(err) {
		c.dialect.timeline, err = noTimeline, nil
	}
	return err
}

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. On PostgreSQL one replica does it
// while others wait on a row of a lock table, whose lease passes on if its
// holder dies; unlike advisory locks, every dialect has tables.
func (c *Catalog) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if c.dialect == postgres {
		locker, err := lock.NewPostgresTableLocker(
			lock.WithTableName("catalog_lock"),
			lock.WithTableLockTimeout(500*time.Millisecond, 120))
		if err != nil {
			return err
		}
		options = append(options, goose.WithLocker(locker))
	}
	provider, err := goose.NewProvider(c.dialect.name, c.writer, files, options...)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	at, known, err := provider.GetVersions(ctx)
	if err == nil && at > known {
		err = fmt.Errorf("%w: it is at version %d, and this program knows %d", ErrNewer, at, known)
	}
	return err
}

// selectOthers counts sessions of other processes of Lethe on the same database.
const selectOthers = `SELECT count(*) FROM pg_stat_activity a
	WHERE a.datname = current_database() AND a.application_name LIKE 'lethe-%' AND a.application_name <> current_setting('application_name')`

// Others counts the sessions of other processes that have the catalog open, as far as
// the database tells: a file of SQLite's tells of none, nor does every database that
// speaks PostgreSQL's dialect.
func (c *Catalog) Others(ctx context.Context) (int64, error) {
	if c.dialect.name != goose.DialectPostgres {
		return 0, nil
	}
	n, err := get[count](ctx, c.read("Others"), recording.ErrNotFound, selectOthers)
	return n.int64, explain(ctx, err)
}

// sessionName names the sessions of this process: lethe- and a random number.
func sessionName() string {
	var b [4]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return "lethe-" + hex.EncodeToString(b[:])
}
