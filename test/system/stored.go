package system

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
)

// Stored is what uploads have left behind, those that failed included.
type Stored struct {
	Blobs   int // of recordings: every version, and what is still being written
	Intents int // open ones; only a scaled-out system's are counted
}

// Stored counts what uploads have left behind.
func (s *System) Stored() Stored {
	s.t.Helper()
	if s.Store == nil {
		blobs := filepath.Join(s.Dir, "blobs")
		return Stored{Blobs: s.files(filepath.Join(blobs, "tmp")) + s.files(filepath.Join(blobs, "blobs", "recordings"))}
	}
	return Stored{Blobs: s.objects("recordings/"), Intents: s.intents()}
}

// files counts the files below dir, which need not exist.
func (s *System) files(dir string) (n int) {
	s.t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return n
}

// objects counts the versions of all objects below prefix.
func (s *System) objects(prefix string) (n int) {
	s.t.Helper()
	list := s.Store.Client(s.t).ListObjects(s.t.Context(), s.setting("LETHE_STORE_BUCKET"),
		minio.ListObjectsOptions{Prefix: prefix, Recursive: true, WithVersions: true})
	for o := range list {
		if o.Err != nil {
			s.t.Fatal(o.Err)
		}
		n++
	}
	return n
}

func (s *System) intents() (n int) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.setting("LETHE_CATALOG"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(s.t.Context())
	if err := conn.QueryRow(s.t.Context(), `SELECT count(*) FROM versions WHERE state = 'intent'`).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}
