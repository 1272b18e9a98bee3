package telemetry_test

import (
	"testing"

	"github.com/lethe-vault/lethe/gateway/blob"
	"github.com/lethe-vault/lethe/gateway/blob/filestore"
	"github.com/lethe-vault/lethe/gateway/blob/storetest"
	"github.com/lethe-vault/lethe/telemetry"
)

// A store that is observed is a store like any other.
func TestObservedStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) blob.Store {
		watch, err := telemetry.New(telemetry.Build{}, telemetry.Traces{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := filestore.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return watch.Store(s)
	})
}
