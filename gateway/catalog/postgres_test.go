package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/catalog/catalogtest"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/servers"
)

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	catalogtest.Run(t, servers.SharedPostgreSQL(t).Database)
}

func postgresVault(t *testing.T) *catalogtest.Vault {
	return catalogtest.NewVault(t, servers.SharedPostgreSQL(t).Database(t))
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// eventually waits for a condition that another process brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// waitForLock waits until a transaction of the vault waits for another.
func waitForLock(t *testing.T, v *catalogtest.Vault) {
	t.Helper()
	watcher := connect(t, v.DSN)
	eventually(t, "a transaction waits", func() bool {
		var n int
		err := watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE wait_event_type = 'Lock' AND datname = current_database()`).Scan(&n)
		return err == nil && n == 1
	})
}

// Nothing is compiled that runs for milliseconds.
func TestPostgreSQLCompilesNothing(t *testing.T) {
	t.Parallel()
	dsn := servers.SharedPostgreSQL(t).Database(t)
	name := dsn[strings.LastIndex(dsn, "/")+1 : strings.Index(dsn, "?")]
	if _, err := connect(t, dsn).Exec(t.Context(), `ALTER DATABASE `+name+` SET jit_above_cost = 0`); err != nil {
		t.Fatal(err)
	}
	v := catalogtest.NewVault(t, dsn)
	plan, err := v.Explain(t.Context(), `SELECT count(*) FROM versions`)
	if err != nil || strings.Contains(plan, "JIT") {
		t.Errorf("Explain() = %v\n%s", err, plan)
	}
}

func TestReplicasMigrateAtOnce(t *testing.T) {
	t.Parallel()
	dsn := servers.SharedPostgreSQL(t).Database(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			cat, err := catalog.Open(t.Context(), dsn)
			if err != nil {
				t.Errorf("Open() = %v", err)
				return
			}
			cat.Close()
		})
	}
	wg.Wait()
}

// TestCreateAfterConflict makes every Create fail to serialize: another
// transaction changes its row while it waits for it.
func TestCreateAfterConflict(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	other := connect(t, v.DSN)
	for range 5 {
		cm := v.Commit(v.Intend(t), catalogtest.Random())
		tx, err := other.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `UPDATE versions SET blob = 'x' WHERE version = $1`, cm.Version[:]); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- v.Create(t.Context(), cm, nil) }() // ends once tx has
		waitForLock(t, v)
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("Create() = %v, want nil after a conflict", err)
		}
	}
	var names, versions int
	err := other.QueryRow(t.Context(), `SELECT count(DISTINCT name_index), count(*) FROM versions
		WHERE state = 'committed' AND is_current AND blob = 'x'`).Scan(&names, &versions)
	if err != nil || names != 5 || versions != 5 {
		t.Errorf("%d names, %d versions, %v, want 5 of each", names, versions, err)
	}
}

// TestCreateWaitsForItsFirstRun: whatever Create would refuse for, it may have
// committed before, in a transaction that is still ending.
func TestCreateWaitsForItsFirstRun(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	cm := v.Commit(v.Intend(t), catalogtest.Random())
	tx, err := connect(t, v.DSN).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE versions SET state = 'committed' WHERE version = $1`, cm.Version[:]); err != nil {
		t.Fatal(err)
	}
	if err := v.Next(t, catalog.Change{State: catalog.TenantRevoked}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- v.Create(t.Context(), cm, nil) }() // ends once tx has
	waitForLock(t, v)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Create() = %v, want nil: it was committed", err)
	}
}

// TestCreateIsSerializable lets a revocation that saw no recording race with a
// Create that saw no revocation: both cannot stand.
func TestCreateIsSerializable(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	cm := v.Commit(v.Intend(t), catalogtest.Random())
	tx, err := connect(t, v.DSN).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		`SELECT 1 FROM versions WHERE state = 'committed'`,
		`UPDATE tenants SET state = 'revoked'`,
	} {
		if _, err := tx.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	if err := v.Create(t.Context(), cm, nil); err != nil {
		t.Errorf("Create() = %v", err)
	}
	err = tx.Commit(t.Context())
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "40001" {
		t.Errorf("Commit() of the revocation = %v, want SQLSTATE 40001", err)
	}
}

// TestSettlingIsSerializable lets a Create that saw no tombstone race with a
// settling that saw no version below it: both cannot stand.
func TestSettlingIsSerializable(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	in := v.Intend(t)
	tx, err := connect(t, v.DSN).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		t.Fatal(err)
	}
	var buried bool
	err = tx.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM punctures WHERE tree = 3 AND slot = $1)`, in.Slots.Day).Scan(&buried)
	if err != nil || buried {
		t.Fatalf("buried: %t, %v", buried, err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE versions SET state = 'committed' WHERE version = $1`, in.Version[:]); err != nil {
		t.Fatal(err)
	}
	_, err = v.QueueErasure(t.Context(), catalog.NewErasure{
		ErasureRow: catalog.ErasureRow{ID: recording.NewErasureID(), Tenant: v.Tenant, Scope: catalog.ScopeDay, Commitment: []byte("c")},
		Day:        in.Slots.Day,
		Record:     func(int64, []catalog.Slot, []recording.Version) ([]byte, error) { return []byte("record"), nil },
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone, more, err := v.SettleTombstoned(t.Context(), v.Tenant, 10)
	if len(gone) != 0 || more || err != nil {
		t.Fatalf("SettleTombstoned() = %d, %t, %v, want that nothing is there", len(gone), more, err)
	}
	err = tx.Commit(t.Context())
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "40001" {
		t.Errorf("Commit() of what lies below = %v, want SQLSTATE 40001", err)
	}
}

// TestRestart restarts the server under load.
func TestRestart(t *testing.T) {
	t.Parallel()
	pg := servers.PostgreSQL(t)
	v := catalogtest.NewVault(t, pg.Database(t))
	var stop atomic.Bool
	var wg sync.WaitGroup
	var puts [8][]put
	for i := range puts {
		wg.Go(func() { puts[i] = keepPutting(t, v, &stop) })
	}
	time.Sleep(300 * time.Millisecond)
	pg.Stop()
	if err := v.Ping(t.Context()); !errors.Is(err, catalog.ErrUnavailable) || !errors.Is(err, recording.ErrUnavailable) {
		t.Errorf("Ping(stopped) = %v, want ErrUnavailable", err)
	}
	time.Sleep(300 * time.Millisecond)
	pg.Start(t)
	eventually(t, "Ping works", func() bool { return v.Ping(t.Context()) == nil })
	time.Sleep(300 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	checkPuts(t, v, puts[:])
}

type put struct {
	version recording.Version // zero if Begin failed
	err     error             // of Begin or Create
}

func keepPutting(t *testing.T, v *catalogtest.Vault, stop *atomic.Bool) (puts []put) {
	for !stop.Load() {
		in := v.Intent()
		if err := v.Begin(t.Context(), in, nil); err != nil {
			wantUnavailable(t, "Begin", err)
			puts = append(puts, put{err: err})
			time.Sleep(time.Millisecond)
			continue
		}
		err := v.Create(t.Context(), v.Commit(in, catalogtest.Random()), nil)
		if err != nil {
			wantUnavailable(t, "Create", err)
		}
		puts = append(puts, put{in.Version, err})
		if _, err := v.Standings(t.Context()); err != nil && !errors.Is(err, catalog.ErrUnavailable) {
			t.Errorf("Standings() = %v, want nil or ErrUnavailable", err)
		}
	}
	return puts
}

func wantUnavailable(t *testing.T, what string, err error) {
	if !errors.Is(err, catalog.ErrUnavailable) && !errors.Is(err, catalog.ErrUnknown) {
		t.Errorf("%s() = %v, want nil, ErrUnavailable or ErrUnknown", what, err)
	}
}

func checkPuts(t *testing.T, v *catalogtest.Vault, puts [][]put) {
	t.Helper()
	done, refused, unknown := 0, 0, 0
	for _, p := range slices.Concat(puts...) {
		if p.version == (recording.Version{}) {
			refused++
			continue
		}
		state := v.State(t, p.version)
		switch {
		case errors.Is(p.err, catalog.ErrUnknown):
			unknown++
		case p.err == nil:
			done++
			if state != catalog.Committed {
				t.Errorf("Create() = nil, yet the version is %s", state)
			}
		default:
			refused++
			if state != catalog.Intended {
				t.Errorf("Create() = %v, yet the version is %s", p.err, state)
			}
		}
	}
	t.Logf("%d created, %d refused, %d unknown", done, refused, unknown)
	if done == 0 || refused+unknown == 0 {
		t.Error("the restart was not felt")
	}
}

// TestUnansweredCommit breaks the connection at COMMIT, before or after the
// server gets it.
func TestUnansweredCommit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault fault
		want  error
		state catalog.VersionState // afterwards
	}{
		{"it never arrived", fault{}, nil, catalog.Committed},
		{"its answer was lost", fault{deliver: true}, nil, catalog.Committed},
		{"it arrived and the server is gone", fault{deliver: true, forGood: true}, catalog.ErrUnknown, catalog.Committed},
		{"it never arrived and the server is gone", fault{forGood: true}, catalog.ErrUnknown, catalog.Intended},
	} {
		t.Run(test.name, func(t *testing.T) {
			pg := servers.SharedPostgreSQL(t)
			v := catalogtest.NewVault(t, pg.Database(t))
			p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", pg.Port))
			through := catalogtest.Open(t, strings.Replace(v.DSN, fmt.Sprint(":", pg.Port, "/"), fmt.Sprint(":", p.port(), "/"), 1))
			name := catalogtest.Random()
			cm := v.Commit(v.Intend(t), name)

			p.arm(test.fault)
			start := time.Now()
			err := through.Create(t.Context(), cm, nil)
			if !errors.Is(err, test.want) {
				t.Errorf("Create() = %v, want %v", err, test.want)
			}
			t.Logf("answered in %v", time.Since(start).Round(time.Millisecond))
			if !p.struck() {
				t.Error("no COMMIT was seen")
			}
			if state := v.State(t, cm.Version); state != test.state {
				t.Errorf("version is %s, want %s", state, test.state)
			}
		})
	}
}

