package telemetry_test

import (
	"testing"

	"github.com/lethe-vault/lethe/gateway/accesslog"
	"github.com/lethe-vault/lethe/observe"
	"github.com/lethe-vault/lethe/telemetry"
)

func untraced(b *testing.B) *telemetry.Telemetry {
	t, err := telemetry.New(telemetry.Build{}, telemetry.Traces{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	return t
}

// BenchmarkCall is what is paid for each call of the catalog, store or Vault.
func BenchmarkCall(b *testing.B) {
	t, ctx := untraced(b), b.Context()
	for b.Loop() {
		_, end := t.Begin(ctx, observe.Call{Part: observe.Catalog, Operation: "Find"})
		end(observe.OK)
	}
}

// BenchmarkStep is what is paid for a step that is only traced, and is not.
func BenchmarkStep(b *testing.B) {
	t, ctx := untraced(b), b.Context()
	for b.Loop() {
		_, end := t.Begin(ctx, observe.Call{Part: observe.Gateway, Operation: "permit"})
		end(observe.OK)
	}
}

// BenchmarkRequest is what is paid for each request of a front.
func BenchmarkRequest(b *testing.B) {
	t, ctx := untraced(b), b.Context()
	for b.Loop() {
		_, end := t.Arrive(ctx, accesslog.Arrival{Front: "s3", ID: "0123456789ABCDEF"})
		end(accesslog.Answer{Operation: "GetObject", Status: 206, Sent: 65536, Took: 1e6})
	}
}
