package disclosure_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/keytree"
	"github.com/lethe-vault/lethe/crypto/localkeys"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/recording"
	"github.com/lethe-vault/lethe/test/decryptor"
	"github.com/lethe-vault/lethe/test/disclosure"
)

// A world is one tenant: its real provider and store, what its database would
// hold, the attacker who sees all that is written, and what ought to be true.
type world struct {
	t        *testing.T
	rng      *rand.Rand
	flaws    flaws
	tenant   recording.Tenant
	keys     keytree.Provider
	store    keytree.Store
	driver   driver
	attacker *disclosure.Attacker
	pages    keytree.Pages
	packs    map[string][]byte // for the second implementation
	truth    *truth

	slots       slots
	subjects    []uint64
	days        []uint64
	generations []uint64
	live        []*record
	erased      []*record
	asked       []keytree.Slot // to be gone, ever
	gone        []keytree.Slot // that are, as the coordinator said
	heads       []keytree.Head // of which there are backups
	stale       []*keytree.Keys
	ends        map[string]int // of coordinators that did not come to theirs
	forged      int            // epochs that a forger has changed
}

// record is one version of a recording.
type record struct {
	id       recording.Identity
	dek      keytree.Key
	filed             // where it counts
	intended []uint64 // every recording slot that wraps the data key, or may
	held     bool
}

// filed is a data key wrapped under three slots.
type filed struct {
	slots   keytree.Slots
	wrapped [keytree.WrappedSize]byte
}

// scratch is a directory, in memory where there is such a thing: the parts sync
// every file.
func scratch(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "disclosure")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func newWorld(t *testing.T, rng *rand.Rand, f flaws) *world {
	t.Helper()
	dir := scratch(t)
	keys, err := localkeys.New(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := filestore.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, rng: rng, flaws: f, tenant: recording.NewTenant(), keys: keys, packs: map[string][]byte{}, ends: map[string]int{}}
	t.Cleanup(func() { w.close(); keys.Close(); store.Close(); os.RemoveAll(dir) })
	w.attacker = disclosure.New(w.tenant)
	w.store = witness{store, func(key string, blob []byte) {
		if err := w.attacker.Add(key, blob); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		if strings.HasPrefix(key, "pages/") {
			w.packs[key] = blob
		}
	}}
	w.pages = cached{keytree.InStore(store), map[keytree.PageID][]byte{}}
	first, err := keytree.Plant(t.Context(), keys, w.store, w.tenant)
	if err != nil {
		t.Fatal(err)
	}
	w.heads = []keytree.Head{first}
	if w.driver = newSimple(first); !f.forged {
		w.driver = newProduct(t, dir, first, w.settings(first))
	}
	root, ok := w.unwrap(attackersHead(t, first))
	if !ok {
		t.Fatal("the first root does not unwrap")
	}
	w.truth = newTruth(w.tenant, root)
	w.slots = newSlots(w)
	w.generations = []uint64{keytree.IndexSlot(1)}
	return w
}

// settings is the key under which requests to erase are sealed.
func (w *world) settings(h keytree.Head) keytree.Key {
	w.t.Helper()
	keys, err := w.open(h)
	if err != nil {
		w.t.Fatal(err)
	}
	defer keys.Clear()
	key, err := keys.System(w.t.Context(), keytree.SettingsSlot())
	if err != nil {
		w.t.Fatal(err)
	}
	return key
}

func (w *world) close() {
	for _, k := range w.stale {
		k.Clear()
	}
}

