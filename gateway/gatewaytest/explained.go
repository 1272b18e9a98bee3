package gatewaytest

import (
	"context"
	"testing"

	"github.com/lethe-vault/lethe/gateway/accesslog"
)

// Explained gives an observer of a front that fails the test if a request is
// served without an event, or meets a panic.
func Explained(t testing.TB) accesslog.Observer { return explained{t} }

type explained struct{ t testing.TB }

func (x explained) Arrive(ctx context.Context, _ accesslog.Arrival) (context.Context, func(accesslog.Answer)) {
	return ctx, func(a accesslog.Answer) {
		if a.Unaudited {
			x.t.Errorf("%s was answered %d, and no event explains it", a.Operation, a.Status)
		}
		if a.Panicked {
			x.t.Errorf("%s met a panic", a.Operation)
		}
	}
}
