package servers_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
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
