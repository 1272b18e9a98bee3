package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// TestMemoryOfManyUploads sends 100 recordings at once, many times what the server may
// hold. One that is refused because a part does not keep up comes back, as recorders
// do. It runs alone: it is not parallel.
func TestMemoryOfManyUploads(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *system.System{"embedded": system.Embedded, "scaled": system.Scaled} {
		t.Run(name, func(t *testing.T) { testMemory(t, start(t)) })
	}
}

func testMemory(t *testing.T, s *system.System) {
	const uploads, limit = 100, 150 << 20
	size := sized[int64](t, 4<<20, 16<<20, 16<<20)
	recorderKeys, readerKeys := s.Pair("acme", "calls")
	recorder, reader := newClient(t, s.S3, recorderKeys, "calls"), newClient(t, s.S3, readerKeys, "calls")
	var contents [uploads]content
	for i := range contents {
		contents[i] = newContent(size)
		contents[i].hash()
	}
	s.ResetPeakMemory()
	before, began := s.PeakMemory(), time.Now()
	var uploading sync.WaitGroup
	var refusals atomic.Int64
	for i, c := range contents {
		uploading.Go(func() {
			refused, err := recorder.putPatiently(t.Context(), fmt.Sprint(i), c)
			if refusals.Add(refused); err != nil {
				t.Errorf("upload %d: %v", i, err)
			}
		})
	}
	uploading.Wait()
	took, peak := time.Since(began), s.PeakMemory()
	t.Logf("%d uploads of %d MiB at once, %d refused meanwhile, in %v: %d MiB at most, %d MiB before",
		uploads, size>>20, refusals.Load(), took.Round(time.Millisecond), peak>>20, before>>20)
	if peak > limit {
		t.Errorf("the server held %d MiB, want at most %d", peak>>20, limit>>20)
	}
	for range 5 {
		i := rand.N(uploads)
		if err := reader.check(t.Context(), fmt.Sprint(i), contents[i]); err != nil {
			t.Errorf("recording %d: %v", i, err)
		}
	}
}

// putPatiently puts until it is not refused for the reason that a part does not keep up.
// It waits for longer each time, so that not all come back at once.
func (c client) putPatiently(ctx context.Context, name string, what content) (refused int64, err error) {
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(rand.N(time.Duration(min(refused, 10)) * 3 * time.Second)) {
		err = c.put(ctx, name, what)
		if status, _ := refusal(err); status != http.StatusServiceUnavailable || time.Now().After(end) {
			return refused, err
		}
		refused++
	}
}