func attackersHead(t *testing.T, h keytree.Head) decryptor.Head {
	t.Helper()
	d, err := decryptor.ParseHead(h.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// cached reads a page from the store once.
type cached struct {
	keytree.Pages
	read map[keytree.PageID][]byte
}

func (c cached) Page(ctx context.Context, id keytree.PageID, slot uint64) ([]byte, error) {
	if b, ok := c.read[id]; ok {
		return b, nil
	}
	b, err := c.Pages.Page(ctx, id, slot)
	if err == nil {
		c.read[id] = b
	}
	return b, err
}

// newest is the newest head in the store.
func (w *world) newest() keytree.Head {
	w.t.Helper()
	last := w.heads[len(w.heads)-1]
	h, err := newestHead(w.t.Context(), w.store, w.tenant, last.Epoch)
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// open unwraps a head.
func (w *world) open(h keytree.Head) (*keytree.Keys, error) {
	return keytree.Unwrap(w.t.Context(), w.keys, w.pages, h)
}

// anyKeys are those of a replica, which may be behind.
func (w *world) anyKeys() (keys *keytree.Keys, done func()) {
	if len(w.stale) > 0 && w.rng.IntN(2) == 0 {
		return w.stale[w.rng.IntN(len(w.stale))], func() {}
	}
	keys, err := w.open(w.newest())
	if err != nil {
		w.t.Fatal(err)
	}
	return keys, keys.Clear
}

// put files a recording: its slots are fresh or live, as Create sees to.
func (w *world) put() {
	r := &record{
		id:   recording.Identity{Tenant: w.tenant, Recording: recording.NewID(), Version: recording.NewVersion()},
		dek:  keytree.NewKey(),
		held: w.rng.IntN(8) == 0,
	}
	if filed, ok := w.wrap(r, w.pick(&w.subjects, w.slots.subject), w.pick(&w.days, w.slots.day)); ok {
		r.filed = filed
		w.live = append(w.live, r)
	}
}

// pick gives none, one of those there are, or one more.
func (w *world) pick(from *[]uint64, next func() uint64) uint64 {
	switch n := w.rng.IntN(10); {
	case n == 0:
		return 0
	case n < 6 && len(*from) > 0:
		return (*from)[w.rng.IntN(len(*from))]
	}
	*from = append(*from, next())
	return (*from)[len(*from)-1]
}

// wrap wraps the data key under a fresh recording slot, which was noted before,
// and the wrap comes to stand in the store. It does not if a slot is punctured.
func (w *world) wrap(r *record, subject, day uint64) (f filed, ok bool) {
	w.t.Helper()
	keys, done := w.anyKeys()
	defer done()
	f.slots = keytree.Slots{Recording: w.slots.recording(), Subject: subject, Day: day}
	r.intended = append(r.intended, f.slots.Recording)
	var err error
	f.wrapped, err = keys.WrapDEK(w.t.Context(), r.id, f.slots, r.dek)
	if errors.Is(err, keytree.ErrPunctured) && w.flaws.counted {
		return f, false
	}
	if err != nil {
		w.t.Fatalf("wrap a data key: %v", err)
	}
	w.attacker.AddWrap(f.wrapOf(r.id))
	return f, true
}

func (f filed) wrapOf(id recording.Identity) decryptor.Wrap {
	return decryptor.Wrap{
		Identity: [48]byte(id.Append(nil)),
		Slots: [3]decryptor.Slot{
			{Tree: decryptor.Recordings, Number: f.slots.Recording},
			{Tree: decryptor.Subjects, Number: f.slots.Subject},
			{Tree: decryptor.Days, Number: f.slots.Day},
		},
		Wrapped: f.wrapped,
	}
}

// queue asks for slots to be gone.
func (w *world) queue(slots ...keytree.Slot) {
	if len(slots) == 0 {
		return
	}
	w.asked = append(w.asked, slots...)
	w.driver.queue(slots...)
}

// refile wraps a recording anew, elsewhere. The new wrap is durable before it
// counts, and then the old slot, and only that, is asked to be gone. It may be
// killed on the way: then the new slot is noted, and a wrap under it may exist.
func (w *world) refile(r *record, subject, day uint64) (done bool) {
	switch w.rng.IntN(8) {
	case 0:
		r.intended = append(r.intended, w.slots.recording())
		return false
	case 1:
		w.wrap(r, subject, day)
		return false
	}
	f, ok := w.wrap(r, subject, day)
	if !ok {
		return false
	}
	old := r.slots.Recording
	r.filed = f
	w.queue(keytree.Slot{Tree: keytree.Recordings, Number: old})
	return true
}

// erase erases something at random.
func (w *world) erase() {
	switch n := w.rng.IntN(80); {
	case n == 0:
		w.abort()
	case n < 40 && len(w.live) > 0:
		w.eraseRecording(w.live[w.rng.IntN(len(w.live))])
	case n < 56 && len(w.subjects) > 0:
		w.eraseAll(keytree.Subjects, &w.subjects)
	case n < 68 && len(w.days) > 0:
		w.eraseAll(keytree.Days, &w.days)
	case n < 76 && len(w.live) > 0:
		r := w.live[w.rng.IntN(len(w.live))]
		w.refile(r, r.slots.Subject, w.pick(&w.days, w.slots.day))
	case n >= 76: // a reindex
		old := w.generations[0]
		w.generations[0] = old + 1
		w.queue(keytree.Slot{Tree: keytree.System, Number: old})
	}
}

// abort asks for slots to be gone that nothing was filed under. Where they lie side
// by side, whole nodes go with them.
func (w *world) abort() {
	n := 1 + w.rng.IntN(8)
	if _, far := w.slots.(*scattered); !far {
		n = []int{n, 80, 80, 80, 1100}[w.rng.IntN(5)]
	}
	var slots []keytree.Slot
	for range n {
		slots = append(slots, keytree.Slot{Tree: keytree.Recordings, Number: w.slots.recording()})
	}
	w.queue(slots...)
}

// eraseRecording asks for every slot to be gone that ever wrapped its data key.
func (w *world) eraseRecording(r *record) {
	w.queue(keytree.Slot{Tree: keytree.Recordings, Number: r.slots.Recording})
	w.queueIntended(r)
	w.bury(func(o *record) bool { return o == r })
}

// queueIntended asks for the slots to be gone under which another wrap of the data
// key may exist. They need not lie under the same subject and day.
func (w *world) queueIntended(r *record) {
	if w.flaws.orphans {
		return
	}
	var slots []keytree.Slot
	for _, s := range r.intended {
		if s != r.slots.Recording {
			slots = append(slots, keytree.Slot{Tree: keytree.Recordings, Number: s})
		}
	}
	w.queue(slots...)
}

// eraseAll erases a subject or a day with all that hangs from it, but for what is
// held: that is filed elsewhere before.
func (w *world) eraseAll(tree keytree.Tree, from *[]uint64) {
	i := w.rng.IntN(len(*from))
	slot := (*from)[i]
	*from = slices.Delete(*from, i, i+1)
	beneath := func(r *record) bool {
		return tree == keytree.Subjects && r.slots.Subject == slot || tree == keytree.Days && r.slots.Day == slot
	}
	for _, r := range w.live {
		switch {
		case !beneath(r):
		case !r.held:
			w.queueIntended(r)
		case tree == keytree.Subjects:
			for !w.refile(r, keytree.Nobody, r.slots.Day) {
			}
		default:
			for !w.refile(r, r.slots.Subject, 0) {
			}
		}
	}
	w.queue(keytree.Slot{Tree: tree, Number: slot})
	w.bury(beneath)
}

// bury makes live records erased.
func (w *world) bury(which func(*record) bool) {
	for _, r := range w.live {
		if which(r) {
			w.erased = append(w.erased, r)
		}
	}
	w.live = slices.DeleteFunc(w.live, which)
}

// restart drops what processes have in memory; sometimes an old backup of the
// database comes back with it.
func (w *world) restart() {
	w.slots.restart()
	if w.rng.IntN(6) > 0 {
		return
	}
	backups := w.heads
	if w.rng.IntN(5) > 0 { // for the most part a young one
		backups = backups[max(0, len(backups)-10):]
	}
	old := backups[w.rng.IntN(len(backups))]
	w.driver.restore(old, w.asked) // all of them: to ask for what is gone changes nothing
	w.slots.restoreDatabase()
}

// slots hands out slots that were never handed out before.
type slots interface {
	recording() uint64
	subject() uint64
	day() uint64
	restart()
	restoreDatabase()
}

// newSlots draws how a tenant's slots lie: side by side as they are reserved, or
// anywhere, as in a vault that has had billions.
func newSlots(w *world) slots {
	switch {
	case w.flaws.counted:
		return newCounted(w)
	case w.rng.IntN(3) == 0:
		return &scattered{reserved{w: w}}
	}
	r := &reserved{w: w}
	r.restart()
	return r
}

// reserved is how the product does it.
type reserved struct {
	w       *world
	from    *keytree.Reserver
	lastDay int
}

func (r *reserved) next(tree keytree.Tree) uint64 {
	n, err := r.from.Next(r.w.t.Context(), r.w.tenant, tree)
	if err != nil {
		r.w.t.Fatal(err)
	}
	return n
}

func (r *reserved) recording() uint64 { return r.next(keytree.Recordings) }
func (r *reserved) subject() uint64   { return r.next(keytree.Subjects) }
func (r *reserved) restart()          { r.from = keytree.NewReserver(r.w.store) }
func (r *reserved) restoreDatabase()  {}

func (r *reserved) day() uint64 {
	r.lastDay++
	created := time.Unix(1_700_000_000, 0).AddDate(0, 0, r.lastDay)
	return keytree.DaySlot([]int{30, 90, 3650}[r.w.rng.IntN(3)], created)
}

type scattered struct{ reserved }

func (s *scattered) recording() uint64 { return s.w.rng.Uint64N(keytree.MaxSlot) + 1 }
func (s *scattered) subject() uint64   { return s.w.rng.Uint64N(keytree.MaxSlot) + 1 }
