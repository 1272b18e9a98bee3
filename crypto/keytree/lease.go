package keytree

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/recording"
)

// LeaseTime is the longest an unwrapped root stays in memory, counted from the
// moment its unwrapping was asked for, in time that goes on while the machine
// sleeps.
const LeaseTime = 30 * time.Second

// unwrapTimeout bounds one unwrapping, which goes on when the request that
// began it goes away, because others may wait for it.
const unwrapTimeout = 10 * time.Second

// Leases holds the roots of tenants in use. However many ask, a root is
// unwrapped once per lease.
type Leases struct {
	provider Provider
	pages    Pages
	ended    func(recording.Tenant) // called with mu held
	now      func() time.Duration   // since some fixed moment; never set back
	flight   singleflight.Group
	drops    atomic.Uint64 // counts Drop, so that an unwrapping begun before one is not kept

	mu    sync.Mutex // guards the rest
	held  map[recording.Tenant]*lease
	stats LeaseStats
}

// LeaseStats says how often a root was at hand when it was asked for, and how
// often its provider had to be.
type LeaseStats struct {
	Hits, Misses uint64
	Held         int // now
}

// Stats gives the counts since NewLeases.
func (l *Leases) Stats() LeaseStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Held = len(l.held)
	return s
}

type lease struct {
	keys    Keys
	expires time.Duration
	end     *time.Timer // clears the lease if nobody asks again
}

// NewLeases leases roots from a provider, with the pages beneath them. ended is told of every tenant whose
// root is cleared, and of one that is dropped even if none was held: what was
// opened with the root must go too. It returns soon, and asks nothing of l.
func NewLeases(p Provider, pages Pages, ended func(recording.Tenant)) *Leases {
	return &Leases{provider: p, pages: pages, ended: ended, now: boottime, held: map[recording.Tenant]*lease{}}
}

// Keys gives the keys under a head, unwrapping its root unless it is leased.
// ErrErased when the head says so; else the provider's errors.
func (l *Leases) Keys(ctx context.Context, h Head) (*Keys, error) {
	if h.Kind == HeadErased {
		return nil, ErrErased
	}
	if k := l.lookup(h); k != nil {
		return k, nil
	}
	flight := fmt.Sprintf("%v/%d", h.Tenant, h.Epoch)
	done := l.flight.DoChan(flight, func() (k any, err error) {
		err = fault.Contain(func() (err error) {
			k, err = l.unwrap(context.WithoutCancel(ctx), h)
			return err
		})
		return k, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-done:
		if r.Err != nil {
			return nil, r.Err
		}
		k := *r.Val.(*Keys)
		return &k, nil
	}
}

// Drop clears a tenant's root at once, and an unwrapping under way is not kept.
func (l *Leases) Drop(t recording.Tenant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drops.Add(1)
	l.forget(t)
	l.ended(t) // of an unwrapping under way, too
}

// Drops counts the roots that were dropped: whoever uses what a root opened
// looks again when it has changed.
func (l *Leases) Drops() uint64 { return l.drops.Load() }

// Close clears every root.
func (l *Leases) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drops.Add(1)
	for t := range l.held {
		l.forget(t)
	}
}

func (l *Leases) lookup(h Head) *Keys {
	l.mu.Lock()
	defer l.mu.Unlock()
	held, ok := l.held[h.Tenant]
	if !ok || held.keys.epoch != h.Epoch || l.now() >= held.expires {
		return nil
	}
	l.stats.Hits++
	k := held.keys
	return &k
}

func (l *Leases) unwrap(ctx context.Context, h Head) (*Keys, error) {
	if k := l.lookup(h); k != nil { // leased between the caller's look and this flight
		return k, nil
	}
	ctx, cancel := context.WithTimeout(ctx, unwrapTimeout)
	defer cancel()
	l.mu.Lock()
	drops := l.drops.Load()
	l.stats.Misses++
	l.mu.Unlock()
	sent := l.now()
	k, err := Unwrap(ctx, l.provider, l.pages, h)
	if err != nil {
		return nil, err
	}
	l.keep(k, sent+LeaseTime, drops)
	return k, nil
}

// keep leases k, unless it came too late.
func (l *Leases) keep(k *Keys, expires time.Duration, drops uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := expires - l.now()
	if l.drops.Load() != drops || left <= 0 {
		return
	}
	if old, ok := l.held[k.tenant]; ok && old.keys.epoch > k.epoch {
		return
	}
	l.forget(k.tenant)
	k.system = &systemKeys{}
	held := &lease{keys: *k, expires: expires}
	held.end = time.AfterFunc(left, func() { l.expire(k.tenant, held) })
	l.held[k.tenant] = held
}

func (l *Leases) expire(t recording.Tenant, held *lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[t] == held {
		l.forget(t)
	}
}

// forget clears a lease; l.mu is held.
func (l *Leases) forget(t recording.Tenant) {
	if held, ok := l.held[t]; ok {
		held.end.Stop()
		held.keys.Clear()
		held.keys.system.clear()
		delete(l.held, t)
		l.ended(t)
	}
}
