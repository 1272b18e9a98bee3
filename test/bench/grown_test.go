package bench

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/gateway/eraser"
	"github.com/lethe-vault/lethe/gateway/pages"
	"github.com/lethe-vault/lethe/recording"
)

// grown is a tenant of a size, of whose slots some were punctured before.
type grown struct {
	*parts
	o        epochOptions
	id       recording.Tenant
	number   int64 // among those in one database
	slots    int64
	rows     int64
	subjects int64 // that are erased
	head     keytree.Head
	settings keytree.Key // under which requests are sealed

	punctured int64           // slots, so far
	used      map[uint64]bool // slots that are punctured, or will be
	draw      *rand.Rand
	pages     *pages.Cache
	eraser    *eraser.Eraser // to the end of an epoch
	certifier *eraser.Eraser // and to certificates, which need not wait for leases here
}

// newGrown makes a tenant for so many rounds.
func newGrown(t testing.TB, p *parts, o epochOptions, number, slots int64, rounds int) *grown {
	t.Helper()
	v := &grown{
		parts: p, o: o, id: recording.NewTenant(), number: number, slots: slots, rows: min(slots, o.Rows), subjects: int64(rounds),
		used: map[uint64]bool{}, draw: rand.New(rand.NewPCG(o.Seed, uint64(slots+number))), pages: pages.New(p.catalog, p.store),
	}
	var err error
	if v.head, err = keytree.Plant(t.Context(), p.keys, p.store, v.id); err != nil {
		t.Fatal(err)
	}
	keys, err := keytree.Unwrap(t.Context(), p.keys, v.pages, v.head)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Clear()
	if v.settings, err = keys.System(t.Context(), keytree.SettingsSlot()); err != nil {
		t.Fatal(err)
	}
	v.reserve(t)
	v.fill(t)
	v.eraser, v.certifier = v.newEraser(24*time.Hour), v.newEraser(time.Microsecond)
	for round := range rounds { // what is measured was not erased before
		for i := range ones {
			_, slot := v.row(v.one(round, i))
			v.used[slot] = true
		}
	}
	for before := slots / shareBefore; before > 0; before -= int64(o.Many) {
		some := v.fresh(int(min(before, int64(o.Many))))
		v.bury(t, some)
		v.drive(t, v.eraser)
		v.punctured += int64(len(some))
		v.certified(t, 0)
	}
	v.tidied(t)
	return v
}

// blockOf is how many slots are reserved at once.
const blockOf = 1024

// reserve has all slots allocated, and sees that the next one is another.
func (v *grown) reserve(t testing.TB) {
	t.Helper()
	reserving, ctx := errgroup.WithContext(t.Context())
	reserving.SetLimit(16)
	for block := range v.slots/blockOf + 1 {
		reserving.Go(func() error {
			return v.store.Create(ctx, fmt.Sprintf("slots/%v/%d/%08x", v.id, keytree.Recordings, block), bytes.NewReader(nil), 0)
		})
	}
	if err := reserving.Wait(); err != nil {
		t.Fatal(err)
	}
	next, err := keytree.NewReserver(v.store).Next(t.Context(), v.id, keytree.Recordings)
	if err != nil || next <= uint64(v.slots) {
		t.Fatalf("the next slot is %d after %d, %v", next, v.slots, err)
	}
}

func (v *grown) newEraser(drain time.Duration) *eraser.Eraser {
	return eraser.New(eraser.Config{
		Blobs: v.store, Catalog: v.catalog, Keys: v.keys, Pages: v.pages, Signer: v.signer,
		Logger: slog.New(slog.DiscardHandler), Drain: drain,
	})
}

func (v *grown) drive(t testing.TB, e *eraser.Eraser) {
	t.Helper()
	if err := e.Drive(t.Context(), v.id); err != nil {
		t.Fatalf("drive a tenant of %d slots: %v", v.slots, err)
	}
}

// step is the distance of two recordings in the tree.
func (v *grown) step() int64 { return v.slots / v.rows }

// fresh draws so many slots that are not punctured, or all that are left.
func (v *grown) fresh(n int) (out []uint64) {
	n = min(n, int(v.slots)-len(v.used))
	for len(out) < n {
		if s := 1 + v.draw.Uint64N(uint64(v.slots)); !v.used[s] {
			v.used[s] = true
			out = append(out, s)
		}
	}
	return out
}

// now is the tenant's row.
func (v *grown) now(t testing.TB) catalog.Tenant {
	t.Helper()
	row, err := v.catalog.Tenant(t.Context(), v.id)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// treeTime is the processor time in which the tree makes the epoch that is due, with
// its pages read before. It is not committed.
func (v *grown) treeTime(t testing.TB) (time.Duration, int) {
	t.Helper()
	due, _, _, err := v.catalog.ToPuncture(t.Context(), v.id, keytree.MostPunctures)
	if err != nil {
		t.Fatal(err)
	}
	slots := make([]keytree.Slot, len(due))
	for i, s := range due {
		slots[i] = keytree.Slot{Tree: keytree.Tree(s.Tree), Number: uint64(s.Number)}
	}
	head, err := keytree.ParseHead(v.now(t).Head)
	if err != nil {
		t.Fatal(err)
	}
	ahead, err := v.pages.Ahead(t.Context(), v.id, slots)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keytree.Unwrap(t.Context(), v.keys, ahead, head)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Clear()
	times := max(1, 100/len(slots))
	began := ownTime(t)
	for range times {
		puncture(t, keys, slots)
	}
	return (ownTime(t) - began) / time.Duration(times), len(slots)
}

func puncture(t testing.TB, keys *keytree.Keys, slots []keytree.Slot) {
	t.Helper()
	next, err := keys.Puncture(context.Background(), slots)
	if err != nil {
		t.Fatal(err)
	}
	next.Clear()
}
