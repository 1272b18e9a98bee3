package gateway

import (
	"context"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/recording"
)

// FlushSessions logs what was served now instead of at the next tick.
func (g *Gateway) FlushSessions(ctx context.Context) { g.sessions.flush(ctx) }

// SweepOnce sweeps now instead of at the next tick.
func (g *Gateway) SweepOnce(ctx context.Context) (SweepReport, error) { return g.sweep(ctx) }

// PunctureNow moves a tenant to an epoch in which nothing that waits is left.
func (g *Gateway) PunctureNow(ctx context.Context, id recording.Tenant) error {
	for {
		if err := eraser.New(g.eraser.Config).Drive(ctx, id); err != nil { // or another drives it
			return err
		}
		left, _, _, err := g.catalog.ToPuncture(ctx, id, 1)
		if err != nil || len(left) == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Announce has a move of indexes be announced for as long, and no request go by what
// it read for half of that.
func Announce(d time.Duration) func(*Config) { return func(c *Config) { c.announce = d } }

// Turn has others have their turn after a tenant's rows have moved for so long.
func Turn(d time.Duration) func(*Config) { return func(c *Config) { c.turn = d } }

// ForgetOlder takes every generation of indexes as far as it goes now.
func (g *Gateway) ForgetOlder(ctx context.Context) error { return g.forgetOlder(ctx) }

// BlindSubject is the index of a subject under a generation, as far as it can be had.
func (g *Gateway) BlindSubject(ctx context.Context, t catalog.Tenant, generation uint32, sub recording.Subject) (catalog.Index, error) {
	keys, err := g.keys(ctx, &t)
	if err != nil {
		return catalog.Index{}, err
	}
	defer keys.Clear()
	key, err := keys.System(ctx, keytree.IndexSlot(generation))
	return scope{index: key}.subjectIndex(sub), err
}

// OpenHold tries to read what a hold says.
func (g *Gateway) OpenHold(ctx context.Context, t catalog.Tenant, h catalog.Hold) error {
	s, err := g.enter(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	_, err = s.holdInfo(ctx, h)
	return err
}

// Refile files a version elsewhere.
func (g *Gateway) Refile(ctx context.Context, v catalog.Version, subject, day uint64) error {
	return g.refile(ctx, v, refiling{subject: subject, day: day, event: audit.Event{Tenant: v.Tenant, At: now()}})
}

// BeginRefile is Refile that ends before the version is filed, as one that is killed
// does. It gives the row that would have been.
func (g *Gateway) BeginRefile(ctx context.Context, v catalog.Version, subject, day uint64) (catalog.Version, error) {
	s, err := g.reenter(ctx, v.Tenant)
	if err != nil {
		return v, err
	}
	defer s.end()
	to := refiling{subject: subject, day: day}
	f, r, err := g.intendFiling(ctx, s, v, to)
	if err == nil {
		_, err = g.wrapAnew(ctx, s, v, to, &f, r)
	}
	v.Slots, v.WrappedDEK = r.To, f.Wrapped[:]
	return v, err
}

// UnwrapRow tries to open the data key that a row has.
func (g *Gateway) UnwrapRow(ctx context.Context, t catalog.Tenant, v catalog.Version) error {
	s, err := g.enter(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	dek, err := s.keys.UnwrapDEK(ctx, recording.Identity{Tenant: v.Tenant, Recording: v.Recording, Version: v.Version}, keySlots(v.Slots), v.WrappedDEK)
	dek.Clear()
	return err
}

// Retain erases what has passed now instead of in the night.
func (g *Gateway) Retain(ctx context.Context) error { return g.retain(ctx) }

// ErrApart is that clocks disagree.
var ErrApart = eraser.ErrApart

// ErasureCursor is the catalog's.
type ErasureCursor = catalog.ErasureCursor

// Earliest is the time by which recordings expire.
func (g *Gateway) Earliest(ctx context.Context) (time.Time, error) { return g.earliest(ctx) }

// LastNight is the day of the last night before a time, if nights begin at an hour.
func LastNight(hour int, at time.Time) int64 {
	r := retention{hour: hour}
	return r.lastNight(at)
}

// UnsealRow opens a row as a reader does who has read it some time ago.
func (g *Gateway) UnsealRow(ctx context.Context, t catalog.Tenant, b recording.Bucket, v catalog.Version) error {
	s, err := g.enter(ctx, t)
	if err != nil {
		return err
	}
	defer s.end()
	in, err := g.bucket(ctx, s, b)
	if err != nil {
		return err
	}
	opened, err := g.unsealMoved(ctx, s, in, v)
	opened.dek.Clear()
	return err
}

// WholeDigest gives the digest of parts joined.
func WholeDigest(name string, parts []PartInfo) string {
	stored := make([]storedPart, len(parts))
	for i, p := range parts {
		stored[i].PartInfo = p
	}
	return wholeDigest(name, stored)
}

// CertifyNow drives a tenant's erasures to their certificates, as if every lease had
// ended already.
func (g *Gateway) CertifyNow(ctx context.Context, id recording.Tenant) error {
	c := g.eraser.Config
	c.Drain = time.Nanosecond
	return eraser.New(c).Drive(ctx, id)
}

// DropSuperseded drops what is superseded of a tenant, as an eraser that keeps it for so
// long.
func (g *Gateway) DropSuperseded(ctx context.Context, id recording.Tenant, keep time.Duration) error {
	c := g.eraser.Config
	c.Superseded = keep
	return eraser.New(c).DropSuperseded(ctx, id)
}

// CertificateKey is the public key of what signs certificates.
func (g *Gateway) CertificateKey() *claim.PublicKey { return g.eraser.Signer.PublicKey() }
