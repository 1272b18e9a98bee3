package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lethe-vault/lethe/fault"
	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/gateway/audit"
)

// answers keeps what an observer is told.
type answers struct{ got []accesslog.Answer }

func (a *answers) Arrive(ctx context.Context, _ accesslog.Arrival) (context.Context, func(accesslog.Answer)) {
	return ctx, func(answer accesslog.Answer) { a.got = append(a.got, answer) }
}

// desk is a front's account, and what came of it.
type desk struct {
	*accesslog.Log
	answers
	text bytes.Buffer
}

func newDesk(o accesslog.Options) *desk {
	d := &desk{}
	o.Observer = &d.answers
	d.Log = accesslog.New("s3", slog.New(slog.NewJSONHandler(&d.text, &slog.HandlerOptions{Level: slog.LevelDebug})), o)
	return d
}

func (d *desk) lines(t *testing.T) (out []map[string]any) {
	t.Helper()
	for line := range strings.Lines(d.text.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func request() *http.Request {
	r := httptest.NewRequest("GET", "/calls/+49123456789.wav?X-Amz-Signature=hush", nil)
	r.RemoteAddr = "192.0.2.7:4711"
	return r
}

func TestOneLineForEach(t *testing.T) {
	for _, c := range []struct {
		name           string
		o              accesslog.Options
		status         int
		code           string
		err            error
		level, message string
	}{
		{"served", accesslog.Options{}, 200, "", nil, "DEBUG", "request served"},
		{"served, and told", accesslog.Options{Successes: true}, 206, "", nil, "INFO", "request served"},
		{"refused", accesslog.Options{}, 403, "AccessDenied", nil, "INFO", "request refused"},
		{"unavailable", accesslog.Options{}, 503, "ServiceUnavailable", errors.New("store is away"), "WARN", "request failed"},
		{"failed", accesslog.Options{}, 500, "InternalError", errors.New("odd"), "ERROR", "request failed"},
	} {
		d := newDesk(c.o)
		r, e := d.Begin(request())
		e.Answer.Operation = "GetObject"
		audit.Durable(r.Context())
		if c.code != "" {
			e.Fail(c.code, c.err)
		}
		e.End(c.status, 1, 2)
		lines := d.lines(t)
		if len(lines) != 1 {
			t.Fatalf("%s: %d lines", c.name, len(lines))
		}
		got := lines[0]
		if got["level"] != c.level || got["msg"] != c.message || got["request_id"] != e.ID || got["operation"] != "GetObject" ||
			got["status"] != float64(c.status) || got["bytes_in"] != 1.0 || got["bytes_out"] != 2.0 {
			t.Errorf("%s: %v", c.name, got)
		}
		for _, secret := range []string{"+49123456789", "hush", "192.0.2.7"} {
			if strings.Contains(d.text.String(), secret) {
				t.Errorf("%s: the log holds %s", c.name, secret)
			}
		}
	}
}

func TestAddressesIfAskedFor(t *testing.T) {
	d := newDesk(accesslog.Options{Addresses: true})
	_, e := d.Begin(request())
	e.End(404, 0, 0)
	if got := d.lines(t)[0]["address"]; got != "192.0.2.7" {
		t.Errorf("address = %v", got)
	}
}

// Whatever is answered with success and no event explains is counted.
func TestUnaudited(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		public bool
		act    func(context.Context)
		want   bool
	}{
		{"no event", 200, false, func(context.Context) {}, true},
		{"no event, part of an answer", 206, false, func(context.Context) {}, true},
		{"no event, nothing served", 404, false, func(context.Context) {}, false},
		{"nobody's", 200, true, func(context.Context) {}, false},
		{"an event", 200, false, audit.Durable, false},
		{"a transaction with an event", 200, false, func(ctx context.Context) {
			ctx, made := audit.Promised(ctx)
			audit.Promise(ctx)
			made()
		}, false},
		{"a transaction without one", 200, false, func(ctx context.Context) {
			_, made := audit.Promised(ctx)
			made()
		}, true},
		{"a transaction that was undone", 200, false, func(ctx context.Context) {
			ctx, _ = audit.Promised(ctx)
			audit.Promise(ctx)
		}, true},
	} {
		d := newDesk(accesslog.Options{})
		r, e := d.Begin(request())
		e.Public = c.public
		c.act(r.Context())
		e.End(c.status, 0, 0)
		if got := d.got[0].Unaudited; got != c.want {
			t.Errorf("%s: unaudited = %v", c.name, got)
		}
		if got := strings.Contains(d.text.String(), "without an event"); got != c.want {
			t.Errorf("%s: the log says so: %v", c.name, got)
		}
	}
}

// A panic is told of without what was at hand.
func TestGuard(t *testing.T) {
	d := newDesk(accesslog.Options{})
	_, e := d.Begin(request())
	err := e.Guard(func() error { panic("+49123456789") })
	if !errors.Is(err, fault.ErrPanic) || strings.Contains(err.Error(), "+49") {
		t.Errorf("Guard = %v", err)
	}
	e.Fail("InternalError", err)
	e.End(500, 0, 0)
	line := d.lines(t)[0]
	if stack, _ := line["stack"].(string); !strings.Contains(stack, "TestGuard") || strings.Contains(d.text.String(), "+49") {
		t.Errorf("line %v", line)
	}
	if !d.got[0].Panicked {
		t.Error("the observer is not told")
	}
	_, e = d.Begin(request())
	if err := e.Guard(func() error { set(nil); return nil }); !strings.Contains(err.Error(), "nil map") {
		t.Errorf("Guard = %v", err)
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("the order to cut the connection was kept back")
		}
	}()
	_ = e.Guard(func() error { panic(http.ErrAbortHandler) })
}

// A part of what was asked for met a fault, and the rest was done.
func TestFaultOfAPart(t *testing.T) {
	d := newDesk(accesslog.Options{})
	r, e := d.Begin(request())
	audit.Durable(r.Context())
	e.Met(nil)
	e.Met(fmt.Errorf("one of many: %w", fault.Contain(func() error { panic("+49123456789") })))
	e.End(200, 0, 0)
	line := d.lines(t)[0]
	if stack, _ := line["stack"].(string); line["level"] != "ERROR" || !strings.Contains(stack, "TestFaultOfAPart") || strings.Contains(d.text.String(), "+49") {
		t.Errorf("line %v", line)
	}
	if !d.got[0].Panicked {
		t.Error("the observer is not told")
	}
}

// set is a fault of the program when m is nil.
func set(m map[string]int) { m["x"] = 1 }
