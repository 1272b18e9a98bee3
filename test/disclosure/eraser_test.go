package disclosure_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/pages"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/recording"
)

// product drives epochs as Lethe does: gateway/eraser, on a catalog in SQLite.
type product struct {
	t       *testing.T
	tenant  recording.Tenant
	catalog *catalog.Catalog
	db      *sql.DB // the same, for what only a test does to it

	settings keytree.Key // which no epoch changes
}

func newProduct(t *testing.T, dir string, h keytree.Head, settings keytree.Key) *product {
	t.Helper()
	path := filepath.Join(dir, "catalog.db")
	p := &product{t: t, tenant: h.Tenant, settings: settings}
	c, err := catalog.OpenObserved(t.Context(), "sqlite:"+path, observedLives{p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	db, err := sql.Open("sqlite3", "file:"+path+"?_pragma=busy_timeout(60000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p.catalog, p.db = c, db
	p.exec(`INSERT INTO tenants (id, name, state, epoch, head, journal, created_at) VALUES (?, 'acme', 'active', ?, ?, 1, 0)`,
		h.Tenant[:], int64(h.Epoch), h.Marshal())
	return p
}

func (p *product) exec(query string, args ...any) {
	p.t.Helper()
	if _, err := p.db.Exec(query, args...); err != nil {
		p.t.Fatal(err)
	}
}

// queue leaves slots as a request to erase them does that the store has.
func (p *product) queue(slots ...keytree.Slot) {
	p.t.Helper()
	of := make([]catalog.Slot, len(slots))
	for i, s := range slots {
		of[i] = catalog.Slot{Tree: int64(s.Tree), Number: int64(s.Number)}
	}
	row := catalog.ErasureRow{ID: recording.NewErasureID(), Tenant: p.tenant, Scope: catalog.ScopeRecording}
	record, err := eraser.StatementOf(row, of, nil).Seal(p.settings, p.tenant, row.Base)
	if err != nil {
		p.t.Fatal(err)
	}
	tx, err := p.db.Begin()
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = tx.Exec(`INSERT INTO erasures (id, tenant, scope, state, who, reason, commitment, asked_at, base, record, recorded, versions, refiled, epoch)
		VALUES (?, ?, ?, 'queued', '', '', ?, 0, ?, ?, TRUE, 0, 0, 0)`, row.ID[:], p.tenant[:], row.Scope, []byte{}, row.Base, record)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range of {
		_, err := tx.Exec(`INSERT INTO punctures (tenant, tree, slot, erasure, since) VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING`,
			p.tenant[:], s.Tree, s.Number, row.ID[:])
		if err != nil {
			p.t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *product) run(l *life, keys keytree.Provider, store keytree.Store) error {
	ctx, die := context.WithCancel(context.WithValue(context.Background(), lifeKey{}, l))
	defer die()
	l.ended = die
	blobs := wholeStore{Store: mortalStore{store, l}}
	e := eraser.New(eraser.Config{
		Blobs: blobs, Catalog: p.catalog, Keys: mortalKeys{keys, l}, Pages: pages.New(p.catalog, store),
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Drain: time.Hour, // certificates are none of its matter
	})
	err := e.Drive(ctx, p.tenant)
	if l.died != "" {
		return errCrashed
	}
	if err != nil {
		return err
	}
	return p.finished()
}

// observedLives makes every query and transaction of a life a step of it, but for those
// about leases, which are renewed beside the steps and nothing rests on. When one asks
// for a lease, that of another has run out: it only seemed to be dead.
type observedLives struct{ *product }

type lifeKey struct{}

func (o observedLives) Begin(ctx context.Context, c observe.Call) (context.Context, func(observe.Outcome)) {
	l, ok := ctx.Value(lifeKey{}).(*life)
	if !ok {
		return ctx, func(observe.Outcome) {}
	}
	if c.Operation == "LeaseEpochs" {
		o.exec(`DELETE FROM epoch_leases`)
		return ctx, func(observe.Outcome) {}
	}
	l.begin(c.Operation)
	if l.died != "" && !l.last {
		l.end()
		dead, cancel := context.WithCancel(ctx)
		cancel()
		return dead, func(observe.Outcome) {}
	}
	return ctx, func(observe.Outcome) {
		if l.last {
			l.last = false
			l.end()
		}
	}
}

var errUnfinished = errors.New("there is more to do")

// finished says whether the catalog has nothing queued, and no epoch unfinished.
func (p *product) finished() error {
	slots, _, _, err := p.catalog.ToPuncture(context.Background(), p.tenant, 1)
	if err != nil {
		return err
	}
	epochs, err := p.catalog.UnfinishedEpochs(context.Background(), p.tenant)
	if err != nil {
		return err
	}
	if len(slots) > 0 || len(epochs) > 0 {
		return errUnfinished
	}
	return nil
}

func (p *product) restore(h keytree.Head, tombstones []keytree.Slot) {
	p.exec(`UPDATE tenants SET epoch = ?, head = ?`, int64(h.Epoch), h.Marshal())
	p.exec(`DELETE FROM epochs WHERE epoch > ?`, int64(h.Epoch))
	p.exec(`DELETE FROM pages WHERE epoch > ?`, int64(h.Epoch))
	p.exec(`DELETE FROM punctures`)
	p.queue(tombstones...)
}

// wholeStore is a store whose coordinator deletes nothing, and in which there is no
// record that the catalog lacks.
type wholeStore struct{ keytree.Store }

var errNoCoordinators = errors.New("no coordinator does that")

func (wholeStore) Delete(context.Context, string) error { return errNoCoordinators }

func (wholeStore) List(context.Context, string) iter.Seq2[blob.Info, error] {
	return func(func(blob.Info, error) bool) {}
}
