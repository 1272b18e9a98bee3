package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync/atomic"
	"testing"
)

// A workload is one row of the table: clients that do the same over and over.
type workload struct {
	kind    string
	size    int64 // bytes of one request's body
	clients int
}

func (w workload) String() string { return fmt.Sprintf("%s-%s x%d", w.kind, human(w.size), w.clients) }

func human(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

const (
	put  = "put"
	get  = "get"   // of a whole recording, each the first access of a session of its own
	span = "range" // anywhere in a long recording, all in one session
)

// smallSize is a recording that is all overhead; its rate is requests a second.
const smallSize = 4 << 10

// workloads gives the cases whose names match pattern.
func workloads(t testing.TB, pattern string) (out []workload) {
	t.Helper()
	match, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []workload{
		{kind: put, size: smallSize}, {kind: put, size: 64 << 10}, {kind: put, size: 1 << 20}, {kind: put, size: 16 << 20},
		{kind: get, size: 64 << 10}, {kind: get, size: 1 << 20}, {kind: get, size: 16 << 20}, {kind: span, size: 64 << 10},
	} {
		for _, w.clients = range []int{1, 8, 64} {
			if match.MatchString(w.String()) {
				out = append(out, w)
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("no case has a name like %q", pattern)
	}
	return out
}

// longSize is the length of the recording that ranges are read of.
const longSize = 50_000_000

// stock is how many recordings of a size are there to be read.
func stock(size int64) int { return int(max(8, min(64, 64<<20/size))) }

func stockName(size int64, i int) string { return fmt.Sprintf("stock/%s/%d.wav", human(size), i) }

const longName = "stock/long.wav"

// names counts what was put, so that no name comes twice.
var names atomic.Uint64

// once does one request of w. keep is told of what was put.
func (w workload) once(ctx context.Context, c *client, draw *rand.Rand, keep func(object)) error {
	switch w.kind {
	case put:
		o, err := c.put(ctx, fmt.Sprintf("put/%09d.wav", names.Add(1)), w.size)
		if err == nil {
			keep(o)
		}
		return err
	case get:
		return c.get(freshSession(ctx), stockName(w.size, draw.IntN(stock(w.size))), 0, w.size, w.size)
	default:
		return c.get(ctx, longName, draw.Int64N(longSize-w.size), w.size, longSize)
	}
}
