package gateway_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// drop deletes a stopped gateway's catalog.
func drop(t *testing.T, dir string) {
	t.Helper()
	for name := range copyCatalog(t, dir) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// rebuildOn rebuilds the catalog of a stopped gateway, some of whose parts are replaced.
func rebuildOn(t *testing.T, dir string, edits ...func(*gateway.Config)) (gateway.RebuildReport, error) {
	t.Helper()
	blobs, err := filestore.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	keys, err := localkeys.New(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	config := gateway.Config{Blobs: blobs, Catalog: c, Keys: keys, Signer: gatewaytest.Signer(t), Logger: slog.New(slog.DiscardHandler)}
	for _, edit := range edits {
		edit(&config)
	}
	return gateway.Rebuild(t.Context(), config)
}

// rebuild is rebuildOn that must succeed.
func rebuild(t *testing.T, dir string) gateway.RebuildReport {
	t.Helper()
	r, err := rebuildOn(t, dir)
	if err != nil {
		t.Fatalf("rebuild: %v, after %+v", err, r)
	}
	return r
}

// tables are those that a rebuild writes, without what tells of this catalog's own
// time: who was last seen when.
var tables = map[string]string{
	"tenants": "id, name, state, epoch, head, journal, created_at", "tokens": "hash, tenant, created_at",
	"credentials": "access_key, tenant, kind, created_at", "buckets": "bucket, tenant, bucket_index, created_at",
	"subjects": "tenant, subject_index, slot", "directories": "tenant, dir_index, parent_index, bucket", "terms": "tenant, term, version",
	"versions": `version, tenant, bucket, recording, state, is_current, blob, slot_recording, slot_subject, slot_day, created_at,
		name_index, dir_index, size, stored_size, class, wrapped_dek, sealed_facts, parts`,
	"parts": "blob, version, tenant, number, state, stored_size", "part_lists": "version, tenant",
	"uploads":   "version, tenant, bucket",
	"erasures":  "id, tenant, scope, who, reason, commitment, asked_at, base, record, recorded, refiled, epoch, certificate",
	"punctures": "tenant, tree, slot, erasure, epoch", "pages": "tenant, tree, node, epoch, sealed",
}

// contents reads tables of a stopped gateway's catalog, each row as a text.
func contents(t *testing.T, dir string, of map[string]string) map[string][]string {
	t.Helper()
	db, err := driver.Open("file:" + filepath.Join(dir, "catalog.db") + "?_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string][]string{}
	for table, columns := range of {
		out[table] = rowsOf(t, db, "SELECT "+columns+" FROM "+table)
		slices.Sort(out[table])
	}
	return out
}

func rowsOf(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for i, v := range values {
			fmt.Fprintf(&text, "%s=%x ", columns[i], v)
		}
		out = append(out, text.String())
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// same compares two catalogs.
func same(t *testing.T, got, want map[string][]string) {
	t.Helper()
	for table, rows := range want {
		for _, row := range rows {
			if !slices.Contains(got[table], row) {
				t.Errorf("%s lacks %s", table, row)
			}
		}
		for _, row := range got[table] {
			if !slices.Contains(rows, row) {
				t.Errorf("%s has %s", table, row)
			}
		}
	}
}

// All of a catalog that is lost comes back: names, versions, parts, subjects, keys,
// erasures; and rebuilding what is complete changes nothing.
func TestRebuildOfALostCatalog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var who string
	long := sound(7, 300_000)
	t.Run("before", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls, RetentionDays: 90, Overwrite: gateway.OverwriteVersion})
		who = reader.Who
		put(t, f, recorder, "a/b/one", sound(1, 1000))
		put(t, f, recorder, "a/two", long)
		put(t, f, recorder, "a/two", sound(2, 2000))
		put(t, f, recorder, "empty", nil)
		if _, err := f.Put(t.Context(), recorder, told("told", "+4930123, +4930124", sound(3, 3000))); err != nil {
			t.Fatal(err)
		}
		inParts(t, f, recorder, "parts", sound(4, 5000), sound(5, 6000))
		put(t, f, recorder, "gone", sound(6, 1000))
		effective(t, f, erase(t, f, "gone"))
		f.SweepOnce(t.Context())
	})
	was := contents(t, dir, tables)
	drop(t, dir)
	r := rebuild(t, dir)
	if r.Recordings != 6 || r.Tenants != 1 || r.TenantsAdded != 1 || r.Erasures != 1 || r.Heads != 1 || !r.Complete {
		t.Errorf("the rebuild did %+v", r)
	}
	now := contents(t, dir, tables)
	for _, table := range []map[string][]string{was, now} { // what is erased and gone from the store left no trace to go by
		table["versions"] = slices.DeleteFunc(table["versions"], func(row string) bool { return strings.Contains(row, fmt.Sprintf("state=%x ", "erased")) })
	}
	same(t, now, was)
	t.Run("after", func(t *testing.T) {
		f := gatewaytest.In(t, dir)
		reader := f.Caller(who)
		for name, want := range map[recording.Name][]byte{
			"a/b/one": sound(1, 1000), "a/two": sound(2, 2000), "empty": {}, "told": sound(3, 3000),
			"parts": append(sound(4, 5000), sound(5, 6000)...),
		} {
			if got := read(t, f, reader, name); !bytes.Equal(got, want) {
				t.Errorf("%q: other bytes came back", name)
			}
		}
		if _, err := f.Open(t.Context(), reader, calls, "gone"); !errors.Is(err, recording.ErrNotFound) {
			t.Errorf("Open of what was erased: %v", err)
		}
		list, err := f.List(t.Context(), reader, calls, gateway.Page{Max: 100})
		if err != nil || len(list.Recordings) != 5 {
			t.Errorf("%d names are listed, %v", len(list.Recordings), err)
		}
	})
	before := contents(t, dir, everything(t, dir))
	if r := rebuild(t, dir); r.Recordings+r.Erased+r.Aborted+r.Settled+r.Heads+r.Entries+r.Erasures+r.Unknown.Count != 0 || !r.Complete {
		t.Errorf("rebuilding what is complete did %+v", r)
	}
	same(t, contents(t, dir, everything(t, dir)), before)
}

// everything is all columns of all tables.
func everything(t *testing.T, dir string) map[string]string {
	t.Helper()
	db, err := driver.Open("file:" + filepath.Join(dir, "catalog.db") + "?_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]string{}
	rows, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		out[name] = "*"
	}
	return out
}

// inParts puts a recording in parts.
func inParts(t *testing.T, f *gatewaytest.Fixture, c gateway.Caller, name recording.Name, parts ...[]byte) recording.Info {
	t.Helper()
	id, err := f.CreateUpload(t.Context(), c, gateway.Description{Bucket: calls, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	var names []gateway.PartName
	for i, content := range parts {
		names = append(names, mustPutPart(t, f, c, id, i+1, content))
	}
	info, err := complete(f, c, id, names...)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// commitErased creates the head that says that a tenant is erased.
func commitErased(t *testing.T, dir string, id recording.Tenant) {
	t.Helper()
	blobs, err := filestore.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	defer blobs.Close()
	if err := keytree.Commit(t.Context(), blobs, keytree.Head{Kind: keytree.HeadErased, Tenant: id, Epoch: 1}); err != nil {
		t.Fatal(err)
	}
}