func TestUnansweredCommitOfTheOthers(t *testing.T) {
	t.Parallel()
	pg := servers.SharedPostgreSQL(t)
	v := catalogtest.NewVault(t, pg.Database(t))
	p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", pg.Port))
	through := catalogtest.Open(t, strings.Replace(v.DSN, fmt.Sprint(":", pg.Port, "/"), fmt.Sprint(":", p.port(), "/"), 1))
	in, subject := v.Intent(), catalogtest.Random()
	asked := catalog.NewErasure{
		ErasureRow: catalog.ErasureRow{ID: recording.NewErasureID(), Tenant: v.Tenant, Scope: catalog.ScopeDay, Commitment: []byte("c")},
		Day:        9,
		Record:     func(int64, []catalog.Slot, []recording.Version) ([]byte, error) { return []byte("record"), nil },
	}
	head := catalog.Follow{Tenant: v.Tenant, Head: catalog.Head{Epoch: 2, Bytes: []byte("head 2")}, From: 1, Slots: []catalog.Slot{{Tree: 3, Number: 9}}}
	for _, write := range []struct {
		name string
		run  func() error
	}{
		{"QueueErasure", func() error {
			q, err := through.QueueErasure(t.Context(), asked, nil)
			if q.Again || q.Erasure.ID != asked.ID || q.Erasure.State != catalog.ErasureQueued {
				t.Errorf("QueueErasure() = %+v, want that it is queued", q)
			}
			return err
		}},
		{"FollowHead", func() error { return through.FollowHead(t.Context(), head) }},
		{"EpochEffective", func() error {
			return through.EpochEffective(t.Context(), catalog.EpochRow{Tenant: v.Tenant, Epoch: 2, EffectiveAt: time.Now()})
		}},
		{"Certify", func() error {
			return through.Certify(t.Context(), v.Tenant, []catalog.Certificate{{ID: asked.ID, Signed: []byte("certificate"), Event: audit.Record{Event: audit.Event{ID: [16]byte(asked.ID), Tenant: v.Tenant}}}})
		}},
		{"Apply", func() error {
			return through.Apply(t.Context(), catalog.Change{Tenant: v.Tenant, Sequence: 2, Token: &catalog.Token{Sealed: []byte("sealed")}})
		}},
		{"Begin", func() error { return through.Begin(t.Context(), in, nil) }},
		{"Abort", func() error { return through.Abort(t.Context(), v.Tenant, in.Version) }},
		{"SubjectSlot", func() error {
			slot, err := through.SubjectSlot(t.Context(), v.Tenant, catalog.Indexed{Index: subject}, 9)
			if slot != 9 {
				t.Errorf("SubjectSlot() = %d, want 9", slot)
			}
			return err
		}},
	} {
		p.arm(fault{deliver: true})
		if err := write.run(); err != nil {
			t.Errorf("%s() = %v", write.name, err)
		}
		if !p.struck() {
			t.Errorf("%s: no COMMIT was seen", write.name)
		}
	}
}

