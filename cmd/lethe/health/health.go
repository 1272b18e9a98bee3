// Package health decides whether a process is ready: whether it could do its
// work now. It asks what the process stands on, but not for every probe: what
// one probe finds out, others share, and nothing is asked more often than every
// two seconds, however many ask.
//
// One slow answer does not make a process unready; a second one after it does,
// and so does any answer that is no. One good answer makes it ready again.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	every  = 2 * time.Second // a check runs at most so often
	within = 2 * time.Second // and has so long to answer
)

// Check is one thing that the process cannot do without.
type Check struct {
	Name string
	Do   func(context.Context) error
	// Say puts Do's error in words that anyone may read: it holds no address,
	// no name and no secret. The error itself is for the log.
	Say func(error) string
}

// Checks are all of them. It is safe for concurrent use.
type Checks struct {
	log      *slog.Logger
	checks   []*check
	stopping atomic.Bool
}

// New gives the checks of a process, none of which has run.
func New(log *slog.Logger, all ...Check) *Checks {
	c := &Checks{log: log}
	for _, one := range all {
		c.checks = append(c.checks, &check{Check: one, log: log, every: every, within: within, verdict: errNever})
	}
	return c
}

// Stop makes the process unready for good: it is about to end.
func (c *Checks) Stop() { c.stopping.Store(true) }

// Report is what is known now.
type Report struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"` // by name: "ok", or what is wrong
}

// Report runs the checks that are due, and waits for them.
func (c *Checks) Report(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, within+within/2)
	defer cancel()
	var asking sync.WaitGroup
	verdicts := make([]error, len(c.checks))
	for i, one := range c.checks {
		asking.Go(func() { verdicts[i] = one.ask(ctx) })
	}
	asking.Wait()
	r := Report{Ready: !c.stopping.Load(), Checks: map[string]string{}}
	for i, one := range c.checks {
		r.Checks[one.Name] = one.say(verdicts[i])
		r.Ready = r.Ready && verdicts[i] == nil
	}
	if c.stopping.Load() {
		r.Checks["process"] = "it is about to end"
	}
	return r
}

// Last gives, by name, what the checks said when they ran last, of those that
// ever did.
func (c *Checks) Last() map[string]bool {
	out := map[string]bool{}
	for _, one := range c.checks {
		one.mu.Lock()
		if !errors.Is(one.verdict, errNever) {
			out[one.Name] = one.verdict == nil
		}
		one.mu.Unlock()
	}
	return out
}

// ServeHTTP answers a probe: 200 and 503, and a Report either way.
func (c *Checks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	report := c.Report(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !report.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(report) // a probe that is gone needs no answer
}

var (
	errNever = errors.New("not checked yet")
	errSlow  = errors.New("no answer within 2 s")
)

// check is a Check and what came of it.
type check struct {
	Check
	log           *slog.Logger
	every, within time.Duration
	one           sync.Mutex // held by Do

	mu      sync.Mutex    // guards the rest
	running chan struct{} // closed when the run under way ends; nil if none is
	ran     time.Time     // when the last run began
	slow    bool          // it did not answer
	verdict error
}

// ask gives the verdict, after a run if one is due.
func (c *check) ask(ctx context.Context) error {
	done := c.due()
	if done != nil {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdict
}

// due begins a run unless the last one is young, and gives what to wait for,
// nil for nothing.
func (c *check) due() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil && time.Since(c.ran) >= c.every {
		c.running, c.ran = make(chan struct{}), time.Now()
		go c.run() // ends within c.within
	}
	return c.running
}

// run is for no probe alone, so it goes on when the one that began it is gone.
func (c *check) run() {
	ctx, cancel := context.WithTimeout(context.Background(), c.within)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- c.alone(ctx) }() // ends soon after ctx does
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = c.late(answer)
	}
	if err != nil && ctx.Err() != nil {
		err = errSlow
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.judge(err)
	close(c.running)
	c.running = nil
}

// alone is Do, unless an earlier Do that ignores its context still runs.
func (c *check) alone(ctx context.Context) error {
	if !c.one.TryLock() {
		return errSlow
	}
	defer c.one.Unlock()
	return c.Do(ctx)
}

// late waits a little for a Do whose time is up to notice.
func (c *check) late(answer <-chan error) error {
	select {
	case <-answer:
	case <-time.After(c.within / 4):
	}
	return errSlow
}

// judge takes what a run found; c.mu is held.
func (c *check) judge(err error) {
	spared := errors.Is(err, errSlow) && !c.slow && c.verdict == nil
	c.slow = errors.Is(err, errSlow)
	if spared {
		return
	}
	switch was := c.verdict; {
	case err != nil && (was == nil || errors.Is(was, errNever)):
		c.log.Warn("not ready", "check", c.Name, "error", err)
	case err == nil && was != nil && !errors.Is(was, errNever):
		c.log.Info("ready again", "check", c.Name)
	}
	c.verdict = err
}

func (c *check) say(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, errNever), errors.Is(err, errSlow):
		return err.Error()
	}
	return c.Say(err)
}
