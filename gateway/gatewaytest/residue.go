package gatewaytest

import (
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/lethe-vault/lethe/gateway/catalog"
)

// Residue counts the blobs of recordings, and the intents of recordings and of
// parts that are open or whose blobs are still to be deleted, on embedded parts. Before the first put, and after every
// failed one, both are 0.
func (f *Fixture) Residue() (blobs, intents int) {
	f.t.Helper()
	for info, err := range f.Parts.Blobs.List(f.t.Context(), "") {
		check(f.t, "list blobs", err)
		if strings.HasPrefix(info.Key, "recordings/") {
			blobs++
		}
	}
	db, err := driver.Open("file:" + filepath.Join(f.Dir, "catalog.db") + "?_pragma=query_only(1)")
	check(f.t, "open catalog", err)
	defer db.Close()
	row := db.QueryRowContext(f.t.Context(), `SELECT count(*) + (SELECT count(*) FROM parts WHERE state <> 'stored') + (SELECT count(*) FROM residues)
		FROM versions WHERE state = $1`, catalog.Intended)
	check(f.t, "count intents", row.Scan(&intents))
	return blobs, intents
}