// TestUnansweredEvents breaks the connection at the one statement that appends
// events, before or after the server gets it.
func TestUnansweredEvents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fault  fault
		want   error
		stored int // afterwards
	}{
		{"it never arrived", fault{}, nil, 1},
		{"its answer was lost", fault{deliver: true}, nil, 1},
		{"it arrived and the server is gone", fault{deliver: true, forGood: true}, catalog.ErrUnknown, 1},
		{"it never arrived and the server is gone", fault{forGood: true}, catalog.ErrUnknown, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			pg := servers.SharedPostgreSQL(t)
			v := catalogtest.NewVault(t, pg.Database(t))
			p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", pg.Port))
			through := catalogtest.Open(t, strings.Replace(v.DSN, fmt.Sprint(":", pg.Port, "/"), fmt.Sprint(":", p.port(), "/"), 1))
			e := audit.Event{ID: [16]byte{1}, Tenant: v.Tenant, At: time.Now(), Action: "open", Outcome: audit.Allowed, Request: "REQUEST-TO-BREAK"}
			test.fault.at = e.Request
			p.arm(test.fault)
			if err := through.AppendEvents(t.Context(), []audit.Record{{Event: e}}); !errors.Is(err, test.want) {
				t.Errorf("AppendEvents() = %v, want %v", err, test.want)
			}
			if !p.struck() {
				t.Error("no event was seen")
			}
			stored, err := v.Events(t.Context(), v.Tenant, time.Time{}, time.Now().Add(time.Hour), 10)
			if err != nil || len(stored) != test.stored {
				t.Errorf("%d events are stored, %v; want %d", len(stored), err, test.stored)
			}
		})
	}
}

