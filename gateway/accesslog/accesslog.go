// Package accesslog keeps account of the requests of a front, in the same way
// for each: an id by which client, log and traces speak of the same request,
// one line for it in the process's log when it is over, and what an observer
// needs to measure it. It is for operators and holds nobody's name; who
// accessed which recording and why is the audit log's matter.
package accesslog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway/audit"
	"github.com/lethe-vault/lethe/recording"
)

// Options say what is kept account of. The zero value is fit for use.
type Options struct {
	Observer  Observer // nil is nobody
	Successes bool     // are logged at info; else at debug
	Addresses bool     // of clients stand in the log: personal data, so not unless asked for
}

// Observer is told of requests. It is safe for concurrent use, returns soon,
// and never fails.
type Observer interface {
	// Arrive is told that a request has come. It is served under the context
	// that Arrive gives, and end is called once, when it is over.
	Arrive(ctx context.Context, a Arrival) (within context.Context, end func(Answer))
}

// Arrival is a request of which nothing has been checked yet.
type Arrival struct {
	Front       string // "s3" or "api"
	ID          string
	Traceparent string // as the client sent it: to be believed in nothing
}

// Answer is a request that is over.
type Answer struct {
	Operation string // a word of the front's, never of the client's
	Status    int
	Cut       bool // the answer was broken off after its head
	Received  int64
	Sent      int64
	Took      time.Duration
	Tenant    recording.Tenant // zero if the client is not known
	Recording recording.ID     // zero if it is about none
	Panicked  bool
	Unaudited bool // it was answered, and no event explains it
}

// Log keeps account of one front's requests.
type Log struct {
	front   string
	log     *slog.Logger
	options Options
}

// New gives the account of a front, kept in log.
func New(front string, log *slog.Logger, o Options) *Log {
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	return &Log{front: front, log: log, options: o}
}

type nobody struct{}

func (nobody) Arrive(ctx context.Context, _ Arrival) (context.Context, func(Answer)) {
	return ctx, func(Answer) {}
}

// Entry is the account of one request. It is filled by whoever serves it, and
// is for one goroutine.
type Entry struct {
	ID     string
	Answer Answer // Status, Sent and Received are set by whoever calls End
	Public bool   // nothing of any tenant is served, so no event need explain it

	of    *Log
	r     *http.Request
	began time.Time
	trail *audit.Trail
	tell  func(Answer)

	code  string // of the failure, "" if there is none
	err   error
	left  bool // the client went away
	stack []byte
}

// unnamed is the operation of a request that reached none.
const unnamed = "none"

// Begin opens the account of r and gives r under the context to serve it in.
func (l *Log) Begin(r *http.Request) (*http.Request, *Entry) {
	e := &Entry{ID: newID(), Answer: Answer{Operation: unnamed}, of: l, began: time.Now()}
	ctx, trail := audit.Follow(r.Context())
	ctx, e.tell = l.options.Observer.Arrive(ctx, Arrival{Front: l.front, ID: e.ID, Traceparent: r.Header.Get("Traceparent")})
	e.trail, e.r = trail, r.WithContext(ctx)
	return e.r, e
}

// newID draws 16 hex digits.
func newID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// address is the peer's, without its port. No header is believed about it.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
