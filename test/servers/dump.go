package servers

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Dump writes a database as pg_dump does, in SQL.
func (p *PostgresServer) Dump(t testing.TB, dsn string) []byte {
	t.Helper()
	out, err := p.command("pg_dump", "--no-owner", "--dbname", dsn).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return out
}

// Load makes a fresh database of what Dump wrote, of this server or another, and
// gives its connection string.
func (p *PostgresServer) Load(t testing.TB, dump *os.File) (dsn string) {
	t.Helper()
	dsn = p.Database(t)
	cmd := p.command("psql", "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", dsn)
	cmd.Stdin = dump
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	return dsn
}

// Archive keeps all of the write-ahead log that the server writes from now on in a
// directory, as pg_receivewal does.
func (p *PostgresServer) Archive(t testing.TB) *Archive {
	t.Helper()
	a := &Archive{Dir: filepath.Join(p.dir, "archive"), server: p}
	err := os.Mkdir(a.Dir, 0o700)
	if err == nil && p.credential != nil {
		err = os.Chown(a.Dir, int(p.credential.Uid), int(p.credential.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := start(p.command("pg_receivewal", "--directory", a.Dir, "--synchronous", "--dbname", p.dsn("postgres")),
		filepath.Join(p.dir, "receivewal.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { receiver.stop(syscall.SIGINT) })
	a.Wait(t)
	return a
}

// Archive is where the write-ahead log of a server goes.
type Archive struct {
	Dir    string
	server *PostgresServer
}

// Wait returns when all that was committed before is in the archive.
func (a *Archive) Wait(t testing.TB) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.server.dsn("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for begun, there := time.Now(), false; !there; time.Sleep(20 * time.Millisecond) {
		err := conn.QueryRow(t.Context(), `SELECT coalesce(bool_and(flush_lsn >= pg_current_wal_flush_lsn()), false) FROM pg_stat_replication`).Scan(&there)
		if err != nil || time.Since(begun) > readyWithin {
			t.Fatalf("the write-ahead log is not archived: %v", err)
		}
	}
}
