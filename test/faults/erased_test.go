package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/crypto/claim"
)

// book is what clients did and heard, and what must therefore be.
type book struct {
	t testing.TB

	mu       sync.Mutex // guards the rest, and what the calls and demands hold
	calls    []*tape
	live     []*tape              // acknowledged, and nobody asked for their erasure
	about    map[string][]*tape   // all calls, by subject
	open     map[string]int       // how many erasures of a subject nobody has heard of yet
	late     map[string]time.Time // until when one that was given up may still be made
	demands  []*demand
	whole    int // reads
	refused  int
	failed   int
	cut      int // long reads of what was erased
	slowest  time.Duration
	verified int
}

// tape is a recording that was sent.
type tape struct {
	bucket, name string
	subjects     []string
	long         *content // nil: a short one, as spoken has it

	kept   time.Time // when it was acknowledged; zero: it was not
	by     *demand   // that erases it; nil: none
	either bool      // it may be whole or gone
}

// String tells how it came to be erased.
func (c *tape) String() string {
	return fmt.Sprintf("about %q, put at %v, a %s was to be erased: %q, acknowledged at %v",
		c.subjects, c.kept, c.by.scope.Kind, c.by.tries, c.by.heard)
}

// demand is that something be erased.
type demand struct {
	scope  claim.Scope
	before uint64 // a head that the store had by then
	calls  []*tape

	tries []string  // how, when, and what was heard
	heard time.Time // when it was acknowledged; zero: it was not
	id    string
	salt  string
	state string // as the server was last heard to say
}

func newBook(t testing.TB) *book {
	return &book{t: t, about: map[string][]*tape{}, open: map[string]int{}, late: map[string]time.Time{}}
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	unheard := 0
	for _, d := range b.demands {
		if d.heard.IsZero() {
			unheard++
		}
	}
	return fmt.Sprintf("%d given up before they were acknowledged, %d certificates verified; "+
		"%d recordings, %d of them live; %d reads whole, %d refused as erased, %d failed, %d cut; acknowledged after %v at most",
		unheard, b.verified, len(b.calls), len(b.live), b.whole, b.refused, b.failed, b.cut, b.slowest.Round(time.Millisecond))
}

// someSubjects are few, so that they call again after they were erased.
var someSubjects = []string{"+49301000001", "+49301000002", "+49301000003", "+49301000004", "+49301000005", "+49301000006"}

// begin notes that a call is being put. A long one is about nobody.
func (b *book) begin(long *content) *tape {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &tape{bucket: buckets[rand.N(len(buckets))], name: spokenName(len(b.calls)), long: long}
	for long == nil && rand.N(2) == 0 && len(c.subjects) < 2 {
		if s := someSubjects[rand.N(len(someSubjects))]; !slices.Contains(c.subjects, s) {
			c.subjects = append(c.subjects, s)
		}
	}
	for _, s := range c.subjects {
		b.about[s] = append(b.about[s], c)
		c.either = c.either || b.open[s] > 0 || time.Now().Before(b.late[s])
	}
	b.calls = append(b.calls, c)
	return c
}

// put notes what was heard of a put.
func (b *book) put(c *tape, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		c.either = true
		b.mayFail("put of "+c.name, err)
		return
	}
	c.kept = time.Now()
	if !c.either {
		b.live = append(b.live, c)
	}
}

// mayFail fails the test unless err asks to come back, or nobody answered.
func (b *book) mayFail(what string, err error) {
	if status, code := refusal(err); status != 0 && status != 200 && status != 206 && status != 503 {
		b.t.Errorf("%s: %d %s: %v", what, status, code, err)
	}
}

// demandAny asks for the erasure of any short call that is live. nil: it found none.
func (b *book) demandAny(before uint64) *demand {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.live) == 0 {
		return nil
	}
	c := b.live[rand.N(len(b.live))]
	if c.long != nil {
		return nil
	}
	return b.demand(before, c)
}

// demandLong asks for the erasure of a long call. nil: it is not live.
func (b *book) demandLong(before uint64, c *tape) *demand {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Contains(b.live, c) {
		return nil
	}
	return b.demand(before, c)
}

