package servers_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/lethe-vault/lethe/test/blind"
	"github.com/lethe-vault/lethe/test/servers"
)

func TestPostgreSQLKeepsWhatItHolds(t *testing.T) {
	p := servers.PostgreSQL(t)
	dsn := p.Database(t)
	execute(t, dsn, "CREATE TABLE kept (n int)")
	p.Restart(t)
	execute(t, dsn, "INSERT INTO kept VALUES (1)")
	p.Kill()
	p.Start(t)
	execute(t, dsn, "DELETE FROM kept WHERE n = 1")
	if other := p.Database(t); other == dsn {
		t.Error("two databases are one")
	}
}

func TestSharedPostgreSQLIsOne(t *testing.T) {
	a, b := servers.SharedPostgreSQL(t), servers.SharedPostgreSQL(t)
	if a != b {
		t.Error("two calls give two servers")
	}
	execute(t, a.Database(t), "CREATE TABLE made (n int)")
}

// execute runs a statement that must change or make something.
func execute(t *testing.T, dsn, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Errorf("%s: %v", statement, err)
	}
}

func TestPostgreSQLIsCopied(t *testing.T) {
	p := servers.PostgreSQL(t)
	archive, dsn := p.Archive(t), p.Database(t)
	execute(t, dsn, "CREATE TABLE kept (word text)")
	execute(t, dsn, "INSERT INTO kept VALUES ('written and archived')")
	archive.Wait(t)
	if _, err := blind.Search(archive.Dir, map[string][]byte{"a row": []byte("written and archived")}); err == nil {
		t.Error("the archive does not hold what was committed")
	}
	dump := filepath.Join(t.TempDir(), "dump.sql")
	if err := os.WriteFile(dump, p.Dump(t, dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dump)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	execute(t, servers.SharedPostgreSQL(t).Load(t, f), "DELETE FROM kept WHERE word = 'written and archived'")
}
