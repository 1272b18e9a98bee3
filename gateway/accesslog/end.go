package accesslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/lethe-vault/lethe/recording"
)

// ErrPanic: serving the request met a fault of this program.
var ErrPanic = errors.New("accesslog: panic")

// Guard runs serve and turns its panic into ErrPanic. The account says where it
// was, but not what was at hand: of the value it keeps only what the Go runtime
// itself says, for any other may hold what the client sent.
func (e *Entry) Guard(serve func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			err = e.panicked(p.Error())
		default:
			if p == any(http.ErrAbortHandler) {
				panic(p) // says no more than that the connection is to be cut
			}
			err = e.panicked(fmt.Sprintf("of a %T", p))
		}
	}()
	return serve()
}

func (e *Entry) panicked(what string) error {
	e.Answer.Panicked, e.stack = true, debug.Stack()
	return fmt.Errorf("%w: %s", ErrPanic, what)
}

// Fail notes that the request was refused or failed, under the code that the
// client is told.
func (e *Entry) Fail(code string, err error) { e.code, e.err = code, err }

// Abandon notes that the client went away before it had its answer.
func (e *Entry) Abandon() { e.left = true }

// End closes the account: the request was answered with status, and so many
// bytes of body came and went.
func (e *Entry) End(status int, received, sent int64) {
	a := &e.Answer
	a.Status, a.Received, a.Sent = status, max(received, 0), max(sent, 0)
	a.Took = time.Since(e.began)
	a.Unaudited = a.Status < http.StatusBadRequest && !e.Public && !e.trail.Explained()
	e.tell(*a)
	ctx := context.WithoutCancel(e.r.Context())
	if a.Unaudited {
		e.of.log.LogAttrs(ctx, slog.LevelError, "request served without an event that explains it",
			slog.String("request_id", e.ID), slog.String("operation", a.Operation))
	}
	if level, message := e.verdict(); e.of.log.Enabled(ctx, level) {
		e.of.log.LogAttrs(ctx, level, message, e.attributes()...)
	}
}

// verdict says how loudly the request is logged, and as what. A client that
// went away, or is told to slow down, is no failure.
func (e *Entry) verdict() (slog.Level, string) {
	status := e.Answer.Status
	switch {
	case e.left, e.code != "" && e.r.Context().Err() != nil && !e.Answer.Panicked:
		return slog.LevelInfo, "request abandoned"
	case e.code == "" && e.of.options.Successes:
		return slog.LevelInfo, "request served"
	case e.code == "":
		return slog.LevelDebug, "request served"
	case e.err == nil:
		return slog.LevelInfo, "request refused"
	case status == http.StatusServiceUnavailable:
		return slog.LevelWarn, "request failed"
	}
	return slog.LevelError, "request failed"
}

func (e *Entry) attributes() []slog.Attr {
	a := e.Answer
	out := []slog.Attr{
		slog.String("request_id", e.ID),
		slog.String("front", e.of.front),
		slog.String("operation", a.Operation),
		slog.Int("status", a.Status),
		slog.Int64("duration_us", a.Took.Microseconds()),
		slog.Int64("bytes_in", a.Received),
		slog.Int64("bytes_out", a.Sent),
	}
	if a.Tenant != (recording.Tenant{}) {
		out = append(out, slog.String("tenant", a.Tenant.String()))
	}
	if a.Recording != (recording.ID{}) {
		out = append(out, slog.String("recording", a.Recording.String()))
	}
	if e.of.options.Addresses {
		out = append(out, slog.String("address", address(e.r)))
	}
	if e.code != "" {
		out = append(out, slog.String("code", e.code))
	}
	if a.Cut {
		out = append(out, slog.Bool("cut", true))
	}
	if e.err != nil {
		out = append(out, slog.Any("error", e.err))
	}
	if e.stack != nil {
		out = append(out, slog.String("stack", string(e.stack)))
	}
	return out
}
