package faults_test

import (
	"os"
	"slices"
	"testing"
)

// LETHE_CHAOS sizes the tests whose numbers mean something only when they are
// large: unset for a minute or so of each, as CI has, "full" for what make chaos
// promises, "nightly" for what is run before a release.
var sizes = []string{"", "full", "nightly"}

// sized gives the value for the size in force.
func sized[T any](t testing.TB, short, full, nightly T) T {
	t.Helper()
	size := os.Getenv("LETHE_CHAOS")
	i := slices.Index(sizes, size)
	if i < 0 {
		t.Fatalf("LETHE_CHAOS=%q is none of %q", size, sizes)
	}
	return []T{short, full, nightly}[i]
}
