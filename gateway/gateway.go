// Package gateway is the application: recordings are put, opened, listed and
// erased here, on behalf of a Caller, under keys that can be forgotten. It
// knows no HTTP; the fronts turn protocols into its methods and its errors
// into protocols.
//
// The order of every write and read, and why it is safe to be killed between
// any two steps, is docs/design.md.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/pages"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/recording"
)

// Config is what a Gateway is made of. Every field is required that does not
// say what its zero means.
type Config struct {
	Blobs   blob.Store
	Catalog *catalog.Catalog
	Keys    keytree.Provider
	Owner   Secret // the operator's token
	Logger  *slog.Logger
	Roles   Roles // whose background work is done here; none means all of them

	Observer observe.Observer // of the gateway's own steps; nil is observe.Nobody

	Signer *claim.Signer // of certificates; nil where the roles have no eraser

	StaleUpload   time.Duration // after which an upload that got no part is given up; 0 is DefaultStaleUpload
	Sweep         SweepConfig   // its zero means the defaults
	RetentionHour int           // of the night, UTC, in which what has passed is erased: 0 to 23; see DefaultRetentionHour
	Superseded    time.Duration // for how long heads and packs are kept that later ones superseded; 0 is for ever
	ReindexEvery  time.Duration // see DefaultReindexEvery, which 0 is; below 0 rows move on demand alone
	EpochFloor    time.Duration // between two epochs of a tenant; 0 is eraser.DefaultFloor

	announce time.Duration // in tests: instead of announceFor
	turn     time.Duration // in tests: instead of reindexFor
}

// Gateway serves any number of callers at once. Replicas share nothing but
// the catalog, the store and the provider.
type Gateway struct {
	blobs     blob.Store
	catalog   *catalog.Catalog
	provider  keytree.Provider
	owner     Secret
	log       *slog.Logger
	observer  observe.Observer
	roles     Roles
	stale     time.Duration // see Config.StaleUpload
	sweeps    *sweeps
	retention *retention
	reindexes *reindexing

	slots    *keytree.Reserver
	leases   *keytree.Leases
	eraser   *eraser.Eraser
	shelves  *shelves
	audit    *audit.Log
	sessions *sessions
	states   *states
	current  sync.Map // recording.Tenant → catalog.Timeline: on which it was seen not to be behind the store
	erasures sync.Map // recording.Tenant → struct{}: whose own erasure is driven by this process

	life    context.Context // ends with Close; background work hangs from it
	end     context.CancelFunc
	working sync.WaitGroup // background work
}

// New starts a gateway: it learns the states of all tenants, and takes up
// erasures that were under way. Close ends it.
func New(ctx context.Context, c Config) (*Gateway, error) {
	g := build(c)
	if g.roles.Has(Eraser) && c.Signer == nil {
		g.Close()
		return nil, errors.New("gateway: an eraser needs a key to sign certificates with")
	}
	if err := g.poll(ctx); err != nil {
		g.Close()
		return nil, fmt.Errorf("read tenants: %w", err)
	}
	g.work()
	return g, nil
}

// build puts a gateway together that does nothing yet by itself.
func build(c Config) *Gateway {
	g := &Gateway{
		blobs:     c.Blobs,
		catalog:   c.Catalog,
		provider:  c.Keys,
		owner:     c.Owner,
		log:       c.Logger,
		observer:  c.Observer,
		roles:     c.Roles,
		stale:     cmp.Or(c.StaleUpload, DefaultStaleUpload),
		sweeps:    newSweeps(c),
		retention: &retention{hour: c.RetentionHour},
		reindexes: newReindexing(c),
		slots:     keytree.NewReserver(c.Blobs),
		shelves:   newShelves(),
		audit:     audit.NewLog(c.Catalog),
	}
	if g.observer == nil {
		g.observer = observe.Nobody
	}
	found := pages.New(c.Catalog, c.Blobs)
	g.leases = keytree.NewLeases(c.Keys, found, g.shelves.drop)
	g.eraser = eraser.New(eraser.Config{
		Blobs: c.Blobs, Catalog: c.Catalog, Keys: c.Keys, Pages: found, Signer: c.Signer, Logger: c.Logger,
		Moved: g.leases.Drop, Restored: g.restored, Told: g.told, Floor: c.EpochFloor, Superseded: c.Superseded, Drain: stateAge + keytree.LeaseTime,
	})
	g.life, g.end = context.WithCancel(context.Background())
	g.sessions = newSessions(g.logServed, c.Logger)
	g.states = newStates()
	return g
}

// work begins what goes on beside requests until g.life ends.
func (g *Gateway) work() {
	g.working.Go(g.watch)
	g.working.Go(func() { g.sessions.run(g.life) })
	if g.roles.Has(Front) || g.roles.Has(Eraser) {
		g.working.Go(g.catchUpAll)
	}
	if g.roles.Has(Eraser) {
		g.working.Go(g.plantAsked)
		g.working.Go(g.retainAlways)
		g.working.Go(g.reindexAlways)
		g.working.Go(func() { g.eraser.Run(g.life) })
	}
	if g.roles.Has(Sweeper) {
		g.working.Go(g.sweepAlways)
	}
}

// Close ends background work, writes what the log still has to take, and
// clears every key. Requests must have ended.
func (g *Gateway) Close() {
	g.end()
	g.working.Wait()
	g.audit.Close()
	g.leases.Close()
	g.shelves.close()
}

// Ready reports whether the catalog answers and tenants' states are fresh.
func (g *Gateway) Ready(ctx context.Context) error {
	if err := g.catalog.Ping(ctx); err != nil {
		return err
	}
	return g.states.fresh()
}

// unavailable says recording.ErrUnavailable of whatever a caller may try
// again, and leaves every other error as it is.
func unavailable(err error) error {
	for _, known := range []error{keytree.ErrUnavailable, blob.ErrUnavailable, catalog.ErrUnavailable, catalog.ErrUnknown, catalog.ErrTombstoned, audit.ErrClosed} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", recording.ErrUnavailable, err)
		}
	}
	return err
}
