package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// Running streams and background work see a tenant's state no older than
// stateAge; the catalog is asked every pollEvery, and pollAgain after it did
// not answer, so that one lost answer ends no stream. Requests do not rely on
// this: they read the state with their credential.
const (
	pollEvery   = 2 * time.Second
	pollAgain   = 250 * time.Millisecond
	pollTimeout = 1500 * time.Millisecond
	stateAge    = 4 * time.Second
)

// states is what the last good poll said of every tenant.
type states struct {
	mu  sync.RWMutex // guards all below
	of  map[recording.Tenant]catalog.Standing
	ask time.Time // when the last good poll was begun

	timeline catalog.Timeline // "" before the first poll
}

func newStates() *states { return &states{} }

// check lets work go on whose request found the tenant active when it asked the
// catalog at the given time, which may be later than the last good poll.
// recording.ErrUnavailable when neither says anything any more.
func (s *states) check(t recording.Tenant, asked time.Time) error {
	if err := s.fresh(); err != nil && time.Since(asked) > stateAge {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	state, known := s.of[t]
	if !known { // made after the last poll
		return nil
	}
	return state.State.Err()
}

func (s *states) fresh() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if age := time.Since(s.ask); age > stateAge {
		return fmt.Errorf("%w: states of tenants are %v old", recording.ErrUnavailable, age.Round(time.Second))
	}
	return nil
}

// replace takes the result of a poll and gives the tenants whose keys must go:
// those that changed their state, moved to another epoch or ceased to be, and
// those that are new, of which nobody knows what they were before. A poll that
// was begun before the last good one is too late to say anything.
func (s *states) replace(asked time.Time, now map[recording.Tenant]catalog.Standing) (stale []recording.Tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked.Before(s.ask) {
		return nil
	}
	for t, is := range now {
		was, known := s.of[t]
		if !known || is.Epoch != was.Epoch || is.State != was.State {
			stale = append(stale, t)
		}
	}
	for t := range s.of {
		if _, still := now[t]; !still {
			stale = append(stale, t)
		}
	}
	s.of, s.ask = now, asked
	return stale
}

// moved reports whether the catalog is on another timeline than it was.
func (s *states) moved(timeline catalog.Timeline) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.timeline
	s.timeline = timeline
	return was != "" && was != timeline
}

// known is the timeline as of the last poll.
func (s *states) known() catalog.Timeline {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.timeline
}

// watch polls until the gateway is closed.
func (g *Gateway) watch() {
	next := time.NewTimer(pollEvery)
	defer next.Stop()
	for {
		select {
		case <-g.life.Done():
			return
		case <-next.C:
		}
		next.Reset(pollEvery)
		ctx, cancel := context.WithTimeout(g.life, pollTimeout)
		if err := g.poll(ctx); err != nil && g.life.Err() == nil {
			g.log.Warn("states of tenants not read", "error", err)
			next.Reset(pollAgain)
		}
		cancel()
	}
}

// lookBehind has every tenant caught up anew: the database that took over may lack
// entries that the store's journals have, and so revocations, erasures and holds.
func (g *Gateway) lookBehind() {
	g.log.Warn("another server of the catalog took over, or it is an older copy of itself; what it lacks of settings, holds and filings is read in the store")
	g.current.Clear()
	if g.roles.Has(Front) || g.roles.Has(Eraser) {
		g.working.Go(g.catchUpAll)
	}
}

// poll reads all states, drops keys that must go, and takes up erasures where
// this process has them to drive.
func (g *Gateway) poll(ctx context.Context) error {
	asked := time.Now()
	timeline, err := g.catalog.Timeline(ctx)
	if err != nil {
		return err
	}
	if g.states.moved(timeline) {
		g.lookBehind()
	}
	list, err := g.catalog.Standings(ctx)
	if err != nil {
		return err
	}
	now := make(map[recording.Tenant]catalog.Standing, len(list))
	for _, t := range list {
		now[t.Tenant] = t
	}
	for _, t := range g.states.replace(asked, now) {
		g.leases.Drop(t)
	}
	for _, t := range list {
		if t.State == catalog.TenantErasing && g.roles.Has(Eraser) {
			g.driveErasure(t.Tenant)
		}
	}
	return nil
}