// TestFrozenServer has a server keep its connections and answer nothing. Every
// call ends, however patient its caller.
func TestFrozenServer(t *testing.T) {
	t.Parallel()
	pg := servers.SharedPostgreSQL(t)
	v := catalogtest.NewVault(t, pg.Database(t))
	for name, call := range map[string]func(context.Context, *catalog.Catalog) error{
		"Standings": func(ctx context.Context, c *catalog.Catalog) error { _, err := c.Standings(ctx); return err },
		"Tenant":    func(ctx context.Context, c *catalog.Catalog) error { _, err := c.Tenant(ctx, v.Tenant); return err },
		"LookupSubject": func(ctx context.Context, c *catalog.Catalog) error {
			_, _, err := c.LookupSubject(ctx, v.Tenant, catalogtest.Random())
			return err
		},
		"Begin": func(ctx context.Context, c *catalog.Catalog) error { return c.Begin(ctx, v.Intent(), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, fmt.Sprintf("127.0.0.1:%d", pg.Port))
			through := catalogtest.Open(t, strings.Replace(v.DSN, fmt.Sprint(":", pg.Port, "/"), fmt.Sprint(":", p.port(), "/"), 1))
			p.frozen.Store(true)
			start := time.Now()
			if err := call(t.Context(), through); !errors.Is(err, catalog.ErrUnavailable) {
				t.Errorf("%s() = %v, want ErrUnavailable", name, err)
			}
			t.Logf("answered in %v", time.Since(start).Round(time.Millisecond))
		})
	}
}

