package faults_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-vault/lethe/test/system"
)

// TestManyNamesAreListed lists a flat prefix and a dated tree of many names,
// through both SDKs, while others write to them. A put costs milliseconds of
// processor, so there are fewer names than the 20,000 of each that a run with
// LETHE_LIST_NAMES=20000 has.
func TestManyNamesAreListed(t *testing.T) {
	t.Parallel()
	n := 1200 // two pages
	if of := os.Getenv("LETHE_LIST_NAMES"); of != "" {
		n, _ = strconv.Atoi(of)
	}
	for name, start := range map[string]func(testing.TB) *system.System{"embedded": system.Embedded, "scaled": system.Scaled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testManyNames(t, start(t), n)
		})
	}
}

func testManyNames(t *testing.T, s *system.System, n int) {
	recorderKeys, readerKeys := s.Pair("acme", "calls")
	recorder, reader := newClient(t, s.S3, recorderKeys, "calls"), newClient(t, s.S3, readerKeys, "calls")
	var names []string
	for i := range n {
		names = append(names, flatName(i), datedName(i))
	}
	began := time.Now()
	recorder.putAll(t, names)
	t.Logf("%d puts in %v", len(names), time.Since(began).Round(time.Millisecond))
	slices.Sort(names)
	before := s.PeakMemory()
	stop := recorder.keepPutting(t)
	for _, prefix := range []string{"flat/", "dated/", ""} {
		want := below(names, prefix)
		checkNames(t, "aws-sdk-go-v2 "+prefix, reader.pagesAWS(t, prefix), want)
		checkNames(t, "minio-go "+prefix, reader.pagesMinIO(t, prefix), want)
	}
	t.Logf("%d names were put meanwhile; the server held %d MiB at most, %d MiB before", stop(), s.PeakMemory()>>20, before>>20)
}

func flatName(i int) string { return fmt.Sprintf("flat/call %07d-ü.wav", i*7919%1_000_003) }

func datedName(i int) string {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 43 * time.Second)
	return at.Format("dated/2006/01/02/15/") + strconv.Itoa(i) + ".wav"
}

// putAll puts a small recording under each name, several at a time.
func (c client) putAll(t testing.TB, names []string) {
	t.Helper()
	what := newContent(100)
	what.hash()
	var next atomic.Int64
	var putting sync.WaitGroup
	for range 16 {
		putting.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(names); i = int(next.Add(1)) - 1 {
				if err := c.put(t.Context(), names[i], what); err != nil {
					t.Errorf("put of %q: %v", names[i], err)
					return
				}
			}
		})
	}
	putting.Wait()
}

// late marks the names that are put while others are listed.
const late = "-late"

// keepPutting puts between the names that there are, until it is stopped, and
// then tells how many there were.
func (c client) keepPutting(t testing.TB) (stop func() int64) {
	ctx, cancel := context.WithCancel(t.Context())
	what := newContent(100)
	what.hash()
	var count atomic.Int64
	var putting sync.WaitGroup
	for _, name := range []func(int) string{flatName, datedName} {
		putting.Go(func() { // ends when stop is called
			for i := 0; ctx.Err() == nil; i++ {
				if err := c.put(ctx, name(i)+late, what); err == nil {
					count.Add(1)
				} else if ctx.Err() == nil {
					t.Errorf("put meanwhile: %v", err)
					return
				}
			}
		})
	}
	return func() int64 {
		cancel()
		putting.Wait()
		return count.Load()
	}
}

func (c client) pagesAWS(t testing.TB, prefix string) (names []string) {
	t.Helper()
	var times []time.Duration
	pages := s3.NewListObjectsV2Paginator(c.aws, &s3.ListObjectsV2Input{Bucket: &c.bucket, Prefix: aws.String(prefix)})
	for pages.HasMorePages() {
		began := time.Now()
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatalf("page %d of %q: %v", len(times), prefix, err)
		}
		times = append(times, time.Since(began))
		for _, o := range page.Contents {
			names = append(names, *o.Key)
		}
	}
	first := times[0]
	slices.Sort(times)
	t.Logf("%q: %d names on %d pages, the first in %v, the median in %v, the slowest in %v", prefix, len(names), len(times),
		first.Round(time.Millisecond), times[len(times)/2].Round(time.Millisecond), times[len(times)-1].Round(time.Millisecond))
	return names
}

func (c client) pagesMinIO(t testing.TB, prefix string) (names []string) {
	t.Helper()
	for o := range c.minio.Client.ListObjects(t.Context(), c.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			t.Fatalf("listing of %q: %v", prefix, o.Err)
		}
		names = append(names, o.Key)
	}
	return names
}

func below(names []string, prefix string) (in []string) {
	for _, n := range names {
		if strings.HasPrefix(n, prefix) {
			in = append(in, n)
		}
	}
	return in
}

// checkNames wants all names once, in byte order, and beside them none but
// late ones.
func checkNames(t testing.TB, how string, got, want []string) {
	t.Helper()
	for i := 1; i < len(got); i++ {
		if got[i-1] >= got[i] {
			t.Errorf("%s: %q is listed before %q", how, got[i-1], got[i])
		}
	}
	early := slices.DeleteFunc(slices.Clone(got), func(n string) bool { return strings.HasSuffix(n, late) })
	if !slices.Equal(early, want) {
		t.Errorf("%s: %d names, want %d", how, len(early), len(want))
	}
}
