// Package eraser makes erasures final. It drives each tenant from epoch to epoch:
// the slots of what was erased are punctured in the key tree, the new root is
// wrapped under a new version at the provider, committed in the store, followed by
// the catalog, read back from both, and only then are older versions destroyed.
//
// The order, and why it is safe to be killed between any two steps, is
// docs/design.md, "An epoch, step by step".
package eraser

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/pages"
	"github.com/lethe-vault/lethe/recording"
)

// Config is what an Eraser is made of. Every field is required that does not say
// what its zero means.
type Config struct {
	Blobs   blob.Store
	Catalog *catalog.Catalog
	Keys    keytree.Provider
	Pages   *pages.Cache
	Signer  *claim.Signer // of certificates; nil only if it never runs
	Logger  *slog.Logger

	// Moved is told of a tenant that this process has moved to another epoch, so
	// that keys under the one before go at once; nil tells nobody.
	Moved func(recording.Tenant)

	// Restored is told of erasures that the catalog had lost; nil tells nobody.
	Restored func(recording.Tenant, []recording.ErasureID)

	// Told is Following's; nil only where nothing is filed anew.
	Told func(context.Context, *keytree.Keys, catalog.Version, keytree.Filing) (catalog.Refiled, error)

	Floor      time.Duration // between two epochs of a tenant, so that erasures share one; 0 is DefaultFloor
	ScrapAge   time.Duration // after which slots of overwritten and aborted data get an epoch of their own; 0 is DefaultScrapAge
	Superseded time.Duration // how long heads and packs are kept that later ones superseded; 0 is for ever

	Drain time.Duration // after which no replica holds anything of the epoch before; 0 is keytree.LeaseTime
}

// The defaults of Config.
const (
	DefaultFloor    = time.Second
	DefaultScrapAge = 10 * time.Minute
)

const (
	lookEvery   = time.Second // for tenants that have something to do
	unlinkEvery = time.Minute
	retryAfter  = 5 * time.Second  // what failed
	atOnce      = 4                // tenants
	leaseFor    = 6 * time.Second  // of a tenant's epochs: how long those of a process that was killed wait
	renewEvery  = 2 * time.Second  // by who drives it still
	passFor     = 10 * time.Minute // of one tenant, at most
)

// Eraser drives the epochs of all tenants. Replicas may each have one: they save
// each other work by leases, and are safe without them.
type Eraser struct {
	Config
	holder [16]byte // names this process in leases
	nudged chan struct{}
	counts counts

	mu       sync.Mutex // guards next and unlinked
	next     map[recording.Tenant]time.Time
	unlinked time.Time // when it was last looked for what is unlinkable by now, or as if it was: see unlinkAfter

	signer struct { // see signing
		mu   sync.Mutex // guards ours
		ours keys       // nil until this process's is known to be the one in use
	}
}

// New makes an eraser. Run runs it.
func New(c Config) *Eraser {
	c.Floor = cmp.Or(c.Floor, DefaultFloor)
	c.ScrapAge = cmp.Or(c.ScrapAge, DefaultScrapAge)
	c.Drain = cmp.Or(c.Drain, keytree.LeaseTime)
	if c.Moved == nil {
		c.Moved = func(recording.Tenant) {}
	}
	if c.Restored == nil {
		c.Restored = func(recording.Tenant, []recording.ErasureID) {}
	}
	e := &Eraser{Config: c, nudged: make(chan struct{}, 1), next: map[recording.Tenant]time.Time{}}
	rand.Read(e.holder[:]) // never fails: crypto/rand ends the program instead
	return e
}

// Nudge has the eraser look now, because something was erased here.
func (e *Eraser) Nudge() {
	select {
	case e.nudged <- struct{}{}:
	default: // it will look anyway
	}
}

// Run drives tenants until ctx ends.
func (e *Eraser) Run(ctx context.Context) {
	var inspecting sync.WaitGroup
	defer inspecting.Wait()
	inspecting.Go(func() { e.inspectAlways(ctx) })
	inspecting.Go(func() { e.dropAlways(ctx) })
	if _, err := e.signing(ctx); err != nil && ctx.Err() == nil { // told before it matters
		e.Logger.Error("erasures get no certificates yet", "error", err)
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for ctx.Err() == nil {
		if err := e.look(ctx); err != nil && ctx.Err() == nil {
			e.Logger.Warn("erasures not looked for", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-look.C:
		case <-e.nudged:
		}
	}
}

// look drives every tenant that has something to do and whose turn it is.
func (e *Eraser) look(ctx context.Context) error {
	tenants, err := e.Catalog.TenantsToPuncture(ctx, e.ScrapAge)
	if err == nil && e.unlinkDue() {
		var more []recording.Tenant
		more, err = e.Catalog.TenantsToUnlink(ctx)
		tenants = append(tenants, more...)
	}
	if err != nil {
		return err
	}
	oldest, err := e.Catalog.OldestErasure(ctx)
	if err != nil {
		return err
	}
	e.counts.oldest.Store(int64(oldest))
	var driving errgroup.Group // each tenant's failure is its own
	driving.SetLimit(atOnce)
	for _, t := range tenants {
		if !e.due(t) {
			continue
		}
		driving.Go(func() error {
			e.driveLogged(ctx, t)
			return nil
		})
	}
	return driving.Wait()
}

// unlinkDue reports whether it is time to look for erasures that are unlinkable by now.
func (e *Eraser) unlinkDue() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.unlinked) < unlinkEvery {
		return false
	}
	e.unlinked = time.Now()
	return true
}

