package redteam

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/minio/minio-go/v7"
	_ "github.com/ncruces/go-sqlite3/driver"

	"github.com/lethe-vault/lethe/test/servers"
	"github.com/lethe-vault/lethe/test/system"
)

// thief takes a copy of everything, again and again.
type thief struct {
	t   *testing.T
	s   *system.System
	dir string // of all that was taken, as files that can be searched

	// Of a scaled-out system.
	kind     servers.BucketKind
	bucket   string
	archive  *servers.Archive
	database *servers.PostgresServer // where the thief loads dumps

	blobs map[string][]string // all that ever stood under a key
	seen  map[string]bool     // versions of objects
	dumps []dump
	rows  []row // of all dumps
}

// dump is the catalog at a moment.
type dump struct {
	when string
	path string // of SQL, or the directory of a copy
}

// row is a row of a dump.
type row struct {
	table  string
	values map[string]any
}

func (th *thief) put(name string, b []byte) string {
	th.t.Helper()
	path := filepath.Join(th.dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, b, 0o644)
	}
	if err != nil {
		th.t.Fatal(err)
	}
	return path
}

// come copies all there is at a moment.
func (th *thief) come(when string) {
	th.t.Helper()
	th.copyStore()
	d := dump{when: when}
	if th.s.Store != nil {
		d.path = th.put(fmt.Sprintf("dump-%d.sql", len(th.dumps)), th.s.Postgres.Dump(th.t, th.s.Database()))
	} else {
		d.path = filepath.Join(th.dir, fmt.Sprintf("dump-%d", len(th.dumps)))
		th.copyCatalog(d.path + "-running")
		th.s.Stop()
		th.copyCatalog(d.path)
		th.s.Start()
	}
	th.dumps = append(th.dumps, d)
	th.rows = append(th.rows, th.read(d)...)
}

// copyStore copies every version of every blob that was not copied before.
func (th *thief) copyStore() {
	th.t.Helper()
	if th.s.Store == nil {
		th.walk(filepath.Join(th.s.Dir, "blobs", "blobs"), func(path string, b []byte) {
			th.keep(strings.TrimSuffix(filepath.ToSlash(path), ".blob"), b)
		})
		return
	}
	client, ctx := th.s.Store.Client(th.t), th.t.Context()
	var listing strings.Builder
	for o := range client.ListObjects(ctx, th.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			th.t.Fatal(o.Err)
		}
		fmt.Fprintf(&listing, "%+v\n", o)
		id := o.Key + "?" + o.VersionID
		if o.IsDeleteMarker || th.seen[id] {
			continue
		}
		r, err := client.GetObject(ctx, th.bucket, o.Key, minio.GetObjectOptions{VersionID: o.VersionID})
		if err != nil {
			th.t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			th.t.Fatal(err)
		}
		th.seen[id] = true
		th.keep(o.Key, b)
	}
	th.put(fmt.Sprintf("listing-%d", len(th.dumps)), []byte(listing.String()))
}

func (th *thief) keep(key string, b []byte) {
	if slices.Contains(th.blobs[key], string(b)) {
		return
	}
	th.blobs[key] = append(th.blobs[key], string(b))
	th.put(fmt.Sprintf("store/%x", sha256.Sum256([]byte(key+string(b)))), b)
}

// walk gives every file below a directory.
func (th *thief) walk(dir string, f func(path string, b []byte)) {
	th.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) { // deleted meanwhile
			return nil
		}
		if err == nil {
			path, err = filepath.Rel(dir, path)
		}
		if err == nil {
			f(path, b)
		}
		return err
	})
	if err != nil {
		th.t.Fatal(err)
	}
}