func (b *book) demand(before uint64, c *tape) *demand {
	d := &demand{before: before, scope: claim.Scope{Kind: claim.OfRecording, Bucket: c.bucket, Name: c.name}}
	b.take(d, c)
	return d
}

// demandSubject asks for the erasure of a subject that has live calls. nil: there is none.
func (b *book) demandSubject(before uint64) *demand {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := someSubjects[rand.N(len(someSubjects))]
	if !slices.ContainsFunc(b.about[s], func(c *tape) bool { return slices.Contains(b.live, c) }) {
		return nil
	}
	d := &demand{before: before, scope: claim.Scope{Kind: claim.OfSubject, Subject: s}}
	b.open[s]++
	for _, c := range b.about[s] {
		switch {
		case slices.Contains(b.live, c):
			b.take(d, c)
		case c.by == nil:
			c.either = true // its put is under way, or nobody heard how it ended
		}
	}
	return d
}

func (b *book) take(d *demand, c *tape) {
	c.by = d
	d.calls = append(d.calls, c)
	b.live = slices.DeleteFunc(b.live, func(l *tape) bool { return l == c })
	if !slices.Contains(b.demands, d) {
		b.demands = append(b.demands, d)
	}
}

// maybeTaken reports whether another erasure may take the only call of this one.
func (d *demand) maybeTaken() bool {
	return d.scope.Kind == claim.OfRecording && len(d.calls[0].subjects) > 0
}

// gaveUp notes that nobody asks for an erasure any more. A server that still has the
// request may make it.
func (b *book) gaveUp(d *demand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.scope.Kind == claim.OfSubject {
		b.open[d.scope.Subject]--
		b.late[d.scope.Subject] = time.Now().Add(2 * answersWithin)
	}
}

// tried notes that an erasure was asked for.
func (b *book) tried(d *demand, began time.Time, heard error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d.tries = append(d.tries, fmt.Sprintf("from %v to %v: %v", began, time.Now(), heard))
}

// acknowledged notes that an erasure is. It has an id, unless another erasure was
// first.
func (b *book) acknowledged(d *demand, began time.Time, id, salt string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d.heard, d.id, d.salt = time.Now(), id, salt
	b.slowest = max(b.slowest, time.Since(began))
	if id == "" && !d.maybeTaken() {
		b.t.Errorf("the erasure of a %s was acknowledged without an id", d.scope.Kind)
	}
	if d.scope.Kind == claim.OfSubject {
		b.open[d.scope.Subject]--
	}
}

// any gives a call, half of the time one that is erased or is to be.
func (b *book) any() *tape {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.demands) > 0 && rand.N(2) == 0 {
		d := b.demands[len(b.demands)-1-rand.N(min(30, len(b.demands)))]
		return d.calls[rand.N(len(d.calls))]
	}
	if len(b.calls) == 0 {
		return nil
	}
	return b.calls[rand.N(len(b.calls))]
}

// judge says what is wrong with how a read ended.
func (b *book) judge(c *tape, began, ended time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	status, code := refusal(err)
	switch {
	case err == nil && c.by != nil && !c.by.heard.IsZero() && began.After(c.by.heard):
		b.t.Errorf("%s is read %v after its erasure %s was acknowledged: %s", c.name, ended.Sub(c.by.heard), c.by.id, c)
	case err == nil && c.by != nil && !c.by.heard.IsZero() && ended.After(c.by.heard.Add(goneWithin)):
		b.t.Errorf("a read of %s goes on for %v after its erasure %s was acknowledged: %s", c.name, ended.Sub(c.by.heard), c.by.id, c)
	case err == nil:
		b.whole++
	case errors.Is(err, errOther):
		b.t.Errorf("%s: %v", c.name, err)
	case status == 404 && c.by == nil && !c.either && !c.kept.IsZero() && began.After(c.kept):
		b.t.Errorf("%s was acknowledged, never erased, and is gone: %s", c.name, code)
	case status == 404:
		b.refused++
	default:
		b.failed++
		b.mayFail("read of "+c.name, err)
	}
}

