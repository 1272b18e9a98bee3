package faults_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// TestKilledWhileUploading kills the server, again and again, while recorders
// upload as fast as they can. Whatever was acknowledged is whole; whatever was
// not is absent or whole, and can be sent again.
func TestKilledWhileUploading(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start  func(testing.TB) *system.System
		rounds int
	}{
		"embedded": {system.Embedded, 30},
		"scaled":   {system.Scaled, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newCrashes(t, c.start(t)).run(c.rounds)
		})
	}
}

// crashes is a server that is killed many times.
type crashes struct {
	t                *testing.T
	s                *system.System
	recorder, reader system.Keys
	kept             map[string]content // what every listing and read must give from now on

	acknowledged, unheard, absent int // uploads; unheard are those that were not acknowledged, but whole
	slowest, total                time.Duration
}

// upload is one recording that was sent, and what the client heard.
type upload struct {
	name    string
	content content
	err     error
}

func newCrashes(t *testing.T, s *system.System) *crashes {
	c := &crashes{t: t, s: s, kept: map[string]content{}}
	c.recorder, c.reader = s.Pair("acme", "calls")
	return c
}

func (c *crashes) run(rounds int) {
	for round := range rounds {
		c.round(fmt.Sprintf("%02d/", round))
		if c.t.Failed() {
			c.t.Fatalf("in round %d\n%s", round, c.s.Log())
		}
	}
	reader := newClient(c.t, c.s.S3, c.reader, "calls")
	c.listed(reader, "", c.kept)
	for name, want := range c.kept {
		if err := reader.check(c.t.Context(), name, want); err != nil {
			c.t.Errorf("%s, after all restarts: %v", name, err)
		}
	}
	c.t.Logf("%d kills: %d uploads acknowledged, %d whole though not acknowledged, %d absent; ready after %v on average, %v at most",
		rounds, c.acknowledged, c.unheard, c.absent, c.total/time.Duration(rounds), c.slowest)
	if c.acknowledged < rounds || c.absent == 0 {
		c.t.Error("the kills came at no telling instants")
	}
}

// round uploads under prefix until the server is killed, and starts it again.
func (c *crashes) round(prefix string) {
	sent := c.uploadUntilKilled(prefix)
	began := time.Now()
	c.s.Start()
	ready := time.Since(began)
	c.slowest, c.total = max(c.slowest, ready), c.total+ready
	if ready > 20*time.Second {
		c.t.Errorf("ready only after %v", ready)
	}
	recorder, reader := newClient(c.t, c.s.S3, c.recorder, "calls"), newClient(c.t, c.s.S3, c.reader, "calls")
	defer recorder.close()
	defer reader.close()
	whole := map[string]content{}
	for _, u := range sent {
		if c.isWhole(reader, u) {
			whole[u.name] = u.content
		}
	}
	c.listed(reader, prefix, whole)
	for _, u := range sent {
		c.again(recorder, reader, u)
		whole[u.name] = u.content
	}
	c.listed(reader, prefix, whole)
	maps.Copy(c.kept, whole)
}

// uploadUntilKilled has eight recorders upload until the server is killed.
func (c *crashes) uploadUntilKilled(prefix string) (sent []upload) {
	recorder := newClient(c.t, c.s.S3, c.recorder, "calls")
	defer recorder.close()
	var mu sync.Mutex // guards sent
	var killed atomic.Bool
	var uploading sync.WaitGroup
	for i := range 8 {
		uploading.Go(func() {
			for n := 0; ; n++ {
				u := c.upload(recorder, fmt.Sprintf("%s%d/%d.wav", prefix, i, n))
				mu.Lock()
				sent = append(sent, u)
				mu.Unlock()
				if u.err != nil && !killed.Load() {
					c.t.Errorf("%s, before the kill: %v", u.name, u.err)
				}
				if u.err != nil {
					return
				}
			}
		})
	}
	time.Sleep(50*time.Millisecond + rand.N(750*time.Millisecond))
	killed.Store(true)
	c.s.Kill()
	uploading.Wait()
	return sent
}

// upload sends one recording, by either SDK.
func (c *crashes) upload(recorder client, name string) upload {
	u := upload{name: name, content: newContent(randomSize(20_000, 3_000_000))}
	put := recorder.put
	if rand.N(2) == 0 {
		put = recorder.putAWS
	}
	u.err = put(c.t.Context(), u.name, u.content)
	return u
}

// isWhole reports whether an upload can be read; it may be absent only if it
// was not acknowledged, and partial never.
func (c *crashes) isWhole(reader client, u upload) bool {
	err := reader.check(c.t.Context(), u.name, u.content)
	status, _ := refusal(err)
	switch {
	case err == nil && u.err == nil:
		c.acknowledged++
	case err == nil:
		c.unheard++
	case u.err != nil && status == 404:
		c.absent++
	case u.err == nil:
		c.t.Errorf("%s was acknowledged: %v", u.name, err)
	default:
		c.t.Errorf("%s was not acknowledged, and is neither absent nor whole: %v", u.name, err)
	}
	return err == nil
}

// again sends an upload that was not acknowledged once more.
func (c *crashes) again(recorder, reader client, u upload) {
	if u.err == nil {
		return
	}
	if err := recorder.put(c.t.Context(), u.name, u.content); err != nil {
		c.t.Errorf("%s, sent again: %v", u.name, err)
		return
	}
	if err := reader.check(c.t.Context(), u.name, u.content); err != nil {
		c.t.Errorf("%s, after it was sent again: %v", u.name, err)
	}
}

// listed checks that a listing shows what can be read and nothing else.
func (c *crashes) listed(reader client, prefix string, want map[string]content) {
	c.t.Helper()
	got, err := reader.list(c.t.Context(), prefix)
	if err != nil {
		c.t.Errorf("list: %v", err)
		return
	}
	sizes := map[string]int64{}
	for name, what := range want {
		sizes[name] = what.size
	}
	if !maps.Equal(got, sizes) {
		c.t.Errorf("%d names listed under %q, %d can be read, or their sizes differ", len(got), prefix, len(want))
	}
}
