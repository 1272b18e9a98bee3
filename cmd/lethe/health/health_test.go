package health

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var errDown = errors.New("dial 10.0.0.7: secret detail")

// fixture is one check that does what the test says.
type fixture struct {
	*Checks
	asked  atomic.Int64
	answer atomic.Pointer[func(context.Context) error]
}

func newFixture(every, within time.Duration) *fixture {
	f := &fixture{}
	f.set(func(context.Context) error { return nil })
	f.Checks = New(slog.New(slog.DiscardHandler), Check{
		Name: "store",
		Do: func(ctx context.Context) error {
			f.asked.Add(1)
			return (*f.answer.Load())(ctx)
		},
		Say: func(error) string { return "a blob cannot be created" },
	})
	f.checks[0].every, f.checks[0].within = every, within
	return f
}

func (f *fixture) set(answer func(context.Context) error) { f.answer.Store(&answer) }

func hang(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestProbesShareARun(t *testing.T) {
	f := newFixture(time.Hour, time.Second)
	f.set(func(context.Context) error { time.Sleep(20 * time.Millisecond); return nil })
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if r := f.Report(t.Context()); !r.Ready || r.Checks["store"] != "ok" {
				t.Errorf("report %+v", r)
			}
		})
	}
	all.Wait()
	if n := f.asked.Load(); n != 1 {
		t.Errorf("100 probes asked %d times", n)
	}
}

func TestNoIsNoAtOnceAndComesBack(t *testing.T) {
	f := newFixture(0, time.Second)
	for range 2 {
		f.set(func(context.Context) error { return errDown })
		if r := f.Report(t.Context()); r.Ready || r.Checks["store"] != "a blob cannot be created" || f.Last()["store"] {
			t.Errorf("down: %+v", r)
		}
		f.set(func(context.Context) error { return nil })
		if r := f.Report(t.Context()); !r.Ready || !f.Last()["store"] {
			t.Errorf("back: %+v", r)
		}
	}
}

func TestOneSlowAnswerIsForgiven(t *testing.T) {
	f := newFixture(0, 10*time.Millisecond)
	f.Report(t.Context())
	f.set(hang)
	if r := f.Report(t.Context()); !r.Ready {
		t.Errorf("after one slow answer: %+v", r)
	}
	if r := f.Report(t.Context()); r.Ready || r.Checks["store"] != errSlow.Error() {
		t.Errorf("after two: %+v", r)
	}
	f.set(func(context.Context) error { return nil })
	if r := f.Report(t.Context()); !r.Ready {
		t.Errorf("back: %+v", r)
	}
}

// What does not even look at its context holds no probe for long, and is not
// asked again while it hangs.
func TestDeafCheck(t *testing.T) {
	f := newFixture(0, 10*time.Millisecond)
	release := make(chan struct{})
	defer close(release)
	f.set(func(context.Context) error { <-release; return nil })
	began := time.Now()
	for range 3 {
		if f.Report(t.Context()).Ready {
			t.Error("ready without an answer")
		}
	}
	if time.Since(began) > 2*time.Second || f.asked.Load() != 1 {
		t.Errorf("3 probes took %v and asked %d times", time.Since(began), f.asked.Load())
	}
}

func TestAnswer(t *testing.T) {
	f := newFixture(0, time.Second)
	f.set(func(context.Context) error { return errDown })
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	var r Report
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || w.Code != 503 || r.Ready || strings.Contains(w.Body.String(), "10.0.0.7") {
		t.Errorf("%d %s, %v", w.Code, w.Body, err)
	}
	f.set(func(context.Context) error { return nil })
	if w = httptest.NewRecorder(); true {
		f.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	}
	if w.Code != 200 || w.Body.String() != `{"ready":true,"checks":{"store":"ok"}}`+"\n" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.Stop()
	if w = httptest.NewRecorder(); true {
		f.ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
	}
	if w.Code != 503 {
		t.Errorf("about to end: %d %s", w.Code, w.Body)
	}
}