// write puts calls until it is over.
func (e *erasures) write() {
	for !e.over.Load() && !e.t.Failed() {
		f, c := e.anyFront(), e.book.begin(nil)
		ctx, cancel := context.WithTimeout(e.t.Context(), answersWithin)
		e.book.put(c, f.client(c.bucket).putAbout(ctx, c.name, spoken(c.name), strings.Join(c.subjects, ",")))
		cancel()
		time.Sleep(rand.N(200 * time.Millisecond))
	}
}

// read reads calls from a front until all has ended.
func (e *erasures) read(f *front) {
	for !e.ended.Load() && !e.t.Failed() {
		if c := e.book.any(); c != nil {
			began := time.Now()
			err := e.once(f, c)
			e.book.judge(c, began, time.Now(), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// once reads a call to its end; nil if it is whole.
func (e *erasures) once(f *front, c *tape) error {
	ctx, cancel := context.WithTimeout(e.t.Context(), 2*answersWithin)
	defer cancel()
	if c.long != nil {
		return f.client(c.bucket).check(ctx, c.name, *c.long)
	}
	return f.client(c.bucket).readSpoken(ctx, c.name)
}

// overhear erases long calls that are being listened to, on each front.
func (e *erasures) overhear() {
	for !e.over.Load() && !e.t.Failed() {
		what := newContent(16_000_000)
		c := e.book.begin(&what)
		ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
		err := e.anyFront().client(c.bucket).put(ctx, c.name, what)
		e.book.put(c, err)
		cancel()
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		var listening sync.WaitGroup
		for _, f := range e.fronts {
			listening.Go(func() { e.listen(f, c) })
		}
		time.Sleep(time.Second)
		if d := e.book.demandLong(e.newest(), c); d != nil {
			e.insist(d)
		}
		listening.Wait()
		time.Sleep(sized(e.t, time.Second, 10*time.Second, 10*time.Second))
	}
}

// listen reads a long call for ten seconds.
func (e *erasures) listen(f *front, c *tape) {
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	body, err := f.client(c.bucket).open(ctx, c.name, "")
	if err == nil {
		err = equals(paced{body}, c.long.reader())
		body.Close()
		if err != nil {
			e.book.mu.Lock()
			e.book.cut++
			e.book.mu.Unlock()
		}
	}
	e.book.judge(c, began, time.Now(), err)
}

// paced reads 1.6 MB a second.
type paced struct{ r io.Reader }

func (s paced) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return s.r.Read(p[:min(len(p), 16_000)])
}

// complete looks at everything once more, on every front.
func (e *erasures) complete() {
	for _, f := range e.fronts {
		there := map[*tape]bool{}
		for _, c := range e.book.calls {
			began := time.Now()
			err := e.once(f, c)
			e.book.judge(c, began, time.Now(), err)
			if status, code := refusal(err); err != nil && (status != 404 || code != "NoSuchKey") {
				e.t.Errorf("%s, when all is well again: %v", c.name, err)
			}
			there[c] = err == nil
		}
		for _, d := range e.book.demands {
			if d.heard.IsZero() {
				e.allOrNothing(d, there)
			}
		}
		e.listed(f, there)
	}
}

// allOrNothing checks that an erasure that was given up has taken all that it was
// about, or nothing.
func (e *erasures) allOrNothing(d *demand, there map[*tape]bool) {
	left, all := 0, 0
	for _, c := range d.calls {
		if len(c.subjects) < 2 { // which another subject's erasure may have taken
			all++
		}
		if len(c.subjects) < 2 && there[c] {
			left++
		}
	}
	if left != 0 && left != all {
		e.t.Errorf("of an erasure that was not acknowledged %d recordings of %d are left", left, all)
	}
}

// listed checks that listings show what can be read and nothing else.
func (e *erasures) listed(f *front, there map[*tape]bool) {
	for _, bucket := range buckets {
		listed, err := f.client(bucket).list(e.t.Context(), "")
		if err != nil {
			e.t.Errorf("list %s: %v", bucket, err)
			continue
		}
		for c, whole := range there {
			if _, shown := listed[c.name]; c.bucket == bucket && shown != whole {
				e.t.Errorf("%s: listed %t, can be read %t", c.name, shown, whole)
			}
		}
	}
}
