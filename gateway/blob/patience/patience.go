// Package patience gives up an HTTP exchange with a store that has stopped.
//
// What it bounds is standstill, never duration: a store that is slow and lives
// may take hours for a body, a store that is frozen or out of reach is given up
// after Standstill, whichever half of the exchange it leaves unfinished.
package patience

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// Standstill is how long nothing may move: no byte of a request is taken,
	// its answer does not begin, or no byte of the answer comes.
	Standstill = 10 * time.Second

	// takes is how many bytes a second a store must put away that answers only
	// when the whole body is on its disks: what it was sent counts towards how
	// long its answer may take. For 5 GiB that is five and a half minutes.
	takes = 16 << 20

	// completes is how long the answer to a POST may take: completing an upload
	// in parts makes some stores copy all of them first.
	completes = time.Minute
)

// ErrStopped: the store stood still for too long.
var ErrStopped = errors.New("store has stopped answering")

// Transport is a RoundTripper that gives up a store that stands still.
type Transport struct{ Next http.RoundTripper }

// RoundTrip sends r through Next.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) { return Do(r, t.Next.RoundTrip) }

// Client is what sends requests for an SDK.
type Client interface {
	Do(r *http.Request) (*http.Response, error)
}

// Patient is a Client that gives up a store that stands still.
type Patient struct{ Next Client }

// Do sends r through Next.
func (p Patient) Do(r *http.Request) (*http.Response, error) { return Do(r, p.Next.Do) }

// Do sends a request, and reports ErrStopped if the store stands still. The
// body of the response does too, and must be closed.
func Do(r *http.Request, send func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &wait{timer: time.AfterFunc(allowance(r, 0), func() { cancel(ErrStopped) })}
	stopped := func(err error) error {
		if err != nil && err != io.EOF && context.Cause(ctx) == ErrStopped {
			return ErrStopped
		}
		return err
	}
	out := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &sending{ReadCloser: r.Body, wait: w, request: r}
	}
	response, err := send(out)
	w.answered()
	if err != nil {
		err = stopped(err)
		cancel(nil)
		return nil, err
	}
	response.Body = &receiving{response.Body, w, stopped, func() { cancel(nil) }}
	return response, nil
}

// allowance is how long the store may stand still once it was sent so much of r.
func allowance(r *http.Request, sent int64) time.Duration {
	if r.Method == http.MethodPost {
		return completes
	}
	if r.ContentLength <= 0 || sent < r.ContentLength {
		return Standstill
	}
	return Standstill + time.Duration(sent/takes)*time.Second
}

// wait is the timer of one exchange. It runs while something is awaited of the
// store, and not while the store awaits something of us.
type wait struct {
	mu     sync.Mutex // guards both
	timer  *time.Timer
	answer bool // it has begun, so what becomes of the request does not matter
}

// forStore has the store answer within d.
func (w *wait) forStore(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.answer {
		w.timer.Reset(d)
	}
}

// forUs stops the timer while the rest of the request is being made.
func (w *wait) forUs() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.answer {
		w.timer.Stop()
	}
}

func (w *wait) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = true
	w.timer.Stop()
}

// sending is the body of a request. The client reads more of it when the store
// has taken what was read before.
type sending struct {
	io.ReadCloser
	wait    *wait
	request *http.Request
	sent    int64
}

func (s *sending) Read(p []byte) (int, error) {
	s.wait.forUs()
	n, err := s.ReadCloser.Read(p)
	s.sent += int64(n)
	s.wait.forStore(allowance(s.request, s.sent))
	return n, err
}

// receiving is the body of a response.
type receiving struct {
	body    io.ReadCloser
	wait    *wait
	stopped func(error) error
	end     func()
}

func (r *receiving) Read(p []byte) (int, error) {
	r.wait.timer.Reset(Standstill)
	n, err := r.body.Read(p)
	r.wait.timer.Stop()
	return n, r.stopped(err)
}

// Close ends the exchange.
func (r *receiving) Close() error {
	defer r.end()
	return r.body.Close()
}