// due reports whether it is a tenant's turn, and gives the next one a floor.
func (e *Eraser) due(t recording.Tenant) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Now().Before(e.next[t]) {
		return false
	}
	e.next[t] = time.Now().Add(e.Floor)
	return true
}

func (e *Eraser) driveLogged(ctx context.Context, t recording.Tenant) {
	err := fault.Contain(func() error { return e.Drive(ctx, t) })
	if err == nil || ctx.Err() != nil {
		return
	}
	e.counts.failures.Add(1)
	level := slog.LevelWarn
	if errors.Is(err, recording.ErrIncident) && !errors.Is(err, ErrOvertaken) {
		level = slog.LevelError
	}
	e.Logger.Log(ctx, level, "erasures of tenant go on later", "tenant", t.String(), "error", err)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next[t] = time.Now().Add(retryAfter)
}

// Drive carries a tenant's erasures as far as they go now: those that are queued to
// an epoch of which older versions are destroyed, those that have drained to their
// certificates. Whatever fails or is killed is taken up by the next, anywhere.
// Another process that drives the tenant is left to it.
func (e *Eraser) Drive(ctx context.Context, id recording.Tenant) error {
	ctx, cancel := context.WithTimeout(ctx, passFor)
	defer cancel()
	_, err := e.leased(ctx, id, e.holder, func(ctx context.Context) error { return e.drive(ctx, id) })
	return err
}

// leased does something while a holder has the lease of a tenant's epochs, and reports
// whether it got it.
func (e *Eraser) leased(ctx context.Context, id recording.Tenant, holder [16]byte, do func(context.Context) error) (mine bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	mine, err = e.Catalog.LeaseEpochs(ctx, id, holder, leaseFor)
	if err != nil || !mine {
		return false, err
	}
	released := e.renew(ctx, cancel, id, holder)
	err = do(ctx)
	released()
	leaving, left := context.WithTimeout(context.WithoutCancel(ctx), retryAfter)
	defer left()
	return true, errors.Join(err, e.Catalog.LeaveEpochs(leaving, id, holder))
}

// renew keeps a tenant's lease until it is released. Once another has it, the work is
// left to that.
func (e *Eraser) renew(ctx context.Context, lost func(), id recording.Tenant, holder [16]byte) (released func()) {
	done := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if mine, err := e.Catalog.LeaseEpochs(ctx, id, holder, leaseFor); err == nil && !mine {
				lost()
			}
		}
	})
	return func() {
		close(done)
		renewing.Wait()
	}
}

// ErrOvertaken: another process has moved the tenant on, so what this one was about
// says nothing any more. The next pass begins with what is.
var ErrOvertaken = errors.New("eraser: another process has moved the tenant on")

func (e *Eraser) drive(ctx context.Context, id recording.Tenant) error {
	t, err := e.Catalog.Tenant(ctx, id)
	if err != nil || t.State.Err() == recording.ErrTenantErased {
		return err
	}
	err = e.advance(ctx, &t)
	if errors.Is(err, recording.ErrIncident) && e.overtaken(ctx, t) {
		return fmt.Errorf("%w: %v", ErrOvertaken, err)
	}
	return err
}

// overtaken reports whether catalog or store have a later head than t.
func (e *Eraser) overtaken(ctx context.Context, t catalog.Tenant) bool {
	now, err := e.Catalog.Tenant(ctx, t.ID)
	if err == nil && now.Epoch > t.Epoch {
		return true
	}
	_, err = keytree.ReadHead(ctx, e.Blobs, t.ID, uint64(t.Epoch)+1)
	return err == nil
}

func (e *Eraser) advance(ctx context.Context, t *catalog.Tenant) error {
	if err := e.follow(ctx, t); err != nil {
		return err
	}
	if err := e.finish(ctx, *t); err != nil {
		return err
	}
	if err := e.punctureAll(ctx, t, Leave); err != nil {
		return err
	}
	if err := e.certify(ctx, t.ID); err != nil {
		return err
	}
	more, err := e.unlink(ctx, t.ID)
	switch {
	case err != nil:
		e.unlinkAfter(2 * retryAfter) // by when it is the tenant's turn
	case more:
		e.unlinkAfter(0)
	}
	return err
}

// unlinkAfter has the next look for what is unlinkable be after a time, not longer than
// unlinkEvery.
func (e *Eraser) unlinkAfter(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.unlinked = time.Now().Add(d - unlinkEvery)
}

// punctureAll punctures all that is due, in as many epochs as it takes, each of which is
// effective before the next begins.
func (e *Eraser) punctureAll(ctx context.Context, t *catalog.Tenant, how Unproved) error {
	for more := true; more; {
		moved, left, err := e.puncture(ctx, t, how)
		if err != nil {
			return err
		}
		if moved {
			if err := e.finish(ctx, *t); err != nil {
				return err
			}
		}
		more = left
	}
	return nil
}
