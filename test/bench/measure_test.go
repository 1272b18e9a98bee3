package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// sample is one case on one side in one round.
type sample struct {
	requests  int
	bytes     int64
	took      time.Duration
	latencies []time.Duration
	cpu       map[string]time.Duration
	peak      map[string]int64
	vault     int
}

// measure runs everything.
func measure(t testing.TB, o options) report {
	t.Helper()
	began := time.Now()
	all := workloads(t, o.Cases)
	c := newContent(o.Seed, all)
	sides := newSides(t, o.Sides, c)
	for _, s := range sides {
		s.fill(t, all)
		s.warm(t, all, o)
	}
	samples := map[workload]map[string][]sample{}
	for _, w := range all {
		samples[w] = map[string][]sample{}
	}
	profiles := ""
	for round := range o.Rounds {
		if round == o.Rounds-1 {
			profiles = o.Profiles
		}
		for i, w := range all {
			fmt.Fprintf(os.Stderr, "\rround %d of %d, case %d of %d, %v ", round+1, o.Rounds, i+1, len(all), time.Since(began).Round(time.Second))
			for k := range sides { // another one is first each time
				s := sides[(int(o.Seed)+round+i+k)%len(sides)]
				wait := s.profile(t, profiles, w, o.Duration)
				samples[w][s.name] = append(samples[w][s.name], s.run(t, w, o.Duration, o.Seed+uint64(round)))
				wait()
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	return newReport(o, began, all, samples)
}

// newContent makes what is put: bytes that no store could make smaller.
func newContent(seed uint64, all []workload) *content {
	c := &content{all: make([]byte, longSize), bodies: map[int64]body{}}
	var key [32]byte
	key[0] = byte(seed)
	rand.NewChaCha8(key).Read(c.all)
	for _, w := range all {
		c.prepare(w.size)
	}
	c.prepare(longSize)
	return c
}

// warm opens every connection, and whatever else the first requests cost.
func (s *side) warm(t testing.TB, all []workload, o options) {
	t.Helper()
	for _, w := range all {
		s.run(t, w, min(o.Duration, 200*time.Millisecond), ^o.Seed)
	}
}

// run has w's clients work for a while.
func (s *side) run(t testing.TB, w workload, d time.Duration, seed uint64) sample {
	t.Helper()
	clients := s.readers
	if w.kind == put {
		clients = s.writers
	}
	got := make([]doing, w.clients)
	finish := s.account(t)
	began := time.Now()
	var working sync.WaitGroup
	for i := range got {
		working.Go(func() {
			draw := rand.New(rand.NewPCG(seed, uint64(i)))
			got[i].err = got[i].until(t, w, clients[i], draw, began.Add(d))
		})
	}
	working.Wait()
	out := finish()
	var objects []object
	for _, g := range got {
		if g.err != nil {
			t.Fatalf("%s: %v: %v", s.name, w, g.err)
		}
		out.latencies = append(out.latencies, g.latencies...)
		objects = append(objects, g.put...)
	}
	out.requests = len(out.latencies)
	out.bytes = int64(out.requests) * w.size
	if w.size >= 1<<20 { // smaller ones are not worth the time
		s.clear(t, objects)
	}
	return out
}

// doing is what one client has done.
type doing struct {
	latencies []time.Duration
	put       []object
	err       error
}

func (d *doing) until(t testing.TB, w workload, c *client, draw *rand.Rand, end time.Time) error {
	for {
		began := time.Now()
		if !began.Before(end) && len(d.latencies) > 0 {
			return nil
		}
		if err := w.once(t.Context(), c, draw, func(o object) { d.put = append(d.put, o) }); err != nil {
			return err
		}
		d.latencies = append(d.latencies, time.Since(began))
	}
}

// account begins to count what a measurement costs; what it gives ends that.
func (s *side) account(t testing.TB) func() sample {
	t.Helper()
	cpu := map[string]time.Duration{}
	for name, pids := range s.processes {
		resetPeaks(pids())
		cpu[name] = cpuTime(t, pids())
	}
	asked := 0
	if s.vault != nil {
		asked = s.vault()
	}
	client, began := ownTime(t), time.Now()
	return func() sample {
		out := sample{took: time.Since(began), cpu: map[string]time.Duration{"client": ownTime(t) - client}, peak: map[string]int64{}}
		for name, pids := range s.processes {
			out.cpu[name] = cpuTime(t, pids()) - cpu[name]
			out.peak[name] = peakMemory(pids())
		}
		if s.vault != nil {
			out.vault = s.vault() - asked
		}
		return out
	}
}

// quantile gives the q-th of the sorted latencies.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))]
}

func sorted(latencies []time.Duration) []time.Duration {
	out := slices.Clone(latencies)
	slices.Sort(out)
	return out
}
