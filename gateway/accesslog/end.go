package accesslog

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/recording"
)

// Guard runs serve, and notes its panic.
func (e *Entry) Guard(serve func() error) error {
	err := fault.Contain(serve)
	e.Met(err)
	return err
}

// Met notes an error that is, or comes from, a fault of the program.
func (e *Entry) Met(err error) {
	if p, ok := errors.AsType[*fault.Panic](err); ok {
		e.Answer.Panicked, e.stack = true, p.Stack
	}
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
	case e.code == "" && e.Answer.Panicked:
		return slog.LevelError, "request failed in part"
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
