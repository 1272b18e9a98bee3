package storecheck

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// How often a small blob is created and read, and what is slow at the median.
const (
	samples  = 20
	slow     = 100 * time.Millisecond
	verySlow = 500 * time.Millisecond
)

// latency measures small blobs, one after the other.
func (c *check) latency(ctx context.Context) {
	body := random(1 << 10)
	var creates, reads []time.Duration
	for i := range samples {
		name := "latency-" + strconv.Itoa(i)
		start := time.Now()
		err := c.put(ctx, name, body)
		created := time.Now()
		if err == nil {
			_, err = c.read(ctx, name, 0, -1)
		}
		if err != nil {
			c.Fail("store.latency", "small blobs cannot be created and read in a row: "+err.Error(), "see what the store says of these requests")
			return
		}
		creates, reads = append(creates, created.Sub(start)), append(reads, time.Since(created))
	}
	what := fmt.Sprintf("of %d blobs of 1 KiB, creating took %s, reading %s", samples, spread(creates), spread(reads))
	const do = "look for what is between here and the store, or how loaded it is: every upload waits for it twice, every play once"
	switch worst := max(median(creates), median(reads)); {
	case worst >= verySlow:
		c.Warn("store.latency", what, do)
	case worst >= slow:
		c.Advise("store.latency", what, do)
	default:
		c.OK("store.latency", what)
	}
}

func median(ds []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(ds))[len(ds)/2]
}

// spread says the median and the 99th percentile, which of so few is the slowest.
func spread(ds []time.Duration) string {
	return fmt.Sprintf("%v (p50) to %v (p99)", round(median(ds)), round(slices.Max(ds)))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