func TestErrorsQuoteNoRow(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	ch := catalog.Change{Credential: &catalog.Credential{AccessKey: "AKIDTELLTALE"}}
	if err := v.Next(t, ch); err == nil {
		t.Fatal("a credential without sealed bytes was accepted")
	}
	ch.Credential.Sealed = []byte("telltale")
	if err := v.Next(t, ch); err != nil {
		t.Fatal(err)
	}
	err := v.Next(t, ch)
	if err == nil || errors.Is(err, catalog.ErrUnavailable) {
		t.Fatalf("Apply(credential that exists) = %v", err)
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if text := fmt.Sprintf("%v %+v", err, pg); !ok || strings.Contains(strings.ToLower(text), "telltale") {
		t.Errorf("Apply() = %s, which quotes the row", text)
	}
}

// Others tells of every other process that has the catalog open, and of no session
// of its own.
func TestOthers(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	for range 3 {
		if _, err := v.Tenants(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := v.Others(t.Context()); err != nil || n != 0 {
		t.Errorf("Others() = %d, %v, alone", n, err)
	}
	other := catalogtest.Open(t, v.DSN)
	if n, err := v.Others(t.Context()); err != nil || n == 0 {
		t.Errorf("Others() = %d, %v, beside another", n, err)
	}
	if n, err := other.Others(t.Context()); err != nil || n == 0 {
		t.Errorf("Others() = %d, %v, of the other", n, err)
	}
}

// TestHoldIsSerializable acknowledges a hold while an erasure that has not seen it is
// under way: the erasure, which is acknowledged later, is refused.
func TestHoldIsSerializable(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	cm, err := v.Put(t, catalogtest.Random(), catalog.Never)
	if err != nil {
		t.Fatal(err)
	}
	row, err := v.Version(t.Context(), v.Tenant, cm.Version)
	if err != nil {
		t.Fatal(err)
	}
	h := catalog.Hold{ID: recording.NewHoldID(), Recording: row.Recording, Slot: 900, Sealed: []byte("s"), Who: "admin", CreatedAt: time.Now()}
	acknowledged := false
	_, err = v.QueueErasure(t.Context(), catalog.NewErasure{
		ErasureRow: catalog.ErasureRow{ID: recording.NewErasureID(), Tenant: v.Tenant, Scope: catalog.ScopeRecording, Commitment: []byte("c")},
		Recording:  row.Recording,
		Record:     func(int64, []catalog.Slot, []recording.Version) ([]byte, error) { return []byte("record"), nil },
		Erasable: func(holds []catalog.Hold) error {
			if len(holds) > 0 {
				return recording.ErrHeld
			}
			if !acknowledged {
				if err := v.Next(t, catalog.Change{Hold: &h}); err != nil {
					t.Fatal(err)
				}
				acknowledged = true
			}
			return nil
		},
	}, nil)
	if !errors.Is(err, recording.ErrHeld) {
		t.Errorf("QueueErasure() = %v after a hold was acknowledged, want ErrHeld", err)
	}
}

// TestMovingIsSerializable lets a Create that saw no move of indexes begin race with
// the move, which did not see what was created: both cannot stand.
func TestMovingIsSerializable(t *testing.T) {
	t.Parallel()
	v := postgresVault(t)
	in := v.Intend(t)
	if err := v.Next(t, catalog.Change{Announced: &catalog.Announced{Generation: 1, Slot: 1, Journal: 3}}); err != nil {
		t.Fatal(err)
	}
	tx, err := connect(t, v.DSN).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.Serializable})
	if err != nil {
		t.Fatal(err)
	}
	var stage catalog.Stage
	if err := tx.QueryRow(t.Context(), `SELECT index_stage FROM tenants WHERE id = $1`, v.Tenant[:]).Scan(&stage); err != nil || stage != 1 {
		t.Fatalf("stage: %d, %v", stage, err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE versions SET state = 'committed' WHERE version = $1`, in.Version[:]); err != nil {
		t.Fatal(err)
	}
	row, err := v.Catalog.Tenant(t.Context(), v.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := v.BeginMove(t.Context(), catalog.Move{Tenant: v.Tenant, From: 1, To: 2, Journal: row.Journal})
	if err != nil || !begun {
		t.Fatalf("BeginMove() = %t, %v", begun, err)
	}
	rows, reached, err := v.ToMove(t.Context(), v.Tenant, nil, 10)
	if len(rows) != 1 || err != nil || rows[0].State != catalog.Intended {
		t.Fatalf("ToMove() = %d, %v, want what is under way", len(rows), err)
	}
	rows, _, err = v.ToMove(t.Context(), v.Tenant, reached, 10)
	if len(rows) != 0 || err != nil {
		t.Fatalf("ToMove() = %d, %v, want that nothing else is there", len(rows), err)
	}
	err = tx.Commit(t.Context())
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "40001" {
		t.Errorf("Commit() of what was created = %v, want SQLSTATE 40001", err)
	}
}
