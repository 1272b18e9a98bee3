package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/blind"
	"github.com/lethe-vault/lethe/test/system"
)

// What no disk may show: every recording is filled with the one, and is named
// after the other.
const (
	saidInCalls = "this-was-said-by-winifred-zeppelin-on-the-telephone "
	inNames     = "zeppelin-winifred"
)

// TestKilledAtAnyInstant kills the embedded server again and again while small
// recordings arrive as fast as it takes them. Whatever was acknowledged is whole
// after every restart, nothing is half there, and no disk shows a name or a word
// of content, not in what a killed server leaves behind either.
func TestKilledAtAnyInstant(t *testing.T) {
	t.Parallel()
	k := newKills(t)
	kills := sized(t, 8, 200, 2000)
	for round := range kills {
		k.round(round)
		if t.Failed() {
			t.Fatalf("after %d kills\n%s", round+1, k.s.Log())
		}
		if (round+1)%20 == 0 {
			t.Logf("%d kills so far: %d uploads acknowledged, none lost", round+1, k.acknowledged)
		}
	}
	k.everythingIsThere()
	k.nothingIsReadable()
	slices.Sort(k.restarts)
	p99 := k.restarts[(len(k.restarts)*99+99)/100-1]
	t.Logf("%d kills: %d uploads acknowledged, %d whole though not acknowledged, %d absent; ready after %v (p99), %v (median)",
		kills, k.acknowledged, k.unheard, k.absent, p99.Round(time.Millisecond), k.restarts[len(k.restarts)/2].Round(time.Millisecond))
	if least := sized(t, 30*kills, 50_000, 1_000_000); k.acknowledged < least {
		t.Errorf("%d uploads were acknowledged, at least %d are due", k.acknowledged, least)
	}
	if most := sized(t, 20*time.Second, 2*time.Second, 2*time.Second); p99 > most { // CI has other tests beside this
		t.Errorf("ready only after %v", p99)
	}
}

// kills is an embedded server that is killed at random instants.
type kills struct {
	t        *testing.T
	s        *system.System
	keys     system.Keys // may read and write
	reader   client      // of the server that runs now
	kept     []string    // whatever was acknowledged, or found
	restarts []time.Duration

	acknowledged, unheard, absent int
}

func newKills(t *testing.T) *kills {
	k := &kills{t: t, s: system.Embedded(t)}
	k.s.Pair("acme", "calls")
	err := k.s.Lethe(&k.keys, "reader", "create", "--tenant", "acme", "all", "--bucket", "calls", "--write")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// spoken is what the recording of a name holds: the text, over and over, so that
// every piece of it that reached a disk would be recognised.
func spoken(name string) string {
	const least, most = 2, 300
	text := saidInCalls + name + "\n"
	var size int
	for _, c := range []byte(name) {
		size = (size*31 + int(c)) % (most - least)
	}
	return strings.Repeat(text, least+size)
}

func spokenName(n int) string { return fmt.Sprintf("%s-%d.wav", inNames, n) }

// isSpoken reads the recording of a name to its end; nil if it is whole. To be
// told to come back is no answer.
func (c client) isSpoken(ctx context.Context, name string) error {
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		err := c.readSpoken(ctx, name)
		if status, _ := refusal(err); status != 503 || time.Since(began) > 3*recoversWithin {
			return err
		}
	}
}

func (c client) readSpoken(ctx context.Context, name string) error {
	body, err := c.open(ctx, name, "")
	if err != nil {
		return err
	}
	defer body.Close()
	return equals(body, strings.NewReader(spoken(name)))
}

// round uploads until the server is killed, and starts it again.
func (k *kills) round(n int) {
	sent := k.untilKilled(n)
	k.nothingIsReadableIn(filepath.Join(k.s.Dir, "blobs", "tmp"), filepath.Join(k.s.Dir, "catalog.db-wal"))
	began := time.Now()
	k.s.Start()
	k.restarts = append(k.restarts, time.Since(began))
	k.reader = newClient(k.t, k.s.S3, k.keys, "calls")
	k.each(sent, func(u said) { k.settle(u) })
	k.each(k.sample(40), func(u said) { k.isThere(u.name) })
	k.reader.close()
}

// said is an upload and what its client heard.
type said struct {
	name string
	err  error
}

