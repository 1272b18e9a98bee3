package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// An access session lets a caller seek in one recording without a write for
// each seek: the event that grants it is durable before the first byte, the
// ranges then served are logged as they go.
const (
	sessionTime  = 60 * time.Second
	serveEvery   = 10 * time.Second // how often served ranges are logged
	serveTimeout = 5 * time.Second
	flushAtOnce  = 64  // sessions whose ranges are logged at once
	maxRanges    = 512 // of one event; adjacent ones are one
)

// sessionKey is everything a session's event says; a request that differs in
// any of it is another session.
type sessionKey struct {
	who, action, purpose, from, agent string
	version                           recording.Version
}

func (c Caller) sessionKey(action string, v recording.Version) sessionKey {
	return sessionKey{c.Who, action, c.Purpose, c.From, c.agent(), v}
}

// session is one caller's access to one version, granted by a durable event.
type session struct {
	key    sessionKey
	tenant catalog.Tenant // as it was when access was granted
	event  audit.Event    // what granted it
	until  time.Time

	mu      sync.Mutex // guards streams and ranges
	streams int        // running now
	ranges  []audit.Range
}

func (in *session) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.streams--
}

// served notes bytes that were handed to the caller.
func (in *session) served(off, n int64) {
	if n <= 0 {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if last := len(in.ranges) - 1; last >= 0 {
		r := &in.ranges[last]
		if r.Off+r.Len == off || last+1 >= maxRanges { // the last of too many is widened
			end := max(r.Off+r.Len, off+n)
			r.Off = min(r.Off, off)
			r.Len = end - r.Off
			return
		}
	}
	in.ranges = append(in.ranges, audit.Range{Off: off, Len: n})
}

func (in *session) take() []audit.Range {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := in.ranges
	in.ranges = nil
	return out
}

func (in *session) giveBack(ranges []audit.Range) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ranges = append(ranges, in.ranges...)
}

// over reports whether nothing more will come of the session.
func (in *session) over() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.streams == 0 && len(in.ranges) == 0 && time.Now().After(in.until)
}

// sessions holds the access sessions of all callers.
type sessions struct {
	write func(context.Context, *session, []audit.Range) error // logs served ranges
	log   *slog.Logger                                         // of the server

	mu   sync.Mutex // guards open and all
	open map[sessionKey]*session
	all  map[*session]struct{} // those open, running, or with ranges to log
}

func newSessions(write func(context.Context, *session, []audit.Range) error, log *slog.Logger) *sessions {
	return &sessions{write: write, log: log, open: map[sessionKey]*session{}, all: map[*session]struct{}{}}
}

// find gives the session that covers k now, or nil.
func (s *sessions) find(k sessionKey) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, ok := s.open[k]
	if !ok || time.Now().After(in.until) {
		return nil
	}
	return in
}

// add opens a session whose event is durable.
func (s *sessions) add(k sessionKey, t catalog.Tenant, e audit.Event) *session {
	in := &session{key: k, tenant: t, event: e, until: time.Now().Add(sessionTime)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[k] = in
	s.all[in] = struct{}{}
	return in
}

// count says how many sessions there are.
func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// begin counts a stream of a session, which may have been let go meanwhile.
func (s *sessions) begin(in *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[in] = struct{}{}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.streams++
}

// run logs served ranges until ctx ends, and then once more.
func (s *sessions) run(ctx context.Context) {
	tick := time.NewTicker(serveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.flush(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			s.flush(ctx)
		}
	}
}

// flush logs what was served since the last time and lets old sessions go.
// Sessions are logged several at once, so that they share transactions.
func (s *sessions) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, serveTimeout)
	defer cancel()
	var logging errgroup.Group // what fails for one is tried for all: each has ranges of its own
	logging.SetLimit(flushAtOnce)
	for _, in := range s.sweep() {
		logging.Go(func() error { return s.flushOne(ctx, in) })
	}
	if err := logging.Wait(); err != nil {
		s.log.Error("served ranges not logged yet", "error", err)
	}
}

func (s *sessions) flushOne(ctx context.Context, in *session) error {
	ranges := in.take()
	if len(ranges) == 0 {
		return nil
	}
	err := s.write(ctx, in, ranges)
	if err != nil {
		in.giveBack(ranges)
	}
	return err
}

// sweep drops the sessions that are over and gives the others.
func (s *sessions) sweep() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*session
	for in := range s.all {
		if !in.over() {
			out = append(out, in)
			continue
		}
		delete(s.all, in)
		if s.open[in.key] == in {
			delete(s.open, in.key)
		}
	}
	return out
}

// logServed makes the event of ranges that were served under a session.
func (g *Gateway) logServed(ctx context.Context, in *session, ranges []audit.Range) error {
	e := in.event
	e.ID, e.At, e.Action = [16]byte{}, now(), "served"
	e.Detail.Ranges = ranges
	s := scope{} // where its key is away or gone, that something was served is kept
	if g.states.check(in.tenant.ID, time.Time{}) == nil {
		if open, err := g.unlock(ctx, in.tenant); err == nil {
			s = open
		}
	}
	defer s.end()
	return g.explain(ctx, s, e)
}
