package faults_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/lethe-vault/lethe/test/system"
)

// TestMemoryOfManyUploads sends 100 recordings of 16 MiB at once. It runs
// alone: it is not parallel.
func TestMemoryOfManyUploads(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *system.System{"embedded": system.Embedded, "scaled": system.Scaled} {
		t.Run(name, func(t *testing.T) { testMemory(t, start(t)) })
	}
}

func testMemory(t *testing.T, s *system.System) {
	const uploads, size, limit = 100, 16 << 20, 150 << 20
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
	for i, c := range contents {
		uploading.Go(func() {
			if err := recorder.put(t.Context(), fmt.Sprint(i), c); err != nil {
				t.Errorf("upload %d: %v", i, err)
			}
		})
	}
	uploading.Wait()
	took, peak := time.Since(began), s.PeakMemory()
	t.Logf("%d uploads of %d MiB at once, in %v: %d MiB at most, %d MiB before", uploads, size>>20, took.Round(time.Millisecond), peak>>20, before>>20)
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
