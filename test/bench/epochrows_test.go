package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// dialect is how a database makes bytes of a number.
type dialect struct {
	digits func(number string, width int) string // the number in decimal, so wide
	filler string                                // 200 bytes
	tidy   []string                              // what a database does by itself in time
}

var (
	inPostgres = dialect{
		func(number string, width int) string {
			return fmt.Sprintf("convert_to(lpad((%s)::text, %d, '0'), 'UTF8')", number, width)
		},
		"decode(repeat('5a', 200), 'hex')", []string{"VACUUM ANALYZE", "CHECKPOINT"},
	}
	inSQLite = dialect{
		func(number string, width int) string {
			return fmt.Sprintf("CAST(printf('%%0%dd', %s) AS BLOB)", width, number)
		},
		"zeroblob(200)", []string{"ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"},
	}
)

// perTenant tells the rows of tenants in one database apart.
const perTenant = 10_000_000_000_000

// perSubject is how many recordings tell of one who is not measured.
const perSubject = 20

// fill makes the catalog's rows of a tenant's recordings, which lie at equal
// distances in the tree. The first of them, so many for each round, tell of one
// subject; the index of a subject is its slot in decimal.
func (v *grown) fill(t testing.TB) {
	t.Helper()
	head := v.head.Marshal()
	v.exec(t, `INSERT INTO tenants (id, name, state, epoch, head, journal, created_at) VALUES ($1, $2, 'active', 0, $3, 0, 0)`,
		v.id[:], v.id.String(), head)
	numbers := fmt.Sprintf(`WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) `, v.rows)
	number := fmt.Sprintf("%d + n", v.number*perTenant)
	subject := fmt.Sprintf(`CASE WHEN n <= %d THEN 1 + (n - 1) / %d ELSE %d + n / %d END`, v.subjects*int64(v.o.Many), v.o.Many, firstOther, perSubject)
	v.exec(t, numbers+`INSERT INTO versions (version, tenant, bucket, recording, state, is_current, blob, slot_recording, slot_subject, slot_day, created_at,
		committed_at, name_index, dir_index, size, stored_size, class, wrapped_dek, sealed_facts, sealed_end, parts, seen_at)
		SELECT `+v.digits(number, 16)+`, t.id, `+v.digits("7", 16)+`, `+v.digits(number, 16)+`, 'committed', TRUE, 'recordings/' || (`+number+`),
		n * `+strconv.FormatInt(v.step(), 10)+`, `+subject+`, n / 1000, n,
		n, `+v.digits(number, 32)+`, `+v.digits(fmt.Sprintf("%d + n / 30", v.number*perTenant), 32)+`, 1, 1, 'B',
		`+v.digits("1", 32)+`, `+v.filler+`, `+v.digits("1", 32)+`, 0, 0 FROM s, tenants t WHERE t.name = '`+v.id.String()+`'`)
	v.exec(t, `INSERT INTO terms (tenant, term, version) SELECT v.tenant, `+v.digits("v.slot_subject", 32)+`, v.version
		FROM versions v JOIN tenants t ON t.id = v.tenant WHERE t.name = '`+v.id.String()+`'`)
	v.exec(t, `INSERT INTO subjects (tenant, subject_index, slot) SELECT f.tenant, `+v.digits("f.slot_subject", 32)+`, f.slot_subject
		FROM (SELECT DISTINCT v.tenant, v.slot_subject FROM versions v JOIN tenants t ON t.id = v.tenant WHERE t.name = '`+v.id.String()+`') f`)
}

// firstOther is the slot from which subjects are not measured.
const firstOther = 1000

// row is the version in one of the rows that fill made, which has its number for a
// recording too, and its slot.
func (v *grown) row(n int64) (version recording.Version, slot uint64) {
	copy(version[:], fmt.Sprintf("%016d", v.number*perTenant+n))
	return version, uint64(n * v.step())
}

func subjectIndex(slot int64) (i catalog.Index) {
	copy(i[:], fmt.Sprintf("%032d", slot))
	return i
}

// bury leaves rows as so many erasures of a recording each leave them, all of which
// the store has.
func (v *grown) bury(t testing.TB, slots []uint64) {
	t.Helper()
	const atOnce = 100
	at := time.Now().UnixMicro()
	row := catalog.ErasureRow{Tenant: v.id, Scope: catalog.ScopeRecording, Who: "acme", Reason: "deleted over S3", Commitment: make([]byte, 32)}
	for some := range slices.Chunk(slots, atOnce) {
		var erasures, punctures []any
		for _, s := range some {
			row.ID = recording.NewErasureID()
			slot := catalog.Slot{Tree: catalog.TreeRecordings, Number: int64(s)}
			record, err := eraser.StatementOf(row, []catalog.Slot{slot}, []recording.Version{{}}).Seal(v.settings, v.id, 0)
			if err != nil {
				t.Fatal(err)
			}
			id := row.ID
			erasures = append(erasures, id[:], v.id[:], row.Scope, "queued", row.Who, row.Reason, row.Commitment, at, 0, record, true, 1, 0, 0)
			punctures = append(punctures, v.id[:], slot.Tree, slot.Number, id[:], at)
		}
		v.exec(t, `INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, asked_at, base, record, recorded, versions, refiled, epoch)
			VALUES `+placeholders(len(some), 14), erasures...)
		v.exec(t, `INSERT INTO punctures (tenant, tree, slot, erasure, since) VALUES `+placeholders(len(some), 5), punctures...)
	}
}

// certified leaves all but a few of a tenant's erasures as certificates leave them.
func (v *grown) certified(t testing.TB, but int) {
	t.Helper()
	v.exec(t, `UPDATE erasures SET state = 'certified' WHERE tenant = $1 AND id NOT IN (
		SELECT e.id FROM erasures e WHERE e.tenant = $1 AND e.state <> 'certified' LIMIT $2)`, v.id[:], but)
}

// tidy has a database do what it would do by itself in time.
func (v *grown) tidied(t testing.TB) {
	t.Helper()
	for _, s := range v.tidy {
		v.exec(t, s)
	}
}

func (p *parts) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := p.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatalf("%.80s: %v", query, err)
	}
}

// placeholders gives "($1, $2), ($3, $4)" for two rows of two.
func placeholders(rows, width int) string {
	all := make([]string, rows)
	for i := range all {
		row := make([]string, width)
		for k := range row {
			row[k] = "$" + strconv.Itoa(i*width+k+1)
		}
		all[i] = "(" + strings.Join(row, ", ") + ")"
	}
	return strings.Join(all, ", ")
}
