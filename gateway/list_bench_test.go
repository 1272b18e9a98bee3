package gateway_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/gateway"
	"github.com/lethe-vault/lethe/gateway/gatewaytest"
	"github.com/lethe-vault/lethe/recording"
)

// flatName and datedName are the two ways recorders name what they put.
func flatName(i int) string { return fmt.Sprintf("call-%07d-%x.wav", i*7919%1_000_003, i) }

func datedName(i int) string {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 43 * time.Second)
	return at.Format("2006/01/02/15/") + flatName(i)
}

// fill puts n recordings, several at a time.
func fill(t testing.TB, f *gatewaytest.Fixture, c gateway.Caller, n int, name func(int) string) {
	t.Helper()
	var next atomic.Int64
	var putting sync.WaitGroup
	for range 16 {
		putting.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if _, err := f.Put(t.Context(), c, gatewaytest.Upload(calls, recording.Name(name(i)), sound(uint64(i), 10))); err != nil {
					t.Errorf("Put %d: %v", i, err)
					return
				}
			}
		})
	}
	putting.Wait()
}

// BenchmarkList lists all of a bucket in pages of 1,000. LETHE_BENCH_NAMES
// sets how many names there are, 2,000 unless it does.
func BenchmarkList(b *testing.B) {
	n := 2000
	if s := os.Getenv("LETHE_BENCH_NAMES"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	for how, name := range map[string]func(int) string{"flat": flatName, "dated": datedName} {
		b.Run(how, func(b *testing.B) {
			f := gatewaytest.New(b)
			recorder, reader := f.Pair("acme", gateway.BucketSettings{Name: calls})
			fill(b, f, recorder, n, name)
			b.Run("all", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if names, _ := pages(b, f, reader, gateway.Page{Max: 1000}); len(names) != n {
						b.Fatalf("%d names, want %d", len(names), n)
					}
				}
			})
			b.Run("first page", func(b *testing.B) {
				for b.Loop() {
					f.DropLease(reader.Tenant)
					benchmarkPage(b, f, reader)
				}
			})
			b.Run("next page", func(b *testing.B) {
				for b.Loop() {
					benchmarkPage(b, f, reader)
				}
			})
		})
	}
}

func benchmarkPage(b *testing.B, f *gatewaytest.Fixture, reader gateway.Caller) {
	b.Helper()
	if _, err := f.List(b.Context(), reader, calls, gateway.Page{Max: 1000}); err != nil {
		b.Fatal(err)
	}
}
