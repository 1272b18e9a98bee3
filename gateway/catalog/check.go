package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/finding"
	"github.com/lethe-vault/lethe/recording"
)

// Survey is what Check found.
type Survey struct {
	finding.List
	Clock   time.Duration      // how far the database's clock is ahead of ours
	Clocked bool               // it has a clock of its own, which was asked
	Tenants []recording.Tenant // those that have keys; not all of very many
	Heads   [][]byte           // of each of Tenants, the newest
}

// Check finds out whether the database that dsn names keeps what a catalog
// promises, whether or not a server runs on it. It migrates nothing, and leaves
// nothing behind.
func Check(ctx context.Context, dsn string) (s Survey) {
	if file, ok := strings.CutPrefix(dsn, "sqlite:"); ok {
		s.checkSQLite(ctx, file)
		return s
	}
	s.checkEncryption(dsn)
	c, err := open(dsn)
	if err != nil {
		s.Fail("catalog.reach", "the address of the catalog is of no use: "+err.Error(), "see catalog.url")
		return s
	}
	defer c.Close()
	if err := c.Ping(ctx); err != nil {
		s.Fail("catalog.reach", "the catalog cannot be reached: "+err.Error(), "see catalog.url, catalog.password-file and the network")
		return s
	}
	s.OK("catalog.reach", "the catalog answers")
	s.checkSettings(ctx, c.writer)
	s.checkIsolation(ctx, c.writer)
	s.askTime(ctx, c.writer)
	s.checkSchema(ctx, c.writer)
	return s
}

func (s *Survey) askTime(ctx context.Context, db *sql.DB) {
	sent := time.Now()
	var there time.Time
	if err := db.QueryRowContext(ctx, `SELECT clock_timestamp()`).Scan(&there); err != nil {
		return // the clock is looked at by whoever reads Clocked
	}
	s.Clock, s.Clocked = there.Sub(sent.Add(time.Since(sent)/2)), true
}

// mostTenants bounds Survey.Tenants.
const mostTenants = 1000

// checkSchema compares the schema's version with this program's, and finds the
// tenants.
func (s *Survey) checkSchema(ctx context.Context, db *sql.DB) {
	var at int64
	err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&at)
	if err != nil && away(err) {
		s.Fail("catalog.schema", "the catalog stopped answering: "+explain(ctx, err).Error(), "see the database's own log")
		return
	}
	newest := newestMigration()
	switch {
	case err != nil || at == 0:
		s.Skip("catalog.schema", "there is no schema yet", "start lethe serve, which makes it, and check again")
		return
	case at > newest:
		s.Fail("catalog.schema", fmt.Sprintf("the schema is at version %d, and this program knows %d", at, newest), "run the newer program that made it")
		return
	case at < newest:
		s.Advise("catalog.schema", fmt.Sprintf("the schema is at version %d, and this program brings it to %d", at, newest), "start lethe serve, which does; back the catalog up before")
	default:
		s.OK("catalog.schema", fmt.Sprintf("the schema is at version %d", at))
	}
	rows, err := db.QueryContext(ctx, `SELECT id, head FROM tenants WHERE state IN ('active', 'revoked') ORDER BY id LIMIT `+strconv.Itoa(mostTenants))
	if err != nil {
		s.Fail("catalog.tenants", "the tenants cannot be read: "+explain(ctx, err).Error(), "give the role of catalog.url the ownership of its tables")
		return
	}
	defer rows.Close()
	for rows.Next() {
		var id, head []byte
		var t recording.Tenant
		if rows.Scan(&id, &head) == nil && copy(t[:], id) == len(t) {
			s.Tenants, s.Heads = append(s.Tenants, t), append(s.Heads, head)
		}
	}
}

func newestMigration() (newest int64) {
	files, _ := fs.Glob(migrations, "migrations/*.sql") // the pattern is well-formed
	for _, f := range files {
		number, _, _ := strings.Cut(path.Base(f), "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

// checkIsolation has two transactions each read what the other then writes:
// both may not stand.
func (s *Survey) checkIsolation(ctx context.Context, db *sql.DB) {
	skewed, err := writeSkew(ctx, db, sql.LevelSerializable)
	switch {
	case err != nil:
		s.Fail("catalog.isolation", "isolation cannot be tried: "+explain(ctx, err).Error(), "give the role of catalog.url the right to create tables: lethe serve needs it too")
	case skewed:
		s.Fail("catalog.isolation", "two serializable transactions that contradict each other were both committed", "use PostgreSQL, directly or through a proxy that passes on isolation levels")
	default:
		s.OK("catalog.isolation", "of two serializable transactions that contradict each other, one is undone")
	}
}

// writeSkew reports whether both were committed.
func writeSkew(ctx context.Context, db *sql.DB, level sql.IsolationLevel) (skewed bool, err error) {
	table := "lethe_doctor_" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if _, err := db.ExecContext(ctx, `CREATE TABLE `+table+` (id INT PRIMARY KEY, n INT NOT NULL)`); err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
		defer cancel()
		_, dropped := db.ExecContext(ctx, `DROP TABLE `+table)
		err = errors.Join(err, dropped)
	}()
	if _, err := db.ExecContext(ctx, `INSERT INTO `+table+` VALUES (1, 0), (2, 0)`); err != nil {
		return false, err
	}
	var both [2]*sql.Tx
	for i := range both {
		if both[i], err = db.BeginTx(ctx, &sql.TxOptions{Isolation: level}); err != nil {
			return false, err
		}
		defer both[i].Rollback() // nothing, once it has ended
		var sum int
		if err := both[i].QueryRowContext(ctx, `SELECT sum(n) FROM `+table).Scan(&sum); err != nil {
			return false, err
		}
	}
	for i, tx := range both {
		_, err := tx.ExecContext(ctx, `UPDATE `+table+` SET n = 1 WHERE id = `+strconv.Itoa(i+1))
		if err == nil {
			err = tx.Commit()
		}
		if conflict(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}