const recorders = 12

// untilKilled has recorders upload until the server is killed.
func (k *kills) untilKilled(round int) (sent []said) {
	recorder := newClient(k.t, k.s.S3, k.keys, "calls")
	defer recorder.close()
	var mu sync.Mutex // guards sent
	var killed atomic.Bool
	var uploading sync.WaitGroup
	for i := range recorders {
		uploading.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%04d/%s-%d-%d.wav", round, inNames, i, n)
				before := killed.Load()
				err := recorder.putSpoken(k.t.Context(), name)
				mu.Lock()
				sent = append(sent, said{name, err})
				mu.Unlock()
				if err == nil {
					continue
				}
				if !before && !killed.Load() {
					k.t.Errorf("%s, before the kill: %v", name, err)
				}
				return
			}
		})
	}
	least := sized(k.t, 50, 250, 500) // acknowledged, before the kill
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		enough := len(sent) >= least
		mu.Unlock()
		if enough {
			break
		}
	}
	time.Sleep(rand.N(400 * time.Millisecond))
	killed.Store(true)
	k.s.Kill()
	uploading.Wait()
	return sent
}

func (c client) putSpoken(ctx context.Context, name string) error {
	return c.putText(ctx, name, spoken(name))
}

// each does something with many at a time.
func (k *kills) each(all []said, do func(said)) {
	var wg sync.WaitGroup
	queue := make(chan said)
	for range recorders {
		wg.Go(func() {
			for u := range queue {
				do(u)
			}
		})
	}
	for _, u := range all {
		queue <- u
	}
	close(queue)
	wg.Wait()
}

var settling sync.Mutex // guards the counts and kept of all kills

// settle finds out what became of an upload: it is whole, or absent if it was not
// acknowledged, and then it can be sent again.
func (k *kills) settle(u said) {
	ctx := k.t.Context()
	err := k.reader.isSpoken(ctx, u.name)
	status, _ := refusal(err)
	settling.Lock()
	defer settling.Unlock()
	switch {
	case err == nil && u.err == nil:
		k.acknowledged++
	case err == nil:
		k.unheard++
	case u.err != nil && status == 404:
		k.absent++
		if err := k.reader.putSpoken(ctx, u.name); err != nil {
			k.t.Errorf("%s, sent again: %v", u.name, err)
		}
	default:
		k.t.Errorf("%s, of which the client heard %v: %v", u.name, u.err, err)
	}
	k.kept = append(k.kept, u.name)
}

// sample draws recordings of any round.
func (k *kills) sample(n int) (some []said) {
	for range min(n, len(k.kept)) {
		some = append(some, said{name: k.kept[rand.N(len(k.kept))]})
	}
	return some
}

func (k *kills) isThere(name string) {
	if err := k.reader.isSpoken(k.t.Context(), name); err != nil {
		k.t.Errorf("%s, of an earlier round: %v", name, err)
	}
}

// everythingIsThere reads and lists all there is, after the last restart.
func (k *kills) everythingIsThere() {
	k.reader = newClient(k.t, k.s.S3, k.keys, "calls")
	all := make([]said, len(k.kept))
	for i, name := range k.kept {
		all[i].name = name
	}
	k.each(all, func(u said) { k.isThere(u.name) })
	listed, err := k.reader.list(k.t.Context(), "")
	if err != nil || len(listed) != len(k.kept) {
		k.t.Errorf("%d names are listed, %v; %d can be read", len(listed), err, len(k.kept))
	}
	for _, name := range k.kept {
		if listed[name] != int64(len(spoken(name))) {
			k.t.Errorf("%s is listed with %d bytes", name, listed[name])
		}
	}
}

// nothingIsReadable looks through everything on the disk, the server killed.
func (k *kills) nothingIsReadable() {
	k.s.Kill()
	k.nothingIsReadableIn(k.s.Places()...)
}

func (k *kills) nothingIsReadableIn(places ...string) {
	needles := map[string][]byte{}
	blind.AddText(needles, saidInCalls)
	blind.AddText(needles, inNames)
	for _, place := range places {
		if n, err := blind.Search(place, needles); err != nil || n == 0 {
			k.t.Errorf("%d bytes searched in %s: %v", n, place, err)
		}
	}
}