// copyCatalog copies the files of an embedded catalog.
func (th *thief) copyCatalog(to string) {
	th.t.Helper()
	files, err := filepath.Glob(filepath.Join(th.s.Dir, "catalog.db*"))
	if err != nil || len(files) == 0 {
		th.t.Fatalf("no catalog in %s", th.s.Dir)
	}
	for _, path := range files {
		copyFile(th.t, filepath.Join(to, filepath.Base(path)), path)
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o700)
	}
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// logs copies the write-ahead log, what every part has logged, and the certificates.
func (th *thief) logs(v *vault) {
	th.t.Helper()
	th.put("log/lethe", []byte(th.s.Log()))
	for _, e := range v.erasures {
		if e.certificate != nil {
			th.put("certificate/"+e.ID, e.certificate)
			th.put("certificate/"+e.ID+".json", e.statement(th.t))
		}
	}
	if th.s.Store == nil {
		return
	}
	th.archive.Wait(th.t)
	th.walk(th.archive.Dir, func(path string, b []byte) {
		th.put("wal/"+path, []byte(strings.TrimRight(string(b), "\x00")))
	})
	for name, path := range map[string]string{
		"vault":    th.s.Vault.AuditLog,
		"postgres": filepath.Join(th.s.Postgres.Dir(), "postgres.log"),
		"minio":    filepath.Join(th.s.Store.Dir(), "server.log"),
	} {
		copyFile(th.t, filepath.Join(th.dir, "log", name), path)
	}
}

// load makes a database of a dump, of the thief's own, and gives its address.
func (th *thief) load(d dump) (dsn string) {
	th.t.Helper()
	if th.s.Store == nil {
		dir := th.t.TempDir()
		files, err := filepath.Glob(filepath.Join(d.path, "*"))
		if err != nil {
			th.t.Fatal(err)
		}
		for _, path := range files {
			copyFile(th.t, filepath.Join(dir, filepath.Base(path)), path)
		}
		return "file:" + filepath.Join(dir, "catalog.db")
	}
	f, err := os.Open(d.path)
	if err != nil {
		th.t.Fatal(err)
	}
	defer f.Close()
	return th.database.Load(th.t, f)
}

// read gives every row of a dump.
func (th *thief) read(d dump) (all []row) {
	th.t.Helper()
	driver, tables := "sqlite3", `SELECT name FROM sqlite_master WHERE type = 'table'`
	if th.s.Store != nil {
		driver, tables = "pgx", `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`
	}
	db, err := sql.Open(driver, th.load(d))
	if err != nil {
		th.t.Fatal(err)
	}
	defer db.Close()
	for _, table := range th.query(db, "tables", tables) {
		for _, value := range table.values {
			all = append(all, th.query(db, value.(string), fmt.Sprintf(`SELECT * FROM "%s"`, value))...)
		}
	}
	return all
}

func (th *thief) query(db *sql.DB, table, query string) (all []row) {
	th.t.Helper()
	rows, err := db.QueryContext(th.t.Context(), query)
	if err != nil {
		th.t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	for err == nil && rows.Next() {
		values, at := make([]any, len(names)), make([]any, len(names))
		for i := range at {
			at[i] = &values[i]
		}
		err = rows.Scan(at...)
		r := row{table, map[string]any{}}
		for i, name := range names {
			r.values[name] = values[i]
		}
		all = append(all, r)
	}
	if err != nil || rows.Err() != nil {
		th.t.Fatal(err, rows.Err())
	}
	return all
}

// sweep deletes what is left of what was erased, as far as locks allow.
func (th *thief) sweep() {
	th.t.Helper()
	th.copyStore()
	before := th.stored()
	var report struct {
		Blobs struct{ Found, Done, Failed, Locked int }
	}
	if err := th.s.Lethe(&report, "sweep"); err != nil {
		th.t.Fatal(err)
	}
	th.copyStore()
	locks := th.kind == servers.Governance || th.kind == servers.Compliance
	if b := report.Blobs; b.Found == 0 || b.Failed > 0 || locks != (b.Locked > 0) || locks != (b.Done == 0) {
		th.t.Errorf("sweep: %+v; locks: %v", b, locks)
	}
	if after := th.stored(); locks && after != len(th.seen) || !locks && after >= before {
		th.t.Errorf("the store has %d versions of blobs, had %d before the sweep, and ever %d; locks: %v", after, before, len(th.seen), locks)
	}
	th.t.Logf("sweep: %+v", report.Blobs)
}

// stored counts the versions of blobs that the store has now.
func (th *thief) stored() (n int) {
	th.t.Helper()
	if th.s.Store == nil {
		th.walk(filepath.Join(th.s.Dir, "blobs", "blobs"), func(string, []byte) { n++ })
		return n
	}
	for o := range th.s.Store.Client(th.t).ListObjects(th.t.Context(), th.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if !o.IsDeleteMarker {
			n++
		}
	}
	return n
}
