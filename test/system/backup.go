package system

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/test/servers"
)

// backup is a copy of the store and the catalog, such as an operator, or a
// thief, would have. It never holds keys.
type backup struct {
	dir string   // of an embedded system
	env []string // of a scaled-out one: where the copies are
}

// Backup copies the store and the catalog. The server must be stopped.
func (s *System) Backup() {
	s.t.Helper()
	if s.Store != nil {
		s.backup.env = []string{s.copyBucket(), s.copyDatabase()}
		return
	}
	s.backup.dir = s.t.TempDir()
	s.copyTo(s.backup.dir, s.Dir)
}

// Restore puts the copies in the place of the originals, or the server onto
// them. The server must be stopped; the keys are those of now.
func (s *System) Restore() {
	s.t.Helper()
	if s.Store != nil {
		s.env = append(s.env, s.backup.env...)
		return
	}
	for _, path := range s.embedded(s.Dir) {
		if err := os.RemoveAll(path); err != nil {
			s.t.Fatal(err)
		}
	}
	s.copyTo(s.Dir, s.backup.dir)
}

// embedded gives the store and the catalog in a data directory.
func (s *System) embedded(dir string) []string {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "catalog.db*"))
	if err != nil || len(paths) == 0 {
		s.t.Fatalf("no catalog in %s", dir)
	}
	return append(paths, filepath.Join(dir, "blobs"))
}

func (s *System) copyTo(to, from string) {
	s.t.Helper()
	for _, path := range s.embedded(from) {
		target := filepath.Join(to, filepath.Base(path))
		info, err := os.Stat(path)
		switch {
		case err != nil:
		case info.IsDir():
			err = os.CopyFS(target, os.DirFS(path))
		default:
			var b []byte
			if b, err = os.ReadFile(path); err == nil {
				err = os.WriteFile(target, b, 0o600)
			}
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *System) setting(name string) string {
	for _, v := range slices.Backward(s.env) { // the last of several values counts
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	s.t.Fatalf("the system has no %s", name)
	return ""
}

// copyBucket copies every object and gives the setting that names the copy.
func (s *System) copyBucket() string {
	s.t.Helper()
	from, to := s.setting("LETHE_STORE_BUCKET"), s.Store.Bucket(s.t, servers.Plain)
	client, ctx := s.Store.Client(s.t), s.t.Context()
	for o := range client.ListObjects(ctx, from, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			s.t.Fatal(o.Err)
		}
		_, err := client.CopyObject(ctx, minio.CopyDestOptions{Bucket: to, Object: o.Key}, minio.CopySrcOptions{Bucket: from, Object: o.Key})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return "LETHE_STORE_BUCKET=" + to
}

// copyDatabase copies the database and gives the setting that names the copy.
func (s *System) copyDatabase() string {
	s.t.Helper()
	from, err := pgx.ParseConfig(s.setting("LETHE_CATALOG"))
	if err != nil {
		s.t.Fatal(err)
	}
	copied := s.Postgres.Database(s.t)
	to, err := pgx.ParseConfig(copied)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx := s.t.Context()
	admin := from.Copy()
	admin.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, admin)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range []string{
		"DROP DATABASE " + pgx.Identifier{to.Database}.Sanitize(),
		"CREATE DATABASE " + pgx.Identifier{to.Database}.Sanitize() + " TEMPLATE " + pgx.Identifier{from.Database}.Sanitize(),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			s.t.Fatal(err)
		}
	}
	return "LETHE_CATALOG=" + copied
}
