package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/policy"
	"github.com/lethe-vault/lethe/recording"
)

// DefaultRetentionHour is a quiet one, of UTC.
const DefaultRetentionHour = 2

const (
	retainFirst   = 10 * time.Second // before the first look
	retainEvery   = time.Minute      // between the end of a look and the next, for what has passed
	retainTimeout = 6 * time.Hour    // of one pass over all tenants
	queueLease    = time.Minute      // of a tenant's epochs, while its days are queued
	leaseTries    = 20               // before days are queued without
)

// reasonRetention is why a day is erased that has passed.
const reasonRetention = "retention"

// RetentionStatus is what a process knows of the expiry that it sees to.
type RetentionStatus struct {
	Complete time.Time     // when the last pass ended that did all it could; zero if none did
	Days     int64         // retention days that were erased
	Failures int64         // tenants' passes that were broken off
	Apart    time.Duration // how far clocks were apart when they last were too far; 0 if they were not since
}

// retention is what a gateway keeps of it.
type retention struct {
	hour int
	noted[RetentionStatus]
}

// lastNight is the day, counted from 1970, on which it was last the hour at which
// what has passed is erased.
func (r *retention) lastNight(at time.Time) int64 {
	return dayOf(at.Add(-time.Duration(r.hour) * time.Hour))
}

func dayOf(at time.Time) int64 { return at.Unix() / (24 * 60 * 60) }

// retainAlways erases what has passed, each night, until the gateway is closed; and
// soon after its start what a night that it missed has left. Many may do so at once:
// a day is erased once.
func (g *Gateway) retainAlways() {
	for wait := retainFirst; sleep(g.life, wait) == nil; wait = retainEvery {
		err := fault.Contain(func() error { return g.retain(g.life) })
		if err != nil && g.life.Err() == nil {
			g.log.Warn("expiry broken off; it goes on soon", "error", err)
		}
	}
}

// retain erases, of every tenant for which that was not done since the last night,
// the retention days that have passed.
func (g *Gateway) retain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, retainTimeout)
	defer cancel()
	due, err := g.catalog.TenantsToExpire(ctx, g.retention.lastNight(time.Now()))
	if err != nil || len(due) == 0 {
		return err
	}
	at, err := g.earliest(ctx)
	if err != nil {
		return err
	}
	night := g.retention.lastNight(at)
	if due, err = g.catalog.TenantsToExpire(ctx, night); err != nil {
		return err
	}
	var failed error
	for _, t := range due {
		err := g.expire(ctx, t, at)
		if err == nil {
			err = g.catalog.Expired(ctx, t, night)
		}
		if err != nil {
			g.retention.note(func(s *RetentionStatus) { s.Failures++ })
			failed = errors.Join(failed, fmt.Errorf("tenant %v: %w", t, err))
		}
	}
	if failed == nil {
		g.retention.note(func(s *RetentionStatus) { s.Complete = now() })
	}
	return failed
}

// earliest is the time that all clocks agree has come. Clocks of which two are too far
// apart are an alarm, and nothing expires.
func (g *Gateway) earliest(ctx context.Context) (time.Time, error) {
	first, last, err := g.eraser.Clocks(ctx)
	if err != nil && !errors.Is(err, eraser.ErrApart) {
		return time.Time{}, err
	}
	apart := time.Duration(0)
	if err != nil {
		apart = last.At.Sub(first.At)
		g.log.Error("clocks are too far apart: nothing expires until they are set",
			"behind", first.Name, "ahead", last.Name, "apart", apart.Round(time.Second))
	}
	g.retention.note(func(s *RetentionStatus) { s.Apart = apart })
	return first.At, err
}

// expire erases a tenant's days that have passed. They are queued while nobody moves
// the tenant to an epoch, so that one epoch has them all.
func (g *Gateway) expire(ctx context.Context, t recording.Tenant, at time.Time) error {
	days, err := g.catalog.PassedDays(ctx, t, dayOf(at))
	if err != nil || len(days) == 0 {
		return err
	}
	for _, day := range days { // beforehand, since it may take long
		if err := g.moveOut(ctx, t, catalog.Slot{Tree: catalog.TreeDays, Number: day}); err != nil {
			return err
		}
	}
	holder := place()
	defer g.eraser.Nudge()
	defer g.catalog.LeaveEpochs(context.WithoutCancel(ctx), t, holder) // what it fails to end, ends by itself
	for _, day := range days {
		if err := g.awaitEpochs(ctx, t, holder); err != nil {
			return err
		}
		if err := g.expireDay(ctx, t, day); err != nil {
			return err
		}
		g.retention.note(func(s *RetentionStatus) { s.Days++ })
	}
	return nil
}

// awaitEpochs takes or renews a tenant's epochs. It only saves an epoch, so it does
// without if another keeps them.
func (g *Gateway) awaitEpochs(ctx context.Context, t recording.Tenant, holder [16]byte) error {
	for range leaseTries {
		if mine, err := g.catalog.LeaseEpochs(ctx, t, holder, queueLease); err != nil || mine {
			return err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (g *Gateway) expireDay(ctx context.Context, t recording.Tenant, slot int64) error {
	s, err := g.reenter(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	days, expires := keytree.ExpiryOf(uint64(slot))
	_, err = g.eraseScope(ctx, s, ErasureRequest{
		Day: recording.RetentionDay{Days: days, Expires: expires}, Reason: reasonRetention,
	}, audit.Event{
		Tenant: t, At: now(), Who: refiler, Action: string(policy.EraseSome), Outcome: audit.Allowed, Reason: reasonRetention,
	})
	return err
}
